"""What is asked of a resource agent for each operation, what its answers mean, and what it sees."""

import os
from pathlib import Path

import anyio
import pytest

from failoverd.agents.ocf.agent import OcfAgent
from failoverd.agents.ocf.codes import Code, told
from failoverd.agents.ocf.environment import Subject, instance_of
from failoverd.agents.ocf.finder import Name
from failoverd.agents.ocf.params import UncheckedKeys
from failoverd.domain.model import Action
from failoverd.errors import SpawnFailed
from failoverd.ports import CommandWill, Detached, Outcome, Presence, RunRequest, RunResult
from tests.unit.agents.support import call


class Shell:
    """A spawner with one agent behind it: a state, or an answer that is told for an action."""

    def __init__(self) -> None:
        self.state = "stopped"
        self.answers: dict[str, int | RunResult | SpawnFailed] = {}
        self.requests: list[RunRequest] = []
        self.running = 0
        self.most_at_once = 0
        self.takes_s: dict[str, float] = {}
        self.cancelled: list[str] = []

    @property
    def actions(self) -> list[str]:
        return [request.argv[-1] for request in self.requests]

    async def run(self, request: RunRequest) -> RunResult:
        self.requests.append(request)
        action = request.argv[-1]
        self.running += 1
        self.most_at_once = max(self.running, self.most_at_once)
        try:
            await anyio.sleep(self.takes_s.get(action, 0.0))
        except anyio.get_cancelled_exc_class():
            self.cancelled.append(action)
            raise
        finally:
            self.running -= 1
        told_so = self.answers.get(action)
        if isinstance(told_so, SpawnFailed):
            raise told_so
        if isinstance(told_so, RunResult):
            return told_so
        return RunResult(exit_status=self._act(action) if told_so is None else told_so)

    def _act(self, action: str) -> int:
        if action == "monitor":
            return {"stopped": 7, "started": 0, "promoted": 8}[self.state]
        if action in ("promote", "demote") and self.state == "stopped":
            return 7
        if action == "stop" and self.state == "promoted":
            return 1
        self.state = {"start": "started", "stop": "stopped", "promote": "promoted", "demote": "started"}[action]
        return 0

    async def detach(self, request: RunRequest, output: str | None) -> Detached:
        raise NotImplementedError


def agent(tmp_path: Path, shell: Shell, **keys: object) -> OcfAgent:
    subject = Subject(
        name=Name("heartbeat", "db"),
        path=Path("/usr/lib/ocf/resource.d/heartbeat/db"),
        root=Path("/usr/lib/ocf"),
        keys=UncheckedKeys.model_validate(keys),
        node="a",
        instance="g.web",
        run_dir=tmp_path,
    )
    return OcfAgent(subject, shell)


def answer(status: int | None, **more: object) -> RunResult:
    return RunResult(exit_status=status, **more)  # type: ignore[arg-type]  # of a test's table


@pytest.mark.parametrize(
    ("status", "started", "promoted", "kept"),
    [
        (0, "online", "failed", "offline"),
        (1, "failed", "failed", "failed"),
        (2, "unknown", "unknown", "unknown"),
        (3, "unknown", "unknown", "unknown"),
        (4, "unknown", "unknown", "unknown"),
        (5, "offline", "offline", "offline"),
        (6, "unknown", "unknown", "unknown"),
        (7, "offline", "offline", "offline"),
        (8, "failed", "online", "online"),
        (9, "failed", "failed", "failed"),
        (190, "online", "failed", "offline"),
        (191, "failed", "online", "online"),
        (42, "failed", "failed", "failed"),
        (126, "unknown", "unknown", "unknown"),
        (127, "unknown", "unknown", "unknown"),
        (None, "unknown", "unknown", "unknown"),
    ],
)
async def test_what_a_monitor_says(tmp_path: Path, status: int | None, started: str, promoted: str, kept: str) -> None:
    for presence, keys in (
        (started, {}),
        (promoted, {"role": "promoted"}),
        (kept, {"role": "promoted", "offline_as": "unpromoted"}),
    ):
        shell = Shell()
        shell.answers["monitor"] = answer(status, signal=9 if status is None else None)
        probe = await agent(tmp_path, shell, **keys).probe(call())
        assert probe.presence == presence, (status, keys)
        assert bool(probe.detail) == (presence not in ("online", "offline") or status not in (0, 7, 8))


async def test_not_installed_is_absent_only_while_nothing_says_that_it_is_there(tmp_path: Path) -> None:
    shell = Shell()
    subject = agent(tmp_path, shell)
    assert (await subject.online(call(Action.ONLINE))).ok
    assert (await subject.probe(call())).presence is Presence.ONLINE
    shell.answers["monitor"] = 5
    found = await subject.probe(call())
    assert found.presence is Presence.FAILED
    assert found.detail == "monitor: exit status 5 (what it needs is not installed on this node)"


