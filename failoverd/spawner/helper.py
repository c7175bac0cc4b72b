"""The helper process: starts commands for the daemon, so that a storm of them does not stall the daemon's event loop.

It lives exactly as long as the other end of its socket is open. When the daemon is gone, it kills every command in
flight and ends; only then does it let go of the lock for which the next helper waits.
"""

import contextlib
import os
import resource
import select
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from failoverd import procfs
from failoverd.spawner import journal
from failoverd.spawner.journal import Journal, Locked
from failoverd.spawner.launch import Launcher, go_before_commands
from failoverd.spawner.operation import DEATH_S, Operation
from failoverd.spawner.protocol import BUFFER_WANTED, PACKET_MAX, decode, encode
from failoverd.spawner.workers import Workers

LOCK_WAIT_S = 10.0
LEFTOVERS_WAIT_S = 5.0
FAREWELL_S = 8.0
"""After the daemon's death: below ``LOCK_WAIT_S``, so that the next helper outwaits it."""

_HUNG_START_S = 0.1
_STARTING_S = 0.2
_FRESH_S = 0.01
_NEVER = float("inf")
_SWITCH_S = 0.0005
"""The interpreter lock's switch interval: a thread that has started a command is not kept waiting for 5 ms."""

Handler = Callable[[], None]


