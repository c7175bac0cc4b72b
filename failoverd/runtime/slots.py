"""Turns at a bounded number of operations (``max_parallel``): the longest remaining path goes first."""

import asyncio
import heapq
from itertools import count

import anyio


class Slots:
    """Whoever has taken a slot gives it back."""

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._taken = 0
        self._waiting: list[tuple[float, int, anyio.Event]] = []
        self._tickets = count()

    def resize(self, limit: int | None) -> None:
        self._limit = limit
        self._admit()

    @property
    def _free(self) -> bool:
        return self._limit is None or self._taken < self._limit

    def take_at_once(self) -> bool:
        """Take a slot where there is no limit, so no turn either."""
        if self._limit is not None:
            return False
        self._taken += 1
        return True

    def give_back(self) -> None:
        self._taken -= 1
        self._admit_soon()

    async def take(self, priority: float) -> None:
        """Wait for one's turn; of those who wait, the highest ``priority`` (seconds of remaining path) is admitted
        first."""
        admitted = anyio.Event()
        place = (-priority, next(self._tickets), admitted)
        heapq.heappush(self._waiting, place)
        self._admit_soon()
        try:
            await admitted.wait()
        except BaseException:  # cancelled: give the place in the queue, or the slot already granted, back
            if admitted.is_set():
                self._taken -= 1
                self._admit_soon()
            else:
                self._waiting.remove(place)
                heapq.heapify(self._waiting)
            raise

    def _admit_soon(self) -> None:
        """Once everybody whom the same event made ready stands in the queue: they take two rounds of the loop to get
        there (the coroutine wakes, then asks)."""
        if self._waiting:
            loop = asyncio.get_running_loop()
            loop.call_soon(loop.call_soon, self._admit)

    def _admit(self) -> None:
        while self._waiting and self._free:
            self._taken += 1
            heapq.heappop(self._waiting)[2].set()
