"""One thread for calls that block, with a deadline for whoever waits for them.

The calls of one worker run one after the other. A caller that gives up, by its deadline or by being cancelled, leaves
the call that already runs to end by itself (it is told the same deadline); one that has not begun never runs.
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import anyio

from failoverd.errors import CoordinatorUnavailable
from failoverd.ports import Clock

T = TypeVar("T")

QUEUE_MAX = 64
"""Calls that may wait at once: a store that does not answer must not pile up work."""


class Worker:
    """Belongs to the event loop that calls it; ``name`` is for messages and for the thread."""

    def __init__(self, name: str, clock: Clock) -> None:
        self._name = name
        self._clock = clock
        self._threads = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._places = threading.Semaphore(QUEUE_MAX)
        self._closed = False

    async def call(self, work: Callable[[float], T], timeout_s: float) -> T:
        """Run ``work(deadline)`` in the thread (``deadline`` in seconds of the clock) and return what it returns.

        Raises ``CoordinatorUnavailable`` once ``timeout_s`` is over, when too much waits already, or after ``close``.
        """
        if self._closed:
            raise CoordinatorUnavailable(f"{self._name}: is closed")
        if not self._places.acquire(blocking=False):
            raise CoordinatorUnavailable(f"{self._name}: {QUEUE_MAX} requests wait already")
        future = self._threads.submit(work, self._clock.now() + timeout_s)
        future.add_done_callback(self._done)
        with anyio.move_on_after(timeout_s):
            return await asyncio.wrap_future(future)
        raise CoordinatorUnavailable(f"{self._name}: no answer within {timeout_s:g}s")

    def _done(self, future: Future[Any]) -> None:
        del future
        self._places.release()

    async def close(self, last: Callable[[float], None], timeout_s: float) -> None:
        """Run ``last`` and end the thread. Returns by ``timeout_s``, also where the thread is stuck in a call."""
        if self._closed:
            return
        self._closed = True
        future = self._threads.submit(last, self._clock.now() + timeout_s)
        self._threads.shutdown(wait=False)
        with anyio.move_on_after(timeout_s, shield=True):
            # Waited for without being cancelled with us: closing the connection must not be skipped.
            await asyncio.wait([asyncio.wrap_future(future)])
