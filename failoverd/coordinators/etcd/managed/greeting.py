"""What a node answers at its member's client port while its member has no data and does not run: "I am empty".

A few lines of HTTP/1.1 under the members' own TLS, so that nobody without the cluster key can say so.
"""

import errno
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import anyio
from anyio.abc import AnyByteStream
from anyio.streams.buffered import BufferedByteReceiveStream
from anyio.streams.tls import TLSListener, TLSStream

from failoverd.coordinators.etcd.managed.asking import GREETING, greeting
from failoverd.errors import FailoverdError

NOT_YET = b'{"message": "the member there does not run yet: it has no data and waits for others"}'
REQUEST_MAX_BYTES = 8192
PATIENCE_S = 2.0


class PortTaken(FailoverdError):  # noqa: N818 (what is the case)
    """Somebody else listens where our member is to. Nothing was changed."""


class _Listener(TLSListener):
    @staticmethod
    async def handle_handshake_error(exc: BaseException, stream: AnyByteStream) -> None:
        """A stranger, or a node with another key: it is told so by TLS, and says so in its own log."""
        await anyio.aclose_forcefully(stream)
        if not isinstance(exc, Exception):
            raise exc


@asynccontextmanager
async def greeting_at(host: str, port: int, tls: ssl.SSLContext, voters: Sequence[str]) -> AsyncIterator[None]:
    """Answer until the context is left. Raises ``PortTaken``."""
    try:
        listener = await anyio.create_tcp_listener(local_host=host, local_port=port)
    except OSError as error:
        raise PortTaken(why_not(error, host, port)) from error
    answer = greeting(voters)

    async def handle(stream: TLSStream) -> None:
        async with stream:
            with anyio.move_on_after(PATIENCE_S):
                await _answer(stream, answer)

    served = _Listener(listener, tls, standard_compatible=False, handshake_timeout=PATIENCE_S)
    async with served, anyio.create_task_group() as tasks:
        tasks.start_soon(served.serve, handle)
        try:
            yield
        finally:
            tasks.cancel_scope.cancel()


def why_not(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"{host} port {port} is in use by another program: look who has it with 'ss -tlnp', and end it or choose "
            "another port (coordinator.client_port, peer_port; the same on every node)"
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{host} is no address of this machine (yet): look at 'ip address' and at the node's first address"
    return f"{host} port {port}: {error.strerror or error}"


async def _answer(stream: TLSStream, body: bytes) -> None:
    try:
        head = await BufferedByteReceiveStream(stream).receive_until(b"\r\n\r\n", REQUEST_MAX_BYTES)
        known = head.split(b" ")[1:2] == [GREETING.encode()]
        status, content = (b"200 OK", body) if known else (b"404 Not Found", NOT_YET)
        fields = b"Content-Type: application/json\r\nConnection: close\r\nContent-Length: %d" % len(content)
        await stream.send(b"HTTP/1.1 %s\r\n%s\r\n\r\n%s" % (status, fields, content))
    except (anyio.IncompleteRead, anyio.DelimiterNotFound, anyio.EndOfStream, anyio.BrokenResourceError, ssl.SSLError):
        return  # it has gone
