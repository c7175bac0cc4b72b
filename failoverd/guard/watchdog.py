"""The machine's watchdog: what resets it if neither daemon nor guard keeps the promise of the lease.

See Documentation/watchdog/watchdog-api.rst of the kernel. Once opened, the device resets the machine ``timeout_s``
seconds after it was last fed, unless it is closed with the magic character 'V' before. So the one rule here
(``Watchdog``) is: it is fed only where it would go off within the lease, ``now + timeout_s <= ends``. Then whatever is
online is gone with the machine by the time at which others may take over; and what the guard has taken down in time
costs no reset.
"""

import array
import contextlib
import fcntl
import os
from collections.abc import Callable
from typing import Any, Protocol

SETTIMEOUT = 0xC0045706
"""WDIOC_SETTIMEOUT, _IOWR('W', 6, int) of <linux/watchdog.h>."""
GETTIMEOUT = 0x80045707
_MAGIC = b"V"


class Device(Protocol):
    """The port: a watchdog, or in tests something that stands in for it. All methods raise OSError."""

    def open(self) -> int:
        """Begin to count; returns after how many seconds it goes off."""

    def feed(self) -> None: ...

    def close(self, *, stop: bool) -> None:
        """``stop``: count no longer; else it goes on counting, and goes off."""


class LinuxWatchdog:
    """/dev/watchdog. ``ioctl`` as ``fcntl.ioctl``."""

    def __init__(self, path: str, timeout_s: int, ioctl: Callable[[int, int, Any], object] = fcntl.ioctl) -> None:
        self._path, self._wanted_s, self._ioctl = path, timeout_s, ioctl
        self._descriptor = -1

    def open(self) -> int:
        self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            value = array.array("i", [self._wanted_s])
            self._ioctl(self._descriptor, SETTIMEOUT, value)
            value[0] = 0
            self._ioctl(self._descriptor, GETTIMEOUT, value)
        except OSError:
            self.close(stop=True)
            raise
        if not 0 < value[0] <= self._wanted_s:
            self.close(stop=True)
            raise OSError(f"it takes {value[0]} s for its time-out, {self._wanted_s} s were asked for")
        return int(value[0])

    def feed(self) -> None:
        os.write(self._descriptor, b"\0")

    def close(self, *, stop: bool) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        try:
            if stop:
                os.write(descriptor, _MAGIC)
        finally:
            os.close(descriptor)


class Watchdog:
    """When the device is opened, fed and stopped: as far as it is a decision. Without a device it does nothing."""

    def __init__(self, device: Device | None, timeout_s: int = 0, *, always: bool = False) -> None:
        """``always``: as long as there is a lease, whether anything is online or not."""
        self._device, self._timeout_s, self._always = device, timeout_s, always
        self._open = False
        self._counting = device is not None
        """It may be: a guard that was killed, or handed over to us, has left it so."""
        self.trouble = ""

    def renewed(self, now: float, ends: float, *, guarding: bool) -> None:
        """The lease, or what stands in for it, lasts until ``ends``. ``guarding``: something may be online."""
        if self._device is None:
            return
        needed = guarding or self._always
        if (needed or (self._counting and not self._open)) and now + self._timeout_s <= ends:
            self._feed()
        if not needed:
            self.stop()

    def refusal(self, now: float, ends: float | None) -> str | None:
        """Right before something may come online: None where the watchdog counts for it, else why it does not."""
        if self._device is None or self._open:
            return None
        if ends is None or now + self._timeout_s > ends:
            return "the lease ends before the watchdog would go off: once more with the next renewal"
        self._feed()
        return None if self._open else f"the watchdog cannot be used: {self.trouble}"

    def stop(self) -> None:
        """Nothing is online."""
        if self._device is not None and self._open:
            self._open = self._counting = False
            with contextlib.suppress(OSError):
                self._device.close(stop=True)

    def leave(self) -> None:
        """To a successor, or to its work: it goes on counting."""
        if self._device is not None and self._open:
            self._open = False
            with contextlib.suppress(OSError):
                self._device.close(stop=False)

    def _feed(self) -> None:
        assert self._device is not None  # noqa: S101 (all callers have asked)
        try:
            if self._open:
                self._device.feed()
            else:
                self._timeout_s = self._device.open()
                self._open = self._counting = True
            self.trouble = ""
        except OSError as error:
            self.trouble = error.strerror or str(error)


def watchdog_of(spec: str) -> Watchdog:
    """``path:timeout_s:always`` as the daemon passes it on (always: 0 or 1); empty: none."""
    if not spec:
        return Watchdog(None)
    path, timeout_s, always = spec.rsplit(":", 2)
    return Watchdog(LinuxWatchdog(path, int(timeout_s)), int(timeout_s), always=always == "1")
