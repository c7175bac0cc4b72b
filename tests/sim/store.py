"""The coordinator: one store, behind a network that loses, delays and cuts off."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from failoverd.errors import CoordinatorUnavailable
from failoverd.ports import Change, Commit, Delete, Entry, Expect, Listing, Put
from tests.sim.world import World

T = TypeVar("T")
OnCommit = Callable[[str, str, Sequence[Put | Delete]], None]


@dataclass(slots=True)
class Reach:
    """How the nodes reach the coordinator at present."""

    cut: set[str] = field(default_factory=set)
    down: bool = False
    request_lost: float = 0.0
    reply_lost: float = 0.0
    delay_s: tuple[float, float] = (0.0005, 0.003)
    slow: float = 0.0
    """The share of messages that take up to ``slow_s`` instead, in either direction."""
    slow_s: float = 2.0
    news_late_s: float = 0.0
    """So much later than answers do the news of a watch come."""

    def passes(self, node: str) -> bool:
        return not self.down and node not in self.cut


class SimStore:
    """The truth; tells the world of every commit that was carried out."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self.log: list[Change] = []
        """Every change there ever was, in order."""
        self._revision = 0
        self.watches: list[_Watch] = []
        self.on_commit: OnCommit | None = None
        """Told the node, the incarnation as which it asked, and what was written."""
        self.on_told: Callable[..., None] | None = None
        """Told what a daemon gets to know: its node, a key, the revision, and whether the record is ``there``."""

    def tell(self, node: str, changes: Iterable[Change]) -> None:
        if self.on_told is not None:
            for change in changes:
                self.on_told(node, change.key, change.revision, there=change.value is not None)

    def get(self, key: str) -> Entry | None:
        return self._entries.get(key)

    def list(self, prefix: str) -> Listing:
        found = sorted((key, entry) for key, entry in self._entries.items() if key.startswith(prefix))
        return Listing(self._revision, tuple(entry for _, entry in found))

    def carry_out(
        self, node: str, incarnation: str, expects: Sequence[Expect], writes: Sequence[Put | Delete]
    ) -> Commit:
        for expect in expects:
            entry = self._entries.get(expect.key)
            if (0 if entry is None else entry.revision) != expect.revision:
                return Commit(ok=False, revision=self._revision)
        if writes:
            self._write(writes)
            if self.on_commit is not None:
                self.on_commit(node, incarnation, writes)
            for watch in self.watches:
                watch.look()
        return Commit(ok=True, revision=self._revision)

    def _write(self, writes: Sequence[Put | Delete]) -> None:
        self._revision += 1
        for write in writes:
            value = write.value if isinstance(write, Put) else None
            if value is not None:
                self._entries[write.key] = Entry(write.key, value, self._revision)
            elif self._entries.pop(write.key, None) is None:
                continue
            self.log.append(Change(write.key, value, self._revision))


