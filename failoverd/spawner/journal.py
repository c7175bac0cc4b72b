"""Which commands are running, written where it outlives whoever started them.

A daemon must never probe while a command of its predecessor still runs. The helper ends its commands when the daemon
dies; this is for when the helper itself is killed: a file in memory (mmap) with one slot for each command in flight.
Writing a slot costs a microsecond, and what is written survives the writer's SIGKILL. The lock beside it is held by a
helper for as long as it lives, so that two never run at once.
"""

import fcntl
import mmap
import os
import signal
import struct
import time

from failoverd import procfs
from failoverd.spawner.protocol import ENVIRONMENT_MARK

SLOTS = 4096
_HEADER = struct.Struct("<8s36s16s4x")
_SLOT = struct.Struct("<qidi")
"""Operation (0: free), pid (0: not known yet), when it was begun (CLOCK_BOOTTIME, seconds), unused."""
_SIZE = _HEADER.size + SLOTS * _SLOT.size
_MAGIC = b"fo-spwn1"
_LEEWAY_S = 5.0
"""Between noting that a command is begun and the start that the kernel records for it: an exec on slow storage."""


class Locked(Exception):  # noqa: N818 (what is the case, for the one caller who asks)
    """Another helper lives."""


def lock(run_dir: str) -> int:
    """Take the lock (for the life of the descriptor that is returned) or raise ``Locked``, at once; OSError."""
    path = os.path.join(run_dir, "spawner.lock")  # noqa: PTH118 (pathlib costs the helper 10 ms of its start)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise Locked from None
    return descriptor


def path_of(run_dir: str) -> str:
    return os.path.join(run_dir, "spawner.journal")  # noqa: PTH118 (see above)


def now() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Journal:
    """The writing side: a new, empty journal. Methods are called by several threads, each for slots of its own."""

    def __init__(self, run_dir: str) -> None:
        self.token = os.urandom(8).hex()
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(path_of(run_dir), flags, 0o600)
        try:
            os.ftruncate(descriptor, 0)
            os.posix_fallocate(descriptor, 0, _SIZE)  # a full disk is found here and not as SIGBUS later
            self._map = mmap.mmap(descriptor, _SIZE)
        finally:
            os.close(descriptor)
        _HEADER.pack_into(self._map, 0, _MAGIC, procfs.boot_id().encode(), self.token.encode())
        self._free = list(range(SLOTS - 1, -1, -1))

    @property
    def full(self) -> bool:
        return not self._free

    def begin(self, operation: int) -> int:
        """Note that a command is about to be started; returns its slot."""
        slot = self._free.pop()
        self._write(slot, operation, 0)
        return slot

    def started(self, slot: int, operation: int, pid: int) -> None:
        self._write(slot, operation, pid)

    def end(self, slot: int) -> None:
        self._write(slot, 0, 0)
        self._free.append(slot)

    def mark(self, operation: int) -> str:
        """The value of ``ENVIRONMENT_MARK`` for an operation."""
        return f"{self.token}.{operation}"

    def _write(self, slot: int, operation: int, pid: int) -> None:
        _SLOT.pack_into(self._map, _HEADER.size + slot * _SLOT.size, operation, pid, now(), 0)


def kill_leftovers(run_dir: str) -> list[int]:
    """Kill the process group of each command that a dead helper's journal names and that still runs.

    Returns the pids that were there: call it again until there are none.
    """
    left = _leftovers(run_dir)
    for pid in left:
        try:
            os.killpg(pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            continue
    return left


def _leftovers(run_dir: str) -> list[int]:
    try:
        descriptor = os.open(path_of(run_dir), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return []
    try:
        data = os.read(descriptor, _SIZE)
    finally:
        os.close(descriptor)
    if len(data) < _SIZE:
        return []
    magic, boot, token = _HEADER.unpack_from(data)
    if magic != _MAGIC or boot.rstrip(b"\0").decode("ascii", "replace") != procfs.boot_id():
        return []
    known: list[int] = []
    unknown: set[bytes] = set()
    for operation, pid, begun, _ in _SLOT.iter_unpack(data[_HEADER.size :]):
        if pid and _is_it(pid, begun):
            known.append(pid)
        elif operation and not pid:
            unknown.add(f"{ENVIRONMENT_MARK}={token.decode('ascii', 'replace')}.{operation}".encode())
    return known + _by_mark(unknown)


def _is_it(pid: int, begun: float) -> bool:
    found = procfs.stat(pid)
    if found is None or not found.alive or found.pgid != pid:
        return False
    return abs(found.start_ticks / procfs.TICKS_PER_S - begun) < _LEEWAY_S


def _by_mark(marks: set[bytes]) -> list[int]:
    """Leaders of a process group that carry one of these marks."""
    if not marks:
        return []
    found = []
    for pid in procfs.pids():
        there = procfs.stat(pid)
        if there and there.alive and there.pgid == pid and not marks.isdisjoint(procfs.environ(pid).split(b"\0")):
            found.append(pid)
    return found
