"""The client of the control socket: synchronous, standard library only, so that a command starts fast."""

import json
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from failoverd.control.protocol import ANSWER_MAX, SOCKET_NAME, Kind, request, short_path
from failoverd.errors import FailoverdError, Refused, UsageError

CONNECT_TIMEOUT_S = 2.0
CHUNK = 256 * 1024
SLICE_S = 0.5

OnUpdate = Callable[[dict[str, Any]], None]


class NoDaemon(FailoverdError):  # noqa: N818 (the vocabulary's own name)
    """No daemon answers on this run_dir, or it went away. Nothing is known of a request that was under way."""


class TimedOut(FailoverdError):  # noqa: N818
    """The wait was longer than asked for. What the request set in motion goes on."""


class InternalError(FailoverdError):
    """The daemon met a defect of its own; its log has the details. Whether anything was changed is unknown."""


class ProtocolError(FailoverdError):
    """What answers on the socket does not speak this protocol."""


def call(
    run_dir: Path,
    command: str,
    params: Mapping[str, Any] | None = None,
    *,
    timeout_s: float | None = 5.0,
    on_update: OnUpdate | None = None,
    on_lost: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Ask the daemon and return its final document; ``on_update`` gets each document before it.

    ``timeout_s`` bounds the whole request (None: wait as long as the daemon lives). ``on_lost`` is told how many
    updates were dropped because this side read too slowly. Raises ``NoDaemon``, ``Refused``, ``UsageError``,
    ``TimedOut``, ``InternalError`` or ``ProtocolError``.
    """
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    with _connect(run_dir) as connection:
        # Errors of the callbacks are the caller's own, so they are called outside of what handles the network's.
        for answer in _answers(connection, request(command, params or {}), deadline):
            kind = answer.get("type")
            if kind == "update" and on_update is not None:
                on_update(_data(answer))
            elif kind == "lost" and on_lost is not None:
                on_lost(int(answer.get("count", 0)))
            elif kind == "result":
                return _data(answer)
            elif kind == "error":
                raise _error(answer)
    raise NoDaemon("the daemon ended the connection before it had answered (it may have been stopped)")


def _connect(run_dir: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    connection.settimeout(CONNECT_TIMEOUT_S)
    try:
        with short_path(run_dir) as path:
            connection.connect(path)
    except OSError as error:
        connection.close()
        where = run_dir / SOCKET_NAME
        if isinstance(error, PermissionError):
            raise NoDaemon(f"{where} may not be used by this user: {error.strerror}") from error
        if isinstance(error, (FileNotFoundError, NotADirectoryError, ConnectionRefusedError)):
            raise NoDaemon(f"no daemon answers on {where}; is it running, and is --run-dir right?") from error
        raise NoDaemon(f"no daemon can be reached on {where}: {error.strerror or error}") from error
    return connection


def _answers(connection: socket.socket, asked: bytes, deadline: float | None) -> Iterator[dict[str, Any]]:
    """Send the request and yield each line of the answer until the connection ends."""
    held = bytearray()
    searched = 0
    _exchange(connection, deadline, asked)
    while True:
        end = held.find(b"\n", searched)
        if end >= 0:
            data = bytes(held[:end])
            del held[: end + 1]
            searched = 0
            yield _parsed(data)
            continue
        searched = len(held)
        if searched > ANSWER_MAX:
            raise ProtocolError("the daemon's answer is too long")
        chunk = _exchange(connection, deadline)
        if not chunk:
            return
        held += chunk


def _exchange(connection: socket.socket, deadline: float | None, asked: bytes | None = None) -> bytes:
    """Send ``asked``, or receive where there is nothing to send. Raises ``TimedOut`` or ``NoDaemon``."""
    try:
        if asked is None:
            return _received(connection, deadline)
        connection.settimeout(CONNECT_TIMEOUT_S)
        connection.sendall(asked)
    except TimeoutError as error:
        raise TimedOut("the daemon has not finished in the time given") from error
    except OSError as error:
        raise NoDaemon(f"the connection to the daemon broke: {error.strerror or error}") from error
    return b""


def _received(connection: socket.socket, deadline: float | None) -> bytes:
    """Raises ``TimeoutError`` at the deadline.

    It waits in slices: a Ctrl-C that arrives between the interpreter's last look and the system call would go unnoticed
    until that call returns, which without a deadline may be never.
    """
    while True:
        left = SLICE_S if deadline is None else deadline - time.monotonic()
        # Not 0, which would mean: do not block at all.
        connection.settimeout(min(SLICE_S, max(0.001, left)))
        try:
            return connection.recv(CHUNK)
        except TimeoutError:
            if left <= SLICE_S and deadline is not None:
                raise


def _parsed(data: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(data)
    except ValueError as error:
        raise ProtocolError("what answers on the control socket is no failoverd daemon") from error
    if not isinstance(answer, dict):
        raise ProtocolError("what answers on the control socket is no failoverd daemon")
    return answer


def _data(answer: Mapping[str, Any]) -> dict[str, Any]:
    data = answer.get("data")
    if not isinstance(data, dict):
        raise ProtocolError("the daemon's answer holds no document")
    return data


def _error(answer: Mapping[str, Any]) -> FailoverdError:
    message = str(answer.get("message") or "the daemon gave no reason")
    errors = {Kind.REFUSED: Refused, Kind.USAGE: UsageError, Kind.TIMED_OUT: TimedOut}
    return errors.get(Kind(answer["kind"]), InternalError)(message) if _known(answer) else InternalError(message)


def _known(answer: Mapping[str, Any]) -> bool:
    return answer.get("kind") in list(Kind)