class Coordination:
    """The store and the ways to it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.store = SimStore()
        self.reach = Reach()

    def delay_s(self) -> float:
        reach, chance = self.reach, self.world.random.random
        if reach.slow and chance() < reach.slow:
            return reach.slow_s * chance()
        soonest, latest = reach.delay_s
        return soonest + (latest - soonest) * chance()

    def travel(self, node: str, lost: float, then: Callable[..., None], *args: Any) -> None:
        """Carry one message to or from a node, if it comes through."""
        if self.reach.passes(node) and not (lost and self.world.random.random() < lost):
            self.world.after(self.delay_s(), then, *args)

    def changed(self) -> None:
        """Whoever could not be reached may be reached again."""
        for watch in self.store.watches:
            watch.look()


class SimCoordinator:
    """``ports.Coordinator`` of one daemon."""

    def __init__(self, coordination: Coordination, node: str, timeout_s: float) -> None:
        self._coordination, self._node, self._timeout_s = coordination, node, timeout_s
        self._loop = asyncio.get_running_loop()
        self.dead = False
        self.identity: Callable[[], str] = str
        """The incarnation that the daemon is at present."""
        self.on_lease: Callable[[float, Put], None] | None = None
        """A commit that wrote our own lease was begun at that (world) time and is known to us to have succeeded."""

    async def read(self, key: str) -> Entry | None:
        return await self._ask(self._coordination.store.get, key)

    async def list(self, prefix: str) -> Listing:
        listing = await self._ask(self._coordination.store.list, prefix)
        if not self.dead:
            told = [Change(entry.key, entry.value, entry.revision) for entry in listing.entries]
            self._coordination.store.tell(self._node, told)
        return listing

    async def commit(self, expects: Sequence[Expect], writes: Sequence[Put | Delete]) -> Commit:
        began, store = self._coordination.world.now, self._coordination.store
        commit = await self._ask(store.carry_out, self._node, self.identity(), expects, writes)
        if commit.ok and self.on_lease is not None:
            for write in writes:
                if isinstance(write, Put) and write.key == f"lease/{self._node}":
                    self.on_lease(began, write)
        return commit

    async def _ask(self, question: Callable[..., T], *args: Any) -> T:
        answer: asyncio.Future[T] = self._loop.create_future()
        if not self.dead:
            self._coordination.travel(
                self._node, self._coordination.reach.request_lost, self._arrived, answer, question, args
            )
        timer = self._loop.call_later(self._timeout_s, _give_up, answer, self._timeout_s)
        try:
            return await answer
        finally:
            timer.cancel()

    def _arrived(self, answer: "asyncio.Future[T]", question: Callable[..., T], args: tuple[Any, ...]) -> None:
        """At the store: carried out whether or not anybody still waits for the answer."""
        value = question(*args)
        self._coordination.travel(self._node, self._coordination.reach.reply_lost, self._returned, answer, value)

    def _returned(self, answer: "asyncio.Future[T]", value: T) -> None:
        if not self.dead:
            self._loop.call_soon(_answer, answer, value)

    @asynccontextmanager
    async def watch(self, prefix: str, after: int) -> AsyncIterator["_Watch"]:
        watch = _Watch(self._coordination, self._node, self._loop, prefix, after)
        self._coordination.store.watches.append(watch)
        watch.look()
        try:
            yield watch
        finally:
            self._coordination.store.watches.remove(watch)
            watch.over = True

    async def aclose(self) -> None:
        self.dead = True


def _answer(future: "asyncio.Future[Any]", value: Any) -> None:
    if not future.done():
        future.set_result(value)


def _give_up(future: "asyncio.Future[Any]", timeout_s: float) -> None:
    if not future.done():
        future.set_exception(CoordinatorUnavailable(f"no answer within {timeout_s:g}s"))


class _Watch:
    def __init__(
        self, coordination: Coordination, node: str, loop: asyncio.AbstractEventLoop, prefix: str, after: int
    ) -> None:
        self._coordination, self._node, self._loop, self._prefix = coordination, node, loop, prefix
        log = coordination.store.log
        self._sent = next((place for place, change in enumerate(log) if change.revision > after), len(log))
        """How much of the log is on its way, or there."""
        self._batches: deque[tuple[Change, ...]] = deque()
        self._waiting: asyncio.Future[None] | None = None
        self._on_its_way = self.over = False

    def __aiter__(self) -> "_Watch":
        return self

    async def __anext__(self) -> tuple[Change, ...]:
        while not self._batches:
            self._waiting = self._loop.create_future()
            await self._waiting
        batch = self._batches.popleft()
        self._coordination.store.tell(self._node, batch)
        return batch

    def look(self) -> None:
        """Something may have changed: what has is on its way, in order, one batch at a time."""
        coordination = self._coordination
        log = coordination.store.log
        if self._on_its_way or self._sent == len(log) or not coordination.reach.passes(self._node):
            return
        changes = [change for change in log[self._sent :] if change.key.startswith(self._prefix)]
        self._sent = len(log)
        if not changes:
            return
        self._on_its_way = True
        if len(changes) > 1:  # of each key the newest, as a real store has it
            changes = sorted({each.key: each for each in changes}.values(), key=lambda each: each.revision)
        coordination.world.after(coordination.delay_s() + coordination.reach.news_late_s, self._arrive, tuple(changes))

    def _arrive(self, changes: tuple[Change, ...]) -> None:
        self._on_its_way = False
        if self.over:
            return
        self._batches.append(changes)
        if self._waiting is not None:
            waiting, self._waiting = self._waiting, None
            self._loop.call_soon(_answer, waiting, None)
        self.look()
