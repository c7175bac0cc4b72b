"""Who keeps a mount busy: found without touching its file system, so that a dead one hangs nobody.

Reading what a process has mapped waits for that process's memory: not for the event loop.
"""

import contextlib
import os
import signal
from typing import NamedTuple

from failoverd import procfs
from failoverd.kernel.mounts import Mount, below, of_path

_LINKS = ("cwd", "root", "exe")
_DELETED = " (deleted)"


class Holder(NamedTuple):
    pid: int
    start_ticks: int
    name: str
    how: str
    """``cwd``, ``root``, ``exe``, ``fd 7`` or ``mapped``."""

    def __str__(self) -> str:
        return f"{self.name} (pid {self.pid}, {self.how})"

    @property
    def alive(self) -> bool:
        there = procfs.stat(self.pid)
        return there is not None and there.start_ticks == self.start_ticks and there.alive

    def send(self, number: int) -> None:
        """Signal this very process (pidfd_send_signal(2)), not another that has got its number since."""
        with contextlib.suppress(OSError):
            descriptor = os.pidfd_open(self.pid)
            try:
                if self.alive:
                    signal.pidfd_send_signal(descriptor, number)
            finally:
                os.close(descriptor)


def holders(mount: Mount, mounts: list[Mount]) -> list[Holder]:
    """The processes that hold it, but for ourselves and the first process of the machine."""
    spared = (1, os.getpid())
    namespace = _link("/proc/self/ns/mnt")
    found = []
    for pid in procfs.pids():
        if pid in spared:
            continue
        how = _how(pid, mount, mounts, same=_link(f"/proc/{pid}/ns/mnt") == namespace)
        there = procfs.stat(pid) if how else None
        if there is not None and there.alive:
            found.append(Holder(pid, there.start_ticks, _name(pid), how))
    return found


def obstacles(mount: Mount, mounts: list[Mount]) -> list[str]:
    """What else keeps it: other mounts, loop devices and swap space in its files."""
    found = [f"{one.fstype} is mounted on {one.directory}" for one in below(mount, mounts)]
    inside = mount.directory.rstrip("/") + "/"
    for name in _names("/sys/block"):
        backing = _text(f"/sys/block/{name}/loop/backing_file").strip() if name.startswith("loop") else ""
        if backing.startswith(inside):
            found.append(f"/dev/{name} is bound to {backing}")
    swaps = [line.split()[0] for line in _text("/proc/swaps").splitlines()[1:]]
    return found + [f"swap space in {path}" for path in swaps if path.startswith(inside)]


def foreign_users(mount: Mount) -> list[str]:
    """Processes in other mount namespaces that have its device mounted: one for each such namespace."""
    seen = {_link("/proc/self/ns/mnt")}
    found = []
    for pid in procfs.pids():
        namespace = _link(f"/proc/{pid}/ns/mnt")
        if not namespace or namespace in seen:
            continue
        seen.add(namespace)
        if any(line.split(" ")[2:3] == [mount.device] for line in _text(f"/proc/{pid}/mountinfo").splitlines()):
            found.append(f"{_name(pid)} (pid {pid})")
    return found


def _how(pid: int, mount: Mount, mounts: list[Mount], *, same: bool) -> str:
    for name in _LINKS if same else ():
        if _on(_link(f"/proc/{pid}/{name}"), mount, mounts):
            return name
    for number in _names(f"/proc/{pid}/fd"):
        if _inside(_link(f"/proc/{pid}/fd/{number}"), mount) and _mount_id(pid, number) == mount.number:
            return f"fd {number}"
    if same and any(_on(path, mount, mounts) for path in _mapped(pid, mount.device)):
        return "mapped"
    return ""


def _on(path: str, mount: Mount, mounts: list[Mount]) -> bool:
    if not _inside(path, mount):
        return False
    there = of_path(path.removesuffix(_DELETED), mounts)
    return there is not None and there.number == mount.number


def _inside(path: str, mount: Mount) -> bool:
    path = path.removesuffix(_DELETED)
    return path == mount.directory or path.startswith(mount.directory.rstrip("/") + "/")


def _mapped(pid: int, device: str) -> set[str]:
    major, _, minor = device.partition(":")
    wanted = f"{int(major):02x}:{int(minor):02x}"
    lines = (line.split(maxsplit=5) for line in _text(f"/proc/{pid}/maps").splitlines())
    return {fields[5] for fields in lines if len(fields) == 6 and fields[3] == wanted}


def _mount_id(pid: int, number: str) -> int:
    for line in _text(f"/proc/{pid}/fdinfo/{number}").splitlines():
        if line.startswith("mnt_id:"):
            return int(line[7:])
    return -1


def _name(pid: int) -> str:
    return _text(f"/proc/{pid}/comm").strip() or "?"


def _names(directory: str) -> list[str]:
    try:
        return os.listdir(directory)  # noqa: PTH208 (the guard uses this: pathlib costs 10 ms of its start)
    except OSError:
        return []


def _link(path: str) -> str:
    try:
        return os.readlink(path)  # noqa: PTH115 (likewise)
    except OSError:
        return ""


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:  # noqa: PTH123 (likewise)
            return file.read()
    except OSError:
        return ""
