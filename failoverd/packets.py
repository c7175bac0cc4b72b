"""Packets to and from a helper process over SOCK_SEQPACKET (unix(7)), in the event loop.

What is said to it in one turn of the loop goes in one packet, a message a line: waking another process is most of what
a packet costs, and it may come before us on our own processor (a guard has real-time priority).
"""

import asyncio
import os
import socket
from collections import deque
from collections.abc import Callable, Iterable, Iterator


class Packets:
    """Our end of the socket. ``heard`` gets each packet, ``closed`` once what ended it: the text of an error, or
    nothing where the other end was closed; both are called in the event loop, and may hang up."""

    def __init__(
        self,
        ours: socket.socket,
        loop: asyncio.AbstractEventLoop,
        *,
        packet_max: int,
        per_turn: int,
        heard: Callable[[bytes], None],
        closed: Callable[[str], None],
    ) -> None:
        """``per_turn``: so many packets are read before the event loop gets its turn."""
        self._socket = ours
        self._loop = loop
        self._packet_max, self._per_turn = packet_max, per_turn
        self._heard, self._closed = heard, closed
        self._said: list[bytes] = []
        """In this turn."""
        self._outbox: deque[bytes] = deque()
        """Bounded by who sends: each has so many requests in flight at the most."""
        self._open = True
        loop.add_reader(ours.fileno(), self._receive)

    def send(self, message: bytes) -> None:
        """With all else that is said in this turn, or as soon as there is room. ``message`` has no newline, and is not
        longer than a packet. To an end that is gone: not at all (``closed`` is called for that)."""
        if self._open:
            if not self._said:
                self._loop.call_soon(self._speak)
            self._said.append(message)

    def _speak(self) -> None:
        said, self._said = self._said, []
        for packet in together(said, self._packet_max):
            if self._outbox or not self._sent(packet):
                self._outbox.append(packet)
                if len(self._outbox) == 1:
                    self._loop.add_writer(self._socket.fileno(), self._flush)

    def hang_up(self) -> None:
        if self._open:
            self._speak()
            self._open = False
            self._outbox.clear()
            self._loop.remove_reader(self._socket.fileno())
            self._loop.remove_writer(self._socket.fileno())
            self._socket.close()

    def _sent(self, packet: bytes) -> bool:
        """Whether that is dealt with."""
        try:
            self._socket.send(packet)
        except BlockingIOError:
            return False
        except OSError:
            return True  # the other end is gone: reading tells
        return True

    def _flush(self) -> None:
        while self._outbox:
            if not self._sent(self._outbox[0]):
                return
            self._outbox.popleft()
        self._loop.remove_writer(self._socket.fileno())

    def _receive(self) -> None:
        for _ in range(self._per_turn):
            if not self._open:
                return
            try:
                packet = self._socket.recv(self._packet_max)
            except BlockingIOError:
                return
            except OSError as error:
                self._end(os.strerror(error.errno or 0))
                return
            if not packet:
                self._end("")
                return
            self._heard(packet)

    def _end(self, reason: str) -> None:
        self.hang_up()
        self._closed(reason)


def together(messages: Iterable[bytes], packet_max: int) -> Iterator[bytes]:
    """As few packets of lines as hold them all, in their order."""
    lines: list[bytes] = []
    size = 0
    for message in messages:
        if lines and size + len(message) >= packet_max:
            yield b"\n".join(lines)
            lines, size = [], 0
        lines.append(message)
        size += len(message) + 1
    if lines:
        yield b"\n".join(lines)
