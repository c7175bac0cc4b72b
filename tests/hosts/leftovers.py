"""The names of what a lab makes on the machine, and the removal of what a dead one left behind.

Everything that a lab makes lives in network namespaces and a directory whose names carry the pid and the start time of
the process that made them (with both, a pid that is used anew is told from the old one). Hosts die with that process by
themselves; what stays after a SIGKILL of it are the names, and ``sweep`` removes those.
"""

import os
import re
import shutil
import signal
import tempfile
from contextlib import suppress
from pathlib import Path

from failoverd import procfs
from tests.hosts.commands import NETNS, LabFailed, run

STEM = "failoverd-lab"
SHM = Path("/dev/shm")
SHM_FREE_MIN = 2 << 30
"""An etcd member preallocates 62 MB of log, and a lab has several."""


def prefix(number: int) -> str:
    """Of the names of this process's lab of that number."""
    mine = procfs.stat(os.getpid())
    assert mine is not None
    return f"{STEM}-{mine.pid}.{mine.start_ticks}.{number}"


def base_directory() -> Path:
    """Where labs have their directories: in memory where there is room, so that a host's "disk" is never the thing
    that a test waits for."""
    if SHM.is_dir():
        room = os.statvfs(SHM)
        if room.f_bavail * room.f_frsize >= SHM_FREE_MIN:
            return SHM
    return Path(tempfile.gettempdir())


def sweep() -> list[str]:
    """Remove what labs of dead processes left; returns the names of it."""
    names = [path.name for path in (NETNS.iterdir() if NETNS.is_dir() else ()) if orphaned(path.name)]
    for name in names:
        remove_namespace(name)
    for base in {SHM, Path(tempfile.gettempdir())}:
        for directory in base.glob(f"{STEM}-*"):
            if orphaned(directory.name):
                shutil.rmtree(directory, ignore_errors=True)
                names.append(str(directory))
    return names


def orphaned(name: str) -> bool:
    """Whether it is a lab's name and nobody lives who could have given it."""
    found = re.match(rf"{STEM}-(\d+)\.(\d+)\.", name)
    if found is None:
        return False
    maker = procfs.stat(int(found[1]))
    return maker is None or not maker.alive or maker.start_ticks != int(found[2])


def remove_namespace(name: str) -> None:
    """With whatever still runs in it: everything there was started by the lab of that name."""
    with suppress(LabFailed):
        for pid in run(["ip", "netns", "pids", name]).split():
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
    with suppress(LabFailed):
        run(["ip", "netns", "del", name])
