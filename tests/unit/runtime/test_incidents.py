"""Incident records: what is in them, and what the files that hold them survive; and what ``why`` says."""

import json
from pathlib import Path
from typing import Any

import pytest

from failoverd.domain.model import Action, MonitorPolicy, RestartPolicy
from failoverd.log.catalogue import Event
from failoverd.ports import Outcome
from failoverd.runtime.incident_store import BYTES_MAX, FILES_MAX, IncidentStore, IncidentWriter
from tests.unit.runtime.fakes import CHAIN, GROUP, Cluster, cluster, component, group_of
from tests.virtual import VirtualClock

FAST = MonitorPolicy(interval_s=1.0, fall=1)


async def history(c: Cluster, node: str, **params: Any) -> list[dict[str, Any]]:
    return list((await c.ask(node, "history", **params))["incidents"])


async def why(c: Cluster, node: str) -> str:
    return "\n".join(each["text"] for each in (await c.ask(node, "why", group=GROUP))["sentences"])


# --- records ------------------------------------------------------------------------------------------------------


@pytest.mark.virtual
async def test_a_switch_is_on_record_on_both_nodes_with_steps_and_downtimes(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(*CHAIN)) as c:
        await c.online("a")
        for name in ("disk", "db", "web"):
            c.world.behaviour("a", name).takes_s[Action.OFFLINE] = 1.0
            c.world.behaviour("b", name).takes_s[Action.ONLINE] = 2.0
        await c.switch("b", wait=True)
        await c.sleep(1)
        for node in ("a", "b"):
            found = (await history(c, node))[0]
            assert (found["kind"], found["source"], found["target"], found["state"]) == ("handover", "a", "b", "done")
            assert found["cause"] == "operator"
            assert len(found["steps"]) == 6
            assert found["makespan_s"] == pytest.approx(9.0, abs=0.2)
            assert found["limit_s"] == pytest.approx(9.0, abs=0.2)
            assert found["downtime_s"]["web"] == pytest.approx(9.0, abs=0.2)
            assert found["downtime_s"]["disk"] == pytest.approx(3.0, abs=0.2)
            assert "Latest incident" in await why(c, node)
        # Only the node that the operator spoke to has heard it.
        assert [e["event"] for e in (await history(c, "a"))[0]["evidence"]] == ["operator.command"]
        assert found["evidence"] == []


@pytest.mark.virtual
async def test_a_lost_node_is_on_record_with_what_was_seen(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(*CHAIN)) as c:
        await c.online("a")
        await c.sleep(10)
        c.cut_power("a")
        died = c.clock.now()
        await c.online("b")
        took_s = c.clock.now() - died
        await c.sleep(1)
        found = (await history(c, "b", group=GROUP))[0]
        assert found["cause"] == "node_lost"
        assert found["downtime_s"]["web"] == pytest.approx(took_s, abs=0.3)
        seen = {each["event"]: each for each in found["evidence"]}
        assert seen["peer.suspected"]["at_s"] < seen["peer.down"]["at_s"] <= 0
        assert seen["peer.down"]["unrenewed_s"] >= 3.0
        said = await why(c, "b")
        assert "b owns it" in said
        assert "because the node that had it is gone (a was lost)" in said
        assert "a cannot take it: it is fenced" in said


@pytest.mark.virtual
async def test_a_restart_in_place_is_on_record_with_its_reason(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(component("db", monitor=FAST))) as c:
        await c.online("a")
        c.world.behaviour("a", "db").takes_s[Action.ONLINE] = 3.0
        c.world.put("a", "db", there=False)
        await c.sleep(10)
        found = (await history(c, "a"))[0]
        assert (found["kind"], found["component"]) == ("restart", "db")
        assert found["downtime_s"]["db"] == pytest.approx(3.0, abs=0.1)
        assert "component.faulted" in {each["event"] for each in found["evidence"]}


@pytest.mark.virtual
async def test_what_merely_was_so_when_the_daemon_came_up_is_no_incident(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(*CHAIN)) as c:
        await c.online("a")
        c.kill("a")
        await c.sleep(0.5)
        c.start("a")
        await c.ready("a")
        await c.sleep(5)
        assert await history(c, "a") == []


# --- why ----------------------------------------------------------------------------------------------------------


