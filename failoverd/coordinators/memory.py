"""A coordinator within one process, for tests and simulations: deterministic, without threads, with faults on demand.

``MemoryStore`` is the truth, each ``MemoryCoordinator`` one client of it. A ``Faults`` object decides what becomes of
each request. All time is the event loop's, so on a virtual loop it passes as fast as the test runs.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from heapq import heappop, heappush
from math import inf
from typing import Never, Protocol, Self, TypeVar

import anyio
import anyio.lowlevel

from failoverd.coordinators.requests import check_commit
from failoverd.errors import CoordinatorUnavailable
from failoverd.ports import Change, Commit, Delete, Entry, Expect, Listing, Put

T = TypeVar("T")

RETRY_S = 0.05
"""How often a watch tries again while its client cannot reach the store."""


class Operation(StrEnum):
    READ = "read"
    LIST = "list"
    COMMIT = "commit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What becomes of one request. A request may still be carried out after its sender has given up, as real ones."""

    request_delay_s: float = 0.0
    reply_delay_s: float = 0.0
    request_lost: bool = False
    reply_lost: bool = False


class Faults(Protocol):
    def fate(self, client: str, operation: Operation, keys: tuple[str, ...]) -> Fate: ...

    def hears(self, client: str) -> bool:
        """Whether the news of a watch reach this client now; what they miss meanwhile they get later."""

    def news_delay_s(self, client: str) -> float:
        """How long the next news of a watch take."""


class NoFaults:
    def fate(self, client: str, operation: Operation, keys: tuple[str, ...]) -> Fate:
        del client, operation, keys
        return Fate()

    def hears(self, client: str) -> bool:
        del client
        return True

    def news_delay_s(self, client: str) -> float:
        del client
        return 0.0


@dataclass(frozen=True, slots=True)
class _Stored:
    value: bytes | None
    """None: deleted."""
    revision: int


@dataclass(slots=True)
class _Pending:
    expects: tuple[Expect, ...]
    writes: tuple[Put | Delete, ...]
    commit: Commit | None = None


class MemoryStore:
    """What the coordinator would hold. Belongs to one event loop."""

    def __init__(self, *, tombstones_max: int = 1024) -> None:
        self._tombstones_max = tombstones_max
        self._stored: dict[str, _Stored] = {}
        self._revision = 0
        self._compacted = 0
        self._pending: list[tuple[float, int, _Pending]] = []
        self._sequence = 0
        self.changed = anyio.Event()
        """Set, and replaced, at every change and whenever a request is put on its way."""

    def get(self, key: str) -> Entry | None:
        stored = self._stored.get(key)
        return None if stored is None or stored.value is None else Entry(key, stored.value, stored.revision)

    def list(self, prefix: str) -> Listing:
        keys = sorted(key for key in self._stored if key.startswith(prefix))
        return Listing(self._revision, tuple(entry for key in keys if (entry := self.get(key)) is not None))

    def changes(self, prefix: str, after: int) -> tuple[int, tuple[Change, ...]]:
        """The revision as of which this is asked, and what is newer than ``after`` in order."""
        if after < self._compacted:
            raise CoordinatorUnavailable(f"the changes since revision {after} are not kept any more")
        found = [
            Change(key, stored.value, stored.revision)
            for key, stored in self._stored.items()
            if stored.revision > after and key.startswith(prefix)
        ]
        return max(after, self._revision), tuple(sorted(found, key=lambda change: (change.revision, change.key)))

    def send(self, expects: Sequence[Expect], writes: Sequence[Put | Delete], arrives: float) -> _Pending:
        """Put a transaction on its way; ``settle`` carries it out."""
        pending = _Pending(tuple(expects), tuple(writes))
        self._sequence += 1
        heappush(self._pending, (arrives, self._sequence, pending))
        self.notify()
        return pending

    def settle(self, now: float) -> float | None:
        """Carry out what has arrived by ``now``, in the order of arrival; returns when the next will arrive."""
        while self._pending and self._pending[0][0] <= now:
            _, _, pending = heappop(self._pending)
            pending.commit = self._apply(pending)
        return self._pending[0][0] if self._pending else None

    def _apply(self, pending: _Pending) -> Commit:
        for expect in pending.expects:
            entry = self.get(expect.key)
            if (0 if entry is None else entry.revision) != expect.revision:
                return Commit(ok=False, revision=self._revision)
        writes = [write for write in pending.writes if isinstance(write, Put) or self.get(write.key) is not None]
        if writes:
            self._revision += 1
            for write in writes:
                self._stored[write.key] = _Stored(write.value if isinstance(write, Put) else None, self._revision)
            self._prune()
            self.notify()
        return Commit(ok=True, revision=self._revision)

    def _prune(self) -> None:
        deleted = sorted(stored.revision for stored in self._stored.values() if stored.value is None)
        if len(deleted) > self._tombstones_max:
            self._compacted = deleted[-self._tombstones_max - 1]
            self._stored = {
                key: stored
                for key, stored in self._stored.items()
                if stored.value is not None or stored.revision > self._compacted
            }

    def notify(self) -> None:
        """Have every watch look again."""
        changed, self.changed = self.changed, anyio.Event()
        changed.set()


