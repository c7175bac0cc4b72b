"""Last wills that the guard carries out itself, in a forked child: no program is loaded from a disk that may be gone.

Each returns an exit status: 0 done, 7 there was nothing to do, else failed (and tried again while there is time).
"""

from collections.abc import Callable
from ipaddress import ip_address

from failoverd.guard.protocol import Message
from failoverd.kernel import addresses
from failoverd.kernel.netlink import Netlink

_DONE, _NOTHING, _FAILED = 0, 7, 1


def remove_address(will: Message) -> int:
    try:
        wanted = ip_address(will["address"]), int(will["prefix"]), will["interface"]
        with Netlink() as netlink:
            there = addresses.found_as(netlink, *wanted)
            for one in there:
                addresses.remove(netlink, one)
            if not there:
                return _NOTHING
            return _FAILED if addresses.found_as(netlink, *wanted) else _DONE
    except (OSError, ValueError):
        return _FAILED


CHORES: dict[str, Callable[[Message], int]] = {"address": remove_address}
