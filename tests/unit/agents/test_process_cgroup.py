"""The ``process`` type with control groups: all of it is found and killed, whatever it made of itself."""

import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import anyio
import pytest
from pydantic import ValidationError

from failoverd.agents.process.agent import ProcessAgent
from failoverd.agents.process.params import ProcessParams
from failoverd.agents.process.place import Form, Machine, Place, groups_of
from failoverd.agents.process.type import ProcessType
from failoverd.domain.model import Action
from failoverd.kernel import cgroups
from failoverd.ports import MarkWill, Outcome, Presence
from failoverd.spawner.client import HelperSpawner
from tests.unit.agents.support import FakeSpawner, NoLog, call, host, pid_in, runs, until

OFFLINE, ONLINE, CLEAN = Action.OFFLINE, Action.ONLINE, Action.CLEAN
ESCAPE = (
    '(env -i setsid sh -c \'trap "" TERM; (setsid sh -c "trap : TERM; echo \\$\\$ > {path}.new; mv {path}.new {path};'
    " while :; do sleep 0.2; done\" &)' &)"
)
"""Leaves its session twice, its parent and its environment behind, and hears no SIGTERM."""


@cache
def homes() -> dict[str, str]:
    """Where control groups can be made here: of version 2, of version 1."""
    trees = cgroups.hierarchies(Path("/proc/self/mountinfo").read_text(encoding="utf-8"))
    usable = [tree for tree in trees if os.access(f"{tree.directory}/cgroup.procs", os.W_OK)]
    return {
        version: tree.directory
        for version, name in (("v1", "freezer"), ("v2", ""))
        for tree in usable
        if tree.name == name
    }


@pytest.fixture(params=["v2", "v1"])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    directory = homes().get(request.param)
    if directory is None:
        pytest.skip(f"no tree of control groups of {request.param} is mounted here and writable (needs root)")
    yield directory
    left = str(group(tmp_path, directory))
    cgroups.kill(left)
    cgroups.remove(left)


def machine(home: str | None) -> Machine:
    return Machine(systemd=False, home=home)


class Here(ProcessType):
    """Of a machine with these control groups and no systemd."""

    def __init__(self, home: str | None) -> None:
        super().__init__()
        self.machine = machine(home)


def make(run_dir: Path, spawner: Any, home: str | None, command: list[str] | str, **more: Any) -> ProcessAgent:
    params = ProcessParams.model_validate({"command": command, **more})
    built = Here(home).build(params, host(run_dir, spawner))
    assert isinstance(built, ProcessAgent)
    return built


def group(run_dir: Path, home: str) -> Path:
    own = Place.of(host(run_dir, FakeSpawner()), machine(home)).own
    assert own is not None
    return Path(own)


def inside(run_dir: Path, home: str) -> set[int]:
    return set(cgroups.pids(str(group(run_dir, home))))


async def presence(agent: ProcessAgent) -> Presence:
    return (await agent.probe(call())).presence


# --- with real control groups ---------------------------------------------------------------------------------------


@pytest.mark.processes
async def test_all_of_it_begins_in_its_group_and_nothing_of_the_group_is_left(tmp_path: Path, home: str) -> None:
    async with HelperSpawner(tmp_path, NoLog()) as helper:
        script = f"cat /proc/self/cgroup > {tmp_path}/first; sleep 60 & wait"
        agent = make(tmp_path, helper, home, script)
        assert (await agent.online(call(ONLINE))).ok
        assert group(tmp_path, home).name in (tmp_path / "first").read_text(), "before its first command ran"
        assert len(inside(tmp_path, home)) == 2
        assert (await agent.offline(call(OFFLINE))).ok
        assert not group(tmp_path, home).exists()
        assert await presence(agent) is Presence.OFFLINE


