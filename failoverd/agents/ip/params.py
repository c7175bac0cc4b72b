"""The parameters of an ``ip`` component."""

import ipaddress
from functools import cached_property
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, model_validator

from failoverd.config.types import Duration, Keys
from failoverd.kernel.netlink import Address

_NAME_MAX = 15
"""IFNAMSIZ without the NUL that ends it; labels too."""

_EXAMPLE = "as in 10.0.0.100/24 or 2001:db8::100/64"


def _address(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"must be an address with its prefix length, {_EXAMPLE}")  # noqa: TRY004 (pydantic)
    text, slash, prefix = value.strip().partition("/")
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise ValueError(f"{text[:60]!r} is no IPv4 or IPv6 address ({_EXAMPLE})") from None
    if not slash:
        raise ValueError(f"the prefix length is missing: {text}/{'24' if address.version == 4 else '64'}, for instance")
    if not prefix.isdecimal() or not 1 <= int(prefix) <= address.max_prefixlen:
        raise ValueError(f"the prefix length must be a number from 1 to {address.max_prefixlen}, not {prefix[:20]!r}")
    _refuse_special(address, int(prefix))
    return f"{address}/{int(prefix)}"


def _refuse_special(address: Address, prefix: int) -> None:
    if address.is_multicast or address.is_unspecified or str(address) == "255.255.255.255":
        raise ValueError(f"{address} is no address that a host can have")
    network = ipaddress.ip_network((address, prefix), strict=False)
    if address.version == 4 and prefix < 31 and address in (network.network_address, network.broadcast_address):
        what = "the network's own" if address == network.network_address else "the network's broadcast"
        raise ValueError(f"{address}/{prefix} is {what} address, which no host can have")


def _interface(value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= _NAME_MAX or "/" in value or any(c.isspace() for c in value):
        raise ValueError(f"must be an interface's name, at most {_NAME_MAX} characters, not {str(value)[:40]!r}")
    return value


Name = Annotated[str, BeforeValidator(_interface)]


class AnnounceKeys(Keys):
    """How the network is told that the address is here now: gratuitous ARP, or unsolicited neighbour advertisements.

    Told again after any doubt about who owns it."""

    count: Annotated[int, Field(ge=0, le=100)] = 5
    """Announcements in a burst; the first goes out before the component counts as online (default 5; 0: none)."""

    interval: Duration = 0.2
    """Between two of a burst (default 200ms)."""

    again: Duration = 5.0
    """After a burst, until another one for hosts that missed it (default 5s; 0s: none)."""


class IpParams(Keys):
    """Parameters of a component of type ``ip``: an address that moves with the group."""

    address: Annotated[str, BeforeValidator(_address)]
    """The address with its prefix length, as in 10.0.0.100/24."""

    interface: Name | None = None
    """The network interface that it is on (default: the one that the address is reached by without a gateway)."""

    label: Name | None = None
    """A label for old tools (IPv4): the interface's name, a colon and a word."""

    duplicate_detection: bool | None = None
    """Make sure that no other host has it before it counts as online. IPv6 (default true): the kernel's own, one to two
    seconds. IPv4 (default false): three ARP probes, 0.4 s."""

    carrier: bool = True
    """A link that is down, or without a carrier, is a fault (default true)."""

    announce: AnnounceKeys = AnnounceKeys()

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.label is not None:
            if self.ip.version == 6:
                raise ValueError("an IPv6 address has no label")
            if self.interface is not None and not f"{self.label}:".startswith(f"{self.interface}:"):
                raise ValueError(f"label must begin with the interface's name: {self.interface}, a colon and a word")
        if self.ip.is_link_local and self.interface is None:
            raise ValueError(f"{self.ip} is a link-local address: say on which 'interface'")
        return self

    @cached_property
    def ip(self) -> Address:
        return ipaddress.ip_interface(self.address).ip

    @cached_property
    def prefix(self) -> int:
        return ipaddress.ip_interface(self.address).network.prefixlen

    @property
    def detects(self) -> bool:
        return self.ip.version == 6 if self.duplicate_detection is None else self.duplicate_detection
