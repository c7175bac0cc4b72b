"""What the ``systemd`` type does, seen from inside a booted machine: ``python -m tests.booted.units`` runs every case
there and prints what went wrong, as one JSON document.
"""

import inspect
import json
import subprocess
import sys
import traceback
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import anyio

from failoverd.agents.systemd.agent import SystemdAgent
from failoverd.agents.systemd.params import SystemdParams
from failoverd.agents.systemd.type import SystemdType
from failoverd.domain.model import Action
from failoverd.ports import CommandWill, Outcome, Presence, Probe, Result
from tests.unit.agents.support import FakeSpawner, call, host

ONLINE, OFFLINE, CLEAN = Action.ONLINE, Action.OFFLINE, Action.CLEAN
UNITS = Path("/run/systemd/system")
SLEEP = "[Service]\nType=exec\nExecStart=sleep 1000\nRestart=always\nRestartSec=100ms\n"
START_SLOWLY = "/bin/sh -c 'sleep 1; systemd-notify --ready; exec sleep 1000'"
SLOW = f"[Service]\nType=notify\nNotifyAccess=all\nExecStart={START_SLOWLY}\n"


def unit(name: str, text: str) -> str:
    (UNITS / f"{name}.service").write_text(text)
    systemctl("daemon-reload")
    return f"{name}.service"


def systemctl(*words: str) -> str:
    done = subprocess.run(["systemctl", *words], capture_output=True, text=True, timeout=60, check=False)
    return done.stdout.strip()


def show(name: str, what: str) -> str:
    return systemctl("show", "--value", "-p", what, name)


TYPE = SystemdType()


def make(name: str) -> SystemdAgent:
    built = TYPE.build(SystemdParams(unit=name), host(Path("/run"), FakeSpawner()))
    assert isinstance(built, SystemdAgent)
    return built


async def seen(agent: SystemdAgent, timeout_s: float = 10.0) -> Presence:
    return (await agent.probe(call(timeout_s=timeout_s))).presence


async def good(operation: Callable[[Any], Awaitable[Result]], action: Action, timeout_s: float = 20.0) -> None:
    result = await operation(call(action, timeout_s=timeout_s))
    assert result.ok, result


async def told(agent: SystemdAgent, *change: str, within_s: float = 5.0) -> Probe | None:
    """What a watched agent says of a change; None where it says nothing."""
    said: list[Probe | None] = []
    with anyio.move_on_after(within_s):
        async with anyio.create_task_group() as tasks:

            async def watch() -> None:
                said.append(await agent.watch(call()))
                tasks.cancel_scope.cancel()

            tasks.start_soon(watch)
            await anyio.sleep(0.3)
            await anyio.to_thread.run_sync(systemctl, *change)
    return said[0] if said else None


# --- the cases ----------------------------------------------------------------------------------------------------


async def from_nothing_to_online_and_back() -> None:
    name = unit("plain", SLEEP)
    agent = make(name)
    assert await seen(agent) is Presence.OFFLINE
    await good(agent.online, ONLINE)
    assert await seen(agent) is Presence.ONLINE
    await good(agent.online, ONLINE)
    await good(agent.offline, OFFLINE)
    assert await seen(agent) is Presence.OFFLINE
    await good(agent.offline, OFFLINE)


async def systemd_is_told_who_manages_it() -> None:
    name = unit("managed", SLEEP)
    agent = make(name)
    await good(agent.prepare, Action.PREPARE)
    await good(agent.online, ONLINE)
    assert show(name, "Restart") == "no"
    assert "failoverd.service" in show(name, "Before")
    assert show(name, "NeedDaemonReload") == "no"
    await good(agent.offline, OFFLINE)


async def online_waits_until_it_is_ready_and_a_probe_until_it_is_decided() -> None:
    agent = make(unit("slow", SLOW))
    await good(agent.prepare, Action.PREPARE)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(good, agent.online, ONLINE)
        with anyio.fail_after(5):
            while await anyio.to_thread.run_sync(show, "slow.service", "ActiveState") != "activating":  # noqa: ASYNC110 (seen from outside)
                await anyio.sleep(0.02)
        assert await seen(agent, timeout_s=0.2) is Presence.UNKNOWN
        assert await seen(agent) is Presence.ONLINE
    await good(agent.offline, OFFLINE)


async def one_that_reloads_is_up() -> None:
    name = unit("reloads", SLEEP + "ExecReload=sleep 3\n")
    agent = make(name)
    await good(agent.online, ONLINE)
    systemctl("reload", "--no-block", name)
    await anyio.sleep(0.3)
    assert show(name, "ActiveState") == "reloading"
    assert await seen(agent, timeout_s=1.0) is Presence.ONLINE
    await good(agent.online, ONLINE, timeout_s=1.0)
    await good(agent.offline, OFFLINE)