@pytest.mark.processes
@pytest.mark.parametrize("action", [OFFLINE, CLEAN])
async def test_who_has_left_session_parent_and_environment_is_ended_all_the_same(
    tmp_path: Path, home: str, action: Action
) -> None:
    async with HelperSpawner(tmp_path, NoLog()) as helper:
        agent = make(tmp_path, helper, home, ESCAPE.format(path=tmp_path / "pid") + "; exec sleep 60")
        assert (await agent.online(call(ONLINE))).ok
        escaped = await pid_in(tmp_path / "pid")
        assert escaped in inside(tmp_path, home)
        end = agent.offline if action is OFFLINE else agent.clean
        assert (await end(call(action))).ok
        assert not runs(escaped)
        assert not group(tmp_path, home).exists()


@pytest.mark.processes
async def test_with_its_main_process_dead_what_is_left_is_not_absent_and_nothing_is_started_beside_it(
    tmp_path: Path, home: str
) -> None:
    async with HelperSpawner(tmp_path, NoLog()) as helper:
        agent = make(tmp_path, helper, home, ESCAPE.format(path=tmp_path / "pid") + "; exec sleep 60")
        assert (await agent.online(call(ONLINE))).ok
        escaped = await pid_in(tmp_path / "pid")
        (main,) = [pid for pid in inside(tmp_path, home) if os.getsid(pid) == pid and _is(pid, "sleep")]
        os.kill(main, signal.SIGKILL)
        await until(lambda: not runs(main))
        for one in (agent, make(tmp_path, helper, home, ["sleep", "60"])):  # and after a restart of the daemon
            probe = await one.probe(call())
            assert probe.presence is Presence.FAILED
            assert str(escaped) in probe.detail
            refused = await one.online(call(ONLINE))
            assert refused.outcome is Outcome.FAILED
            assert refused.detail.startswith("not started: ")
        assert (await agent.clean(call(CLEAN))).ok
        assert not runs(escaped)
        assert (await agent.online(call(ONLINE))).ok
        assert (await agent.clean(call(CLEAN))).ok


def _is(pid: int, program: str) -> bool:
    return Path(f"/proc/{pid}/comm").read_text(encoding="ascii").strip() == program


@pytest.mark.processes
async def test_a_left_over_in_the_group_is_seen_by_a_daemon_that_knows_nothing_of_it(tmp_path: Path, home: str) -> None:
    own = group(tmp_path, home)
    cgroups.make(str(own))
    stranger = subprocess.Popen(["sleep", "60"], start_new_session=True)  # noqa: ASYNC220 (returns at once)
    try:
        (own / "cgroup.procs").write_text(str(stranger.pid))
        async with HelperSpawner(tmp_path, NoLog()) as helper:
            agent = make(tmp_path, helper, home, ["sleep", "60"])
            assert await presence(agent) is Presence.FAILED
            assert not (await agent.online(call(ONLINE))).ok
            assert (await agent.clean(call(CLEAN))).ok
        assert stranger.wait(5) == -signal.SIGKILL
        assert not own.exists()
    finally:
        stranger.kill()
        stranger.wait(5)


@pytest.mark.processes
async def test_groups_that_it_made_below_its_own_go_with_it(tmp_path: Path, home: str) -> None:
    below = group(tmp_path, home) / "below"
    script = f"mkdir {below}; (sleep 60 & echo $! > {below}/cgroup.procs; wait) & exec sleep 60"
    async with HelperSpawner(tmp_path, NoLog()) as helper:
        agent = make(tmp_path, helper, home, script)
        assert (await agent.online(call(ONLINE))).ok
        await until(lambda: set(cgroups.pids(str(below))))
        deep = set(cgroups.pids(str(below)))
        assert (await agent.clean(call(CLEAN))).ok
        assert not any(runs(pid) for pid in deep)
        assert not group(tmp_path, home).exists()


@pytest.mark.processes
async def test_limits_user_directory_and_output(tmp_path: Path, home: str) -> None:
    script = "pwd; id -u; ulimit -Sn; ulimit -Hn; ulimit -c; exec sleep 60"
    more: dict[str, Any] = {"user": "nobody", "cwd": "/usr", "output": str(tmp_path / "log")}
    async with HelperSpawner(tmp_path, NoLog()) as helper:
        agent = make(tmp_path, helper, home, script, limits={"nofile": "64:128", "core": "unlimited"}, **more)
        assert (await agent.online(call(ONLINE))).ok
        await until(lambda: len((tmp_path / "log").read_text().splitlines()) == 5)
        lines = (tmp_path / "log").read_text().splitlines()
        assert lines == ["/usr", lines[1], "64", "128", "unlimited"]
        assert lines[1] != "0"
        assert (await agent.offline(call(OFFLINE))).ok


