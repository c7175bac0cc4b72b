"""The guard's event loop: descriptors, one alarm, and nothing that polls."""

import select
from collections.abc import Callable

from failoverd.guard.machine import Timer

Handler = Callable[[], None]
_EVENTS_MAX = 256


class Loop:
    def __init__(self, timer: Timer) -> None:
        self._epoll = select.epoll()
        self._handlers: dict[int, Handler] = {}
        self._timer = timer
        self.watch(timer.descriptor, timer.clear)

    def watch(self, descriptor: int, handler: Handler) -> None:
        self._handlers[descriptor] = handler
        self._epoll.register(descriptor, select.EPOLLIN)

    def unwatch(self, descriptor: int) -> None:
        if self._handlers.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)

    def want_to_write(self, descriptor: int, wanted: bool) -> None:
        self._epoll.modify(descriptor, select.EPOLLIN | (select.EPOLLOUT if wanted else 0))

    def turn(self, alarm: float | None) -> None:
        """Wait for something to happen, or for the alarm (CLOCK_BOOTTIME, seconds), and handle it."""
        self._timer.set(alarm)
        for descriptor, _ in self._epoll.poll(-1, _EVENTS_MAX):
            handler = self._handlers.get(descriptor)
            if handler is not None:  # else it was closed by another event of this very turn
                handler()
