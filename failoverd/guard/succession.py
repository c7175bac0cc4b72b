"""Becoming the guard of a run_dir: one at a time, and never none while there is something to guard.

The guard in charge holds a lock for as long as it lives. Who finds it held asks its holder for what it guards; the
holder goes only after its successor has said that it has everything. A holder that does not answer is killed: then the
daemon, which knows what is online, hands everything over anew.
"""

import contextlib
import fcntl
import os
import select
import signal
import socket

from failoverd import procfs
from failoverd.guard import machine
from failoverd.guard.protocol import BUFFER_WANTED, LOCK_NAME, PACKET_MAX, SOCKET_NAME, Message, decode, encode
from failoverd.guard.quarry import Quarry

ANSWER_S = 2.0
"""How long a predecessor may take to answer, to be there at all, or to go."""
FIRING_S = 3600.0
"""How long one that carries out last wills may take: it ends by itself; the daemon gives up long before."""
_POLL_S = 0.002
_BACKLOG = 4


class Broken(Exception):  # noqa: N818 (what is the case, for the one caller who asks)
    """We cannot become the guard; the text says why."""


def become_the_guard() -> list[Message]:
    """Take the lock, for good, in the current directory. Returns what the predecessor has handed over (nothing where
    there was none). Raises Broken, OSError."""
    bequest: list[Message] = []
    until = machine.now() + ANSWER_S
    while not _lock():
        if machine.now() > until:
            _kill_holder()
            until = machine.now() + ANSWER_S
        if bequest:  # it is about to go
            select.select([], [], [], _POLL_S)
            continue
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
            connection.settimeout(ANSWER_S)
            try:
                connection.connect(SOCKET_NAME)
            except OSError:  # it is just beginning, or ending
                select.select([], [], [], _POLL_S)
                continue
            bequest = _ask(connection)
        until = machine.now() + ANSWER_S
    return bequest


def _ask(connection: socket.socket) -> list[Message]:
    """What it hands over, once it is about to go (or was killed); nothing where it fires, once it is through."""
    messages: list[Message] = []
    try:
        connection.send(encode({"do": "succeed"}))
        while packet := connection.recv(PACKET_MAX):
            message = decode(packet)
            if "refused" in message:
                raise Broken(message["refused"])
            if "firing" in message:
                messages.clear()
                connection.settimeout(FIRING_S)
            elif "yours" in message:
                break
            else:
                messages.append(message)
                if "all" in message:
                    connection.send(encode({"do": "taken"}))
    except TimeoutError:
        _kill_holder()
    except OSError:
        pass  # it ended; the lock tells
    return messages if messages and "all" in messages[-1] else []


def _lock() -> bool:
    """Whether we hold it now; if so, for as long as we live."""
    descriptor = os.open(LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return False
    ours = procfs.stat(os.getpid())
    text = f"{os.getpid()} {ours.start_ticks if ours else 0}\n".encode()
    os.pwrite(descriptor, text, 0)
    os.ftruncate(descriptor, len(text))
    return True


def _kill_holder() -> None:
    """It does not answer: stopped, or of an older version that says nothing we know."""
    with contextlib.suppress(OSError, ValueError):
        descriptor = os.open(LOCK_NAME, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            pid, ticks = (int(word) for word in os.read(descriptor, 64).split())
        finally:
            os.close(descriptor)
        holder = Quarry.find(pid, ticks)
        if holder is not None:
            holder.send(signal.SIGKILL)
            holder.close()


def listen() -> socket.socket:
    """Where a successor finds us, in the current directory, in place of what a predecessor left. Raises OSError."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
    beside = f".{SOCKET_NAME}.{os.getpid()}"
    before = os.umask(0o177)
    try:
        listener.bind(beside)
    finally:
        os.umask(before)
    listener.listen(_BACKLOG)
    os.replace(beside, SOCKET_NAME)  # noqa: PTH105 (pathlib costs 10 ms of the start)
    return listener


def accept(listener: socket.socket) -> socket.socket | None:
    """A successor: nobody else may connect to a socket of mode 0600, but for root."""
    try:
        connection, _ = listener.accept()
    except OSError:
        return None
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_WANTED)
    return connection
