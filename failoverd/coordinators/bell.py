"""Tells the other processes on this machine that something changed: a datagram to each socket in a directory.

sqlite has no notification across processes. A datagram carries no news, it only says "look": so it may be lost,
repeated or forged without harm, and whoever listens also looks by itself now and then.
"""

import errno
import os
import socket
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

SUFFIX = ".sock"
LISTENERS_MAX = 256
"""How many sockets are told at most."""
DRAIN_MAX = 64
"""Datagrams taken at once; the rest wakes the loop again."""


class Bell:
    """``listen``, ``mend``, ``ring`` and ``close`` block for microseconds and belong to one thread."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._name = ""
        self._fd = -1
        self._sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sender.setblocking(False)

    def listen(self) -> socket.socket:
        """Make the socket that is woken by others, for the caller to close. Raises ``OSError``."""
        with suppress(FileExistsError):
            self._directory.mkdir(mode=0o700)
        self._forget()
        self._fd = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._name = f"{os.getpid()}-{uuid4().hex}{SUFFIX}"
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        listener.setblocking(False)
        try:
            listener.bind(self._address(self._name))
        except OSError:
            listener.close()
            raise
        return listener

    def mend(self) -> socket.socket | None:
        """A new socket where the old one is not to be found any more (someone tidied up), else None."""
        if (self._directory / self._name).exists():
            return None
        try:
            return self.listen()
        except OSError:
            # Nothing is lost but speed: the listener goes on looking by itself, and this is tried again.
            return None

    def ring(self) -> None:
        """Wake every other listener; never waits, never raises."""
        try:
            names = os.listdir(self._fd)  # noqa: PTH208 (by descriptor, which pathlib cannot)
        except OSError:
            return
        for name in names[:LISTENERS_MAX]:
            if name.endswith(SUFFIX) and name != self._name:
                self._send(name)

    def _send(self, name: str) -> None:
        try:
            self._sender.sendto(b"!", self._address(name))
        except OSError as error:
            # A full queue (EAGAIN) means that it will wake anyway; a refusal that its process is gone.
            if error.errno == errno.ECONNREFUSED:
                with suppress(OSError):
                    os.unlink(name, dir_fd=self._fd)

    def _address(self, name: str) -> str:
        """Through the directory's descriptor: a socket's path has 107 bytes at most (unix(7)), a directory's 4095."""
        return f"/proc/self/fd/{self._fd}/{name}"

    def _forget(self) -> None:
        if self._fd >= 0:
            with suppress(OSError):
                os.unlink(self._name, dir_fd=self._fd)
            os.close(self._fd)
            self._fd = -1

    def close(self) -> None:
        self._forget()
        self._sender.close()


def drain(listener: socket.socket) -> None:
    """Take what has arrived off a listener's queue."""
    for _ in range(DRAIN_MAX):
        try:
            listener.recv(16)
        except BlockingIOError:
            return
