"""What the tests of the spawner share."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio

from failoverd import procfs
from failoverd.log.catalogue import Event
from failoverd.ports import RunRequest

PATH = "/usr/local/bin:/usr/bin:/bin"


class EventList:
    """``ports.EventLog`` that remembers."""

    def __init__(self) -> None:
        self.events: list[tuple[Event, dict[str, Any]]] = []

    def emit(self, event: Event, **fields: Any) -> None:
        self.events.append((event, fields))

    def names(self) -> list[Event]:
        return [event for event, _ in self.events]


def ask(*argv: str, timeout_s: float = 10.0, grace_s: float = 0.2, **more: Any) -> RunRequest:
    return RunRequest(argv=argv, env={"PATH": PATH}, timeout_s=timeout_s, grace_s=grace_s, **more)


def shell(script: str, timeout_s: float = 10.0, grace_s: float = 0.2) -> RunRequest:
    return ask("/bin/sh", "-c", script, timeout_s=timeout_s, grace_s=grace_s)


def runs(pid: int) -> bool:
    there = procfs.stat(pid)
    return there is not None and there.alive


def read_pid(path: Path) -> int:
    return int(path.read_text(encoding="ascii")) if path.exists() and path.read_text(encoding="ascii").strip() else 0


async def until(condition: Callable[[], object], within_s: float = 5.0) -> None:
    """Wait for something that no event tells of; fails when it does not come true."""
    with anyio.fail_after(within_s):
        while not condition():  # noqa: ASYNC110 (see above)
            await anyio.sleep(0.01)


async def pid_in(path: Path) -> int:
    await until(lambda: read_pid(path))
    return read_pid(path)


def ending(pids: list[int]) -> Iterator[list[int]]:
    """For a fixture: kill what a test has left."""
    yield pids
    for pid in pids:
        if pid > 1 and runs(pid):
            os.kill(pid, signal.SIGKILL)
