"""Taking one address away, and nothing else with it."""

import contextlib
import errno
from collections.abc import Iterator
from ipaddress import ip_network

from failoverd.kernel.netlink import SECONDARY, Address, Configured, Netlink

_CONF = "/proc/sys/net/ipv4/conf"


def found_as(netlink: Netlink, address: Address, prefix: int, interface: str | None) -> list[Configured]:
    """Where the address is configured with this prefix length, on this interface (None: on any)."""
    there = [one for one in netlink.addresses() if one.address == address and one.prefix == prefix]
    if interface is None or not there:
        return there
    links = netlink.links()
    return [one for one in there if one.link in links and links[one.link].name == interface]


def remove(netlink: Netlink, one: Configured) -> None:
    """Take it away; what is gone already is fine. Raises OSError."""
    with _others_kept(netlink, one):
        try:
            netlink.remove(one)
        except OSError as error:
            if error.errno not in (errno.EADDRNOTAVAIL, errno.ENODEV):
                raise


@contextlib.contextmanager
def _others_kept(netlink: Netlink, one: Configured) -> Iterator[None]:
    """Where it is the first of its network on the link, Linux takes the others of that network away with it unless
    ``promote_secondaries`` is set (ip-sysctl): it is set for that moment."""
    if one.address.version == 6 or one.flags & SECONDARY or not _has_secondaries(netlink, one):
        yield
        return
    link = netlink.links().get(one.link)
    setting = f"{_CONF}/{link.name if link else 'all'}/promote_secondaries"
    before = _read(setting)
    if _read(f"{_CONF}/all/promote_secondaries") == "1" or before == "1":
        yield
        return
    _write(setting, "1")
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # the link may have gone meanwhile
            _write(setting, before)


def _has_secondaries(netlink: Netlink, one: Configured) -> bool:
    network = ip_network((one.address, one.prefix), strict=False)
    return any(
        other.link == one.link and other.prefix == one.prefix and other.flags & SECONDARY and other.address in network
        for other in netlink.addresses()
        if other.address.version == one.address.version
    )


def _read(path: str) -> str:
    with open(path, encoding="ascii") as file:  # noqa: PTH123 (the guard uses this: pathlib costs 10 ms of its start)
        return file.read().strip()


def _write(path: str, value: str) -> None:
    with open(path, "w", encoding="ascii") as file:  # noqa: PTH123 (likewise)
        file.write(value)
