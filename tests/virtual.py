"""Virtual time: an hour of timers passes in milliseconds, in the same order each time.

Three ways to use it; each gives one fresh loop per test, beginning at ``START`` (not 0, so that "no time" and "time 0"
cannot be confused):

1. An asynchronous test (or a whole module by ``pytestmark``) marked ``virtual``; fixtures run on the same loop::

       @pytest.mark.virtual
       async def test_lease_runs_out() -> None:
           clock = VirtualClock()            # or take the fixture ``virtual_clock``
           await clock.sleep_until(clock.now() + 3600)

2. ``run_virtual(main)`` from a synchronous test: the one for hypothesis, since each example gets a loop of its own::

       @given(...)
       def test_anything(...) -> None:
           async def main(clock: VirtualClock) -> int: ...
           assert run_virtual(main) == 1

3. ``anyio.run(main, backend_options={"loop_factory": VirtualLoop})``.

``anyio.sleep``, ``anyio.move_on_after``, ``fail_after`` and ``anyio.current_time`` follow the virtual clock, as all of
asyncio does. When nothing is ready, time jumps to the next timer. When there is no timer either, nothing can ever
happen again: ``VirtualDeadlock`` says which tasks wait and where. A loop that goes round without time ever moving on
(a busy wait) ends with ``VirtualLivelock``.

Time jumps past real threads, processes and sockets (anyio.to_thread, SQLite in a thread, subprocesses): fake all I/O.
"""

import asyncio
import math
import selectors
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import CoroutineType
from typing import Any, TypeVar

START = 1000.0
"""Seconds that a virtual clock shows at the beginning."""

WALL_START = datetime(2024, 2, 28, 23, 0, 0, tzinfo=UTC)
"""The wall-clock time that goes with ``START``: shortly before a leap day, for whoever formats dates."""

ROUNDS_MAX = 100_000
"""So many rounds of the loop at one and the same virtual time are a busy wait."""

LEAST_S = 2e-9
"""asyncio runs a timer early by up to its clock's resolution (1e-9): several sleepers that have less than that left
would keep each other, and the loop, from ever letting time move on."""

T = TypeVar("T")


class VirtualDeadlock(AssertionError):  # noqa: N818 (named as what it is)
    """Nothing is ready and nothing is scheduled: the test would wait for ever."""


class VirtualLivelock(AssertionError):  # noqa: N818 (likewise)
    """The loop goes round and round while no time passes."""


class _JumpingSelector(selectors.SelectSelector):
    """Instead of waiting, moves the time on by as much as the loop was ready to wait."""

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.rounds = 0
        self.describe: Callable[[], str] = str
        self.next_timer: Callable[[], float] = float

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is None:
            raise VirtualDeadlock(f"nothing is ready and nothing is scheduled at {self.now:.6f} s; {self.describe()}")
        if ready or not timeout:
            self.rounds += 1
            if self.rounds > ROUNDS_MAX:
                self.rounds = 0
                raise VirtualLivelock(f"{ROUNDS_MAX} rounds at {self.now:.6f} s; {self.describe()}")
            return ready
        self.rounds = 0
        # To the very float that the timer was set for: now + (when - now) may fall just short of it.
        when = self.next_timer()
        self.now = when if abs(when - self.now - timeout) < 1e-9 else self.now + timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An asyncio event loop whose time is virtual. Takes no arguments: usable as a loop factory."""

    _scheduled: list[asyncio.TimerHandle]
    """asyncio's own heap of timers (BaseEventLoop)."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)
        self._jumping.describe = self._describe
        self._jumping.next_timer = self._next_timer

    def time(self) -> float:
        return self._jumping.now

    @property
    def _clock_resolution(self) -> float:
        """Asyncio fires a timer that is due within this time without waiting for it, so that nothing would move the
        time on to what it was set for, and who sleeps until then would go round for ever: the next float, no more."""
        return math.ulp(self._jumping.now)

    @_clock_resolution.setter
    def _clock_resolution(self, seconds: float) -> None:
        """As asyncio's constructor has it from the real clock."""

    def _next_timer(self) -> float:
        return self._scheduled[0].when()

    def _describe(self) -> str:
        tasks = sorted((task for task in asyncio.all_tasks(self) if not task.done()), key=lambda task: task.get_name())
        return f"{len(tasks)} tasks wait:" + "".join(f"\n  {task.get_name()}: {_waits_in(task)}" for task in tasks)


def _waits_in(task: asyncio.Task[Any]) -> str:
    """The chain of coroutines that a suspended task is in, outermost first (its stack shows the outermost alone)."""
    places: list[str] = []
    inner: object = task.get_coro()
    while isinstance(inner, CoroutineType) and inner.cr_frame is not None:
        code = inner.cr_frame.f_code
        places.append(f"{code.co_qualname} ({Path(code.co_filename).name}:{inner.cr_frame.f_lineno})")
        inner = inner.cr_await
    return " > ".join(places)


class VirtualClock:
    """``ports.Clock`` on the running loop's time (so it can be made anywhere, also before the loop runs)."""

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep_until(self, at: float) -> None:
        while (left := at - self.now()) > 0:  # noqa: ASYNC110 (a sleep, not a poll)
            await asyncio.sleep(max(left, LEAST_S))

    def wall(self) -> str:
        at = WALL_START + timedelta(seconds=self.now() - START)
        return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def run_virtual(main: Callable[[VirtualClock], Awaitable[T]]) -> T:
    """Run ``main`` to its end on a new virtual loop and return what it returns."""

    async def body() -> T:
        return await main(VirtualClock())

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(body())