async def test_a_monitor_that_times_out_or_cannot_be_started_knows_nothing(tmp_path: Path) -> None:
    shell = Shell()
    subject = agent(tmp_path, shell)
    shell.answers["monitor"] = answer(None, timed_out=True)
    assert (await subject.probe(call())).presence is Presence.UNKNOWN
    shell.answers["monitor"] = SpawnFailed("no such file")
    assert (await subject.probe(call())).detail == "monitor: no such file"


@pytest.mark.parametrize(
    ("status", "outcome"), [(0, Outcome.DONE), (7, Outcome.DONE), (1, Outcome.FAILED), (5, Outcome.UNAVAILABLE)]
)
async def test_what_a_stop_says(tmp_path: Path, status: int, outcome: Outcome) -> None:
    shell = Shell()
    shell.answers["stop"] = status
    assert (await agent(tmp_path, shell).offline(call(Action.OFFLINE))).outcome is outcome


async def test_the_reason_that_the_agent_gives_is_the_one_that_is_told() -> None:
    output = "ocf-exit-reason:no such\x07 device\nNov 22 10:00:00 ERROR: something else\n"
    assert told(answer(6, output=output)) == "exit status 6 (a parameter is wrong): no such  device"
    assert told(answer(1, output="only this\n")) == "exit status 1 (generic error): only this"
    assert told(answer(None, signal=9)) == "ended by signal 9"
    assert {code.value for code in Code} == {*range(10), 190, 191}


async def test_online_and_offline_of_a_promoted_one(tmp_path: Path) -> None:
    shell = Shell()
    subject = agent(tmp_path, shell, role="promoted")
    assert (await subject.online(call(Action.ONLINE))).ok
    assert shell.actions == ["monitor", "start", "promote", "monitor"]
    assert (await subject.probe(call())).presence is Presence.ONLINE
    shell.requests.clear()
    assert (await subject.online(call(Action.ONLINE))).ok, "it is online already"
    assert shell.actions == ["monitor"]
    shell.requests.clear()
    assert (await subject.offline(call(Action.OFFLINE))).ok
    assert (shell.actions, shell.state) == (["demote", "stop"], "stopped")
    assert (await subject.offline(call(Action.OFFLINE))).ok


async def test_a_promotion_that_did_not_take_place_is_a_failure(tmp_path: Path) -> None:
    shell = Shell()
    shell.answers["promote"] = 0
    result = await agent(tmp_path, shell, role="promoted").online(call(Action.ONLINE))
    assert (result.outcome, result.detail) == (
        Outcome.FAILED,
        "online: promoted, but then monitor: it runs, but is not promoted",
    )


async def test_a_failed_demote_does_not_keep_it_from_being_stopped(tmp_path: Path) -> None:
    shell = Shell()
    subject = agent(tmp_path, shell, role="promoted")
    shell.state = "started"
    shell.answers["demote"] = 1
    assert (await subject.offline(call(Action.OFFLINE))).ok
    shell.state = "promoted"
    result = await subject.clean(call(Action.CLEAN))
    assert result.detail == "demote: exit status 1 (generic error); stop: exit status 1 (generic error)"


async def test_a_demote_that_hangs_leaves_time_for_the_stop(tmp_path: Path) -> None:
    shell = Shell()
    await agent(tmp_path, shell, role="promoted").offline(call(Action.OFFLINE, timeout_s=10.0))
    demote, stop = shell.requests
    assert demote.timeout_s == pytest.approx(5.0, abs=0.1)
    assert stop.timeout_s == pytest.approx(10.0, abs=0.1)


async def test_demoted_is_offline_and_prepared_is_started(tmp_path: Path) -> None:
    shell = Shell()
    subject = agent(tmp_path, shell, role="promoted", offline_as="unpromoted")
    assert (await subject.prepare(call(Action.PREPARE))).ok
    assert shell.state == "started"
    assert (await subject.online(call(Action.ONLINE))).ok
    assert (await subject.offline(call(Action.OFFLINE))).ok
    assert shell.state == "started"
    assert (await subject.probe(call())).presence is Presence.OFFLINE
    assert (await subject.online(call(Action.ONLINE))).ok
    assert (await subject.clean(call(Action.CLEAN))).ok
    assert shell.state == "stopped"