@pytest.mark.virtual
async def test_why_tells_what_keeps_a_group_from_moving_and_the_way_out(virtual_clock: VirtualClock) -> None:
    once = component("db", monitor=FAST, restart=RestartPolicy(attempts=0))
    async with cluster(virtual_clock, group_of(once, component("web", "db"), fault_expiry_s=600.0)) as c:
        c.world.behaviour("a", "db").outcomes[Action.ONLINE] = [Outcome.FAILED]
        await c.online("b")
        said = await why(c, "a")
        assert "b owns it (generation 2 since" in said
        assert "a cannot take it: it had a fault in this group (db: " in said
        assert "which counts for another 600s" in said or "which counts for another 10m" in said
        assert "failoverd clear g --node a" in said
        await c.ask("a", "freeze", group=GROUP, reason="storage work")
        await c.ask("a", "drain", node="a", wait=False)
        await c.sleep(0.1)
        said = await why(c, "b")
        assert "Nothing is done to it until: failoverd thaw g" in said
        assert "storage work" in said
        assert "failoverd resume a" in said


@pytest.mark.virtual
async def test_why_names_who_has_not_released_what(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(*CHAIN)) as c:
        await c.online("a")
        c.world.behaviour("a", "db").takes_s[Action.OFFLINE] = 30.0
        await c.switch("b")
        await c.sleep(5)
        said = await why(c, "b")
        assert "a has not released it (still there: db (offlining), disk (online))" in said
        assert "so db (offlining), disk (online) waits on b" in said


# --- files --------------------------------------------------------------------------------------------------------


def record(number: int, **fields: Any) -> dict[str, Any]:
    at = f"2026{number:04}T000000.000000Z"
    return {"version": 1, "id": f"{at}-g-handover", "group": GROUP, "kind": "handover", "ended_at": at, **fields}


def test_files_are_read_back_newest_first_and_bounded_in_number(tmp_path: Path) -> None:
    store = IncidentStore(tmp_path)
    assert store.read(None, 10) == ([], [])
    for number in range(FILES_MAX + 5):
        store.write(record(number, group="h" if number % 2 else GROUP))
    assert len(list((tmp_path / "incidents").iterdir())) == FILES_MAX
    found, warnings = store.read(None, 3)
    assert [each["id"] for each in found] == [record(n)["id"] for n in (FILES_MAX + 4, FILES_MAX + 3, FILES_MAX + 2)]
    assert warnings == []
    assert {each["group"] for each in store.read("h", 10)[0]} == {"h"}


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b'{"version":2}', b'{"version":1}', b"\xff\xfe", b"[" * 100_000, b" " * 300_000],
)
def test_what_is_no_record_is_passed_over_with_a_warning(tmp_path: Path, content: bytes) -> None:
    store = IncidentStore(tmp_path)
    store.write(record(1))
    (tmp_path / "incidents" / "9999-broken.json").write_bytes(content)
    found, (warning,) = store.read(None, 10)
    assert len(found) == 1
    assert warning.startswith("9999-broken.json: ")


def test_a_record_that_is_too_large_is_shortened_and_a_bad_name_refused(tmp_path: Path) -> None:
    store = IncidentStore(tmp_path)
    step = {"component": "c" * 60, "node": "a", "action": "online", "begin_s": 0.0, "end_s": 1.0, "ok": True}
    store.write(record(1, steps=[step] * 5000))
    (file,) = (tmp_path / "incidents").iterdir()
    assert file.stat().st_size <= BYTES_MAX
    assert store.read(None, 1)[0][0]["shortened"]
    for bad in ("../x", ".hidden", "", "a b"):
        with pytest.raises(OSError, match="file name"):
            store.write(record(1) | {"id": bad})


def test_a_leftover_of_a_machine_that_died_is_not_read(tmp_path: Path) -> None:
    store = IncidentStore(tmp_path)
    store.write(record(1))
    (tmp_path / "incidents" / ".incident-x1").write_text("{")
    assert store.read(None, 10)[1] == []


class Told:
    def __init__(self) -> None:
        self.said: list[Event] = []

    def emit(self, event: Event, **fields: Any) -> None:
        del fields
        self.said.append(event)


async def test_a_directory_that_cannot_be_written_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "incidents").write_text("in the way")
    log = Told()
    writer = IncidentWriter(IncidentStore(tmp_path), log)
    for number in range(3):
        writer.add(record(number))
    await writer.flush()
    assert log.said == [Event.STATE_UNWRITABLE]
    (tmp_path / "incidents").unlink()
    writer.add(record(4))
    await writer.flush()
    (file,) = (tmp_path / "incidents").iterdir()
    assert json.loads(file.read_text())["id"] == record(4)["id"]
