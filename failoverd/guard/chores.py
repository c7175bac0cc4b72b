"""Last wills that the guard carries out itself, in a forked child: no program is loaded from a disk that may be gone.

Each returns an exit status: 0 done, 7 there was nothing to do, else failed (and tried again while there is time).
"""

import ctypes
import errno
import time
from collections.abc import Callable
from ipaddress import ip_address

from failoverd.guard.protocol import Message
from failoverd.kernel import addresses
from failoverd.kernel.holders import holders
from failoverd.kernel.mounts import Mount, Spec, at, in_use, is_it, loops_of, ours, table
from failoverd.kernel.netlink import Netlink

_DONE, _NOTHING, _FAILED = 0, 7, 1
_MNT_FORCE, _MNT_DETACH, _UMOUNT_NOFOLLOW = 1, 2, 8
_PAUSE_S = 0.005
_PATIENCE = 20
"""So many attempts until something that is held all the same is detached, where that is wished."""
_IN_A_STACK_MAX = 64


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


def unmount(will: Message) -> int:
    """Until it is not mounted and nothing of it is in use; whoever started us sets the deadline."""
    fields = will["spec"]
    spec = Spec(**{**fields, "identity": tuple(fields["identity"]) if fields["identity"] else None})
    try:
        found = ours(spec, table())
        for one in found:
            if not _away(spec, one, will):
                return _FAILED
            while in_use(one) or (spec.kind == "image" and loops_of(spec.device)):
                time.sleep(_PAUSE_S)
    except (OSError, ValueError):
        return _FAILED
    return _DONE if found else _NOTHING


def _away(spec: Spec, one: Mount, will: Message) -> bool:
    libc = ctypes.CDLL(None, use_errno=True)
    directory = spec.directory.encode("utf-8", "surrogateescape")
    force = _MNT_FORCE if spec.kind == "network" else 0
    attempts = 0
    while True:
        mounts = table()
        there = at(spec.directory, mounts)
        if not any(is_it(spec, each, mounts) for each in there):
            return True
        attempts += 1
        detach = _MNT_DETACH if will["lazy"] and attempts > _PATIENCE else 0
        if not is_it(spec, there[-1], mounts) or attempts > _IN_A_STACK_MAX * _PATIENCE:
            return False  # something else is on top of it
        if libc.umount2(directory, _UMOUNT_NOFOLLOW | (detach or force)) == 0:
            continue
        if ctypes.get_errno() != errno.EBUSY:
            return False
        if will["signal"]:
            for holder in holders(one, mounts):
                holder.send(int(will["signal"]))
        time.sleep(_PAUSE_S)


CHORES: dict[str, Callable[[Message], int]] = {"address": remove_address, "mount": unmount}
