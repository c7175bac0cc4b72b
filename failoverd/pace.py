"""So many per turn of the event loop: what comes in a storm is spread, and a heartbeat gets in between."""

import asyncio
from collections import deque

PER_TURN = 8


class Pace:
    """In order of arrival. Nobody waits while there are fewer than ``PER_TURN`` in a turn."""

    __slots__ = ("_left", "_waiting")

    def __init__(self) -> None:
        self._left = PER_TURN
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def turn(self) -> bool:
        """Return when it is one's turn: at once (False), or a few turns of the event loop later (True)."""
        if self._left == PER_TURN:
            asyncio.get_running_loop().call_soon(self._next)
        if self._left > 0 and not self._waiting:
            self._left -= 1
            return False
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        await turn
        return True

    def _next(self) -> None:
        self._left = PER_TURN
        while self._waiting and self._left:
            turn = self._waiting.popleft()
            if not turn.done():  # else cancelled while it waited
                turn.set_result(None)
                self._left -= 1
        if self._left < PER_TURN:
            asyncio.get_running_loop().call_soon(self._next)
