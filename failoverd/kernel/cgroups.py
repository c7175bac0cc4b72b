"""Control groups, by their directories: cgroups(7), Documentation/admin-guide/cgroup-v2.rst of the kernel.

A group that is not there has nobody in it. What is of version 2 says itself whether anybody is in it or below it, and
is killed with one write (``cgroup.kill``, Linux 5.14); of version 1, or of an older kernel, the processes are told one
by one, frozen meanwhile where that can be done. Imports next to nothing: the spawner's helper uses it too.
"""

import contextlib
import errno
import os
import signal
from collections.abc import Iterable, Iterator
from typing import NamedTuple

_GONE = frozenset({errno.ENOENT, errno.ENODEV, errno.ENOTDIR})
"""There is no such group, or it was removed while its file was open."""
_AT_ONCE = 256
"""So many processes are held by a descriptor each at a time."""
_READ_BYTES = 65536


class Hierarchy(NamedTuple):
    """A tree of control groups that is mounted."""

    directory: str
    """Where."""
    root: str
    """Which group of it the directory is."""
    name: str
    """Empty for version 2; of version 1 its controllers, or name=…, separated by commas."""

    @property
    def tracks(self) -> bool:
        """Whether systemd keeps its units' processes in it."""
        return self.name == "" or "name=systemd" in self.name.split(",")

    def place(self, group: str) -> str | None:
        """The directory of a group (an absolute path within the tree); None where it cannot be seen from here."""
        if self.root == "/":
            return self.directory + group
        if group == self.root or group.startswith(f"{self.root}/"):
            return self.directory + group[len(self.root) :]
        return None


def hierarchies(mountinfo: str) -> tuple[Hierarchy, ...]:
    """Those of a /proc/PID/mountinfo (proc(5)), version 2 first."""
    found = []
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        fields, kind = before.split(" "), after.split(" ")
        if len(fields) < 6 or len(kind) < 3 or kind[0] not in ("cgroup", "cgroup2"):
            continue
        name = "" if kind[0] == "cgroup2" else ",".join(one for one in kind[2].split(",") if one not in ("rw", "ro"))
        found.append(Hierarchy(_plain(fields[4]), _plain(fields[3]), name))
    return tuple(sorted(found, key=lambda one: one.name != ""))


def _plain(escaped: str) -> str:
    return escaped.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")


def group_of(proc_cgroup: str, hierarchy: Hierarchy) -> str | None:
    """Where a process is in a hierarchy, from its /proc/PID/cgroup."""
    for line in proc_cgroup.splitlines():
        _, _, rest = line.partition(":")
        name, _, path = rest.partition(":")
        if name == hierarchy.name or (name and name in hierarchy.name.split(",")):
            return path
    return None


# --- one group, by its directory ----------------------------------------------------------------------------------


def exists(directory: str) -> bool:
    return os.access(directory, os.F_OK)


def busy(directory: str) -> bool:
    """Whether anything runs in it or below it; zombies do not. Raises OSError where that cannot be told."""
    events = _read(f"{directory}/cgroup.events")
    if events is not None:
        return b"populated 1" in events
    return any(True for _ in pids(directory))


def pids(directory: str) -> Iterator[int]:
    """The processes in it and below it; 0 for each that cannot be seen from here. Raises OSError."""
    for one in _tree(directory):
        for line in (_read(f"{one}/cgroup.procs") or b"").split():
            yield int(line)


def kill(directory: str) -> None:
    """SIGKILL everything in it, once: what is forked meanwhile may be missed where ``cgroup.kill`` is not, so ask
    (``busy``) and kill again. Raises OSError."""
    if not _write(f"{directory}/cgroup.kill", b"1"):
        _freeze(directory, frozen=True)
        try:
            send(directory, signal.SIGKILL)
        finally:
            _freeze(directory, frozen=False)  # of version 1: what is frozen does not even die


def send(directory: str, number: int) -> None:
    """Signal every process in it and below it: these very ones (pidfd_send_signal(2)), not others that have got their
    numbers since. Raises OSError."""
    there = [pid for pid in pids(directory) if pid > 0]
    for begin in range(0, len(there), _AT_ONCE):
        held = list(_hold(there[begin : begin + _AT_ONCE]))
        try:
            still = set(pids(directory))  # asked after they were held: so it is they who are in it
            for pid, descriptor in held:
                if pid in still:
                    with contextlib.suppress(ProcessLookupError, PermissionError):
                        signal.pidfd_send_signal(descriptor, number)
        finally:
            for _, descriptor in held:
                os.close(descriptor)


def make(directory: str) -> None:
    """It may be there already. Raises OSError."""
    with contextlib.suppress(FileExistsError):
        os.mkdir(directory, 0o755)  # noqa: PTH102 (pathlib costs the helper 10 ms of its start)


def remove(directory: str) -> bool:
    """Whether it is gone now, with the groups that it had below it: not while anything runs in one. Raises nothing."""
    try:
        for one in reversed(list(_tree(directory))):
            os.rmdir(one)  # noqa: PTH106 (see above)
    except OSError as error:
        return error.errno in _GONE
    return True


def _tree(directory: str) -> Iterator[str]:
    """It and the groups below it, from the top down."""
    yield directory
    try:
        with os.scandir(directory) as entries:
            below = [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError as error:
        if error.errno in _GONE:
            return
        raise
    for one in below:
        yield from _tree(one)


def _hold(numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
    for pid in numbers:
        with contextlib.suppress(ProcessLookupError):
            yield pid, os.pidfd_open(pid)


def _freeze(directory: str, *, frozen: bool) -> None:
    """Where it can be done; not waited for."""
    with contextlib.suppress(OSError):
        if not _write(f"{directory}/cgroup.freeze", b"1" if frozen else b"0"):
            _write(f"{directory}/freezer.state", b"FROZEN" if frozen else b"THAWED")


def _read(path: str) -> bytes | None:
    """None where there is no such file; nothing where it does not apply (a threaded group has no list of processes:
    they are in that of the group above it)."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in _GONE:
            return None
        raise
    try:
        data = piece = os.read(descriptor, _READ_BYTES)
        while piece:
            piece = os.read(descriptor, _READ_BYTES)
            data += piece
    except OSError as error:
        if error.errno == errno.EOPNOTSUPP:
            return b""
        if error.errno in _GONE:
            return None
        raise
    finally:
        os.close(descriptor)
    return data


def _write(path: str, data: bytes) -> bool:
    """False where there is no such file. Raises OSError."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(descriptor, data)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno in _GONE:
            return False
        raise
    return True
