"""A daemon that is nothing but its guard's client, as a process that can be stopped and killed."""

import json
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from failoverd import procfs
from failoverd.clock import BootClock
from failoverd.guard.client import ProcessGuard
from failoverd.log.catalogue import Event
from failoverd.ports import CommandWill, MarkWill, RunRequest

MARK = "GUARD_TEST"
WAIT_S = 10.0

_DAEMON = textwrap.dedent("""
    import subprocess, sys
    import anyio
    from pathlib import Path
    from tests.unit.guard.support import command, guard_in, marked, now

    async def main():
        run_dir = Path(sys.argv[1])
        helper = None
        async with guard_in(run_dir, helper=lambda: helper) as guard:
            async def ready():
                (run_dir / "guard.pid").write_text(str(guard.status["pid"]))
                await anyio.sleep_forever()
    {body}

    anyio.run(main)
""")


class EventList:
    """``ports.EventLog`` that remembers."""

    def __init__(self) -> None:
        self.events: list[tuple[Event, dict[str, Any]]] = []

    def emit(self, event: Event, **fields: Any) -> None:
        self.events.append((event, fields))

    def of(self, event: Event) -> list[dict[str, Any]]:
        return [fields for one, fields in self.events if one is event]


def guard_in(
    run_dir: Path, log: EventList | None = None, helper: Callable[[], int | None] = lambda: None
) -> ProcessGuard:
    return ProcessGuard(run_dir, log or EventList(), BootClock(), action="kill", helper=helper)


def now() -> float:
    return BootClock().now()


def command(*argv: str, timeout_s: float = 10.0) -> CommandWill:
    return CommandWill(request=RunRequest(argv=argv, env={"PATH": "/usr/bin:/bin"}, timeout_s=timeout_s))


def marked(name: str, *cgroups: str) -> MarkWill:
    return MarkWill(mark=f"{MARK}={name}/", cgroups=cgroups)


def start_daemon(run_dir: Path, body: str) -> "subprocess.Popen[bytes]":
    """``body`` does what it wants with ``guard`` and ends with ``await ready()``; returns once it is there."""
    script = _DAEMON.format(body=textwrap.indent(textwrap.dedent(body).strip(), " " * 8))
    run_dir.mkdir(exist_ok=True)
    (run_dir / "guard.pid").unlink(missing_ok=True)
    process = subprocess.Popen([sys.executable, "-c", script, str(run_dir)])
    until(lambda: process.poll() is not None or _text(run_dir / "guard.pid") != "", "the daemon is ready")
    assert process.poll() is None, "the daemon has ended"
    return process


def guard_pid(run_dir: Path) -> int:
    """Of the guard in charge."""
    return int(_text(run_dir / "guard.lock").split()[0])


def record_in(run_dir: Path) -> dict[str, Any]:
    until((run_dir / "guard.json").exists, "the guard has fired")
    found = json.loads((run_dir / "guard.json").read_text())
    assert isinstance(found, dict)
    return found


def run_marked(name: str, argv: Sequence[str] = ("sleep", "60")) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(argv, env={"PATH": "/usr/bin:/bin", MARK: f"{name}/1"}, start_new_session=True)


def alive(pid: int) -> bool:
    there = procfs.stat(pid)
    return there is not None and there.alive


def until(condition: Callable[[], bool], what: str, wait_s: float = WAIT_S) -> None:
    deadline = time.monotonic() + wait_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {wait_s:g} s: {what}"
        time.sleep(0.01)


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""
