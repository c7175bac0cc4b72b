"""Addresses, links and routes by rtnetlink(7), without any library: a request costs some 20 µs.

A request is answered in the course of send(2) and may wait there for the kernel's one lock of network configuration,
so requests are made from a thread or a process of their own, never from an event loop. Events only ever arrive.
"""

import errno
import os
import socket
import struct
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address
from types import TracebackType
from typing import NamedTuple, Self

Address = IPv4Address | IPv6Address

ANSWER_S = 5.0
"""How long an answer that was not there at once is waited for."""
OUR_PROTOCOL = 0xFA
"""IFA_PROTO of the addresses that failoverd configures (Linux 5.18 and later keep it, earlier ones ignore it): so it is
known which are its own, whatever became of the daemon. Above what the kernel uses itself (0 to 3)."""

_HEADER = struct.Struct("=IHHII")
_IFADDR = struct.Struct("=BBBBI")
_IFINFO = struct.Struct("=BxHiII")
_RTMSG = struct.Struct("=BBBBBBBBI")
_ATTRIBUTE = struct.Struct("=HH")
_INT = struct.Struct("=i")
_UNSIGNED = struct.Struct("=I")

_ERROR, _DONE = 2, 3
_REQUEST, _ACK, _DUMP = 0x001, 0x004, 0x300
_CREATE, _EXCLUSIVE = 0x400, 0x200
NEW_LINK, DEL_LINK, _GET_LINK = 16, 17, 18
NEW_ADDRESS, DEL_ADDRESS, _GET_ADDRESS = 20, 21, 22
_GET_ROUTE = 26
_GROUPS = 1 << 0 | 1 << 4 | 1 << 8
"""RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR."""

_IFA_ADDRESS, _IFA_LOCAL, _IFA_LABEL, _IFA_BROADCAST, _IFA_FLAGS, _IFA_PROTO = 1, 2, 3, 4, 8, 11
_IFLA_ADDRESS, _IFLA_NAME, _IFLA_CARRIER_CHANGES = 1, 3, 35
_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_VIA = 1, 4, 5, 18

SECONDARY, NO_DAD, DAD_FAILED, TENTATIVE = 0x01, 0x02, 0x08, 0x40
_IFF_UP, _IFF_LOWER_UP = 0x1, 0x10000
_LINK_SCOPE = 253
_RECEIVE = 1 << 16
_BUFFER = 1 << 20
_ETHERNET = 1
_AF_NETLINK = socket.AF_NETLINK


class Configured(NamedTuple):
    """An address as it is configured on a link."""

    address: Address
    prefix: int
    link: int
    """The link's number."""
    flags: int = 0
    label: str = ""
    protocol: int = 0

    @property
    def ours(self) -> bool:
        return self.protocol == OUR_PROTOCOL

    def __str__(self) -> str:
        return f"{self.address}/{self.prefix}"


class Link(NamedTuple):
    number: int
    name: str
    flags: int
    kind: int
    """ARPHRD_* of <linux/if_arp.h>."""
    hardware: bytes
    carrier_changes: int
    """How often it has lost or got its carrier: the kernel may tell of both at once, a second later."""

    @property
    def up(self) -> bool:
        return bool(self.flags & _IFF_UP)

    @property
    def carrier(self) -> bool:
        return bool(self.flags & _IFF_LOWER_UP)

    @property
    def ethernet(self) -> bool:
        return self.kind == _ETHERNET and len(self.hardware) == 6


class Netlink:
    """A socket for requests. Every method raises OSError: what the kernel refused, or ETIMEDOUT."""

    def __init__(self) -> None:
        self._socket = socket.socket(_AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
        self._socket.bind((0, 0))
        self._socket.settimeout(ANSWER_S)
        self._number = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def addresses(self) -> list[Configured]:
        found = (_configured(body) for _, body in self._ask(_GET_ADDRESS, _DUMP, _IFADDR.pack(0, 0, 0, 0, 0)))
        return [one for one in found if one is not None]

    def links(self) -> dict[int, Link]:
        body = _IFINFO.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
        return {link.number: link for _, answer in self._ask(_GET_LINK, _DUMP, body) for link in [_link(answer)]}

    def add(self, address: Address, prefix: int, link: int, *, label: str = "", no_dad: bool = False) -> None:
        """EEXIST where it is there already."""
        body = _address_body(address, prefix, link)
        if address.version == 4 and prefix < 31:
            host_part = (1 << (32 - prefix)) - 1
            body += _attribute(_IFA_BROADCAST, (int(address) | host_part).to_bytes(4, "big"))
        if label:
            body += _attribute(_IFA_LABEL, label.encode() + b"\0")
        if no_dad:
            body += _attribute(_IFA_FLAGS, _UNSIGNED.pack(NO_DAD))
        body += _attribute(_IFA_PROTO, bytes([OUR_PROTOCOL]))
        self._ask(NEW_ADDRESS, _CREATE | _EXCLUSIVE | _ACK, body)

    def remove(self, one: Configured) -> None:
        """EADDRNOTAVAIL where it is not there."""
        self._ask(DEL_ADDRESS, _ACK, _address_body(one.address, one.prefix, one.link))

    def link_to(self, address: Address) -> int | None:
        """The number of the link that a datagram to the address would leave by; None where it would take a gateway, or
        nothing leads there."""
        body = _RTMSG.pack(_family(address), address.max_prefixlen, 0, 0, 0, 0, 0, 0, 0)
        try:
            answers = self._ask(_GET_ROUTE, 0, body + _attribute(_RTA_DST, address.packed))
        except OSError as error:
            if error.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH):
                return None
            raise
        for _, answer in answers:
            found = dict(_attributes(answer, _RTMSG.size))
            if _RTA_OIF in found and _RTA_GATEWAY not in found and _RTA_VIA not in found:
                return int(_UNSIGNED.unpack(found[_RTA_OIF])[0])
        return None

    def _ask(self, kind: int, flags: int, body: bytes) -> list[tuple[int, bytes]]:
        """Send a request and collect what is answered until its end."""
        self._number += 1
        self._socket.send(_HEADER.pack(_HEADER.size + len(body), kind, _REQUEST | flags, self._number, 0) + body)
        found: list[tuple[int, bytes]] = []
        while True:
            try:
                packet = self._socket.recv(_RECEIVE)
            except TimeoutError:
                raise OSError(errno.ETIMEDOUT, "the kernel did not answer over netlink") from None
            for answer, number, content in _messages(packet):
                if number != self._number:
                    continue
                if answer == _ERROR:
                    _raise(content)
                if answer in (_ERROR, _DONE):
                    return found
                found.append((answer, content))
            if not flags & (_DUMP | _ACK):
                return found


