"""Telling a network where an address is now, and asking it whether somebody has that address.

IPv4: gratuitous ARP (RFC 5227, section 3), as a request and as a reply, for there are devices that heed only one.
IPv6: unsolicited neighbour advertisements with the override flag (RFC 4861, section 7.2.6).
Opening and closing these sockets waits for the kernel: not for the event loop.
"""

import contextlib
import select
import socket
import struct
import time
from ipaddress import IPv4Address, IPv6Address

from failoverd.kernel.netlink import Address, Link

PROBES = 3
PROBE_PAUSE_S = 0.1
PROBE_WAIT_S = 0.2
"""RFC 5227 asks for seconds between and after the probes; a failover has not so long. A host that is there answers
within milliseconds."""

_ARP = 0x0806
_ARP_PACKET = struct.Struct("!HHBBH6s4s6s4s")
_REQUEST, _REPLY = 1, 2
_BROADCAST = b"\xff" * 6
_NOBODY = bytes(6)
_ALL_NODES = "ff02::1"
_NEIGHBOUR_ADVERTISEMENT = 136
_TARGET_LINK_LAYER_ADDRESS = 2
_OVERRIDE, _ROUTER = 0x20000000, 0x80000000
_HOPS = 255
_ETHERNET_HEADER = 14
_RAW = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK


class Announcer:
    """Keeps its packet socket: the kernel takes some ten milliseconds to close one."""

    def __init__(self) -> None:
        self._wire: socket.socket | None = None

    def announce(self, address: Address, link: Link) -> None:
        """Once. Links that are no Ethernet have nobody to be told. Raises OSError."""
        if not link.ethernet:
            return
        if isinstance(address, IPv4Address):
            self._gratuitous_arp(address, link)
        else:
            _unsolicited_advertisement(address, link)

    def _gratuitous_arp(self, address: IPv4Address, link: Link) -> None:
        if self._wire is None:
            self._wire = socket.socket(socket.AF_PACKET, _RAW, 0)
        for operation, target in ((_REQUEST, _NOBODY), (_REPLY, link.hardware)):
            frame = _arp(operation, link.hardware, address.packed, target, address.packed)
            self._wire.sendto(frame, (link.name, _ARP))


def _unsolicited_advertisement(address: IPv6Address, link: Link) -> None:
    flags = _OVERRIDE | (_ROUTER if _forwards(link.name) else 0)
    body = struct.pack("!BBHI", _NEIGHBOUR_ADVERTISEMENT, 0, 0, flags) + address.packed
    body += struct.pack("!BB", _TARGET_LINK_LAYER_ADDRESS, 1) + link.hardware
    with socket.socket(socket.AF_INET6, _RAW, socket.IPPROTO_ICMPV6) as sender:
        sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, _HOPS)
        sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, link.number)
        sender.bind((str(address), 0, 0, link.number if address.is_link_local else 0))
        sender.sendto(body, (_ALL_NODES, 0, 0, link.number))


def owner_of(address: IPv4Address, link: Link) -> str | None:
    """The hardware address of another host that has the address, or is about to take it; None where nobody answers
    within 0.4 seconds. Raises OSError."""
    if not link.ethernet:
        return None
    with socket.socket(socket.AF_PACKET, _RAW, socket.htons(_ARP)) as wire:
        wire.bind((link.name, _ARP))
        for number in range(PROBES):
            wire.send(_arp(_REQUEST, link.hardware, bytes(4), _NOBODY, address.packed))
            last = number == PROBES - 1
            found = _listen(wire, address, link, PROBE_WAIT_S if last else PROBE_PAUSE_S)
            if found is not None:
                return found
    return None


def _listen(wire: socket.socket, address: IPv4Address, link: Link, wait_s: float) -> str | None:
    until = time.monotonic() + wait_s
    while (left := until - time.monotonic()) > 0:
        if not select.select([wire], [], [], left)[0]:
            continue
        with contextlib.suppress(BlockingIOError):
            found = _claims(wire.recv(2048), address, link)
            if found is not None:
                return found
    return None


def _claims(frame: bytes, address: IPv4Address, link: Link) -> str | None:
    """Whether a frame says that another host has the address (RFC 5227, section 2.1.1)."""
    if len(frame) < _ETHERNET_HEADER + _ARP_PACKET.size:
        return None
    _, _, _, _, _, hardware, sender, _, target = _ARP_PACKET.unpack_from(frame, _ETHERNET_HEADER)
    probes_for_it = sender == bytes(4) and target == address.packed
    if hardware == link.hardware or not (sender == address.packed or probes_for_it):
        return None
    return ":".join(f"{byte:02x}" for byte in hardware)


def _arp(operation: int, hardware: bytes, sender: bytes, target_hardware: bytes, target: bytes) -> bytes:
    ethernet = _BROADCAST + hardware + _ARP.to_bytes(2, "big")
    return ethernet + _ARP_PACKET.pack(1, 0x0800, 6, 4, operation, hardware, sender, target_hardware, target)


def _forwards(interface: str) -> bool:
    """An advertisement without the router flag would tell hosts that we are no router any more."""
    try:
        with open(f"/proc/sys/net/ipv6/conf/{interface}/forwarding", encoding="ascii") as file:  # noqa: PTH123 (as in addresses)
            return file.read().strip() == "1"
    except OSError:
        return False
