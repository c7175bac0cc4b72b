"""A bounded queue with a thread behind it: what is put is written soon, and whoever puts it never waits.

A pipe that nobody reads, a terminal stopped with Ctrl-S, a disk that hangs: all of them block a write for as long as
they like, and a daemon that holds a lease must not stand still meanwhile. So every output has a thread of its own.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")

BATCH_MAX = 64
GATHER_S = 0.02
"""How long the thread lets items gather before it writes: each time that it wakes costs the event loop's thread, which
shares the interpreter with it, a pause."""


class Background(Generic[Item]):
    """Passes items to ``write`` in batches, in a daemon thread that is started by the first item.

    ``write`` is called with one to ``BATCH_MAX`` items and must handle its own errors. ``put`` may be called from any
    thread. When more than ``bound`` items wait, new ones are dropped and counted; ``lost`` is called in the writing
    thread with their number as soon as it goes on.
    """

    def __init__(
        self, write: Callable[[Sequence[Item]], None], *, name: str, lost: Callable[[int], None], bound: int = 20_000
    ) -> None:
        self._write = write
        self._lost = lost
        self._bound = bound
        self._name = name
        self._items: deque[Item] = deque()
        self._dropped = 0
        self._condition = threading.Condition()
        self._writing = False
        self._closed = False
        self._thread: threading.Thread | None = None

    def put(self, item: Item) -> None:
        with self._condition:
            if self._closed or len(self._items) >= self._bound:
                self._dropped += 1
                return
            self._items.append(item)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
            elif not self._writing:
                self._condition.notify()

    def drain(self, timeout_s: float) -> bool:
        """Wait until everything put so far was written; False when that took too long."""
        with self._condition:
            return self._condition.wait_for(lambda: not self._items and not self._writing, timeout_s)

    def close(self, timeout_s: float = 2.0) -> None:
        """Write what is left, for at most ``timeout_s`` seconds, and end the thread. Later items are dropped."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout_s)

    def _run(self) -> None:
        while True:
            batch, dropped = self._take()
            if dropped:
                self._lost(dropped)
            if batch:
                self._write(batch)
            elif not dropped:
                return

    def _take(self) -> tuple[list[Item], int]:
        """The next batch; ([], 0) once closed and empty."""
        with self._condition:
            self._writing = False
            self._condition.notify_all()
            self._condition.wait_for(lambda: self._items or self._closed)
            self._writing = True  # nobody needs to wake us any more
            if len(self._items) < BATCH_MAX:
                self._condition.wait_for(lambda: self._closed, GATHER_S)
            batch = [self._items.popleft() for _ in range(min(BATCH_MAX, len(self._items)))]
            dropped, self._dropped = (self._dropped, 0) if not self._closed else (0, 0)
            self._writing = bool(batch)
            return batch, dropped
