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
        *,
        batches: bool = False,
    ) -> None:
        """``batches``: what is answered in one turn goes in one packet, a message a line, as the daemon's requests do.
        A successor, which may be of another version, gets each in a packet of its own."""
        self._loop = loop
        self._socket = connection
        self._heard, self._closed = heard, closed
        self._batches = batches
        self._outbox: deque[bytes] = deque()
        """Bounded by the requests, and for a successor by the wills."""
        self._serving = False
        self._waits_to_write = False
        self.open = True
        connection.setblocking(False)
        loop.watch(connection.fileno(), self.service)

    def send(self, message: Message) -> None:
        if self.open:
            self._outbox.append(encode(message))
            if not self._serving:
                self._flush()

    def service(self) -> None:
        """Handle what waits to be read, send what waits to be sent."""
        self._serving = True
        try:
            self._read()
        finally:
            self._serving = False
        self._flush()

    def _read(self) -> None:
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
                messages = [decode(line) for line in packet.split(b"\n")]
            except ValueError:
                self.close()
                return
            for message in messages:
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
            packet = self._next()
            try:
                self._socket.send(packet)
            except BlockingIOError:
                self._outbox.appendleft(packet)
                break
            except OSError:
                self.close()
                return
        waits = bool(self._outbox)
        if self.open and waits != self._waits_to_write:
            self._waits_to_write = waits
            self._loop.want_to_write(self._socket.fileno(), waits)

    def _next(self) -> bytes:
        """Taken from the outbox: a packet of one line, or of as many as are waiting and fit."""
        packet = self._outbox.popleft()
        while self._batches and self._outbox and len(packet) + len(self._outbox[0]) < PACKET_MAX:
            packet += b"\n" + self._outbox.popleft()
        return packet
