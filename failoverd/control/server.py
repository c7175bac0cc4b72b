"""The server of the control socket: what anybody on the other end does ends at most their own request."""

import errno
import os
import traceback
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from socket import socket
from typing import Any

import anyio
from anyio import CancelScope

from failoverd.control.connection import Connection, Gone, accept
from failoverd.control.outbox import Outbox
from failoverd.control.protocol import REQUEST_MAX, SOCKET_NAME, Kind, line, parse_request
from failoverd.control.rundir import peer_credentials
from failoverd.errors import FailoverdError, UsageError
from failoverd.log.catalogue import Event
from failoverd.ports import Caller, ControlHandler, EventLog

ACCEPT_PAUSE_S = 0.2
COMPLAINT_INTERVAL_S = 1.0
_SHORTAGES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one client may cost."""

    clients_max: int = 64
    request_timeout_s: float = 2.0
    """From connecting to the end of the request."""
    send_timeout_s: float = 30.0
    """For how long a client may leave unread what is being sent."""
    updates_max: int = 1_000
    update_bytes_max: int = 4 * 1024 * 1024


class ControlServer:
    """Answers requests on a listening socket (``rundir.listen``) by a ``ControlHandler``."""

    def __init__(
        self, listener: socket, run_dir: Path, handler: ControlHandler, log: EventLog, limits: Limits | None = None
    ) -> None:
        self._listener = listener
        self._path = run_dir / SOCKET_NAME
        self._handler = handler
        self._log = log
        self._limits = limits or Limits()
        self._clients = 0
        self._complained_at = float("-inf")
        self._unsaid = 0

    async def serve(self) -> None:
        """Serve until cancelled; then end the requests under way and remove the socket."""
        inode = os.lstat(self._path).st_ino
        try:
            async with anyio.create_task_group() as clients:
                while True:
                    client = await self._accepted()
                    if client is not None:
                        clients.start_soon(self._client, client)
        finally:
            self._listener.close()
            # A successor may have put its own socket there already.
            with suppress(FileNotFoundError):
                if os.lstat(self._path).st_ino == inode:
                    self._path.unlink()

    async def _accepted(self) -> Connection | None:
        try:
            return await accept(self._listener)
        except OSError as error:
            if error.errno not in _SHORTAGES:
                raise
            self._complain(f"cannot accept: {error.strerror}", None)
            await anyio.sleep(ACCEPT_PAUSE_S)
            return None

    async def _client(self, client: Connection) -> None:
        pid, uid, gid = peer_credentials(client.raw)
        caller = Caller(pid=pid, uid=uid, gid=gid)
        self._clients += 1
        try:
            if self._clients > self._limits.clients_max:
                await self._cut_off(client, caller, Kind.REFUSED, "too many clients of the control socket")
            else:
                await self._converse(client, caller)
        except Gone:
            return
        finally:
            self._clients -= 1
            client.close()

    async def _converse(self, client: Connection, caller: Caller) -> None:
        try:
            with anyio.fail_after(self._limits.request_timeout_s):
                data = await _request(client)
            if data is None:
                return
            command, params = parse_request(data)
        except TimeoutError:
            await self._cut_off(client, caller, Kind.USAGE, "no whole request came in time")
            return
        except ValueError as error:
            await self._cut_off(client, caller, Kind.USAGE, str(error))
            return
        await self._carry_out(client, caller, command, params)

    async def _carry_out(self, client: Connection, caller: Caller, command: str, params: dict[str, Any]) -> None:
        outbox = Outbox(lines_max=self._limits.updates_max, bytes_max=self._limits.update_bytes_max)
        async with anyio.create_task_group() as request:
            request.start_soon(_end_when_gone, client, request.cancel_scope)
            request.start_soon(self._send, client, caller, outbox, request.cancel_scope)
            outbox.finish(await self._answer(command, params, caller, outbox))

    async def _send(self, client: Connection, caller: Caller, outbox: Outbox, request: CancelScope) -> None:
        """Send until the final document is out or the client is lost, then end the request."""
        try:
            while data := await outbox.take():
                with anyio.fail_after(self._limits.send_timeout_s):
                    await client.send(data)
        except TimeoutError:
            self._complain("did not read its answers", caller)
        except Gone:
            pass
        request.cancel()

    async def _answer(self, command: str, params: Mapping[str, Any], caller: Caller, outbox: Outbox) -> bytes:
        """The final line."""
        try:
            data = await self._handler.handle(command, params, caller, outbox.update)
            return line({"type": "result", "data": data})
        except Exception as error:  # noqa: BLE001 (a defect in one command must end that request only; it is logged)
            return line(self._error(command, caller, error))

    def _error(self, command: str, caller: Caller, error: Exception) -> dict[str, Any]:
        leaves = list(_leaves(error))
        kinds = [_kind(leaf) for leaf in leaves]
        for wanted in (Kind.INTERNAL, Kind.USAGE, Kind.REFUSED, Kind.TIMED_OUT):
            if wanted in kinds:
                break
        leaf = leaves[kinds.index(wanted)]
        message = str(leaf)
        if wanted is Kind.INTERNAL:
            message = f"internal error in {command!r}: {type(leaf).__name__}: {leaf}; the daemon's log has the details"
            self._log.emit(
                Event.DAEMON_INTERNAL_ERROR,
                command=command,
                caller=str(caller),
                reason=leaf,
                traceback="".join(traceback.format_exception(error)),
            )
        return {"type": "error", "kind": wanted.value, "message": message or "timed out"}

    async def _cut_off(self, client: Connection, caller: Caller, kind: Kind, reason: str) -> None:
        self._complain(reason, caller)
        with anyio.move_on_after(self._limits.request_timeout_s):
            await client.send(line({"type": "error", "kind": kind.value, "message": reason}))

    def _complain(self, reason: str, caller: Caller | None) -> None:
        """At most once a second, so that an abuser cannot fill the log."""
        now = anyio.current_time()
        if now - self._complained_at < COMPLAINT_INTERVAL_S:
            self._unsaid += 1
            return
        self._log.emit(
            Event.CONTROL_CLIENT_DROPPED, reason=reason, caller=str(caller) if caller else None, unsaid=self._unsaid
        )
        self._complained_at, self._unsaid = now, 0


async def _request(client: Connection) -> bytes | None:
    """The request's line; None where the client went away without one. Raises ``ValueError`` where it is too long."""
    held = bytearray()
    while True:
        data = await client.receive(REQUEST_MAX)
        if not data:
            if held:
                raise ValueError("the request ended in the middle")
            return None
        held += data
        end = held.find(b"\n")
        if end >= REQUEST_MAX or (end < 0 and len(held) >= REQUEST_MAX):
            raise ValueError(f"the request is longer than {REQUEST_MAX} bytes")
        if end >= 0:
            return bytes(held[:end])


async def _end_when_gone(client: Connection, request: CancelScope) -> None:
    """A client has nothing more to say: anything but silence means that it has gone or is none of ours."""
    with suppress(Gone):
        await client.receive(1)
    request.cancel()


def _leaves(error: Exception) -> Iterator[Exception]:
    if isinstance(error, ExceptionGroup):
        for each in error.exceptions:
            yield from _leaves(each)
    else:
        yield error


def _kind(error: Exception) -> Kind:
    if isinstance(error, UsageError):
        return Kind.USAGE
    if isinstance(error, FailoverdError):
        return Kind.REFUSED
    return Kind.TIMED_OUT if isinstance(error, TimeoutError) else Kind.INTERNAL
