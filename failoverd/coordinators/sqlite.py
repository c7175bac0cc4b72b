"""``ports.Coordinator`` over one sqlite file that the daemons of one machine share.

Everything that may block runs in a thread of its own (``worker``), every call has a deadline. Watching: a commit wakes
the watchers of its own process directly and those of others by a datagram (``bell``); they then read what is newer
than what they have, so nothing is missed, doubled or out of order whatever becomes of the datagrams. As a safety net
(a process killed between its commit and its datagram) each watcher also looks every ``poll_s``.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Self

import anyio

from failoverd.coordinators.bell import Bell, drain
from failoverd.coordinators.requests import check_commit
from failoverd.coordinators.sqlite_store import HistoryLost, SqliteStore
from failoverd.coordinators.worker import Worker
from failoverd.errors import CoordinatorUnavailable, StartupError
from failoverd.ports import Change, Clock, Commit, Delete, Entry, Expect, Listing, Put

OPEN_TIMEOUT_S = 5.0
"""At the beginning a lock may be waited for longer than within a request."""
POLL_S = 0.5
"""Only what no datagram told of waits for it; it is what idleness costs."""
TOMBSTONES_MAX = 1024


Ask = Callable[[int], Awaitable[tuple[int, tuple[Change, ...]]]]
"""What is newer than a revision, and the revision to go on from."""


class SqliteCoordinator:
    """Made by ``open``; belongs to the event loop that it was opened in."""

    def __init__(
        self,
        path: Path,
        *,
        request_timeout_s: float,
        clock: Clock,
        poll_s: float = POLL_S,
        tombstones_max: int = TOMBSTONES_MAX,
    ) -> None:
        self._path = path.absolute()
        self._store = SqliteStore(self._path, tombstones_max=tombstones_max, clock=clock)
        self._worker = Worker(str(self._path), clock)
        self._timeout_s = request_timeout_s
        self._poll_s = poll_s
        self._bell = Bell(self._path.with_name(f"{path.name}.watchers"))
        self._listener: socket.socket | None = None
        self._watches: set[_Watch] = set()
        self._closed = False

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        request_timeout_s: float,
        clock: Clock,
        open_timeout_s: float = OPEN_TIMEOUT_S,
        poll_s: float = POLL_S,
        tombstones_max: int = TOMBSTONES_MAX,
    ) -> Self:
        """Open the file, which is created where there is none. Raises ``StartupError`` where it cannot be used."""
        coordinator = cls(
            path, request_timeout_s=request_timeout_s, poll_s=poll_s, tombstones_max=tombstones_max, clock=clock
        )
        try:
            await coordinator._begin(open_timeout_s)
        except CoordinatorUnavailable as error:
            raise StartupError(f"coordinator.path: {error}") from error
        finally:
            if coordinator._listener is None:
                await coordinator.aclose()
        return coordinator

    async def _begin(self, timeout_s: float) -> None:
        await self._worker.call(self._store.open, timeout_s)
        try:
            self._listen(self._bell.listen())
        except OSError as error:
            raise StartupError(f"coordinator.path: cannot listen in {self._path}.watchers: {error}") from error

    # --- requests ---------------------------------------------------------------------------------------------

    async def read(self, key: str) -> Entry | None:
        return await self._worker.call(partial(self._store.read, key), self._timeout_s)

    async def list(self, prefix: str) -> Listing:
        return await self._worker.call(partial(self._store.list, prefix), self._timeout_s)

    async def commit(self, expects: Sequence[Expect], writes: Sequence[Put | Delete]) -> Commit:
        check_commit(expects, writes)
        commit = None
        try:
            commit = await self._worker.call(partial(self._commit, tuple(expects), tuple(writes)), self._timeout_s)
        finally:
            if commit is None:
                # No answer: it may have been applied.
                self._wake()
        if commit.ok:
            for watch in self._watches:
                watch.committed(commit.revision, writes)
        return commit

    def _commit(self, expects: Sequence[Expect], writes: Sequence[Put | Delete], deadline: float) -> Commit:
        """In the thread."""
        commit = self._store.commit(expects, writes, deadline)
        if commit.ok:
            self._bell.ring()
        return commit

    # --- watching ---------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def watch(self, prefix: str, after: int) -> AsyncIterator[AsyncIterator[tuple[Change, ...]]]:
        watch = _Watch(partial(self._news, prefix), self._mend, prefix=prefix, after=after, poll_s=self._poll_s)
        self._watches.add(watch)
        try:
            yield watch
        finally:
            self._watches.discard(watch)

    async def _news(self, prefix: str, after: int) -> tuple[int, tuple[Change, ...]]:
        """Waits out an outage: nothing is lost meanwhile."""
        while True:
            try:
                news = await self._worker.call(partial(self._store.changes, prefix, after), self._timeout_s)
            except HistoryLost:
                raise
            except CoordinatorUnavailable:
                if self._closed:
                    raise
                await anyio.sleep(self._poll_s)
            else:
                return news.revision, news.changes

    def _wake(self) -> None:
        for watch in self._watches:
            watch.wake()

    def _listen(self, listener: socket.socket) -> None:
        self._forget_listener()
        self._listener = listener
        asyncio.get_running_loop().add_reader(listener.fileno(), self._heard, listener)

    def _heard(self, listener: socket.socket) -> None:
        drain(listener)
        self._wake()

    async def _mend(self) -> None:
        """After a while in which nobody woke us: can anybody?"""
        try:
            listener = await self._worker.call(lambda _: self._bell.mend(), self._timeout_s)
        except CoordinatorUnavailable:
            return
        if listener is not None:
            self._listen(listener)

    def _forget_listener(self) -> None:
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener.fileno())
            self._listener.close()
            self._listener = None

    # --- the end ----------------------------------------------------------------------------------------------

    async def aclose(self) -> None:
        """Give up the connection, waiting for it at most as long as for a request; ends the watches with an error."""
        self._closed = True
        self._forget_listener()
        self._wake()
        await self._worker.close(self._end, self._timeout_s)

    def _end(self, deadline: float) -> None:
        """In the thread, as its last call."""
        self._bell.close()
        self._store.close(deadline)


class _Watch:
    """One watch. ``news`` is set when there may be something newer."""

    def __init__(
        self, ask: Ask, mend: Callable[[], Awaitable[None]], *, prefix: str, after: int, poll_s: float
    ) -> None:
        self._woken = anyio.Event()
        self._stale = True
        """There may be something newer than ``_after``."""
        self._ask = ask
        self._mend = mend
        self._prefix = prefix
        self._after = after
        """Up to which revision everything was returned, or waits in ``_ready``."""
        self._ready: tuple[Change, ...] = ()
        self._asking = False
        self._poll_s = poll_s

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> tuple[Change, ...]:
        while True:
            if self._ready:
                # Nothing is awaited from here on: a batch is either returned or still here.
                changes, self._ready = self._ready, ()
                return changes
            if self._stale:
                await self._look()
                continue
            self._woken = anyio.Event()
            with anyio.move_on_after(self._poll_s):
                await self._woken.wait()
                continue
            # Nobody woke us for a while: look anyway, and make sure that one could have.
            await self._mend()
            self._stale = True

    async def _look(self) -> None:
        # Before asking: what comes while we ask must be asked for afterwards.
        self._stale = False
        asked = None
        self._asking = True
        try:
            asked = await self._ask(self._after)
        finally:
            self._asking = False
            if asked is None:
                # Cancelled, perhaps with the answer on its way: it must be asked for again.
                self._stale = True
        revision, self._ready = asked
        self._after = max(self._after, revision)

    def wake(self) -> None:
        """There may be something newer."""
        self._stale = True
        self._woken.set()

    def committed(self, revision: int, writes: Sequence[Put | Delete]) -> None:
        """Our own process has committed this. Where it is the very next revision there is no need to read it back,
        which halves what a renewal costs; a deletion may have been of nothing, so that is read."""
        if revision <= self._after:
            return
        puts = [write for write in writes if isinstance(write, Put)]
        follows = revision == self._after + 1 and len(puts) == len(writes)
        if follows and not self._asking and not self._ready:
            self._after = revision
            found = [Change(put.key, put.value, revision) for put in puts if put.key.startswith(self._prefix)]
            self._ready = tuple(sorted(found, key=lambda change: change.key))
        else:
            self._stale = True
        self._woken.set()
