"""One HTTP exchange with one member."""

import json
import os
import socket
import ssl
from typing import Any

import aiohttp
import anyio

from failoverd.coordinators.etcd.messages import Json, Malformed, Verdict, error_of, hinted, parse

ANSWER_MAX_BYTES = 64 << 20
"""Far above what a cluster's records are, below what would hurt."""

HEADERS = {"Content-Type": "application/json", "Grpc-Metadata-hasleader": "true"}
"""hasleader: a member without a leader says so at once, and ends a watch, instead of letting us wait."""


class Failed(Exception):  # noqa: N818 (a member's answer, handled by asking another)
    """What became of one exchange that brought no answer of use."""

    def __init__(self, verdict: Verdict, why: str) -> None:
        super().__init__(why)
        self.verdict = verdict
        self.why = why


class _Handed(socket.socket):
    """A socket that is closed by whoever it is handed to, and not by the garbage collector.

    uvloop takes over the descriptor of a socket that it is given, and lets the socket go of it when it closes it, but
    not where the peer resets the connection right after accepting it: then the collector would close the number once
    more, which is some other connection's by now. That ended the daemon.
    """

    def __del__(self) -> None:
        pass


def _socket(address: tuple[Any, ...]) -> socket.socket:
    """``address``: an entry of getaddrinfo(3)."""
    family, kind, protocol, *_ = address
    return _Handed(family, kind, protocol)


def session(tls: ssl.SSLContext | None, connections_max: int) -> aiohttp.ClientSession:
    """Belongs to the event loop that it is made in."""
    connector = aiohttp.TCPConnector(ssl=tls or True, limit=connections_max, socket_factory=_socket)
    return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())


async def post(
    session: aiohttp.ClientSession, url: str, body: Json, *, token: str | None, limit_s: float, connect_s: float
) -> aiohttp.ClientResponse:
    """Send, and wait at most ``limit_s`` for the answer to begin. Raises ``Failed``: with ``Verdict.ELSEWHERE`` where
    the connection could not be had (``connect_s``), so that nothing was sent."""
    headers = HEADERS if token is None else {**HEADERS, "Authorization": token}
    timeout = aiohttp.ClientTimeout(total=None, connect=connect_s)
    response = None
    with anyio.move_on_after(limit_s):
        try:
            response = await session.post(
                url, data=json.dumps(body).encode(), headers=headers, timeout=timeout, allow_redirects=False
            )
        except aiohttp.ConnectionTimeoutError as error:
            raise Failed(Verdict.ELSEWHERE, "no connection") from error
        except aiohttp.ClientConnectorError as error:
            raise Failed(Verdict.ELSEWHERE, hinted(of_connecting(error))) from error
        except (aiohttp.ClientError, OSError) as error:
            perhaps = "" if url.startswith("https:") else "; perhaps it speaks https only"
            text = f"connection lost ({error or type(error).__name__}{perhaps})"
            raise Failed(Verdict.UNCLEAR, hinted(text)) from error
    if response is None:
        raise Failed(Verdict.UNCLEAR, "no answer")
    return response


def of_connecting(error: aiohttp.ClientConnectorError) -> str:
    """Why a connection could not be had."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"its certificate is not trusted ({error.certificate_error})"
    number = error.os_error.errno
    return os.strerror(number) if number is not None and number > 0 else str(error.os_error) or str(error)


async def ask(
    session: aiohttp.ClientSession, url: str, body: Json, *, token: str | None, limit_s: float, connect_s: float
) -> Json:
    """One request and its whole answer within ``limit_s``. Raises ``Failed``."""
    end = anyio.current_time() + limit_s
    response = await post(session, url, body, token=token, limit_s=limit_s, connect_s=connect_s)
    raw = None
    try:
        with anyio.move_on_after(end - anyio.current_time()):
            raw = await whole(response)
        if raw is None:
            raise Failed(Verdict.UNCLEAR, "only half an answer")
    except (aiohttp.ClientError, OSError) as error:
        raise Failed(Verdict.UNCLEAR, f"connection lost ({error or type(error).__name__})") from error
    finally:
        if raw is None:
            response.close()
        else:
            response.release()
    if response.status != 200:
        raise Failed(*error_of(response.status, raw))
    try:
        return parse(raw)
    except Malformed as error:
        raise Failed(Verdict.UNCLEAR, str(error)) from error


async def whole(response: aiohttp.ClientResponse) -> bytes:
    found = bytearray()
    while chunk := await response.content.readany():
        found += chunk
        if len(found) > ANSWER_MAX_BYTES:
            raise Failed(Verdict.UNCLEAR, f"an answer of more than {ANSWER_MAX_BYTES} bytes")
    return bytes(found)
