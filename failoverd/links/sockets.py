"""The UDP sockets of the heartbeat links, and what their addresses resolve to."""

import contextlib
import errno
import socket

from failoverd.errors import StartupError

BUFFER_BYTES = 4 * 1024 * 1024
"""Received: some seconds of a large cluster's bursts. Sent: while a dead peer's hardware address is asked for, up to
212,992 bytes to it are kept and charged to this socket (arp(7), ``unres_qlen_bytes``): as much as the default
buffer, which would make the socket refuse what is for the living."""
TRAFFIC_CLASS = 0xC0
"""DSCP CS6, network control (RFC 4594, section 3.2): not behind the bulk data of the same network card."""

SockAddr = tuple[str, int] | tuple[str, int, int, int]

_HINTS = {
    errno.EADDRINUSE: "another daemon is using it?",
    errno.EADDRNOTAVAIL: "it is no address of this machine (or its network interface is down)",
    errno.EACCES: "ports below 1024 need privileges",
}


def open_socket(host: str, port: int) -> socket.socket:
    """A non-blocking UDP socket bound to one of our own addresses. Raises ``StartupError``.

    A host name is looked up, which may block: our own names belong into /etc/hosts.
    """
    try:
        family, address = lookup(host, port)
    except OSError as error:
        raise StartupError(f"heartbeat address {host}:{port}: cannot be looked up: {error.strerror}") from error
    # No SO_REUSEADDR: with UDP it would let two daemons share the port, each hearing half.
    made = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    try:
        _configure(made)
        made.bind(address)
    except OSError as error:
        made.close()
        hint = _HINTS.get(error.errno or 0)
        raise StartupError(
            f"heartbeat address {host}:{port}: cannot be bound: {error.strerror}" + (f"; {hint}" if hint else "")
        ) from error
    return made


def _configure(made: socket.socket) -> None:
    if made.family == socket.AF_INET6:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, TRAFFIC_CLASS)
    else:
        made.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, TRAFFIC_CLASS)
    for option, force in ((socket.SO_RCVBUF, _SO_RCVBUFFORCE), (socket.SO_SNDBUF, _SO_SNDBUFFORCE)):
        made.setsockopt(socket.SOL_SOCKET, option, BUFFER_BYTES)  # up to net.core.[rw]mem_max
        with contextlib.suppress(PermissionError):
            made.setsockopt(socket.SOL_SOCKET, force, BUFFER_BYTES)  # beyond it, with CAP_NET_ADMIN


_SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 32, 33
"""socket(7); the socket module does not name them."""


def lookup(host: str, port: int, family: int = socket.AF_UNSPEC) -> tuple[int, SockAddr]:
    """Family and socket address of a host. Raises ``OSError``; blocks for a host name, not for an address."""
    found = socket.getaddrinfo(host, port, family=family, type=socket.SOCK_DGRAM)
    return found[0][0], _sockaddr(found[0][4])


def numeric(host: str, port: int, family: int) -> SockAddr | None:
    """The socket address of a host given as an address, without a look-up; None where it is a name."""
    try:
        found = socket.getaddrinfo(host, port, family=family, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST)
    except OSError:
        return None
    return _sockaddr(found[0][4])


def _sockaddr(found: tuple[str | int, ...] | tuple[int, bytes]) -> SockAddr:
    host, port, *rest = found
    if rest:
        return str(host), int(port), int(rest[0]), int(rest[1])
    return str(host), int(port)
