"""What a power cut does to the disks that a host has mounted.

All hosts are one kernel. When the processes of a host are killed, this kernel would write whatever they had left to be
written to their disks, and unmount them in good order, as no machine without power does. So before that, each ext4 file
system on a loop device of the host is shut down where it stands (EXT4_IOC_SHUTDOWN without a flush of its log, as
xfstests does it): from then on nothing reaches the disk any more, and what it needs is a recovery.

What had reached the disk stays, also where nobody had asked the disk to flush it: it is a disk that keeps its own cache
(as a SAN's with a battery), not one that loses it.
"""

import fcntl
import os
import struct
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from failoverd.kernel.mounts import table
from tests.hosts.commands import LabFailed

EXT4_IOC_SHUTDOWN = 0x8004587D
"""_IOR('X', 125, __u32), fs/ext4/ext4.h"""
NO_LOG_FLUSH = 2
"""EXT4_GOING_FLAGS_NOLOGFLUSH"""
POLL_S = 0.002


@dataclass(frozen=True)
class Used:
    """A loop device, as it is bound now."""

    name: str
    number: str
    """Each binding of a disk has another (/sys/block/NAME/diskseq)."""

    @property
    def still(self) -> bool:
        block = Path("/sys/block") / self.name
        return (block / "loop/backing_file").exists() and (block / "diskseq").read_text() == self.number


def lose_what_is_not_written(init: int) -> list[Used]:
    """Of the host with that init (pid outside). Returns what of it the kernel still has in use."""
    used = []
    for mount in table(f"/proc/{init}/mountinfo"):
        if mount.fstype != "ext4" or not mount.source.startswith("/dev/loop"):
            continue
        with suppress(FileNotFoundError):  # unmounted meanwhile
            descriptor = os.open(f"/proc/{init}/root{mount.directory}", os.O_RDONLY | os.O_DIRECTORY)
            try:
                fcntl.ioctl(descriptor, EXT4_IOC_SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
            finally:
                os.close(descriptor)
            name = Path(mount.source).name
            used.append(Used(name, (Path("/sys/block") / name / "diskseq").read_text()))
    return used


def wait_released(used: list[Used], timeout_s: float) -> None:
    """Until the kernel has let go of them: it does so a little after the last process has ended. Raises
    ``LabFailed``."""
    deadline = time.monotonic() + timeout_s
    while any(one.still for one in used):
        if time.monotonic() > deadline:
            raise LabFailed(f"a dead host still uses {', '.join(one.name for one in used)}")
        time.sleep(POLL_S)
