"""The ``process`` type with real processes: it is found again, never mistaken, and nothing of it is left."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from failoverd import procfs
from failoverd.agents.process.agent import ProcessAgent
from failoverd.agents.process.census import walk
from failoverd.agents.process.identity import MARK, mark_prefix
from failoverd.agents.process.params import ProcessParams
from failoverd.agents.process.place import groups_of
from failoverd.agents.process.type import ProcessType
from failoverd.domain.model import Action
from failoverd.errors import SpawnerLost
from failoverd.kernel import cgroups
from failoverd.ports import Outcome, Presence
from failoverd.spawner.client import HelperSpawner
from tests.unit.agents.support import FakeSpawner, NoLog, call, host, pid_in, runs, until

pytestmark = pytest.mark.processes

OFFLINE, ONLINE, CLEAN = Action.OFFLINE, Action.ONLINE, Action.CLEAN
PLAIN = ["sleep", "60"]
OBSTINATE = "trap '' TERM; echo $$ > {path}; while :; do sleep 0.2; done"
RUNAWAY = "setsid sh -c 'trap \"\" TERM; echo $$ > {path}; while :; do sleep 0.2; done' & exec sleep 60"


@pytest.fixture(autouse=True)
def nothing_left(tmp_path: Path) -> Iterator[None]:
    """Whatever a failing test leaves behind."""
    yield
    prefix = mark_prefix(host(tmp_path, FakeSpawner()))
    for one in walk().members(prefix, None):
        os.kill(one.pid, signal.SIGKILL)
    for group in groups_of("shop", "a", tmp_path):
        cgroups.kill(str(group))
        cgroups.remove(str(group))


def make(run_dir: Path, spawner: Any, command: list[str] | str = PLAIN, **more: Any) -> ProcessAgent:
    """A new one each time is what a restart of the daemon comes to."""
    params = ProcessParams.model_validate({"command": command, **more})
    built = ProcessType().build(params, host(run_dir, spawner))
    assert isinstance(built, ProcessAgent)
    return built


def spawner(run_dir: Path) -> HelperSpawner:
    return HelperSpawner(run_dir, NoLog())


def state(run_dir: Path) -> dict[str, Any]:
    fields = json.loads(state_file(run_dir).read_text(encoding="ascii"))
    assert isinstance(fields, dict)
    return fields


def state_file(run_dir: Path) -> Path:
    return run_dir / "process" / "g.web.json"


async def presence(agent: ProcessAgent) -> Presence:
    return (await agent.probe(call())).presence


def instances(run_dir: Path) -> list[int]:
    return [one.pid for one in walk().members(mark_prefix(host(run_dir, FakeSpawner())), None)]


async def test_from_nothing_to_online_and_back(tmp_path: Path) -> None:
    async with spawner(tmp_path) as helper:
        agent = make(tmp_path, helper)
        assert await presence(agent) is Presence.OFFLINE
        assert (await agent.online(call(ONLINE))).ok
        assert await presence(agent) is Presence.ONLINE
        fields = state(tmp_path)
        there = procfs.stat(fields["pid"])
        assert there is not None
        assert (there.sid, there.start_ticks) == (fields["pid"], fields["start_ticks"])
        assert (fields["boot_id"], fields["generation"]) == (procfs.boot_id(), 7)
        assert (await agent.online(call(ONLINE))).ok, "online twice is online"
        assert instances(tmp_path) == [fields["pid"]]
        assert (await agent.offline(call(OFFLINE))).ok
        assert not runs(fields["pid"])
        assert not state_file(tmp_path).exists()
        assert await presence(agent) is Presence.OFFLINE
        assert (await agent.offline(call(OFFLINE))).ok, "nothing to take offline is success"


async def test_adopted_after_a_restart_of_daemon_and_helper(tmp_path: Path) -> None:
    async with spawner(tmp_path) as helper:
        assert (await make(tmp_path, helper).online(call(ONLINE))).ok
    pid = state(tmp_path)["pid"]
    async with spawner(tmp_path) as helper:
        agent = make(tmp_path, helper)
        assert await presence(agent) is Presence.ONLINE
        result = await agent.online(call(ONLINE))
        assert result.detail == f"was running already (pid {pid})"
        assert instances(tmp_path) == [pid]
        assert (await agent.offline(call(OFFLINE))).ok
    assert not runs(pid)


async def test_a_lost_state_file_makes_no_second_instance(tmp_path: Path) -> None:
    async with spawner(tmp_path) as helper:
        assert (await make(tmp_path, helper).online(call(ONLINE))).ok
        pid = state(tmp_path)["pid"]
        state_file(tmp_path).unlink()
        agent = make(tmp_path, helper)
        assert (await agent.online(call(ONLINE))).ok
        assert instances(tmp_path) == [pid]
        assert state(tmp_path)["pid"] == pid, "written anew"
        assert await presence(agent) is Presence.ONLINE
        assert (await agent.offline(call(OFFLINE))).ok
        assert instances(tmp_path) == []


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"pid": "x", "start_ticks": 1, "boot_id": ""}', "\0" * 99])
async def test_a_corrupt_state_file_makes_no_second_instance(tmp_path: Path, content: str) -> None:
    async with spawner(tmp_path) as helper:
        assert (await make(tmp_path, helper).online(call(ONLINE))).ok
        pid = state(tmp_path)["pid"]
        state_file(tmp_path).write_text(content, encoding="ascii")
        agent = make(tmp_path, helper)
        probe = await agent.probe(call())
        assert probe.presence is Presence.ONLINE
        assert str(state_file(tmp_path)) in probe.detail
        assert state(tmp_path)["pid"] == pid, "repaired"
        assert (await agent.clean(call(CLEAN))).ok


async def test_a_state_file_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "process").write_text("in the way", encoding="ascii")
    async with spawner(tmp_path) as helper:
        agent = make(tmp_path, helper)
        result = await agent.online(call(ONLINE))
        assert result.ok
        assert "g.web.json cannot be written: " in result.detail
        (pid,) = instances(tmp_path)
        again = make(tmp_path, helper)
        assert await presence(again) is Presence.ONLINE
        assert (await again.online(call(ONLINE))).ok
        assert instances(tmp_path) == [pid]
        assert (await again.offline(call(OFFLINE))).ok
        assert instances(tmp_path) == []


@pytest.mark.parametrize("change", [{"start_ticks": 1}, {"boot_id": "another boot"}])
async def test_another_process_with_its_pid_is_neither_taken_for_it_nor_hurt(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    bystander = subprocess.Popen(["sleep", "60"], start_new_session=True)  # noqa: ASYNC220 (returns at once)
    try:
        there = procfs.stat(bystander.pid)
        assert there is not None
        fields = {"pid": there.pid, "start_ticks": there.start_ticks, "boot_id": procfs.boot_id(), **change}
        state_file(tmp_path).parent.mkdir()
        state_file(tmp_path).write_text(json.dumps(fields), encoding="ascii")
        async with spawner(tmp_path) as helper:
            agent = make(tmp_path, helper)
            assert await presence(agent) is Presence.OFFLINE
            assert (await agent.offline(call(OFFLINE))).ok
            assert (await make(tmp_path, helper).clean(call(CLEAN))).ok
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait(5)


async def test_a_zombie_is_not_online(tmp_path: Path) -> None:
    zombie = subprocess.Popen(["true"], start_new_session=True)  # noqa: ASYNC220 (returns at once)
    try:
        await until(lambda: not runs(zombie.pid))
        there = procfs.stat(zombie.pid)
        assert there is not None
        assert there.state == "Z"
        fields = {"pid": there.pid, "start_ticks": there.start_ticks, "boot_id": procfs.boot_id()}
        state_file(tmp_path).parent.mkdir()
        state_file(tmp_path).write_text(json.dumps(fields), encoding="ascii")
        assert await presence(make(tmp_path, FakeSpawner())) is Presence.OFFLINE
    finally:
        zombie.wait(5)


async def test_who_ignores_sigterm_is_killed_after_stop_timeout(tmp_path: Path) -> None:
    async with spawner(tmp_path) as helper:
        agent = make(tmp_path, helper, OBSTINATE.format(path=tmp_path / "pid"), stop_timeout="300ms")
        assert (await agent.online(call(ONLINE))).ok
        pid = await pid_in(tmp_path / "pid")
        begun = anyio.current_time()
        result = await agent.offline(call(OFFLINE))
        took = anyio.current_time() - begun
    assert result.ok
    assert result.detail == "did not end within 0.3 s and was killed"
    assert not runs(pid)
    assert 0.25 < took < 2.5


async def test_an_offline_ends_within_its_own_time(tmp_path: Path) -> None:
    async with spawner(tmp_path) as helper:
        agent = make(tmp_path, helper, OBSTINATE.format(path=tmp_path / "pid"), stop_timeout="1h")
        assert (await agent.online(call(ONLINE))).ok
        await pid_in(tmp_path / "pid")
        with anyio.fail_after(2):
            assert (await agent.offline(call(OFFLINE, timeout_s=1.0))).ok
        assert instances(tmp_path) == []


async def test_clean_does_not_wait(tmp_path: Path) -> None:
    async with spawner(tmp_path) as helper:
        agent = make(tmp_path, helper, OBSTINATE.format(path=tmp_path / "pid"), stop_timeout="1h")
        assert (await agent.online(call(ONLINE))).ok
        pid = await pid_in(tmp_path / "pid")
        with anyio.fail_after(2):
            assert (await agent.clean(call(CLEAN))).ok
    assert not runs(pid)


async def test_the_configured_signal_is_sent_even_to_a_stopped_process(tmp_path: Path) -> None:
    script = f"trap 'echo got > {tmp_path}/got; exit' INT; echo $$ > {tmp_path}/pid; while :; do sleep 0.05; done"
    async with spawner(tmp_path) as helper:
        agent = make(tmp_path, helper, script, stop_signal="SIGINT")
        assert (await agent.online(call(ONLINE))).ok
        os.kill(await pid_in(tmp_path / "pid"), signal.SIGSTOP)
        assert await presence(agent) is Presence.ONLINE, "stopped is not gone"
        assert (await agent.offline(call(OFFLINE))).ok
    assert (tmp_path / "got").exists()


async def test_a_child_that_ran_away_is_found_and_killed(tmp_path: Path) -> None:
    """Its own session, its parent gone, deaf to SIGTERM: known by its environment alone."""
    async with spawner(tmp_path) as helper:
        agent = make(tmp_path, helper, RUNAWAY.format(path=tmp_path / "child"), stop_timeout="300ms")
        assert (await agent.online(call(ONLINE))).ok
        child = await pid_in(tmp_path / "child")
        assert (await agent.offline(call(OFFLINE))).ok
        assert not runs(child)
        assert instances(tmp_path) == []


async def test_a_child_without_the_mark_is_known_by_its_session(tmp_path: Path) -> None:
    script = f"env -i /bin/sh -c 'trap \"\" TERM; echo $$ > {tmp_path}/child; while :; do /bin/sleep 0.2; done' & wait"
    async with spawner(tmp_path) as helper:
        agent = make(tmp_path, helper, script, stop_timeout="300ms")
        assert (await agent.online(call(ONLINE))).ok
        child = await pid_in(tmp_path / "child")
        assert (await agent.offline(call(OFFLINE))).ok
        assert not runs(child)


async def test_what_is_left_of_a_dead_main_process_is_no_instance_but_in_the_way(tmp_path: Path) -> None:
    async with spawner(tmp_path) as helper:
        agent = make(tmp_path, helper, RUNAWAY.format(path=tmp_path / "child"))
        assert (await agent.online(call(ONLINE))).ok
        child = await pid_in(tmp_path / "child")
        main = state(tmp_path)["pid"]
        os.kill(main, signal.SIGKILL)
        await until(lambda: not runs(main))
        for looker in (agent, make(tmp_path, helper)):
            probe = await looker.probe(call())
            assert probe.presence is Presence.FAILED
            assert "its main process is gone, but" in probe.detail
            refused = await looker.online(call(ONLINE))
            assert refused.outcome is Outcome.FAILED
            assert f"pid {child}" in refused.detail
        assert (await agent.clean(call(CLEAN))).ok
        assert not runs(child)
        assert await presence(agent) is Presence.OFFLINE


async def test_two_instances_are_a_fault_that_is_seen(tmp_path: Path) -> None:
    mark = mark_prefix(host(tmp_path, FakeSpawner()))
    others = [
        subprocess.Popen(["sleep", "60"], env={MARK: f"{mark}{name}"}, start_new_session=True)  # noqa: ASYNC220 (at once)
        for name in "xy"
    ]
    agent = make(tmp_path, FakeSpawner())
    probe = await agent.probe(call())
    assert probe.presence is Presence.FAILED
    assert "more than one instance runs" in probe.detail
    assert (await agent.online(call(ONLINE))).outcome is Outcome.FAILED
    assert (await agent.clean(call(CLEAN))).ok
    assert [other.wait(5) for other in others] == [-9, -9]


async def test_another_components_and_another_daemons_processes_are_not_ours(tmp_path: Path) -> None:
    async with spawner(tmp_path) as helper:
        agent = make(tmp_path, helper)
        assert (await agent.online(call(ONLINE))).ok
        pid = state(tmp_path)["pid"]
        (tmp_path / "other").mkdir()
        elsewhere = make(tmp_path / "other", helper)
        assert await presence(elsewhere) is Presence.OFFLINE
        neighbour = ProcessType().build(ProcessParams(command=PLAIN), host(tmp_path, helper, component="we"))
        assert isinstance(neighbour, ProcessAgent)
        assert await presence(neighbour) is Presence.OFFLINE
        for stranger in (elsewhere, neighbour):
            assert (await stranger.clean(call(CLEAN))).ok
        assert runs(pid)
        assert (await agent.offline(call(OFFLINE))).ok


async def test_watch_tells_of_the_end_without_polling(tmp_path: Path) -> None:
    async with spawner(tmp_path) as helper:
        agent = make(tmp_path, helper)
        assert (await agent.online(call(ONLINE))).ok
        pid = state(tmp_path)["pid"]
        with anyio.move_on_after(0.2) as quiet:
            await agent.watch(call())
        assert quiet.cancelled_caught, "nothing to tell while it runs"
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(kill_soon, pid)
            with anyio.fail_after(3):
                probe = await agent.watch(call())
        assert probe is not None
        assert probe.presence is Presence.OFFLINE
        assert probe.detail.startswith(f"its process {pid} ended")
        gone = await agent.watch(call())
        assert gone is not None
        assert gone.presence is Presence.OFFLINE


async def kill_soon(pid: int) -> None:
    await anyio.sleep(0.1)
    os.kill(pid, signal.SIGKILL)


async def test_one_that_ends_at_once_is_not_online(tmp_path: Path) -> None:
    async with spawner(tmp_path) as helper:
        agent = make(tmp_path, helper, "echo no such table; exit 3", output=str(tmp_path / "log"))
        result = await agent.online(call(ONLINE))
        assert result.outcome is Outcome.FAILED
        assert "ended before it was ready" in result.detail
        assert result.detail.endswith(": no such table")
        assert result.output == "no such table\n"
        assert await presence(agent) is Presence.OFFLINE


async def test_one_that_puts_itself_into_the_background_is_refused_and_ended(tmp_path: Path) -> None:
    script = f"setsid sh -c 'echo $$ > {tmp_path}/child; sleep 60' & sleep 0.1"
    async with spawner(tmp_path) as helper:
        agent = make(tmp_path, helper, script, settle="1s")
        result = await agent.online(call(ONLINE))
        assert result.outcome is Outcome.FAILED
        assert "must stay in the foreground" in result.detail
        assert not runs(await pid_in(tmp_path / "child"))
        assert await presence(agent) is Presence.OFFLINE


async def test_a_command_that_cannot_be_started(tmp_path: Path) -> None:
    async with spawner(tmp_path) as helper:
        result = await make(tmp_path, helper, ["no-such-server"]).online(call(ONLINE))
        assert result.outcome is Outcome.UNAVAILABLE
        assert "no-such-server: not found in PATH" in result.detail


async def test_a_start_whose_helper_died_is_looked_for(tmp_path: Path) -> None:
    agent = make(tmp_path, FakeSpawner(error=SpawnerLost("gone")))
    assert (await agent.online(call(ONLINE))).outcome is Outcome.FAILED
    mark = mark_prefix(host(tmp_path, FakeSpawner()))
    started = subprocess.Popen(["sleep", "60"], env={MARK: f"{mark}1"}, start_new_session=True)  # noqa: ASYNC220 (at once)
    assert await presence(agent) is Presence.ONLINE
    assert (await agent.clean(call(CLEAN))).ok
    assert started.wait(5) == -9


async def test_forty_at_once_share_their_walks_through_proc(tmp_path: Path) -> None:
    kind = ProcessType()
    walks = []
    for number in range(40):
        built = kind.build(ProcessParams(command=PLAIN), host(tmp_path, FakeSpawner(), component=f"c{number}"))
        walks.append(built.probe)
    async with anyio.create_task_group() as tasks:
        for probe in walks:
            tasks.start_soon(probe, call())
    assert kind._census._begun <= 3