class Helper:
    def __init__(self, link: socket.socket, run_dir: str) -> None:
        self._link = link
        self._epoll = select.epoll()
        self._handlers: dict[int, Handler] = {}
        self._operations: dict[int, Operation] = {}
        """Not yet answered."""
        self._children: dict[int, Operation] = {}
        """By pid, what is only to be reaped: long-running processes, and what SIGKILL did not end in time."""
        self._outbox: deque[bytes] = deque()
        self._writable = True
        self._orphaned = False
        self._last_start = 0.0
        self._nearest = _NEVER
        """No deadline is before this; found anew when it has passed, not at every change."""
        self._groups = LiveGroups()
        self._journal = Journal(run_dir)
        self._soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._raised = self._soft != hard
        self._limits = (self._soft, hard)
        if self._raised:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self._workers = Workers(self._journal, Launcher(), self._attend)
        self._watch(link.fileno(), self._receive)
        self._watch(self._workers.wake, self._collect)

    def run(self) -> None:
        """Serve until the daemon is gone, then end what is in flight."""
        self._send(encode({"ready": os.getpid()}))
        while not self._orphaned:
            self._turn()
        self._end_everything()

    # --- the loop -----------------------------------------------------------------------------------------------

    def _turn(self) -> None:
        for descriptor, _ in self._epoll.poll(self._patience(), 256):
            handler = self._handlers.get(descriptor)
            if handler is not None:  # else it was closed by another event of this very turn
                handler()
        now = time.monotonic()
        if now >= self._nearest:
            self._expire(now)
        if self._workers.backlog and now - self._last_start > _HUNG_START_S:
            self._last_start = now
            self._workers.relieve()

    def _patience(self) -> float | None:
        """How long nothing has to be done unless something happens (seconds; None: for ever)."""
        nearest = self._nearest
        if self._workers.backlog:
            nearest = min(nearest, self._last_start + _HUNG_START_S)
        return None if nearest == _NEVER else max(0.0, nearest - time.monotonic())

    def _watch(self, descriptor: int, handler: Handler) -> None:
        self._handlers[descriptor] = handler
        self._epoll.register(descriptor, select.EPOLLIN)

    def _unwatch(self, descriptor: int) -> None:
        if self._handlers.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)

    # --- the daemon ---------------------------------------------------------------------------------------------

    def _receive(self) -> None:
        self._flush()
        for _ in range(256):
            try:
                packet = self._link.recv(PACKET_MAX)
            except BlockingIOError:
                return
            except ConnectionError:
                packet = b""
            if not packet:
                self._orphaned = True
                return
            for message in packet.split(b"\n"):
                self._handle(decode(message)[0])

    def _handle(self, message: dict[str, Any]) -> None:
        what = message["do"]
        if what == "ping":
            self._send(encode({"pong": True}))
        elif what == "cancel":
            operation = self._operations.get(message["op"])
            if operation is not None and not operation.ending:
                self._end(operation, time.monotonic())
        elif self._journal.full:
            self._send(encode({"op": message["op"], "failed": "too many commands at once"}))
        else:
            self._begin(Operation(message))

    def _send(self, packet: bytes) -> None:
        self._outbox.append(packet)
        if self._writable:
            self._flush()

    def _flush(self) -> None:
        """The outbox is bounded by the operations in flight."""
        while self._outbox:
            try:
                self._link.send(self._outbox[0])
            except BlockingIOError:
                if self._writable:
                    self._writable = False
                    self._epoll.modify(self._link.fileno(), select.EPOLLIN | select.EPOLLOUT)
                return
            except ConnectionError:
                self._orphaned = True
                return
            self._outbox.popleft()
        if not self._writable:
            self._writable = True
            self._epoll.modify(self._link.fileno(), select.EPOLLIN)

    # --- operations ---------------------------------------------------------------------------------------------

    def _begin(self, operation: Operation) -> None:
        now = time.monotonic()
        operation.deadline = now + operation.timeout_s
        self._nearest = min(self._nearest, operation.deadline)
        self._operations[operation.number] = operation
        if not operation.detach:
            operation.slot = self._journal.begin(operation.number)
        if not self._workers.backlog:
            self._last_start = now
        self._workers.put(operation)

    def _collect(self) -> None:
        """What a worker has done and what is more than to watch a command that runs."""
        os.eventfd_read(self._workers.wake)
        special = self._workers.special
        while special:
            operation = special.popleft()
            if operation.error is not None or not operation.pid:
                self._refuse(operation, operation.error or "cancelled before it began")
                self._forget(operation)
            elif operation.detach:
                self._release(operation)
            elif not operation.answered:  # its time was up, or it was cancelled, before it had begun
                operation.kill(time.monotonic())
                self._nearest = min(self._nearest, operation.deadline)

    def _release(self, operation: Operation) -> None:
        """A long-running process: from now on only ours to reap."""
        del self._operations[operation.number]
        if not operation.order.limits or "nofile" not in operation.order.limits:
            self._lower_limits(operation.pid)
        self._leave(operation)
        if operation.ending:
            operation.kill(0.0)
            self._refuse(operation, "not started in time")
        else:
            identity = {"pid": operation.pid, "ticks": operation.start_ticks, "boot": procfs.boot_id()}
            self._send(encode({"op": operation.number, **identity}))

    def _attend(self, operation: Operation) -> None:
        """Called by a worker's thread. Its end is watched for last: by then all else is in place."""
        self._last_start = time.monotonic()
        self._lower_limits(operation.pid)
        self._watch(operation.pipe, lambda: self._printed(operation))
        self._watch(operation.pidfd, lambda: self._exited(operation))

    def _lower_limits(self, pid: int) -> None:
        """Ours was raised; a command gets what the daemon was given (select(2) cannot use descriptors above 1023)."""
        if self._raised:
            with contextlib.suppress(OSError):  # it has ended already, or is another user's
                resource.prlimit(pid, resource.RLIMIT_NOFILE, self._limits)

    def _printed(self, operation: Operation) -> None:
        if operation.output is not None and not operation.output.read():
            self._unwatch(operation.pipe)

    def _exited(self, operation: Operation) -> None:
        if operation.leave_nothing:  # before it is reaped: until then nobody else can have its number
            operation.signal_group(signal.SIGKILL)
        if not operation.reap():
            return
        self._unwatch(operation.pidfd)
        if operation.ending:
            self._due(operation, time.monotonic())
        else:
            self._finish(operation)

    def _finish(self, operation: Operation) -> None:
        if not operation.answered:
            operation.answered = True
            reply, output = operation.result()
            self._send(encode(reply, output))
        self._forget(operation)

    def _refuse(self, operation: Operation, why: str) -> None:
        if not operation.answered:
            operation.answered = True
            self._send(encode({"op": operation.number, "failed": why}))

    def _forget(self, operation: Operation) -> None:
        self._operations.pop(operation.number, None)
        if operation.pipe >= 0:
            self._unwatch(operation.pipe)
        if operation.pidfd >= 0 and not operation.reaped:
            self._unwatch(operation.pidfd)
            self._leave(operation)
        else:
            self._close(operation)

    def _leave(self, operation: Operation) -> None:
        self._children[operation.pid] = operation
        self._watch(operation.pidfd, lambda: self._bury(operation))

    def _bury(self, operation: Operation) -> None:
        if operation.reap():
            self._unwatch(operation.pidfd)
            del self._children[operation.pid]
            self._close(operation)

    def _close(self, operation: Operation) -> None:
        operation.close()
        if operation.slot >= 0:
            self._journal.end(operation.slot)

    # --- time ---------------------------------------------------------------------------------------------------

    def _expire(self, now: float) -> None:
        for operation in [one for one in self._operations.values() if one.deadline <= now]:
            if operation.ending:
                self._due(operation, now)
            else:
                operation.timed_out = True
                self._end(operation, now)
        self._nearest = min((one.deadline for one in self._operations.values()), default=_NEVER)

    def _end(self, operation: Operation, now: float) -> None:
        if operation.pid:
            operation.terminate(now)
        else:  # not begun yet, or its start hangs: it is killed as soon as it has a pid
            operation.ending = True
            operation.deadline = now + DEATH_S
        self._nearest = min(self._nearest, operation.deadline)

    def _due(self, operation: Operation, now: float) -> None:
        if not operation.pid:
            self._refuse(operation, f"{operation.order.argv[0]}: its start hangs (storage that does not answer?)")
            operation.deadline = _NEVER
        elif operation.pursue(now, self._groups):
            self._finish(operation)
        else:
            self._nearest = min(self._nearest, operation.deadline)

    # --- the end ------------------------------------------------------------------------------------------------

    def _end_everything(self) -> None:
        """Nothing that we started for the daemon outlives us, except what is meant to."""
        begun = time.monotonic()
        self._kill_all()
        while time.monotonic() - begun < FAREWELL_S and self._something_left(time.monotonic() - begun):
            for descriptor, _ in self._epoll.poll(0.01, 256):
                handler = self._handlers.get(descriptor)
                if handler is not None and descriptor != self._link.fileno():
                    handler()
            self._kill_all()
            self._expire(time.monotonic())

    def _something_left(self, elapsed_s: float) -> bool:
        """A start that hangs without a process (an output file on dead storage) is not waited for; should it come to
        life in this very moment, the journal knows of it."""
        operations = self._operations.values()
        patient = elapsed_s < _STARTING_S
        return any(one.pid or patient for one in operations) or any(self._strangers())

    def _kill_all(self) -> None:
        now = time.monotonic()
        for operation in self._operations.values():
            operation.ending = True
            if operation.pid and not operation.killed:
                operation.kill(now)
        for pid in self._strangers():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _strangers(self) -> Iterable[int]:
        """Our children that have no name yet: a start that hangs."""
        ours = os.getpid()
        known = self._children.keys() | {operation.pid for operation in self._operations.values()}
        for pid in procfs.pids():
            there = procfs.stat(pid)
            if there is not None and there.ppid == ours and pid not in known and there.alive:
                yield pid


