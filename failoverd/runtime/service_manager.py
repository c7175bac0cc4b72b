"""Talks to the service manager (sd_notify(3)): ready, reloading, stopping, watchdog."""

import os
import socket
from collections.abc import Mapping

USEC = 1_000_000


class ServiceManager:
    def __init__(self, environ: Mapping[str, str]) -> None:
        self._address = environ.get("NOTIFY_SOCKET", "")
        self._socket: socket.socket | None = None
        if self._address:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        self.watchdog_s = _watchdog(environ)
        """How often the watchdog wants to be fed at the least; None: there is none."""

    def tell(self, *lines: str) -> None:
        """Never waits and never raises: the service manager's troubles are not ours."""
        if self._socket is None:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            self._socket.sendto("\n".join(lines).encode(), address)
        except OSError:
            return

    def ready(self, status: str) -> None:
        self.tell("READY=1", f"STATUS={status}")

    def reloading(self, now: float) -> None:
        self.tell("RELOADING=1", f"MONOTONIC_USEC={int(now * USEC)}")

    def stopping(self) -> None:
        self.tell("STOPPING=1")

    def alive(self) -> None:
        self.tell("WATCHDOG=1")


def _watchdog(environ: Mapping[str, str]) -> float | None:
    """Half of ``WATCHDOG_USEC``, as sd_watchdog_enabled(3) advises, where it is meant for this process."""
    usec, pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", str(os.getpid()))
    return int(usec) / USEC / 2 if usec.isdecimal() and int(usec) > 0 and pid == str(os.getpid()) else None
