"""An event loop that does nothing by itself: the world turns it whenever it is its turn.

So each daemon has a clock of its own (with a rate of its own), can stand still while time goes on, and can end
between any two steps.
"""

import asyncio
import heapq
import threading
from collections.abc import Callable
from typing import Any

WAKE_LATE_S = 1e-9
"""Timers fire so much after their time, so that no rounding can make them fire before it."""
ROUNDS_MAX = 20_000
"""So many rounds of one loop at one and the same time are a busy wait."""


class Livelock(AssertionError):  # noqa: N818 (named as what it is)
    """A daemon goes round and round while no time passes."""


class SimLoop(asyncio.BaseEventLoop):
    _ready: Any
    _scheduled: list[asyncio.TimerHandle]
    _thread_id: int | None
    _timer_cancelled_count: int

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__()
        self._clock = clock
        self._thread_id = threading.get_ident()
        self._rounds_at = 0.0
        self._rounds = 0
        self.faults: list[dict[str, Any]] = []
        """What was reported to the loop: exceptions that nobody awaited."""

    def time(self) -> float:
        return self._clock()

    def next_timer(self) -> float | None:
        """When the loop must be turned next (its own time); 0: now; None: only if something is put into it."""
        if self._ready:
            return 0.0
        while self._scheduled and self._scheduled[0]._cancelled:
            heapq.heappop(self._scheduled)
        return self._scheduled[0].when() + WAKE_LATE_S if self._scheduled else None

    @property
    def is_ready(self) -> bool:
        return bool(self._ready)

    def turn(self) -> None:
        """Run what is ready, as ``BaseEventLoop._run_once`` does."""
        now = self._clock()
        self._count(now)
        ready, timers = self._ready, self._scheduled
        while timers and (timers[0]._cancelled or timers[0].when() < now):
            ready.append(heapq.heappop(timers))
        asyncio._set_running_loop(self)
        try:
            for _ in range(len(ready)):
                handle = ready.popleft()
                if not handle._cancelled:
                    handle._run()
        finally:
            asyncio._set_running_loop(None)

    def _count(self, now: float) -> None:
        if now != self._rounds_at:
            self._rounds_at, self._rounds = now, 0
        self._rounds += 1
        if self._rounds > ROUNDS_MAX:
            waits = sorted(str(task.get_coro()) for task in asyncio.all_tasks(self))
            raise Livelock(f"{ROUNDS_MAX} rounds at {now:.6f}: " + "; ".join(waits)[:2000])

    def end(self) -> None:
        """Nothing of it goes on: every task is cancelled, and what tidies up does so into the void."""
        for _ in range(100):
            tasks = [task for task in asyncio.all_tasks(self) if not task.done()]
            if not tasks:
                break
            for task in tasks:
                task.cancel()
            for _ in range(20):
                self.turn()
                self._rounds = 0
        else:
            raise AssertionError("a task cannot be cancelled")
        self._ready.clear()
        self._scheduled.clear()
        self.faults.clear()
        self._thread_id = None
        self.close()

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.faults.append(context)

    def _write_to_self(self) -> None:
        """Nothing has to be woken: whoever calls from outside runs in the same thread."""

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """``next_timer`` and ``turn`` drop them; purge when too many pile up behind a live one."""
        del handle
        self._timer_cancelled_count += 1
        if self._timer_cancelled_count > 200:
            self._timer_cancelled_count = 0
            self._scheduled[:] = [each for each in self._scheduled if not each._cancelled]
            heapq.heapify(self._scheduled)


class NodeClock:
    """``ports.Clock`` of one machine: its own rate, counted from its own beginning; standing still does not stop it."""

    def __init__(self, world_now: Callable[[], float], *, rate: float, base: float, since: float) -> None:
        self._world_now = world_now
        self.rate, self._base, self._since = rate, base, since

    def now(self) -> float:
        return self._base + (self._world_now() - self._since) * self.rate

    def to_world(self, at: float) -> float:
        return self._since + (at - self._base) / self.rate

    def wall(self) -> str:
        return f"T{self.now():.3f}"

    async def sleep_until(self, at: float) -> None:
        if at <= self.now():
            await asyncio.sleep(0)
            return
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        timer = loop.call_at(at, _finish, done)
        try:
            await done
        finally:
            timer.cancel()


def _finish(done: "asyncio.Future[None]") -> None:
    if not done.done():
        done.set_result(None)
