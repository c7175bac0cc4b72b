"""The coordinator: the store of ``failoverd.coordinators.memory`` behind a network that loses, delays and cuts off."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import anyio

from failoverd.coordinators.memory import MemoryStore
from failoverd.errors import CoordinatorUnavailable
from failoverd.ports import Change, Commit, Delete, Entry, Expect, Listing, Put
from tests.sim.world import World

T = TypeVar("T")

REACH_AGAIN_S = 0.1
"""How often a cut-off watch tries again."""


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


class SimStore(MemoryStore):
    """The truth; tells the world of every commit that was carried out."""

    def __init__(self) -> None:
        super().__init__()
        self.on_commit: Callable[[str, str, tuple[Put | Delete, ...]], None] | None = None
        """Told the node, the incarnation as which it asked, and what was written."""
        self.watches: list[_Watch] = []

    def notify(self) -> None:
        for watch in self.watches:
            watch.look()

    def carry_out(
        self, node: str, incarnation: str, expects: Sequence[Expect], writes: Sequence[Put | Delete]
    ) -> Commit:
        pending = self.send(expects, writes, 0.0)
        self.settle(0.0)
        commit = pending.commit
        assert commit is not None
        if commit.ok and writes and self.on_commit is not None:
            self.on_commit(node, incarnation, tuple(writes))
        return commit


class Coordination:
    """The store and the ways to it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.store = SimStore()
        self.reach = Reach()

    def travel(self, node: str, lost: float, then: Callable[[], None]) -> None:
        """Carry one message to or from a node, if it comes through."""
        reach, rng = self.reach, self.world.random
        if not reach.passes(node) or (lost and rng.random() < lost):
            return
        slow = reach.slow and rng.random() < reach.slow
        delay = rng.uniform(0, reach.slow_s) if slow else rng.uniform(*reach.delay_s)
        self.world.after(delay, then)


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
        return await self._ask(lambda: self._coordination.store.get(key))

    async def list(self, prefix: str) -> Listing:
        return await self._ask(lambda: self._coordination.store.list(prefix))

    async def commit(self, expects: Sequence[Expect], writes: Sequence[Put | Delete]) -> Commit:
        began = self._coordination.world.now
        incarnation, store = self.identity(), self._coordination.store
        commit = await self._ask(lambda: store.carry_out(self._node, incarnation, expects, writes))
        if commit.ok and self.on_lease is not None:
            for write in writes:
                if isinstance(write, Put) and write.key == f"lease/{self._node}":
                    self.on_lease(began, write)
        return commit

    async def _ask(self, question: Callable[[], T]) -> T:
        reach = self._coordination.reach
        answer: asyncio.Future[T] = self._loop.create_future()

        def returned(value: T) -> None:
            if not self.dead:
                self._loop.call_soon(_answer, answer, value)

        def arrived() -> None:
            value = question()
            self._coordination.travel(self._node, reach.reply_lost, lambda: returned(value))

        if not self.dead:
            self._coordination.travel(self._node, reach.request_lost, arrived)
        with anyio.move_on_after(self._timeout_s):
            return await answer
        raise CoordinatorUnavailable(f"no answer within {self._timeout_s:g}s")

    @asynccontextmanager
    async def watch(self, prefix: str, after: int) -> AsyncIterator["_Watch"]:
        watch = _Watch(self._coordination, self._node, self._loop, prefix, after)
        self._coordination.store.watches.append(watch)
        watch.look()
        try:
            yield watch
        finally:
            self._coordination.store.watches.remove(watch)

    async def aclose(self) -> None:
        self.dead = True


def _answer(future: "asyncio.Future[Any]", value: Any) -> None:
    if not future.done():
        future.set_result(value)


class _Watch:
    def __init__(
        self, coordination: Coordination, node: str, loop: asyncio.AbstractEventLoop, prefix: str, after: int
    ) -> None:
        self._coordination, self._node, self._loop = coordination, node, loop
        self._prefix, self._sent, self._after = prefix, after, after
        self._batches: deque[tuple[Change, ...]] = deque()
        self._waiting: asyncio.Future[None] | None = None
        self._on_its_way = False

    def __aiter__(self) -> "_Watch":
        return self

    async def __anext__(self) -> tuple[Change, ...]:
        while not self._batches:
            self._waiting = self._loop.create_future()
            await self._waiting
        return self._batches.popleft()

    def look(self) -> None:
        """Something may have changed: what has is on its way, in order, one batch at a time."""
        if self._on_its_way or self not in self._coordination.store.watches:
            return
        world, reach = self._coordination.world, self._coordination.reach
        if not reach.passes(self._node):
            self._on_its_way = True
            world.after(REACH_AGAIN_S, self._again)
            return
        self._sent, changes = self._coordination.store.changes(self._prefix, self._sent)
        if not changes:
            return
        self._on_its_way = True
        slow = reach.slow and world.random.random() < reach.slow
        delay = world.random.uniform(0, reach.slow_s) if slow else world.random.uniform(*reach.delay_s)
        world.after(delay + reach.news_late_s, lambda: self._arrive(changes))

    def _again(self) -> None:
        self._on_its_way = False
        self.look()

    def _arrive(self, changes: tuple[Change, ...]) -> None:
        self._on_its_way = False
        if self not in self._coordination.store.watches:
            return
        self._batches.append(changes)
        if self._waiting is not None:
            waiting, self._waiting = self._waiting, None
            self._loop.call_soon(_answer, waiting, None)
        self.look()
