"""Killing whatever carries a mark in its environment or is in a control group, until nothing does and they are empty.

It runs in a process of its own, forked when the guard fires: reading an environment (/proc/PID/environ, proc(5)) waits
for a lock of that process, and one that hangs in the kernel must hang nobody but the sweep.
"""

import contextlib
import os
import signal
import time
from typing import Protocol

from failoverd import procfs
from failoverd.guard.protocol import Key, Message, encode
from failoverd.kernel import cgroups

_PAUSE_S = 0.005
_SHOWN_MAX = 8


def kill_known(marks: dict[Key, Message]) -> None:
    """The sessions whose leader is known, without waiting for a walk through /proc."""
    for will in marks.values():
        pid, ticks = will["pid"], will["ticks"]
        there = procfs.stat(pid) if pid else None
        if there is not None and there.start_ticks == ticks and there.pgid == pid:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)


class Report(Protocol):
    """Where it tells what it finds: a socket that does not block."""

    def send(self, data: bytes, /) -> int:
        """Raises BlockingIOError."""


class Sweep:
    def __init__(self, marks: dict[Key, Message]) -> None:
        self._keys = list(marks)
        self._marks = [str(marks[key]["mark"]).encode() for key in self._keys]
        self._names = {mark[: mark.index(b"=") + 1] for mark in self._marks}
        """Most processes carry none of them, and are done with."""
        self._sessions: dict[int, int] = {}
        """Session to the index of its mark. It is learnt from the leader: what it started may have cleared its own
        environment."""
        self._leaders = {int(will["pid"]): int(will["ticks"]) for will in marks.values() if will["pid"]}
        for index, key in enumerate(self._keys):
            if marks[key]["pid"]:
                self._sessions[int(marks[key]["pid"])] = index
        self._cgroups = {index: list(marks[key].get("cgroups", ())) for index, key in enumerate(self._keys)}

    def run(self, report: Report) -> None:
        """Until nothing is left; each walk tells what was there: ``{"left": [[group, component, pids], …]}``."""
        while True:
            left = self.walk()
            if not left:
                self._clear_away()  # before it is told: who has heard it waits for nothing more
            with contextlib.suppress(BlockingIOError):  # nobody has read the last yet: the next will do
                told = [[*self._keys[index], pids[: _SHOWN_MAX + 1]] for index, pids in left.items()]
                report.send(encode({"left": told}))
            if not left:
                return
            time.sleep(_PAUSE_S)

    def walk(self) -> dict[int, list[int]]:
        """Kill what is found; pids by index of the mark."""
        found = self._groups()
        for index, pids in self._sessions_and_marks().items():
            found[index] = sorted({*found.get(index, ()), *pids})
        return found

    def _groups(self) -> dict[int, list[int]]:
        """Control groups go first: each with one write, whoever has left its session and cleared its environment."""
        found: dict[int, list[int]] = {}
        for index, directories in self._cgroups.items():
            for directory in directories:
                try:
                    if cgroups.busy(directory):
                        found.setdefault(index, []).extend(cgroups.pids(directory))
                        cgroups.kill(directory)
                except OSError:  # what cannot be looked into is not known to be empty
                    found.setdefault(index, []).append(0)
        return found

    def _clear_away(self) -> None:
        for directories in self._cgroups.values():
            for directory in directories:
                cgroups.remove(directory)

    def _sessions_and_marks(self) -> dict[int, list[int]]:
        found: dict[int, list[int]] = {}
        ours = os.getpid()
        there = [stat for stat in map(procfs.stat, procfs.pids()) if stat is not None and stat.alive]
        for stat in there:  # a number that is another process now names no session of ours
            if self._leaders.get(stat.pid, stat.start_ticks) != stat.start_ticks:
                self._sessions.pop(stat.pid, None)
        for stat in there:
            index = self._sessions.get(stat.sid)
            if index is None:
                index = self._marked(procfs.environ(stat.pid))
                if index is not None and stat.sid == stat.pid:
                    self._sessions[stat.pid] = index
                    self._leaders[stat.pid] = stat.start_ticks
            if index is not None and stat.pid not in (1, ours):
                found.setdefault(index, []).append(stat.pid)
                _kill(stat)
        return found

    def _marked(self, environ: bytes) -> int | None:
        if not any(name in environ for name in self._names):
            return None
        items = environ.split(b"\0")
        for index, mark in enumerate(self._marks):
            if any(item.startswith(mark) for item in items):
                return index
        return None


def describe(pids: list[int]) -> str:
    shown = ", ".join(str(pid) for pid in pids[:_SHOWN_MAX])
    return f"pid {shown}{', …' if len(pids) > _SHOWN_MAX else ''}"


def _kill(stat: procfs.Stat) -> None:
    """This very process (pidfd_send_signal(2)), not another that has got its number since."""
    with contextlib.suppress(OSError):
        descriptor = os.pidfd_open(stat.pid)
        try:
            again = procfs.stat(stat.pid)
            if again is not None and again.start_ticks == stat.start_ticks:
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        finally:
            os.close(descriptor)
