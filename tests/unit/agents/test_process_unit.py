"""Starting a component by systemd, with one that is told what to answer: what is not known is not taken for absent."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest

from failoverd import procfs
from failoverd.agents.process.agent import ProcessAgent
from failoverd.agents.process.census import Census
from failoverd.agents.process.params import ProcessParams
from failoverd.agents.process.place import Machine, Place
from failoverd.agents.process.unit import UnitStart
from failoverd.agents.systemd.manager import MANAGER, PATH, NoAnswer, Refusal
from failoverd.agents.systemd.state import UnitState
from failoverd.domain.model import Action
from failoverd.errors import SpawnerLost, SpawnFailed
from failoverd.ports import Outcome, Presence, RunRequest
from tests.unit.agents.support import FakeSpawner, call, host

ONLINE, OFFLINE = Action.ONLINE, Action.OFFLINE
GONE = UnitState("not-found", "inactive", "dead", "/unit", 0)
QUEUED = UnitState("loaded", "inactive", "dead", "/unit", 7)
RUNS = UnitState("loaded", "active", "running", "/unit", 0)
ORDER = RunRequest(argv=("sh", "-c", "echo $HOME"), env={"PATH": "/usr/bin:/bin", "A": "b"}, timeout_s=5.0)


class Variant:
    """Of a reply."""

    def __init__(self, value: Any) -> None:
        self.value = value


class FakeSystemd:
    """``unit.Systemd``: ``refuses`` and ``silent`` by the name of the call."""

    def __init__(self, state: UnitState = GONE, result: str | None = "done") -> None:
        self.now = state
        self.result = result
        self.refuses: dict[str, Refusal] = {}
        self.silent: set[str] = set()
        self.calls: list[tuple[str, list[Any]]] = []
        self.main_pid = os.getpid()

    async def connect(self) -> None:
        """At once."""

    async def call(
        self, member: str, signature: str = "", body: Sequence[Any] = (), *, path: str = PATH, interface: str = MANAGER
    ) -> list[Any]:
        del signature, path, interface
        self.calls.append((member, list(body)))
        if member in self.silent:
            raise NoAnswer(f"no reply to {member}")
        if (refusal := self.refuses.pop(member, None)) is not None:
            raise refusal
        return [Variant(self.main_pid)] if member == "Get" else ["/job/1"]

    async def state(self, unit: str) -> UnitState:
        self.calls.append(("state", [unit]))
        if "state" in self.silent:
            raise NoAnswer("no reply to state")
        return self.now

    async def own_unit(self) -> str:
        return "failoverd.service"

    def news(self) -> anyio.Event:
        return anyio.Event()

    def ended(self, job: str) -> str | None:
        assert job == "/job/1"
        return self.result

    def said(self, member: str) -> list[list[Any]]:
        return [body for name, body in self.calls if name == member]


def start(systemd: FakeSystemd, **keys: Any) -> UnitStart:
    params = ProcessParams.model_validate({"command": ["x"], **keys})
    return UnitStart(systemd, "failoverd-g@web-1.service", params, "g/web of failoverd")


def agent(run_dir: Path, systemd: FakeSystemd) -> ProcessAgent:
    here = host(run_dir, FakeSpawner())
    place = Place.of(here, Machine(systemd=True, home=None))
    return ProcessAgent(ProcessParams(command=["sleep", "1"]), here, Census(), place, start(systemd))


def properties(systemd: FakeSystemd) -> dict[str, Any]:
    ((unit, mode, found, aux),) = systemd.said("StartTransientUnit")
    assert (unit, mode, aux) == ("failoverd-g@web-1.service", "replace", [])
    return {name: variant.value for name, variant in found}


async def test_what_systemd_is_told() -> None:
    systemd = FakeSystemd()
    keys = {"limits": {"nofile": "1:2", "core": "unlimited"}, "stop_signal": "INT", "stop_timeout": "3s"}
    found = await start(systemd, **keys).start(ORDER)
    there = procfs.stat(os.getpid())
    assert there is not None
    assert (found.pid, found.start_ticks) == (os.getpid(), there.start_ticks)
    told = properties(systemd)
    assert told["ExecStartEx"] == [["/usr/bin/sh", ["sh", "-c", "echo $HOME"], ["no-env-expand"]]]
    assert told["Environment"] == ["PATH=/usr/bin:/bin", "A=b"]
    assert told["Before"] == ["shutdown.target", "failoverd.service"]
    assert (told["KillSignal"], told["TimeoutStopUSec"], told["Restart"]) == (2, 3_000_000, "no")
    assert (told["LimitNOFILESoft"], told["LimitNOFILE"], told["LimitCORE"]) == (1, 2, (1 << 64) - 1)
    assert told["DefaultDependencies"] is False, "a start that waits could come when it is another node's"


async def test_a_refusal_is_certain() -> None:
    systemd = FakeSystemd()
    systemd.refuses["StartTransientUnit"] = Refusal("org.freedesktop.DBus.Error.AccessDenied", "no")
    starter = start(systemd)
    with pytest.raises(SpawnFailed, match="systemd does not start it: no"):
        await starter.start(ORDER)
    assert await starter.under_way(cancel=False) == ""


@pytest.mark.virtual
async def test_a_unit_of_before_that_has_ended_is_out_of_the_way_in_a_moment() -> None:
    systemd = FakeSystemd()
    systemd.refuses["StartTransientUnit"] = Refusal("org.freedesktop.systemd1.UnitExists", "there")
    systemd.refuses["ResetFailedUnit"] = Refusal("org.freedesktop.systemd1.NoSuchUnit", "not loaded")
    await start(systemd)._begin([])
    assert len(systemd.said("StartTransientUnit")) == 2


async def test_one_that_runs_is_not_pushed_aside() -> None:
    systemd = FakeSystemd(RUNS)
    systemd.refuses["StartTransientUnit"] = Refusal("org.freedesktop.systemd1.UnitExists", "there")
    with pytest.raises(SpawnFailed, match="there"):
        await start(systemd).start(ORDER)
    assert systemd.said("ResetFailedUnit") == []


@pytest.mark.parametrize(("result", "how"), [("failed", "could not be started"), ("done", "ended at once")])
async def test_one_that_is_gone_already(result: str, how: str) -> None:
    systemd = FakeSystemd(result=result)
    systemd.main_pid = 0
    with pytest.raises(SpawnerLost, match=f"{how}: journalctl -u failoverd-g@web-1.service"):
        await start(systemd).start(ORDER)


async def test_a_program_that_there_is_not_is_never_asked_for() -> None:
    systemd = FakeSystemd()
    with pytest.raises(SpawnFailed, match="no-such-command: not found in PATH"):
        await start(systemd).start(RunRequest(argv=("no-such-command",), env={}, timeout_s=5.0))
    assert systemd.said("StartTransientUnit") == []


@pytest.mark.processes
async def test_a_lost_reply_is_neither_online_nor_offline_until_systemd_says_that_nothing_is_queued(
    tmp_path: Path,
) -> None:
    systemd = FakeSystemd()
    it = agent(tmp_path, systemd)
    assert (await it.probe(call())).presence is Presence.OFFLINE
    systemd.silent = {"StartTransientUnit", "state"}
    result = await it.online(call(ONLINE))
    assert (result.outcome, result.detail) == (
        Outcome.FAILED,
        "online: systemd was asked to start it: no reply to StartTransientUnit",
    )
    assert (await it.probe(call())).presence is Presence.UNKNOWN
    assert (await it.offline(call(OFFLINE, timeout_s=0.2))).outcome is Outcome.TIMED_OUT
    systemd.silent, systemd.now = set(), QUEUED
    assert (await it.probe(call())).presence is Presence.UNKNOWN
    result = await it.clean(call(Action.CLEAN, timeout_s=0.2))
    assert result.outcome is Outcome.TIMED_OUT
    assert "is inactive (dead)" in result.detail
    assert systemd.said("StopUnit")[0] == ["failoverd-g@web-1.service", "ignore-dependencies"]
    systemd.now = GONE
    assert (await it.clean(call(Action.CLEAN))).ok
    assert (await it.probe(call())).presence is Presence.OFFLINE


@pytest.mark.processes
async def test_a_daemon_that_has_just_begun_asks_what_its_predecessor_may_have_asked_for(tmp_path: Path) -> None:
    systemd = FakeSystemd(QUEUED)
    it = agent(tmp_path, systemd)
    assert (await it.probe(call())).presence is Presence.UNKNOWN
    systemd.now = GONE
    assert (await it.probe(call())).presence is Presence.OFFLINE
    asked = len(systemd.said("state"))
    assert (await it.probe(call())).presence is Presence.OFFLINE
    assert len(systemd.said("state")) == asked, "once is enough"
