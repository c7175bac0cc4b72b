"""The newest events in memory, and followers that are told of each further one."""

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

SIZE = 2_000
FOLLOWER_BOUND = 1_000

Record = dict[str, Any]


class Follower:
    """One reader's own bounded queue: a slow reader loses the oldest events, and is told how many."""

    def __init__(self, bound: int, earlier: Iterable[Record] = ()) -> None:
        self._records: deque[Record] = deque(earlier, maxlen=bound)
        self._wake = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._lost = 0

    async def next(self) -> tuple[list[Record], int]:
        """Wait (for ever) for events; all that are there, oldest first, and how many were lost before them."""
        while not self._records:
            self._wake.clear()
            await self._wake.wait()
        # The ring may append from another thread meanwhile, which a deque permits.
        taken = [self._records.popleft() for _ in range(len(self._records))]
        lost, self._lost = self._lost, 0
        return taken, lost

    def add(self, record: Record) -> None:
        """From any thread."""
        full = len(self._records) == self._records.maxlen
        was_empty = not self._records
        self._records.append(record)
        if full:
            self._lost += 1
        if was_empty:
            # The loop may have ended between the follower's last look and now.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._wake.set)


class EventRing:
    """Thread-safe. Records are shared, so nobody may change one."""

    def __init__(self, earlier: Iterable[Record] = (), size: int = SIZE) -> None:
        self._records: deque[Record] = deque(earlier, maxlen=size)
        self._followers: list[Follower] = []
        self._lock = threading.Lock()

    def add(self, record: Record) -> None:
        with self._lock:
            self._records.append(record)
            for follower in self._followers:
                follower.add(record)

    def latest(self, limit: int | None = None) -> list[Record]:
        """The newest ``limit`` events, oldest first."""
        with self._lock:
            return self._newest(len(self._records) if limit is None else limit)

    @contextlib.contextmanager
    def follow(self, earlier: int = 0, bound: int = FOLLOWER_BOUND) -> Iterator[Follower]:
        """To be entered in the event loop: delivers the newest ``earlier`` events and everything added from here on,
        nothing twice and nothing missed."""
        with self._lock:
            follower = Follower(bound, self._newest(earlier))
            self._followers.append(follower)
        try:
            yield follower
        finally:
            with self._lock:
                self._followers.remove(follower)

    def _newest(self, limit: int) -> list[Record]:
        return list(islice(self._records, max(0, len(self._records) - max(0, limit)), None))
