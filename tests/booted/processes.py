"""What the ``process`` type does where systemd runs, seen from inside a booted machine: ``python -m
tests.booted.processes`` runs every case there and prints what went wrong, as one JSON document.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import anyio

from failoverd.agents.process.agent import ProcessAgent
from failoverd.agents.process.params import ProcessParams
from failoverd.agents.process.place import Form, Machine, Place
from failoverd.agents.process.type import ProcessType
from failoverd.domain.model import Action
from failoverd.guard.orders import order
from failoverd.guard.sweep import Sweep
from failoverd.kernel import cgroups
from failoverd.ports import MarkWill, Outcome, Presence
from tests.booted.units import cases, every, show, systemctl
from tests.unit.agents.support import FakeSpawner, call, host, runs, until

ONLINE, OFFLINE, CLEAN = Action.ONLINE, Action.OFFLINE, Action.CLEAN
RUN = Path("/run/failoverd-test")
SPAWNER = FakeSpawner()
"""Starts nothing: systemd does."""
ESCAPES = (
    '(env -i setsid sh -c \'trap "" TERM; (setsid sh -c "trap : TERM; echo \\$\\$ > {0}.new; mv {0}.new {0};'
    " while :; do sleep 0.2; done\" &)' &)"
)


def make(command: list[str] | str = "exec sleep 1000", **more: Any) -> ProcessAgent:
    """By a type of its own, as by a daemon that has just begun."""
    params = ProcessParams.model_validate({"command": command, **more})
    agent = ProcessType().build(params, host(RUN, SPAWNER))
    assert isinstance(agent, ProcessAgent)
    return agent


def place() -> Place:
    return Place.of(host(RUN, SPAWNER), Machine.here())


def inside() -> set[int]:
    return {pid for directory in place().directories for pid in cgroups.pids(directory)}


def main_pid() -> int:
    return int(show(place().unit, "MainPID"))


async def seen(agent: ProcessAgent) -> Presence:
    return (await agent.probe(call())).presence


async def up(agent: ProcessAgent) -> None:
    result = await agent.online(call(ONLINE, timeout_s=20.0))
    assert result.ok, result


async def down(agent: ProcessAgent, action: Action = OFFLINE) -> None:
    end = agent.offline if action is OFFLINE else agent.clean
    result = await end(call(action, timeout_s=20.0))
    assert result.ok, result
    assert inside() == set()
    assert await seen(agent) is Presence.OFFLINE


async def escaped_pid(directory: str) -> int:
    path = Path(directory) / "pid"
    await until(path.exists, within_s=10.0)
    return int(path.read_text(encoding="ascii"))


# --- the cases ----------------------------------------------------------------------------------------------------


async def it_is_a_unit_that_the_next_daemon_adopts_and_nothing_of_it_is_left() -> None:
    assert Machine.here().form("auto") is Form.UNIT
    agent = make()
    assert await seen(agent) is Presence.OFFLINE
    await up(agent)
    assert show(place().unit, "ActiveState") == "active"
    assert show(place().unit, "Restart") == "no"
    assert "failoverd.service" in show(place().unit, "Before").split()
    before = main_pid()
    assert inside() == {before}
    for _ in range(2):
        agent = make()
        assert await seen(agent) is Presence.ONLINE
        await up(agent)
        assert main_pid() == before
    (RUN / "process" / "g.web.json").unlink()
    agent = make()
    assert await seen(agent) is Presence.ONLINE
    await down(agent)
    await until(lambda: show(place().unit, "LoadState") == "not-found", within_s=5.0)
    assert not any(cgroups.exists(directory) for directory in place().directories)
    assert SPAWNER.requests == []


async def online_again_at_once_and_again() -> None:
    agent = make()
    for action in (OFFLINE, CLEAN, OFFLINE):
        await up(agent)
        await down(agent, action)


async def whoever_ignores_signals_and_left_its_session_is_killed() -> None:
    with tempfile.TemporaryDirectory() as directory:
        command = ESCAPES.format(f"{directory}/pid") + "; trap '' TERM; while :; do sleep 0.2; done"
        agent = make(command, stop_timeout="300ms")
        await up(agent)
        escaped = await escaped_pid(directory)
        assert escaped in inside()
        await down(agent)
        assert not runs(escaped)


async def with_its_main_process_dead_what_is_left_is_not_absent() -> None:
    with tempfile.TemporaryDirectory() as directory:
        agent = make(ESCAPES.format(f"{directory}/pid") + "; exec sleep 1000")
        await up(agent)
        escaped = await escaped_pid(directory)
        main = main_pid()
        os.kill(main, signal.SIGKILL)
        await until(lambda: not runs(main))
        for one in (agent, make()):
            probe = await one.probe(call())
            assert probe.presence is Presence.FAILED, probe
            assert str(escaped) in probe.detail
            assert not (await one.online(call(ONLINE))).ok
        await down(agent, CLEAN)
        assert not runs(escaped)


async def its_user_directory_limits_environment_and_journal() -> None:
    script = 'echo "$0 said: $(id -un) $(pwd) $(ulimit -Sn) $(ulimit -Hn) $WORD"; exec sleep 1000'
    more: dict[str, Any] = {"user": "nobody", "cwd": "/usr", "env": {"WORD": "a $HOME %n b"}}
    agent = make(["/bin/sh", "-c", script, "${HOME}"], limits={"nofile": "64:128"}, **more)
    await up(agent)
    wanted = "${HOME} said: nobody /usr 64 128 a $HOME %n b"

    def journal() -> str:
        argv = ["journalctl", "--no-pager", "-o", "cat", "-u", place().unit]
        return subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False).stdout

    await until(lambda: wanted in journal(), within_s=10.0)
    await down(agent)


async def its_output_goes_to_a_file() -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "log"
        path.write_text("before\n", encoding="ascii")
        result = await make("echo gone wrong; exit 3", output=str(path)).online(call(ONLINE))
        assert result.outcome is Outcome.FAILED
        assert result.detail.endswith(": gone wrong"), result
        assert path.read_text(encoding="ascii").startswith("before\n")
        await down(make())


async def what_cannot_be_started_says_why() -> None:
    missing = await make(["no-such-command"]).online(call(ONLINE))
    assert missing.outcome is Outcome.UNAVAILABLE
    assert "no-such-command: not found in PATH" in missing.detail
    refused = await make(["/etc/passwd"]).online(call(ONLINE))
    assert refused.outcome is Outcome.FAILED
    assert f"journalctl -u {place().unit}" in refused.detail, refused
    await down(make(), CLEAN)


async def it_says_itself_when_it_is_ready() -> None:
    agent = make("sleep 0.5; systemd-notify --ready; exec sleep 1000", ready={"notify": True})
    began = anyio.current_time()
    await up(agent)
    assert anyio.current_time() - began > 0.45
    await down(agent)


async def a_last_will_empties_it_without_the_daemon() -> None:
    with tempfile.TemporaryDirectory() as directory:
        agent = make(ESCAPES.format(f"{directory}/pid") + "; exec sleep 1000")
        will = agent.will(call(CLEAN))
        assert isinstance(will, MarkWill)
        await up(agent)
        escaped = await escaped_pid(directory)
        sweep = Sweep({("g", "web"): order(will)})  # as it was known before it was brought online
        await until(lambda: not sweep.walk(), within_s=5.0)
        assert not runs(escaped)
        assert await seen(agent) is Presence.OFFLINE


async def without_the_bus_it_is_ended_but_not_started() -> None:
    await up(make())
    agent = make()  # the next daemon has found it, and systemd is gone before it has asked
    assert await seen(agent) is Presence.ONLINE
    systemctl("stop", "dbus.socket", "dbus.service")
    try:
        await down(agent)
        result = await agent.online(call(ONLINE, timeout_s=2.0))
        assert not result.ok
        probe = await agent.probe(call(timeout_s=2.0))
        assert probe.presence is Presence.UNKNOWN, probe  # whether systemd was asked is not known
    finally:
        systemctl("start", "dbus.socket")
    await down(agent, CLEAN)


async def a_start_takes_no_more_than_a_moment() -> None:
    """A figure for whoever runs this by hand; the bound is for a machine that is busy."""
    agent = make(settle="0s")
    took = []
    for _ in range(5):
        began = anyio.current_time()
        await up(agent)
        took.append(anyio.current_time() - began)
        await down(agent)
    print(f"online as a unit: {sorted(took)[2] * 1000:.0f} ms", file=sys.stderr)
    assert min(took) < 2.0


CASES = cases(dict(globals()), "seen", "up", "down", "escaped_pid", "until", "every")

if __name__ == "__main__":
    json.dump(anyio.run(every, CASES, backend_options={"use_uvloop": True}), sys.stdout)