class MemoryCoordinator:
    """``ports.Coordinator`` for the client of that name."""

    def __init__(
        self, store: MemoryStore, *, client: str = "", request_timeout_s: float = 1.0, faults: Faults | None = None
    ) -> None:
        self._store = store
        self._client = client
        self._timeout_s = request_timeout_s
        self._faults: Faults = NoFaults() if faults is None else faults
        self._closing = False

    # --- requests ---------------------------------------------------------------------------------------------

    async def read(self, key: str) -> Entry | None:
        return await self._ask(Operation.READ, key, self._store.get)

    async def list(self, prefix: str) -> Listing:
        return await self._ask(Operation.LIST, prefix, self._store.list)

    async def commit(self, expects: Sequence[Expect], writes: Sequence[Put | Delete]) -> Commit:
        check_commit(expects, writes)
        await self._begin()
        keys = tuple(dict.fromkeys([*(expect.key for expect in expects), *(write.key for write in writes)]))
        fate = self._faults.fate(self._client, Operation.COMMIT, keys)
        began = anyio.current_time()
        if fate.request_lost:
            await self._give_up(began)
        pending = self._store.send(expects, writes, began + fate.request_delay_s)
        await self._travel(began, fate.request_delay_s)
        if pending.commit is None:
            raise AssertionError("a request is answered before it is carried out")
        await self._return(began, fate)
        return pending.commit

    async def _ask(self, operation: Operation, key: str, answer: Callable[[str], T]) -> T:
        await self._begin()
        fate = self._faults.fate(self._client, operation, (key,))
        began = anyio.current_time()
        if fate.request_lost:
            await self._give_up(began)
        await self._travel(began, fate.request_delay_s)
        answered = answer(key)
        # What was true when the store answered, however long that takes to come back.
        await self._return(began, fate)
        return answered

    async def _begin(self) -> None:
        if self._closing:
            raise CoordinatorUnavailable("is closed")
        await anyio.lowlevel.checkpoint()

    async def _travel(self, began: float, delay_s: float) -> None:
        """Of the request, to the store, where everything that arrived by then has been carried out."""
        if delay_s >= self._timeout_s:
            await self._give_up(began)
        if delay_s > 0:
            await anyio.sleep(delay_s)
        # A loop's timers may fire a little early.
        self._store.settle(max(anyio.current_time(), began + delay_s))

    async def _return(self, began: float, fate: Fate) -> None:
        if fate.reply_lost or fate.request_delay_s + fate.reply_delay_s >= self._timeout_s:
            await self._give_up(began)
        if fate.reply_delay_s > 0:
            await anyio.sleep(fate.reply_delay_s)

    async def _give_up(self, began: float) -> Never:
        await anyio.sleep_until(began + self._timeout_s)
        raise CoordinatorUnavailable(f"no answer within {self._timeout_s:g}s")

    # --- watching ---------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def watch(self, prefix: str, after: int) -> AsyncIterator[AsyncIterator[tuple[Change, ...]]]:
        yield _Watch(partial(self._news, prefix), after)

    async def _news(self, prefix: str, after: int) -> tuple[int, tuple[Change, ...]]:
        """Wait until there is news for us, and until it has come here."""
        while True:
            await self._begin()
            due = self._store.settle(anyio.current_time())
            changed = self._store.changed
            hears = self._faults.hears(self._client)
            revision, changes = self._store.changes(prefix, after) if hears else (after, ())
            if changes:
                await anyio.sleep(self._faults.news_delay_s(self._client))
                return revision, changes
            until = inf if due is None else due
            with anyio.CancelScope(deadline=until if hears else min(until, anyio.current_time() + RETRY_S)):
                await changed.wait()

    async def aclose(self) -> None:
        """Ends the watches with an error."""
        self._closing = True
        self._store.notify()


class _Watch:
    def __init__(self, news: Callable[[int], Awaitable[tuple[int, tuple[Change, ...]]]], after: int) -> None:
        self._news = news
        self._after = after

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> tuple[Change, ...]:
        self._after, changes = await self._news(self._after)
        return changes
