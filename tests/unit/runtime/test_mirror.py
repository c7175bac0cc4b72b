"""The mirror of the coordinator: what cannot be read is told of and never guessed at."""

from typing import Any

import anyio
import pytest

from failoverd.domain.placement import Cause
from failoverd.log.catalogue import Event
from failoverd.ports import Change, Delete, Put
from failoverd.records import encode, lease_key, node_key, placement_key
from tests.unit.runtime.fakes import CHAIN, GROUP, Cluster, cluster, group_of
from tests.virtual import VirtualClock

pytestmark = pytest.mark.virtual


def write(c: Cluster, key: str, value: bytes | None) -> None:
    """By nobody of ours."""
    c.store.send([], [Delete(key) if value is None else Put(key, value)], 0.0)
    c.store.settle(c.clock.now())


async def handover(c: Cluster, node: str) -> dict[str, Any]:
    """The latest one, as a node tells of it."""
    return dict((await c.ask(node, "status"))["groups"][GROUP]["handover"])


@pytest.mark.parametrize("value", [b"", b"nonsense", b"[]", b'{"version":1,"owner":""}', b"\xff" * 100])
async def test_a_corrupt_placement_is_told_of_and_changes_nothing(virtual_clock: VirtualClock, value: bytes) -> None:
    async with cluster(virtual_clock, group_of(*CHAIN)) as c:
        await c.online("a")
        c.world.forget()
        write(c, placement_key(GROUP), value)
        await c.sleep(20)
        assert c.world.record == []
        for node in ("a", "b"):
            assert len(c.events(Event.COORDINATOR_CORRUPT, node)) == 1
            assert placement_key(GROUP) in c[node].mirror.corrupt
        entry = c.store.get(placement_key(GROUP))
        assert entry is not None
        assert entry.value == value


async def test_a_group_of_a_corrupt_placement_is_taken_over_by_nobody(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(*CHAIN)) as c:
        await c.online("a")
        write(c, placement_key(GROUP), b"nonsense")
        c.cut_power("a")
        await c.sleep(20)
        assert c.world.everything_on("b") == set()


async def test_once_it_can_be_read_again_it_is_followed(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(*CHAIN)) as c:
        await c.online("a")
        good = c.placed()
        write(c, placement_key(GROUP), b"nonsense")
        await c.sleep(1)
        write(c, placement_key(GROUP), encode(good))
        await c.sleep(1)
        assert placement_key(GROUP) not in c["a"].mirror.corrupt
        await c.switch("b", wait=True)


async def test_another_nodes_corrupt_identity_fences_nobody_and_is_told_once(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(*CHAIN)) as c:
        await c.online("a")
        c.world.forget()
        write(c, node_key("b"), b"nonsense")
        await c.sleep(20)
        assert c.world.record == []
        assert c.events(Event.PEER_DOWN) == []
        assert len(c.events(Event.COORDINATOR_CORRUPT, "a")) == 1


async def test_keys_of_a_kind_that_we_do_not_know_are_none_of_our_business(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(*CHAIN)) as c:
        await c.online("a")
        write(c, "incident/7", b"nonsense")
        await c.sleep(1)
        assert c.events(Event.COORDINATOR_CORRUPT) == []


async def test_an_older_change_never_replaces_a_newer_one(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(*CHAIN)) as c:
        await c.online("a")
        old = c.store.get(placement_key(GROUP))
        assert old is not None
        await c.switch("b", wait=True)
        c["a"].mirror.absorb(Change(old.key, old.value, old.revision))
        assert c["a"].mirror.placements[GROUP].record.owner == "b"


async def test_what_was_deleted_while_the_watch_was_lost_is_gone(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(*CHAIN)) as c:
        await c.online("a")
        write(c, lease_key("z"), encode(c.lease_of("b")))
        await c.until(lambda: "z" in c["a"].mirror.leases, 1)
        mirror = c["a"].mirror
        write(c, lease_key("z"), None)
        with anyio.move_on_after(1):
            await mirror._follow()
        assert "z" not in mirror.leases


async def test_the_book_has_the_numbers_of_a_failover_with_its_detection(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(*CHAIN)) as c:
        await c.online("a")
        for name in ("disk", "db", "web"):
            c.world.behaviour("b", name).takes_s |= {c.world.record[0].action: 1.0}
        await c.sleep(1)
        c.cut_power("a")
        cut_at = virtual_clock.now()
        await c.online("b")
        await c.sleep(0.1)
        document = await handover(c, "b")
        assert (document["state"], document["cause"]) == ("done", Cause.NODE_LOST.value)
        assert (document["source"], document["target"]) == ("a", "b")
        assert document["makespan_s"] == pytest.approx(3.0, abs=0.05)
        assert document["limit_s"] == pytest.approx(3.0, abs=0.05)
        began = virtual_clock.now() - 0.1 - document["makespan_s"]
        assert document["detect_s"] == pytest.approx(began - cut_at, abs=0.2)
        done = c.events(Event.HANDOVER_DONE, "b")[-1].fields
        assert {"makespan_s", "limit_s", "phased_s", "serial_s", "detect_s"} <= set(done)


async def test_both_ends_of_a_handover_have_the_same_numbers(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(*CHAIN)) as c:
        await c.online("a")
        for node in ("a", "b"):
            for name in ("disk", "db", "web"):
                for action in c.world.behaviour(node, name).takes_s.keys() | {c.world.record[0].action}:
                    c.world.behaviour(node, name).takes_s[action] = 0.7
        await c.switch("b", wait=True)
        await c.sleep(0.5)
        source, target = await handover(c, "a"), await handover(c, "b")
        for key in ("makespan_s", "limit_s", "phased_s", "serial_s"):
            assert source[key] == pytest.approx(target[key], abs=0.05), key
        assert {(s["component"], s["node"], s["action"]) for s in source["steps"]} == {
            (s["component"], s["node"], s["action"]) for s in target["steps"]
        }
        assert [step["end_s"] for step in source["steps"]].count(None) == 0
