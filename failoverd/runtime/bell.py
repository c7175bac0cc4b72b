"""A bell that coroutines wait for: rung often, waited for often, so both must cost next to nothing.

(``anyio.Event`` finds out at every creation and every wait which event loop it runs in; a handover of hundreds of
components makes thousands of them.)
"""

import asyncio


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
                if not waiter.done():  # cancelled, and not yet gone
                    waiter.set_result(None)

    async def beyond(self, count: int) -> None:
        """Wait until it has been rung more often than ``count``."""
        while self.count <= count:
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            finally:
                if waiter in self._waiters:
                    self._waiters.remove(waiter)

    async def next(self) -> None:
        await self.beyond(self.count)
