"""The stream of changes: one HTTP answer without an end, opened anew from where it was whenever it breaks.

Everything is done in the task that iterates, so cancelling an iteration loses nothing: what has arrived stays buffered,
and a stream that was being opened is opened again, from the revision after the last one that was returned.
"""

from typing import Self

import aiohttp
import anyio

from failoverd.coordinators.etcd.client import EtcdClient, EtcdRefuses
from failoverd.coordinators.etcd.messages import (
    Malformed,
    Verdict,
    error_of,
    hinted,
    verdict,
    watch_create,
    watch_news,
)
from failoverd.errors import CoordinatorUnavailable
from failoverd.ports import Change

LINE_MAX_BYTES = 64 << 20
PAUSE_FIRST_S = 0.02
PAUSE_MAX_S = 0.5
LATE_READ_S = 0.05
"""What is left for reading when the iteration comes back after the idle time: what has arrived counts."""
REFUSALS_MAX = 2
"""A refused watch is tried once more with a new token."""


class EtcdWatch:
    def __init__(self, client: EtcdClient, prefix: bytes, strip: bytes, *, after: int, idle_s: float) -> None:
        """``strip`` is what the keys are told without. After ``idle_s`` without a message the stream is not believed
        in any more and opened anew, which also asks whether its member still answers."""
        self._client = client
        self._prefix, self._strip = prefix, strip
        self._after = after
        self._idle_s = idle_s
        self._response: aiohttp.ClientResponse | None = None
        self._url = ""
        self._buffer = bytearray()
        self._scanned = 0
        self._opened_at = self._heard_at = 0.0
        self._pause_s = 0.0
        self._refusals = 0

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> tuple[Change, ...]:
        while True:
            self._client.check_open()
            # Nothing is awaited between taking a line out of the buffer and returning its changes.
            line = self._line()
            if line is not None:
                changes = self._changes(line)
                if changes:
                    self._after = changes[-1].revision
                    self._client.confirmed(self._after)
                    return changes
            elif self._response is None:
                await self._open()
            else:
                await self._read(self._response)

    # --- the stream -------------------------------------------------------------------------------------------

    async def _open(self) -> None:
        await self._client.pause(self._pause_s)
        self._pause_s = min(max(2 * self._pause_s, PAUSE_FIRST_S), PAUSE_MAX_S)
        self._client.check_open()
        try:
            self._url, response = await self._client.stream(watch_create(self._prefix, self._after))
        except EtcdRefuses:
            raise
        except CoordinatorUnavailable:
            return  # closed, which is told next, or nobody answers, which passes
        self._response = response
        self._opened_at = self._heard_at = anyio.current_time()

    async def _read(self, response: aiohttp.ClientResponse) -> None:
        left_s = self._heard_at + self._idle_s - anyio.current_time()
        chunk = None
        try:
            with self._client.waiting_at_most(max(LATE_READ_S, left_s)):
                chunk = await response.content.readany()
        except (aiohttp.ClientError, OSError):
            chunk = b""
        if not chunk:
            # At its end, broken, or silent for too long: the next opening will tell whether its member still answers.
            self._client.doubt(self._url)
            self.close()
            return
        self._heard_at = anyio.current_time()
        self._buffer += chunk
        if response.status != 200:
            self._not_opened(*error_of(response.status, bytes(self._buffer)))
        elif len(self._buffer) > LINE_MAX_BYTES:
            raise CoordinatorUnavailable(f"etcd {self._url}: a change of more than {LINE_MAX_BYTES} bytes")

    def close(self) -> None:
        if self._response is not None:
            self._response.close()
            if anyio.current_time() - self._opened_at >= min(self._idle_s, PAUSE_MAX_S):
                self._well()
        self._response = None
        self._buffer.clear()
        self._scanned = 0

    # --- its messages -----------------------------------------------------------------------------------------

    def _line(self) -> bytes | None:
        end = self._buffer.find(b"\n", self._scanned)
        if end < 0:
            self._scanned = len(self._buffer)
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        self._scanned = 0
        return line

    def _changes(self, line: bytes) -> tuple[Change, ...]:
        try:
            news = watch_news(line, self._strip)
        except Malformed as error:
            raise CoordinatorUnavailable(f"etcd {self._url}: {error}") from error
        if news.compacted:
            self.close()
            raise CoordinatorUnavailable(
                f"etcd {self._url}: the changes since revision {self._after} are not kept any more (compacted)"
            )
        if news.ended is not None:
            self._not_opened(verdict(200, news.ended, None), news.ended)
            return ()
        if news.changes:
            self._well()
        return tuple(change for change in news.changes if change.revision > self._after)

    def _well(self) -> None:
        """The stream works: what was wrong before does not count any more."""
        self._pause_s, self._refusals = 0.0, 0

    def _not_opened(self, found: Verdict, why: str) -> None:
        """The member does not let us watch (any more). Raises where no other would either."""
        self.close()
        if found is Verdict.TOKEN or found is Verdict.REFUSED or "permission denied" in why:
            # Older members call a token that they do not know a lack of permission.
            self._refusals += 1
            self._client.renew_token()
            if self._refusals >= REFUSALS_MAX:
                raise CoordinatorUnavailable(f"etcd {self._url}: {hinted(why)}")
        else:
            self._client.failed(self._url)
