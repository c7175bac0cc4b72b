"""``ready: {notify: true}``: the command says itself when it is ready, as it would to systemd (sd_notify(3))."""

import os
import secrets
import socket
import struct
from pathlib import Path
from types import TracebackType
from typing import Self

import anyio

VARIABLE = "NOTIFY_SOCKET"
_CREDENTIALS = struct.Struct("3i")
"""pid, uid, gid (unix(7))."""
_DATAGRAM_MAX = 4096


class Notifications:
    """A socket for what a component says; a context manager. Its name is nobody's to guess and in no directory, so
    that a command of another user can reach it. Entering raises OSError."""

    def __init__(self) -> None:
        self._name = f"failoverd/{secrets.token_hex(16)}"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        self.status = ""
        """What it said last of how it gets on."""

    def __enter__(self) -> Self:
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
            self._socket.bind(f"\0{self._name}")
        except OSError:
            self._socket.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    @property
    def address(self) -> str:
        """For its environment."""
        return f"@{self._name}"

    async def ready(self, main: int) -> None:
        """Return once the component says so: by a process of root or of the user that ``main`` runs as, which may have
        ended by now (systemd-notify(1)). The caller sets the deadline."""
        while True:
            await anyio.wait_readable(self._socket)
            try:
                data, ancillary, _, _ = self._socket.recvmsg(_DATAGRAM_MAX, socket.CMSG_SPACE(_CREDENTIALS.size))
            except BlockingIOError:
                continue
            if _sender(ancillary) in (0, _user_of(main)) and self._is_ready(data):
                return

    def _is_ready(self, data: bytes) -> bool:
        lines = data.decode("utf-8", "replace").splitlines()
        for line in lines:
            if line.startswith("STATUS="):
                self.status = line.removeprefix("STATUS=")
        return "READY=1" in lines


def _sender(ancillary: list[tuple[int, int, bytes]]) -> int | None:
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS and len(data) >= _CREDENTIALS.size:
            uid: int = _CREDENTIALS.unpack_from(data)[1]
            return uid
    return None


def _user_of(pid: int) -> int | None:
    try:
        return os.stat(Path("/proc") / str(pid)).st_uid  # noqa: PTH116 (of procfs: it waits for nobody)
    except OSError:
        return None
