"""Bells and answers: what coroutines wait for, made so that both waiting and telling cost next to nothing.

(``anyio.Event`` finds out at every creation and every wait which event loop it runs in, and a cancel scope which task;
a handover of hundreds of components makes thousands of them. Both classes here are for the event loop's thread.)
"""

import asyncio
from collections.abc import Callable
from math import inf

_LEAST_S = 0.001
"""An alarm is set for no less: what is left by rounding would be waited for again and again."""
_FAR_S = 1e8
"""Three years: an event loop's timers know no infinity."""


def _wake(waiter: "asyncio.Future[None]") -> None:
    if not waiter.done():  # cancelled, and not yet gone
        waiter.set_result(None)


def _alarm(seconds: float, waiter: "asyncio.Future[None]") -> asyncio.TimerHandle:
    return waiter.get_loop().call_later(min(max(seconds, 0.0), _FAR_S), _wake, waiter)


class Bell:
    """Counts its strokes. A waiter says which count it has acted on, so no stroke between look and wait is missed."""

    __slots__ = ("_waiters", "count")

    def __init__(self) -> None:
        self.count = 0
        self._waiters: list[asyncio.Future[None]] = []

    def ring(self) -> None:
        self.count += 1
        if self._waiters:
            waiters, self._waiters = self._waiters, []
            for waiter in waiters:
                _wake(waiter)

    async def beyond(self, count: int, within_s: float | None = None) -> bool:
        """Wait until it has been rung more often than ``count``; False if that takes longer than ``within_s``."""
        if self.count > count:
            return True
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        timer = None if within_s is None else _alarm(within_s, waiter)
        try:
            await waiter
        finally:
            if timer is not None:
                timer.cancel()
            if waiter in self._waiters:
                self._waiters.remove(waiter)
        return self.count > count

    async def next(self) -> None:
        await self.beyond(self.count)


class Answer:
    """One coroutine waits for it, once it is ``given`` it stays so."""

    __slots__ = ("_waiter", "given")

    def __init__(self) -> None:
        self.given = False
        self._waiter: asyncio.Future[None] | None = None

    def give(self) -> None:
        self.given = True
        if self._waiter is not None:
            _wake(self._waiter)

    async def within(self, seconds: float) -> bool:
        """Wait for it; False if that takes longer than ``seconds``."""
        if not self.given:
            self._waiter = waiter = asyncio.get_running_loop().create_future()
            timer = _alarm(seconds, waiter)
            try:
                await waiter
            finally:
                timer.cancel()
                self._waiter = None
        return self.given


class Alarm:
    """Wakes the one coroutine that waits for it, at a time that may be brought forward meanwhile.

    ``at`` stays as it is until the waiter sets it anew, so nothing is missed while that one works.
    """

    __slots__ = ("_now", "_timer", "_waiter", "at")

    def __init__(self, now: Callable[[], float]) -> None:
        """``now``: of ``Clock``, which ``at`` is a time of."""
        self._now = now
        self.at = inf
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def by(self, at: float) -> None:
        """Not later than that."""
        if at < self.at:
            self.at = at
            if self._waiter is not None:
                self._set(self._waiter)

    async def wait(self) -> None:
        """Return once ``at`` has come; the event loop goes round in any case."""
        while True:
            waiter = self._waiter = asyncio.get_running_loop().create_future()
            self._set(waiter)
            try:
                await waiter
            finally:
                self._waiter = None
                self._unset()
            if self._now() >= self.at:
                return

    def _set(self, waiter: "asyncio.Future[None]") -> None:
        self._unset()
        left = self.at - self._now()
        if left > 0:
            self._timer = _alarm(max(left, _LEAST_S), waiter)
        else:
            waiter.get_loop().call_soon(_wake, waiter)

    def _unset(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
