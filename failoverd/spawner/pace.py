"""So many per turn of the event loop: what comes in a storm is spread, and a heartbeat gets in between."""

import asyncio
from collections import deque

import anyio

PER_TURN = 16


class Pace:
    """In order of arrival. Nobody waits while there are fewer than ``PER_TURN`` in a turn."""

    def __init__(self) -> None:
        self._left = PER_TURN
        self._waiting: deque[anyio.Event] = deque()

    async def turn(self) -> None:
        """Return when it is one's turn: at once, or a few turns of the event loop later."""
        if self._left == PER_TURN:
            asyncio.get_running_loop().call_soon(self._next)
        if self._left > 0:
            self._left -= 1
            return
        event = anyio.Event()
        self._waiting.append(event)
        await event.wait()  # whoever is cancelled here leaves an event that wakes nobody

    def _next(self) -> None:
        self._left = PER_TURN
        while self._waiting and self._left:
            self._waiting.popleft().set()
            self._left -= 1
        if self._left < PER_TURN:
            asyncio.get_running_loop().call_soon(self._next)
