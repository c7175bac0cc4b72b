"""What /proc says about processes (proc(5)). Imports next to nothing: the spawner's helper uses it too."""

import os
from typing import NamedTuple

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_ENVIRON_MAX = 4 << 20


class Stat(NamedTuple):
    """A line of /proc/PID/stat, as far as it is used here."""

    pid: int
    state: str
    ppid: int
    pgid: int
    sid: int
    start_ticks: int
    """Clock ticks (``TICKS_PER_S``) from boot to the process's start: with the pid, its identity."""

    @property
    def alive(self) -> bool:
        """A zombie has ended: it runs nothing and holds nothing."""
        return self.state not in "ZXx"


def boot_id() -> str:
    """Differs after each boot (random(4)); empty where /proc does not tell."""
    return _read("/proc/sys/kernel/random/boot_id", 64).decode("ascii", "replace").strip()


def stat(pid: int) -> Stat | None:
    """None where there is no such process."""
    line = _read(f"/proc/{pid}/stat", 4096)
    # The name, in parentheses, may hold anything, so the fields are counted from its end.
    fields = line[line.rfind(b")") + 2 :].split()
    if len(fields) < 20:
        return None
    return Stat(
        pid=pid,
        state=fields[0].decode("ascii", "replace"),
        ppid=int(fields[1]),
        pgid=int(fields[2]),
        sid=int(fields[3]),
        start_ticks=int(fields[19]),
    )


def environ(pid: int) -> bytes:
    """``NAME=value`` items, each ended by NUL; empty where there is no such process or we may not look."""
    return _read(f"/proc/{pid}/environ", _ENVIRON_MAX)


def pids() -> list[int]:
    """All processes that /proc shows us, in ascending order."""
    return sorted(int(name) for name in os.listdir("/proc") if name.isdecimal())  # noqa: PTH208 (pathlib costs 10 ms)


def _read(path: str, limit: int) -> bytes:
    """Up to ``limit`` bytes; nothing where the process is gone or another user's."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        data = piece = os.read(descriptor, min(limit, 65536))
        while piece and len(data) < limit and len(piece) >= 4096:
            piece = os.read(descriptor, 65536)
            data += piece
    except OSError:
        return b""
    else:
        return data
    finally:
        os.close(descriptor)