async def a_failure_says_why_and_is_tried_again_however_often() -> None:
    failing = make(unit("failing", "[Service]\nType=oneshot\nExecStart=/bin/false\n"))
    for _ in range(8):
        result = await failing.online(call(ONLINE))
        assert result.outcome is Outcome.FAILED
        assert "job failed, failing.service is failed (failed), result exit-code" in result.detail, result
    assert await seen(failing) is Presence.OFFLINE
    short = await make(unit("short", "[Service]\nType=oneshot\nExecStart=/bin/true\n")).online(call(ONLINE))
    assert "RemainAfterExit" in short.detail
    absent = await make("absent.service").online(call(ONLINE))
    assert "absent.service not found" in absent.detail, absent


async def what_dies_is_found_by_its_signal_and_not_started_again() -> None:
    name = unit("dies", SLEEP)
    agent = make(name)
    await good(agent.online, ONLINE)
    probe = await told(agent, "kill", "--signal=KILL", name)
    assert probe is not None
    assert probe.presence is Presence.OFFLINE
    assert probe.detail == f"{name} has become failed (failed), result signal"
    await anyio.sleep(0.5)
    assert show(name, "ActiveState") == "failed"


async def stopped_by_hand_is_found_and_restarted_by_hand_is_let_be() -> None:
    name = unit("byhand", SLEEP)
    agent = make(name)
    await good(agent.online, ONLINE)
    assert await told(agent, "restart", name, within_s=2.0) is None
    probe = await told(agent, "stop", name)
    assert probe is not None
    assert probe.presence is Presence.OFFLINE


async def processes_that_are_left_are_not_taken_for_absent() -> None:
    text = "[Service]\nType=exec\nKillMode=process\nExecStart=/bin/sh -c 'sleep 1000 & exec sleep 1000'\n"
    agent = make(unit("leaves", text))
    await good(agent.online, ONLINE)
    result = await agent.offline(call(OFFLINE))
    assert "1 of its processes are left" in result.detail, result
    assert await seen(agent) is Presence.FAILED
    await good(agent.clean, CLEAN)
    assert await seen(agent) is Presence.OFFLINE


async def clean_does_not_wait_for_a_stop_that_hangs() -> None:
    agent = make(unit("hangs", SLEEP + "ExecStop=sleep 1000\nTimeoutStopSec=1000\n"))
    await good(agent.online, ONLINE)
    result = await agent.offline(call(OFFLINE, timeout_s=1.0))
    assert result.outcome is Outcome.TIMED_OUT
    await good(agent.clean, CLEAN, timeout_s=5.0)


async def a_reexecuted_systemd_is_survived() -> None:
    agent = make(unit("reexec", SLOW))
    await good(agent.prepare, Action.PREPARE)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(good, agent.online, ONLINE)
        await anyio.sleep(0.3)
        await anyio.to_thread.run_sync(systemctl, "daemon-reexec")
    assert await seen(agent) is Presence.ONLINE
    probe = await told(agent, "daemon-reexec", within_s=2.0)
    assert probe is None
    probe = await told(agent, "stop", "reexec.service")
    assert probe is not None


async def a_bus_that_is_gone_is_no_answer_and_its_return_is_enough() -> None:
    agent = make(unit("bus", SLOW))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(good, agent.online, ONLINE)
        await anyio.sleep(0.3)
        await anyio.to_thread.run_sync(systemctl, "restart", "dbus.service")
    assert await seen(agent) is Presence.ONLINE
    await anyio.to_thread.run_sync(systemctl, "stop", "dbus.socket", "dbus.service")
    probe = await agent.probe(call(timeout_s=2.0))
    await anyio.to_thread.run_sync(systemctl, "start", "dbus.socket")
    assert probe.presence is Presence.UNKNOWN, probe
    assert await seen(agent) is Presence.ONLINE
    await good(agent.offline, OFFLINE)


async def a_last_will_needs_no_daemon() -> None:
    name = unit("willed", SLEEP + "ExecStop=sleep 1000\nTimeoutStopSec=1000\n")
    agent = make(name)
    await good(agent.online, ONLINE)
    will = agent.will(call(CLEAN))
    assert isinstance(will, CommandWill)
    for _ in range(2):
        done = await anyio.run_process(will.request.argv, env=dict(will.request.env), check=False)
        assert done.returncode == 0
    assert await seen(agent) is Presence.OFFLINE


def cases(names: Mapping[str, Any], *helpers: str) -> dict[str, Callable[[], Awaitable[None]]]:
    """The coroutine functions of a module."""
    return {name: case for name, case in names.items() if inspect.iscoroutinefunction(case) and name not in helpers}


CASES = cases(dict(globals()), "seen", "good", "told")


async def every(wanted: Mapping[str, Callable[[], Awaitable[None]]]) -> dict[str, str]:
    found = {}
    for name, case in wanted.items():
        try:
            with anyio.fail_after(30):
                await case()
            found[name] = ""
        except (AssertionError, TimeoutError, ExceptionGroup, OSError, RuntimeError):
            found[name] = traceback.format_exc()
    return found


if __name__ == "__main__":
    json.dump(anyio.run(every, CASES, backend_options={"use_uvloop": True}), sys.stdout)
