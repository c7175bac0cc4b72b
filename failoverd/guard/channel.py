"""One SOCK_SEQPACKET connection of the guard: never blocks on a peer that does not read, nor trusts what it says."""

import socket
from collections import deque
from collections.abc import Callable

from failoverd.guard.loop import Loop
from failoverd.guard.protocol import PACKET_MAX, Message, decode, encode

_PACKETS_PER_TURN = 4096
"""Everything that waits is read before the deadline is judged: a renewal may be among it."""


class Channel:
    def __init__(
        self,
        loop: Loop,
        connection: socket.socket,
        heard: Callable[["Channel", Message], None],
        closed: Callable[["Channel"], None],
    ) -> None:
        self._loop = loop
        self._socket = connection
        self._heard, self._closed = heard, closed
        self._outbox: deque[bytes] = deque()
        """Bounded by the requests, and for a successor by the wills."""
        self.open = True
        connection.setblocking(False)
        loop.watch(connection.fileno(), self.service)

    def send(self, message: Message) -> None:
        if self.open:
            self._outbox.append(encode(message))
            if len(self._outbox) == 1:
                self._flush()
                if self.open and self._outbox:
                    self._loop.want_to_write(self._socket.fileno(), True)

    def service(self) -> None:
        """Send what waits to be sent, handle what waits to be read."""
        if self._outbox:
            self._flush()
            if self.open and not self._outbox:
                self._loop.want_to_write(self._socket.fileno(), False)
        for _ in range(_PACKETS_PER_TURN):
            if not self.open:
                return
            try:
                packet = self._socket.recv(PACKET_MAX)
            except BlockingIOError:
                return
            except OSError:
                packet = b""
            if not packet:
                self.close()
                return
            try:
                message = decode(packet)
            except ValueError:
                self.close()
                return
            self._heard(self, message)

    def close(self) -> None:
        if self.open:
            self.open = False
            self._outbox.clear()
            self._loop.unwatch(self._socket.fileno())
            self._socket.close()
            self._closed(self)

    def _flush(self) -> None:
        while self._outbox:
            try:
                self._socket.send(self._outbox[0])
            except BlockingIOError:
                return
            except OSError:
                self.close()
                return
            self._outbox.popleft()