@pytest.mark.processes
async def test_what_cannot_be_started_leaves_no_group(tmp_path: Path, home: str) -> None:
    async with HelperSpawner(tmp_path, NoLog()) as helper:
        result = await make(tmp_path, helper, home, ["/no/such/program"]).online(call(ONLINE))
        assert result.outcome is Outcome.UNAVAILABLE
        assert "/no/such/program: No such file or directory" in result.detail
        assert not group(tmp_path, home).exists()
        short = await make(tmp_path, helper, home, "echo gone; exit 3", output=str(tmp_path / "log")).online(
            call(ONLINE)
        )
        assert short.detail.endswith("ended before it was ready: gone")
        assert not group(tmp_path, home).exists()


@pytest.mark.processes
async def test_the_helper_lost_with_what_starts_processes_is_replaced(tmp_path: Path, home: str) -> None:
    async with HelperSpawner(tmp_path, NoLog()) as helper:
        agent = make(tmp_path, helper, home, ["sleep", "60"])
        assert (await agent.online(call(ONLINE))).ok
        (main,) = inside(tmp_path, home)
        for child in _children(helper.helper_pid or 0) - {main}:
            os.kill(child, signal.SIGKILL)
        assert (await agent.offline(call(OFFLINE))).ok
        assert (await agent.online(call(ONLINE))).ok
        assert (await agent.offline(call(OFFLINE))).ok


