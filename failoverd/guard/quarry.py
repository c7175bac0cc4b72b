"""Processes that must not go on once the lease is over: the daemon, its helper and what that has started."""

import contextlib
import os
import select
import signal

from failoverd import procfs
from failoverd.guard import machine

_STOP_WAIT_S = 0.01
_PAUSE_S = 0.0002


class Quarry:
    """Held by a pidfd (pidfd_open(2)), so that a number that is used anew hits nobody."""

    def __init__(self, pid: int, descriptor: int) -> None:
        self.pid = pid
        self.descriptor = descriptor

    @classmethod
    def find(cls, pid: int, start_ticks: int) -> "Quarry | None":
        """None where it has ended. Raises OSError."""
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            return None
        there = procfs.stat(pid)
        if there is None or there.start_ticks != start_ticks:
            os.close(descriptor)
            return None
        return cls(pid, descriptor)

    @property
    def ended(self) -> bool:
        return bool(select.select([self.descriptor], [], [], 0)[0])

    def send(self, number: int) -> bool:
        """False where there is nobody to hear it."""
        try:
            signal.pidfd_send_signal(self.descriptor, number)
        except (ProcessLookupError, PermissionError):
            return False
        return True

    def close(self) -> None:
        os.close(self.descriptor)


def kill_with_children(helper: Quarry) -> bool:
    """The helper that starts commands for the daemon, and each command that it has under way. False: it had ended (and
    then it has killed them itself).

    It is stopped first, so that it starts nothing more and its children can be told by their parent.
    """
    if helper.ended or not helper.send(signal.SIGSTOP):
        return False
    begun = machine.now()
    while not _stopped(helper.pid) and machine.now() - begun < _STOP_WAIT_S:
        select.select([], [], [], _PAUSE_S)
    for child in children_of(helper.pid):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if child.pgid == child.pid:
                os.killpg(child.pid, signal.SIGKILL)
            else:
                os.kill(child.pid, signal.SIGKILL)
    helper.send(signal.SIGKILL)
    return True


def _stopped(pid: int) -> bool:
    there = procfs.stat(pid)
    return there is None or there.state in "TtZXx"


def children_of(pid: int) -> list[procfs.Stat]:
    found = (procfs.stat(one) for one in procfs.pids())
    return [there for there in found if there is not None and there.ppid == pid and there.alive]