class LiveGroups:
    """Which process groups have a member that is no zombie: one look serves all who ask within ``_FRESH_S``."""

    def __init__(self) -> None:
        self._seen = frozenset[int]()
        self._at = -_FRESH_S

    def __call__(self, now: float) -> frozenset[int]:
        if now - self._at >= _FRESH_S:
            there = (procfs.stat(pid) for pid in procfs.pids())
            self._seen = frozenset(one.pgid for one in there if one is not None and one.alive)
            self._at = now
        return self._seen


def main() -> None:
    """``python -c '…main()' DESCRIPTOR RUN_DIR``: run by ``client``, with our end of the socket inherited."""
    sys.setswitchinterval(_SWITCH_S)
    link = socket.socket(fileno=int(sys.argv[1]))
    run_dir = sys.argv[2]
    os.set_inheritable(link.fileno(), False)
    link.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_WANTED)
    _become_ordinary()
    try:
        _take_over(link, run_dir)
        helper = Helper(link, run_dir)
    except (OSError, Locked) as error:
        with contextlib.suppress(OSError):
            link.send(encode({"broken": str(error)}))
        sys.exit(1)
    link.setblocking(False)
    helper.run()
    os._exit(0)  # without waiting for threads whose start hangs


def _take_over(link: socket.socket, run_dir: str) -> None:
    """Take the lock, for good, and end what an earlier helper left running. Raises Locked, OSError."""
    until = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            journal.lock(run_dir)
            break
        except Locked:
            if time.monotonic() > until:
                raise Locked(
                    f"{run_dir}/spawner.lock is still held after {LOCK_WAIT_S:g} s: another failoverd uses this "
                    "run_dir, or a command of an earlier one cannot be killed"
                ) from None
        if _hung_up(link):
            sys.exit(0)
        time.sleep(0.01)
    until = time.monotonic() + LEFTOVERS_WAIT_S
    while left := journal.kill_leftovers(run_dir):
        if time.monotonic() > until:
            raise Locked(f"commands of an earlier failoverd still run and cannot be killed: pid {left}")
        time.sleep(0.01)


def _hung_up(link: socket.socket) -> bool:
    """The daemon that we were to serve is gone already."""
    return bool(select.select([link], [], [], 0)[0]) and not link.recv(PACKET_MAX, socket.MSG_PEEK)


def _become_ordinary() -> None:
    """Shed what a daemon may have and a command must not inherit: priority, signals, directory, umask, descriptors."""
    go_before_commands()
    _shed_protection()
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for number in signal.valid_signals() - {signal.SIGPIPE, signal.SIGXFSZ}:
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        # Our life hangs on the socket alone. A handler, because "ignored" would be inherited by the commands.
        signal.signal(number, _not_listening)
    os.chdir("/")
    os.umask(0o022)


def _not_listening(_number: int, _frame: object) -> None:
    """Nothing to do."""


def _shed_protection() -> None:
    """A daemon protected from the kernel's out-of-memory killer does not protect its commands (proc(5))."""
    with contextlib.suppress(OSError, ValueError), open("/proc/self/oom_score_adj", "r+", encoding="ascii") as file:  # noqa: PTH123 (pathlib costs 10 ms of the start)
        if int(file.read()) < 0:
            file.write("0")