def _children(pid: int) -> set[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    of_threads = [(task / "children").read_text(encoding="ascii") for task in Path(f"/proc/{pid}/task").iterdir()]
    return {int(word) for part in (text, *of_threads) for word in part.split()}


@pytest.mark.processes
@pytest.mark.parametrize("says", ["READY=1", "STATUS=half way"])
async def test_ready_when_it_says_so(tmp_path: Path, says: str) -> None:
    speak = (
        "import os, socket, time; s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); time.sleep(0.3);"
        f"s.sendto(b'{says}', chr(0) + os.environ['NOTIFY_SOCKET'][1:]); time.sleep(60)"
    )
    async with HelperSpawner(tmp_path, NoLog()) as helper:
        command = ["python3", "-I", "-S", "-c", speak]
        agent = make(tmp_path, helper, None, command, ready={"notify": True})
        began = anyio.current_time()
        result = await agent.online(call(ONLINE, timeout_s=20.0 if says == "READY=1" else 2.0))
        if says == "READY=1":
            assert result.ok
            assert anyio.current_time() - began > 0.25
            again = make(tmp_path, helper, None, command, ready={"notify": True})
            assert (await again.online(call(ONLINE))).ok, "it need not say so twice"
        else:
            assert result.detail == "online: timed out, not ready: it has not said READY=1, but 'half way'"
        assert (await agent.clean(call(CLEAN))).ok


# --- without ----------------------------------------------------------------------------------------------------------


def test_the_form_is_the_best_that_the_machine_has_and_what_is_named_is_meant() -> None:
    best = Machine(systemd=True, home="/cg")
    assert [best.form("auto"), machine("/cg").form("auto"), machine(None).form("auto")] == list(Form)
    assert best.form("session") is Form.SESSION
    assert machine(None).form("cgroup") is Form.CGROUP
    assert "no tree of control groups" in machine(None).lacks(Form.CGROUP)
    assert "systemd does not run" in machine("/cg").lacks(Form.UNIT)
    assert not any(best.lacks(form) for form in Form)


def test_what_cannot_be_had_here_is_said_by_check() -> None:
    def said(home: str | None, **keys: Any) -> list[tuple[Any, str]]:
        return list(Here(home).warnings(ProcessParams.model_validate({"command": ["/bin/true"], **keys})))

    assert said(None) == said("/cg") == []
    bare = Here(None)
    bare.machine = replace(machine(None), root=True)
    ((place, text),) = bare.warnings(ProcessParams(command=["/bin/true"]))
    assert place == ("type",)
    assert text.startswith("it is kept together by its session alone here")
    assert not list(bare.warnings(ProcessParams(command=["/bin/true"], contain="session")))
    ((place, text),) = said("/cg", contain="unit")
    assert place == ("contain",)
    assert text.startswith("it cannot be brought online here: systemd does not run on this machine")
    ((place, text),) = said("/cg", output="journal")
    assert place == ("output",)
    assert text == "its output is discarded here: only a unit of systemd has the journal, and it is a cgroup"


async def test_what_cannot_be_had_here_is_not_done_otherwise(tmp_path: Path) -> None:
    spawner = FakeSpawner()
    for kind, lacks in (("cgroup", "no tree of control groups"), ("unit", "systemd does not run")):
        agent = make(tmp_path, spawner, None, ["sleep", "60"], contain=kind)
        result = await agent.online(call(ONLINE))
        assert result.outcome is Outcome.UNAVAILABLE
        assert lacks in result.detail
        assert await presence(agent) is Presence.OFFLINE, "which is certain"
    assert spawner.requests == []


async def test_the_last_will_names_the_group_before_it_is_there(tmp_path: Path) -> None:
    here = replace(machine("/cg"), slices=("/sd/system.slice",))
    kind = Here(None)
    kind.machine = here
    agent = kind.build(ProcessParams(command=["x"]), host(tmp_path, FakeSpawner()))
    assert isinstance(agent, ProcessAgent)
    will = agent.will(call(CLEAN))
    assert isinstance(will, MarkWill)
    place = Place.of(host(tmp_path, FakeSpawner()), here)
    assert will.cgroups == (f"/cg/{place.unit.removesuffix('.service')}", f"/sd/system.slice/{place.unit}")


def test_other_daemons_and_other_components_have_other_groups(tmp_path: Path) -> None:
    first = host(tmp_path, FakeSpawner())
    others = [
        replace(first, group="g@web", component="x"),
        replace(first, node="b"),
        replace(first, cluster="other"),
        replace(first, run_dir=tmp_path / "elsewhere"),
        replace(first, component="we"),
    ]
    names = {Place.of(one, machine("/cg")).own for one in [first, *others]}
    assert len(names) == 6
    assert groups_of("shop", "a", tmp_path) == []


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"limits": {"files": 3}}, "'files' is no limit of setrlimit"),
        ({"limits": {"nofile": "many"}}, "limit nofile must be a number, unlimited, or two of them as soft:hard"),
        ({"limits": {"nofile": "1:2:3"}}, "limit nofile must be a number"),
        ({"limits": {"nofile": True}}, "limit nofile must be a number"),
        ({"limits": {"nofile": -1}}, "limit nofile must be a number"),
        ({"limits": {"nofile": "9:8"}}, "the soft limit must not be above the hard one (9:8)"),
        ({"limits": {"nofile": "unlimited:8"}}, "the soft limit must not be above the hard one"),
        ({"output": "log"}, "must be an absolute path, or journal"),
        ({"output": "journal", "contain": "cgroup"}, "'output: journal' needs 'contain: unit'"),
        ({"contain": "jail"}, "Input should be 'auto', 'unit', 'cgroup' or 'session'"),
    ],
)
def test_keys_that_are_refused(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        ProcessParams.model_validate({"command": ["x"], **keys})
    assert any(message in fault["msg"] for fault in caught.value.errors()), caught.value


def test_limits_as_they_are_written() -> None:
    keys = {"nofile": 10, "core": "unlimited", "nproc": "5:unlimited", "stack": "1:2"}
    params = ProcessParams.model_validate({"command": ["x"], "limits": keys})
    assert params.rlimits == {"nofile": (10, 10), "core": (-1, -1), "nproc": (5, -1), "stack": (1, 2)}
    assert ProcessParams.model_validate(params.model_dump(mode="json", by_alias=True)) == params
