"""An event loop that does nothing by itself: the world turns it whenever it is its turn.

So each daemon has a clock of its own (with a rate of its own), can stand still while time goes on, can be slow, and
can end between any two steps. Its timers are events of the world, so nothing has to ask it when it wants to run.

Handles carry no context: no code under test keeps anything in context variables.
"""

import asyncio
import contextvars
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from functools import partial
from typing import Any, TypeVar

from tests.sim.world import World

T = TypeVar("T")
WAKE_LATE_S = 1e-9
"""Timers fire so much after their time, so that no rounding can make them fire before it."""
CALLS_MAX = 100_000
"""So many calls by one loop at one and the same time are a busy wait."""
CALLS_OF_DEATH = 20_000
"""After which whatever still tidies up is left to itself."""


class Livelock(AssertionError):  # noqa: N818 (named as what it is)
    """A daemon goes round and round while no time passes."""


class Handle(list[Any]):
    """What ``call_soon`` and ``call_at`` return: as much of ``asyncio.TimerHandle`` as anybody uses.

    The callback (None: cancelled), its arguments, and when it is due; a list, because nothing is made faster.
    """

    __slots__ = ()

    def cancel(self) -> None:
        self[0] = None

    def cancelled(self) -> bool:
        return self[0] is None

    def when(self) -> float:
        return float(self[2])


class NodeClock:
    """``ports.Clock`` of one machine: its own rate, counted from its own beginning; standing still does not stop it."""

    __slots__ = ("_base", "_world", "now", "rate")

    def __init__(self, world: World, *, rate: float, base: float) -> None:
        self._world, self.rate, self._base = world, rate, base

        def now() -> float:
            return base + world.now * rate

        self.now: Callable[[], float] = now  # asked more often than anything else

    def to_world(self, at: float) -> float:
        return (at - self._base) / self.rate

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


class SimLoop(asyncio.BaseEventLoop):
    """(The base class gives the type; nothing of its machinery is set up, or used.)"""

    def __init__(self, world: World, clock: NodeClock, on_fault: Callable[[dict[str, Any]], None]) -> None:
        """``on_fault``: told of exceptions that nobody awaits."""
        self._world, self._clock, self._on_fault = world, clock, on_fault
        self._ready: deque[Handle] = deque()
        self._due = False
        """It will be turned: by the world at once, or by whatever ends its standing still."""
        self._halted = self._ended = False
        self._tasks: list[asyncio.Task[Any]] = []
        # What is asked most often is bound, and not called through a method.
        self.time = clock.now  # type: ignore[method-assign]
        self.create_future = partial(asyncio.Future, loop=self)  # type: ignore[method-assign]
        self.lag_s = 0.0
        """How long each of its rounds takes: a daemon that runs, but slowly."""

    # --- as asyncio sees it -----------------------------------------------------------------------------------------

    def _enter(self) -> None:
        """It is the one that runs, until another does."""
        if self._world.running is not self:
            self._world.running = self
            asyncio._set_running_loop(self)

    def call_now(self, callback: Callable[[], Any]) -> None:
        """What ``call_soon`` and a turn come to, where the loop has nothing else to do and is free to do it."""
        if self._due or self._ended or self.lag_s:
            self.call_soon(callback)
            return
        self._due = True
        self._enter()
        callback()
        if self._ready:
            self._world.due.append(self)
        else:
            self._due = False

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., Any], *args: Any, context: contextvars.Context | None = None
    ) -> Handle:
        del context
        handle = Handle((callback, args, 0.0))
        self._ready.append(handle)
        if not self._due:
            self._due = True
            self._world.due.append(self)
        return handle

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., Any], *args: Any, context: contextvars.Context | None = None
    ) -> Handle:
        del context
        handle = Handle((callback, args, when))
        self._world.at(self._clock.to_world(when) + WAKE_LATE_S, self._fire, handle)
        return handle

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., Any], *args: Any, context: contextvars.Context | None = None
    ) -> Handle:
        del context
        when = self.time() + delay
        handle = Handle((callback, args, when))
        self._world.at(self._clock.to_world(when) + WAKE_LATE_S, self._fire, handle)
        return handle

    def create_task(  # type: ignore[override]
        self,
        coro: Coroutine[Any, Any, T] | Generator[Any, None, T],
        *,
        name: str | None = None,
        context: contextvars.Context | None = None,
    ) -> "asyncio.Task[T]":
        task: asyncio.Task[T] = asyncio.Task(coro, loop=self, name=name, context=context)
        self._tasks.append(task)
        return task

    def get_task_factory(self) -> None:
        return None

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return not self._ended

    def is_closed(self) -> bool:
        return self._ended

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if not self._ended:
            self._on_fault(context)

    # --- as the world sees it ---------------------------------------------------------------------------------------

    def _fire(self, handle: Handle) -> None:
        if handle[0] is None or self._ended:
            return
        self._ready.append(handle)
        if not self._due:
            self._due = True
            self._world.due.append(self)

    def halt(self) -> None:
        """Stand still until ``go_on``; what falls due meanwhile waits."""
        self._halted = self._due = True

    def go_on(self) -> None:
        if self._halted:
            self._halted = False
            self._world.due.append(self)

    def keep_up(self) -> None:
        """It is not slow any more."""
        self.lag_s = 0.0

    def drain(self) -> None:
        """Run until there is nothing more to do at this time (one round of it, where the loop is slow)."""
        if self._halted or self._ended:
            return
        if self.lag_s:
            self._world.after(self.lag_s, self._late)
            return
        ready, calls = self._ready, 0  # as ``_turn``, which a call would be too much for
        take = ready.popleft
        self._enter()
        while ready and calls < CALLS_MAX:
            calls += 1
            action, args, _ = take()
            if action is not None:
                action(*args)
        if ready:
            waits = sorted(str(task.get_coro()) for task in self._tasks if not task.done())
            raise Livelock(f"{CALLS_MAX} calls at {self._world.now:.6f}: " + "; ".join(waits)[:2000])
        self._due = False

    def _late(self) -> None:
        if self._halted or self._ended:
            return
        self._turn(len(self._ready))
        self._due = bool(self._ready)
        if self._due:
            self._world.due.append(self)

    def _turn(self, calls_max: int) -> int:
        """Run what is ready, in turn, and what that makes ready; returns how many calls it made."""
        ready, calls = self._ready, 0
        take = ready.popleft
        self._enter()
        while ready and calls < calls_max:
            calls += 1
            action, args, _ = take()
            if action is not None:
                action(*args)
        return calls

    def end(self) -> None:
        """Nothing of it goes on: every task is cancelled, and what tidies up does so into the void."""
        self._due = True
        for task in self._tasks:
            task.cancel()
        self._turn(CALLS_OF_DEATH)
        if any(not task.done() for task in self._tasks):
            raise AssertionError("a task cannot be cancelled")
        self._ended = True
        self._ready.clear()
        self._tasks.clear()


def _finish(done: "asyncio.Future[None]") -> None:
    if not done.done():
        done.set_result(None)