class Change(NamedTuple):
    """News of an address (``configured``) or of a link."""

    gone: bool
    configured: Configured | None = None
    link: Link | None = None


class Events:
    """What happens to links and addresses from now on. Does not block: to be waited for by ``fileno``."""

    def __init__(self) -> None:
        """Raises OSError."""
        flags = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        self._socket = socket.socket(_AF_NETLINK, flags, 0)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        self._socket.bind((0, _GROUPS))

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def read(self) -> list[Change] | None:
        """What has come; None where something was lost (look anew)."""
        found: list[Change] = []
        while True:
            try:
                packet = self._socket.recv(_RECEIVE)
            except BlockingIOError:
                return found
            except OSError as error:
                if error.errno == errno.ENOBUFS:
                    return None
                raise
            found += [change for kind, _, body in _messages(packet) for change in _change(kind, body)]


def _change(kind: int, body: bytes) -> Iterator[Change]:
    if kind in (NEW_ADDRESS, DEL_ADDRESS):
        configured = _configured(body)
        if configured is not None:
            yield Change(gone=kind == DEL_ADDRESS, configured=configured)
    elif kind in (NEW_LINK, DEL_LINK):
        yield Change(gone=kind == DEL_LINK, link=_link(body))


# --- bytes ----------------------------------------------------------------------------------------------------


def _messages(packet: bytes) -> Iterator[tuple[int, int, bytes]]:
    """(type, sequence number, body) of each message."""
    at = 0
    while at + _HEADER.size <= len(packet):
        length, kind, _, number, _ = _HEADER.unpack_from(packet, at)
        if length < _HEADER.size:
            return
        yield kind, number, packet[at + _HEADER.size : at + length]
        at += _aligned(length)


def _attributes(body: bytes, at: int) -> Iterator[tuple[int, bytes]]:
    while at + _ATTRIBUTE.size <= len(body):
        length, kind = _ATTRIBUTE.unpack_from(body, at)
        if length < _ATTRIBUTE.size:
            return
        yield kind & 0x3FFF, body[at + _ATTRIBUTE.size : at + length]
        at += _aligned(length)


def _attribute(kind: int, value: bytes) -> bytes:
    length = _ATTRIBUTE.size + len(value)
    return _ATTRIBUTE.pack(length, kind) + value + bytes(_aligned(length) - length)


def _aligned(length: int) -> int:
    return (length + 3) & ~3


def _raise(content: bytes) -> None:
    code = -_INT.unpack_from(content)[0]
    if code:
        raise OSError(code, os.strerror(code))


def _family(address: Address) -> int:
    return socket.AF_INET if address.version == 4 else socket.AF_INET6


def _address_body(address: Address, prefix: int, link: int) -> bytes:
    scope = _LINK_SCOPE if address.is_link_local else 0
    head = _IFADDR.pack(_family(address), prefix, 0, scope, link)
    return head + _attribute(_IFA_LOCAL, address.packed) + _attribute(_IFA_ADDRESS, address.packed)


def _configured(body: bytes) -> Configured | None:
    family, prefix, flags, _, link = _IFADDR.unpack_from(body)
    if family not in (socket.AF_INET, socket.AF_INET6):
        return None
    found = dict(_attributes(body, _IFADDR.size))
    packed = found.get(_IFA_LOCAL) or found.get(_IFA_ADDRESS)
    if packed is None:
        return None
    return Configured(
        address=ip_address(packed),
        prefix=prefix,
        link=link,
        flags=_UNSIGNED.unpack(found[_IFA_FLAGS])[0] if _IFA_FLAGS in found else flags,
        label=found.get(_IFA_LABEL, b"").rstrip(b"\0").decode("utf-8", "replace"),
        protocol=found.get(_IFA_PROTO, b"\0")[0],
    )


def _link(body: bytes) -> Link:
    _, kind, number, flags, _ = _IFINFO.unpack_from(body)
    found = dict(_attributes(body, _IFINFO.size))
    return Link(
        number=number,
        name=found.get(_IFLA_NAME, b"").rstrip(b"\0").decode("utf-8", "replace"),
        flags=flags,
        kind=kind,
        hardware=found.get(_IFLA_ADDRESS, b""),
        carrier_changes=_UNSIGNED.unpack(found.get(_IFLA_CARRIER_CHANGES, bytes(4)))[0],
    )
