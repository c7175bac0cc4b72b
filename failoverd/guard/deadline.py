"""The guard's deadline where it outlives the guard: ``<run_dir>/guard.deadline``.

Daemon and guard may both be killed while something is online. Whoever comes next must know by when that has to be
down, although the coordinator, who could tell, may be out of reach. The file is mapped and locked in memory: writing it
asks nothing of a disk. It counts for the boot that it was written in.
"""

import mmap
import os
import struct
import zlib

from failoverd import procfs
from failoverd.guard.protocol import DEADLINE_NAME

_SLOT = struct.Struct("<Q40sddI")
"""A number that grows, the boot's id, ``fires_at``, ``ends``, and the checksum of all that."""
_SLOTS = 2
"""The one that is not being written is whole, whenever we are killed."""
_SIZE = 4096


class Deadline:
    def __init__(self, directory: str) -> None:
        """Raises OSError."""
        path = f"{directory}/{DEADLINE_NAME}"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            os.ftruncate(descriptor, _SIZE)
            self._memory = mmap.mmap(descriptor, _SIZE)
        finally:
            os.close(descriptor)
        self._boot = procfs.boot_id().encode()[:40]
        self._number = max((number for number, _, _, _ in self._slots()), default=0)

    def read(self) -> tuple[float, float] | None:
        """``fires_at`` and ``ends`` as they were left in this boot; None: nothing was left that had to go down."""
        _, boot, fires_at, ends = max(self._slots(), default=(0, b"", 0.0, 0.0))
        return (fires_at, ends) if boot == self._boot and ends > 0 else None

    def write(self, fires_at: float, ends: float) -> None:
        self._number += 1
        fields = struct.pack("<Q40sdd", self._number, self._boot, fires_at, ends)
        offset = (self._number % _SLOTS) * _SLOT.size
        self._memory[offset : offset + _SLOT.size] = fields + struct.pack("<I", zlib.crc32(fields))

    def clear(self) -> None:
        """Nothing has to go down any more."""
        self.write(0.0, 0.0)

    def _slots(self) -> list[tuple[int, bytes, float, float]]:
        found = []
        for index in range(_SLOTS):
            data = self._memory[index * _SLOT.size : (index + 1) * _SLOT.size]
            number, boot, fires_at, ends, checksum = _SLOT.unpack(data)
            if number and checksum == zlib.crc32(data[:-4]):
                found.append((number, boot.rstrip(b"\0"), fires_at, ends))
        return found