async def test_a_component_found_promoted_against_its_role_is_demoted_before_it_is_stopped(tmp_path: Path) -> None:
    shell = Shell()
    shell.state = "promoted"
    subject = agent(tmp_path, shell)
    assert (await subject.probe(call())).presence is Presence.FAILED
    assert (await subject.offline(call(Action.OFFLINE))).ok
    assert shell.state == "stopped"


async def test_an_operation_ends_a_monitor_and_is_alone(tmp_path: Path) -> None:
    shell = Shell()
    shell.takes_s = {"monitor": 60.0, "stop": 0.05}
    subject = agent(tmp_path, shell)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(subject.probe, call())
        tasks.start_soon(subject.probe, call())
        await anyio.sleep(0.02)
        with anyio.fail_after(5):
            assert (await subject.offline(call(Action.OFFLINE))).ok
    assert shell.cancelled == ["monitor"]
    assert shell.actions == ["monitor", "stop"], "the second monitor had waited, and was not begun"
    assert shell.most_at_once == 1


async def test_a_monitor_waits_for_an_operation_no_longer_than_its_own_time(tmp_path: Path) -> None:
    shell = Shell()
    shell.takes_s = {"start": 0.3}
    subject = agent(tmp_path, shell)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(subject.online, call(Action.ONLINE))
        await anyio.sleep(0.02)
        late = await subject.probe(call(timeout_s=0.05))
        patient = await subject.probe(call())
    assert (late.presence, late.detail) == (Presence.UNKNOWN, "monitor: another action of it takes too long")
    assert patient.presence is Presence.ONLINE
    assert shell.most_at_once == 1


async def test_what_it_sees(tmp_path: Path) -> None:
    shell = Shell()
    keys = {"params": {"port": 5432, "fast": True}, "check_level": 10, "env": {"COLOUR": "red"}, "role": "promoted"}
    subject = agent(tmp_path, shell, **keys)
    await subject.probe(call())
    probe = shell.requests[-1].env
    expected = {
        "OCF_ROOT": "/usr/lib/ocf",
        "OCF_RA_VERSION_MAJOR": "1",
        "OCF_RA_VERSION_MINOR": "1",
        "OCF_RESOURCE_INSTANCE": "g.web",
        "OCF_RESOURCE_TYPE": "db",
        "OCF_RESOURCE_PROVIDER": "heartbeat",
        "OCF_CHECK_LEVEL": "10",
        "OCF_RESKEY_port": "5432",
        "OCF_RESKEY_fast": "true",
        "OCF_RESKEY_CRM_meta_on_node": "a",
        "OCF_RESKEY_CRM_meta_name": "monitor",
        "OCF_RESKEY_CRM_meta_interval": "0",
        "OCF_RESKEY_CRM_meta_timeout": "10000",
        "OCF_RESKEY_CRM_meta_promotable": "true",
        "COLOUR": "red",
        "FAILOVERD_ACTION": "probe",
    }
    assert expected.items() <= probe.items()
    assert os.listdir(probe["HA_RSCTMP"]) == [], "made before it is called"  # noqa: PTH208 (not to block, says ruff)
    assert probe["PATH"].startswith(probe["HA_SBIN_DIR"] + ":")
    await subject.online(call(Action.ONLINE))
    await subject.probe(call())
    assert shell.requests[-1].env["OCF_RESKEY_CRM_meta_interval"] != "0", "it is there: no probe any more"


async def test_the_last_will_stops_it(tmp_path: Path) -> None:
    will = agent(tmp_path, Shell()).will(call(Action.CLEAN))
    assert isinstance(will, CommandWill)
    assert will.request.argv == ("/usr/lib/ocf/resource.d/heartbeat/db", "stop")
    assert will.request.env["OCF_RESKEY_CRM_meta_name"] == "stop"
    promoted = agent(tmp_path, Shell(), role="promoted").will(call(Action.CLEAN))
    assert isinstance(promoted, CommandWill)
    assert "demote" in promoted.request.argv[2]


async def test_a_directory_that_cannot_be_made_is_no_crash(tmp_path: Path) -> None:
    (tmp_path / "ocf").write_text("in the way")
    subject = agent(tmp_path, Shell())
    assert (await subject.online(call(Action.ONLINE))).outcome is Outcome.UNAVAILABLE
    assert (await subject.probe(call())).presence is Presence.UNKNOWN


def test_instances_are_unique_on_a_node() -> None:
    keys = UncheckedKeys()
    names = [("a", "b.c"), ("a.b", "c"), ("a.", "b"), ("a", "b"), ("a..b", "c")]
    assert len({instance_of(keys, *name) for name in names}) == len(names)
    assert instance_of(UncheckedKeys(instance="db"), "a", "b") == "db"
