"""A bounded queue with a thread behind it: what is put is written soon, and whoever puts it never waits.

A pipe that nobody reads, a terminal stopped with Ctrl-S, a disk that hangs: all of them block a write for as long as
they like, and a daemon that holds a lease must not stand still meanwhile. So every output has a thread of its own.
"""

import queue
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
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
        self._items: queue.SimpleQueue[Item | threading.Event] = queue.SimpleQueue()
        """An event among the items is set once everything before it was written."""
        self._lock = threading.Lock()
        self._dropped = 0
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def put(self, item: Item) -> None:
        if self._closing.is_set() or self._items.qsize() >= self._bound:
            with self._lock:
                self._dropped += 1
            return
        self._items.put(item)
        if self._thread is None:
            self._begin()

    def drain(self, timeout_s: float) -> bool:
        """Wait until everything put so far was written; False when that took too long."""
        thread = self._thread
        if thread is None or not thread.is_alive():
            return self._items.empty()
        written = threading.Event()
        self._items.put(written)
        return written.wait(timeout_s)

    def close(self, timeout_s: float = 2.0) -> None:
        """Write what is left, for at most ``timeout_s`` seconds, and end the thread. Later items are dropped."""
        self._closing.set()
        self._items.put(threading.Event())  # wakes it
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout_s)

    def _begin(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while not (self._closing.is_set() and self._items.empty()):
            batch, marks = self._take()
            if not self._closing.is_set():
                self._tell_lost()
            if batch:
                self._write(batch)
            for mark in marks:
                mark.set()

    def _take(self) -> tuple[list[Item], list[threading.Event]]:
        """The next batch, and the marks that it came with."""
        first = self._items.get()
        if self._items.qsize() < BATCH_MAX:
            self._closing.wait(GATHER_S)
        found = [first]
        with suppress(queue.Empty):
            while len(found) < BATCH_MAX:
                found.append(self._items.get_nowait())
        batch = [item for item in found if not isinstance(item, threading.Event)]
        return batch, [item for item in found if isinstance(item, threading.Event)]

    def _tell_lost(self) -> None:
        with self._lock:
            dropped, self._dropped = self._dropped, 0
        if dropped:
            self._lost(dropped)
