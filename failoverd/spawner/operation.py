"""One command in the helper: what was asked for, and what has become of it."""

import os
import signal
from collections.abc import Callable
from typing import Any

from failoverd.spawner.launch import Order
from failoverd.spawner.protocol import OUTPUT_MAX

_READ_BYTES = 65536
_DRAIN_READS = 32
"""After the command's exit: a pipe holds 64 KiB by default, 1 MiB at most; more is somebody who goes on writing."""

DEATH_S = 2.0
"""How long a killed process may take to vanish; one in an uninterruptible wait (dead storage) takes longer."""

_POLL_S = 0.02
"""Nothing tells when the rest of a process group has ended."""


class Output:
    """The last ``OUTPUT_MAX`` bytes of what comes out of a pipe; the rest is read and forgotten."""

    __slots__ = ("_kept", "_pipe", "truncated")

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe
        self._kept = b""
        self.truncated = False

    def read(self) -> bool:
        """Read once; False at the end of the pipe."""
        try:
            data = os.read(self._pipe, _READ_BYTES)
        except BlockingIOError:
            return True
        if not data:
            return False
        if len(self._kept) + len(data) > OUTPUT_MAX:
            self.truncated = True
        self._kept = (self._kept + data)[-OUTPUT_MAX:]
        return True

    def drain(self) -> bytes:
        """What is there now, without waiting for an end that a process left behind may hold up for ever."""
        for _ in range(_DRAIN_READS):
            before = self._kept
            if not self.read() or self._kept is before:
                break
        return self._kept


class Operation:
    """A command from its request to its reply. The worker thread fills in what its start gave; the rest is the
    main thread's."""

    __slots__ = (
        "answered",
        "deadline",
        "detach",
        "ending",
        "error",
        "grace_s",
        "input",
        "killed",
        "leave_nothing",
        "number",
        "order",
        "output",
        "output_file",
        "pid",
        "pidfd",
        "pipe",
        "reaped",
        "slot",
        "start_ticks",
        "status",
        "timed_out",
        "timeout_s",
        "until",
    )

    def __init__(self, message: dict[str, Any]) -> None:
        self.number: int = message["op"]
        self.detach: bool = message["do"] == "detach"
        self.order = Order(
            message["argv"],
            message["env"],
            message["cwd"],
            message["user"],
            message["group"],
            cgroup=message.get("cgroup"),
            limits=message.get("limits"),
        )
        self.timeout_s: float = message["timeout_s"]
        self.grace_s: float = message["grace_s"]
        self.output_file: str | None = message.get("output")
        self.input: str | None = message.get("input")
        self.leave_nothing: bool = message.get("leave_nothing", False)

        self.error: str | None = None
        self.pid = 0
        self.pidfd = -1
        self.pipe = -1
        self.slot = -1
        self.start_ticks = 0
        self.output: Output | None = None

        self.deadline = float("inf")
        """When something has to be done about it next (CLOCK_MONOTONIC, seconds)."""
        self.ending = False
        """SIGTERM was sent: its time was up, or it was cancelled."""
        self.killed = False
        self.until = 0.0
        """While ending: when the next step (SIGKILL, giving up) is due."""
        self.answered = False
        self.timed_out = False
        self.reaped = False
        self.status: int | None = None

    def signal_group(self, number: int) -> bool:
        """False where nothing of its process group is left."""
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass  # something is left, but it is another user's
        return True

    def terminate(self, now: float) -> None:
        """SIGTERM to its process group; SIGKILL follows when the grace is over."""
        self.ending = True
        self.until = self.deadline = now + self.grace_s
        if self.grace_s <= 0 or not self.signal_group(signal.SIGTERM):
            self.kill(now)

    def kill(self, now: float) -> None:
        self.ending = self.killed = True
        self.until = self.deadline = now + DEATH_S
        self.signal_group(signal.SIGKILL)

    def pursue(self, now: float, live_groups: Callable[[float], frozenset[int]]) -> bool:
        """Go on ending it; True once there is nothing left to wait for.

        The command itself may be gone while what it started in its process group is not. That a group can be signalled
        says too little: it may be zombies, where nobody reaps orphans (a container without an init).
        """
        if self.reaped and not (self.signal_group(0) and self.pid in live_groups(now)):
            return True
        if now >= self.until:
            if self.killed:
                return True
            self.kill(now)
        self.deadline = min(self.until, now + _POLL_S) if self.reaped else self.until
        return False

    def reap(self) -> bool:
        """Whether the command itself has ended."""
        if not self.reaped:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:
                self.reaped = True
            else:
                self.reaped = pid != 0
                self.status = status if pid else None
        return self.reaped

    def close(self) -> None:
        for descriptor in (self.pidfd, self.pipe):
            if descriptor >= 0:
                os.close(descriptor)
        self.pidfd = self.pipe = -1

    def result(self) -> tuple[dict[str, Any], bytes]:
        """The reply to ``run``."""
        code = None if self.status is None else os.waitstatus_to_exitcode(self.status)
        output = self.output.drain() if self.output else b""
        reply = {
            "op": self.number,
            "status": code if code is not None and code >= 0 else None,
            "signal": -code if code is not None and code < 0 else None,
            "timed_out": self.timed_out,
            "truncated": bool(self.output and self.output.truncated),
        }
        return reply, output
