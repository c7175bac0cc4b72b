"""The helper's threads, which start commands: a start that hangs (a program on dead storage) holds up only itself."""

import os
import queue
import signal
import threading
from collections import deque
from collections.abc import Callable

from failoverd import procfs
from failoverd.spawner.journal import Journal
from failoverd.spawner.launch import Launcher, explain, go_before_commands
from failoverd.spawner.operation import Operation, Output
from failoverd.spawner.protocol import ENVIRONMENT_MARK

THREADS = 2
"""While one waits for the kernel to load a program, the other prepares the next start."""
THREADS_MAX = 64


class Workers:
    """Hand operations in with ``put``.

    Of a command that runs, ``attend`` is called in the worker's own thread: waking the main thread for it would cost a
    tenth of the whole. Everything else is put into ``special``, after which ``wake`` is readable.
    """

    def __init__(self, journal: Journal, launcher: Launcher, attend: Callable[[Operation], None]) -> None:
        self.wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.special: deque[Operation] = deque()
        """Not started, detached, or to be ended already."""
        self._attend = attend
        self._journal = journal
        self._launcher = launcher
        self._waiting: queue.SimpleQueue[Operation] = queue.SimpleQueue()
        self._threads = 0
        for _ in range(THREADS):
            self._grow()

    @property
    def backlog(self) -> int:
        return self._waiting.qsize()

    def put(self, operation: Operation) -> None:
        self._waiting.put(operation)

    def relieve(self) -> None:
        """Called when operations have been waiting for long: every thread hangs, so one more is started."""
        if self._threads < THREADS_MAX:
            self._grow()

    def _grow(self) -> None:
        self._threads += 1
        threading.Thread(target=self._work, daemon=True).start()

    def _work(self) -> None:
        go_before_commands()
        while True:
            operation = self._waiting.get()
            if not operation.ending:
                start: Callable[[Operation], None] = self._detach if operation.detach else self._run
                try:
                    start(operation)
                except (OSError, LookupError, ValueError) as error:
                    operation.error = explain(error, operation.order)
            if operation.pid and operation.error is None and not operation.detach:
                self._attend(operation)
                if not operation.ending:
                    continue
            self.special.append(operation)
            os.eventfd_write(self.wake, 1)

    def _run(self, operation: Operation) -> None:
        operation.order.env = {**operation.order.env, ENVIRONMENT_MARK: self._journal.mark(operation.number)}
        operation.pipe, write_end = os.pipe2(os.O_CLOEXEC)
        given = None
        try:
            os.set_blocking(operation.pipe, False)
            given = None if operation.input is None else _in_memory(operation.input)
            operation.pid = self._launcher.start(operation.order, write_end, given)
        finally:
            os.close(write_end)
            if given is not None:
                os.close(given)
        self._journal.started(operation.slot, operation.number, operation.pid)
        operation.output = Output(operation.pipe)
        _follow(operation)

    def _detach(self, operation: Operation) -> None:
        output = None
        if operation.output_file is not None:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            output = os.open(operation.output_file, flags, 0o640)
        try:
            operation.pid = self._launcher.start(operation.order, output)
        finally:
            if output is not None:
                os.close(output)
        there = procfs.stat(operation.pid)
        operation.start_ticks = there.start_ticks if there else 0
        _follow(operation)


def _in_memory(text: str) -> int:
    """A file that exists nowhere but in memory (memfd_create(2)), open at its beginning: unlike a pipe, it needs
    nobody who goes on writing to it."""
    descriptor = os.memfd_create("input", os.MFD_CLOEXEC)
    left = text.encode()
    while left:
        left = left[os.write(descriptor, left) :]
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _follow(operation: Operation) -> None:
    """A process that we could not notice the end of is not left running (no descriptor is free, say)."""
    try:
        operation.pidfd = os.pidfd_open(operation.pid)
    except OSError:
        operation.signal_group(signal.SIGKILL)
        os.waitpid(operation.pid, 0)
        raise
