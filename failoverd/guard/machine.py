"""What the guard asks of the kernel: a timer that counts suspended time, a processor at once, memory that stays."""

import contextlib
import ctypes
import os
import struct
import time

_CLOCK_BOOTTIME = 7
_TFD_NONBLOCK = os.O_NONBLOCK
_TFD_CLOEXEC = os.O_CLOEXEC
_TFD_TIMER_ABSTIME = 1
_MCL_CURRENT = 1
_MCL_FUTURE = 2
_PRIORITY = 10
_ITIMERSPEC = struct.Struct("@qqqq")
_RB_AUTOBOOT = 0x01234567
_FIRST_PID_NAMESPACE = 0xEFFFFFFC
"""Its inode, the same on every machine (<linux/proc_ns.h>)."""


def now() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Kernel:
    """C library calls that Python does not have."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)

    def lock_memory(self) -> bool:
        """mlockall(2): nothing of us has to be read from a disk that may be gone. Whether it was permitted."""
        return int(self._libc.mlockall(_MCL_CURRENT | _MCL_FUTURE)) == 0

    def timer(self) -> "Timer":
        return Timer(self._libc)

    def reset_machine(self) -> None:
        """At once, without a goodbye to anything: ``action: reboot``. Returns only where it is not permitted.

        In a container reboot(2) ends that container; /proc/sysrq-trigger would reset the machine around it, so it is
        used only outside of any.
        """
        if os.stat("/proc/self/ns/pid").st_ino == _FIRST_PID_NAMESPACE:  # noqa: PTH116 (pathlib costs 10 ms of the start)
            with contextlib.suppress(OSError), open("/proc/sysrq-trigger", "w", encoding="ascii") as file:  # noqa: PTH123 (likewise)
                file.write("b")
        self._libc.reboot(_RB_AUTOBOOT)


class Timer:
    """timerfd_create(2) on CLOCK_BOOTTIME: after a suspension it goes off at once."""

    def __init__(self, libc: ctypes.CDLL) -> None:
        self._settime = libc.timerfd_settime
        self.descriptor = int(libc.timerfd_create(_CLOCK_BOOTTIME, _TFD_NONBLOCK | _TFD_CLOEXEC))
        if self.descriptor < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
        self._set_to: float | None = None

    def set(self, at: float | None) -> None:
        """Go off at ``at`` (None: never); in the past: at once."""
        if at == self._set_to:
            return
        self._set_to = at
        nanoseconds = 0 if at is None else max(1, int(at * 1e9))
        spec = _ITIMERSPEC.pack(0, 0, nanoseconds // 1_000_000_000, nanoseconds % 1_000_000_000)
        self._settime(self.descriptor, _TFD_TIMER_ABSTIME, ctypes.create_string_buffer(spec, len(spec)), None)

    def clear(self) -> None:
        """After it has gone off."""
        self._set_to = None
        with contextlib.suppress(BlockingIOError):
            os.read(self.descriptor, 8)


def take_priority() -> bool:
    """SCHED_RR, not passed on to children (sched(7)). Whether it was permitted."""
    try:
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(_PRIORITY))
    except OSError:
        return False
    return True


def resist_out_of_memory() -> None:
    """Where it is permitted; children give it back (``be_ordinary``)."""
    _score("-1000")


def be_ordinary() -> None:
    """In a child: no protection from the kernel's out-of-memory killer that we may have."""
    with contextlib.suppress(OSError, ValueError), open("/proc/self/oom_score_adj", encoding="ascii") as file:  # noqa: PTH123 (pathlib costs 10 ms of the start)
        if int(file.read()) >= 0:
            return
    _score("0")


def _score(value: str) -> None:
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:  # noqa: PTH123 (likewise)
        file.write(value)
