"""One client's socket, for anyio: the few operations that the server needs, on a non-blocking socket."""

import socket

import anyio

CHUNK = 64 * 1024


class Gone(Exception):  # noqa: N818 (what has happened, rather than an error)
    """The other end has closed or reset the connection."""


class Connection:
    """One task may receive while another sends."""

    def __init__(self, raw: socket.socket) -> None:
        raw.setblocking(False)
        self.raw = raw

    async def receive(self, size: int = CHUNK) -> bytes:
        """Wait (for ever) for bytes; b"" at the end of file. Raises ``Gone``."""
        while True:
            await anyio.wait_readable(self.raw)
            try:
                return self.raw.recv(size)
            except BlockingIOError:
                continue
            except OSError as error:
                raise Gone from error

    async def send(self, data: bytes) -> None:
        """Wait (for ever) until all of it is with the kernel. Raises ``Gone``."""
        view = memoryview(data)
        while view:
            try:
                view = view[self.raw.send(view) :]
            except BlockingIOError:
                await anyio.wait_writable(self.raw)
            except OSError as error:
                raise Gone from error

    def close(self) -> None:
        self.raw.close()


async def accept(listener: socket.socket) -> Connection:
    """Wait (for ever) for a client. Raises ``OSError`` where the process or the machine is short of something."""
    while True:
        await anyio.wait_readable(listener)
        try:
            raw, _ = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            continue
        return Connection(raw)
