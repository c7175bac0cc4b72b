"""What waits to be sent to one client: bounded, and what is lost is counted, but never the final document."""

from collections import deque
from typing import Any

import anyio

from failoverd.control.protocol import line

CHUNK_MAX = 1024 * 1024


class Outbox:
    """Filled by the handler, emptied by the sender; both in one event loop."""

    def __init__(self, *, lines_max: int, bytes_max: int) -> None:
        self._lines: deque[bytes] = deque()
        self._lines_max = lines_max
        self._bytes_max = bytes_max
        self._bytes = 0
        self._lost = 0
        self._final: bytes | None = None
        self._news = anyio.Event()

    def update(self, document: dict[str, Any]) -> None:
        """Queue an update; the oldest ones make room for it. Raises ``TypeError`` where it is no JSON."""
        data = line({"type": "update", "data": document})
        self._lines.append(data)
        self._bytes += len(data)
        while len(self._lines) > 1 and (len(self._lines) > self._lines_max or self._bytes > self._bytes_max):
            self._bytes -= len(self._lines.popleft())
            self._lost += 1
        self._news.set()

    def finish(self, final: bytes) -> None:
        """The final line goes out behind the updates that still wait."""
        self._final = final
        self._news.set()

    async def take(self) -> bytes:
        """Wait (for ever) for something to send; b"" once everything up to the final document was taken."""
        if not self._lines and self._final is None:
            self._news = anyio.Event()
            await self._news.wait()
        parts: list[bytes] = []
        if self._lost:
            parts.append(line({"type": "lost", "count": self._lost}))
            self._lost = 0
        size = 0
        while self._lines and size < CHUNK_MAX:
            parts.append(self._lines.popleft())
            size += len(parts[-1])
        self._bytes -= size
        if not self._lines and self._final:
            parts.append(self._final)
            self._final = b""
        return b"".join(parts)
