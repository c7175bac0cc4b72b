"""Last wills as the guard gets them: everything looked up beforehand, for it must not ask anybody (a user's number may
come from a directory service over a network that is gone)."""

from failoverd.accounts import identity
from failoverd.guard.protocol import Message
from failoverd.ports import AddressWill, CommandWill, MountWill, RunRequest, Will

NONE: Message = {"kind": "none"}


def order(will: Will | None) -> Message:
    """Raises LookupError for an unknown user or group. May wait for a directory service: not for the event loop."""
    if will is None:
        return dict(NONE)
    if isinstance(will, CommandWill):
        return _command(will.request)
    if isinstance(will, AddressWill):
        return {
            "kind": "address",
            "address": will.address,
            "prefix": will.prefix,
            "interface": will.interface,
            "timeout_s": will.timeout_s,
        }
    if isinstance(will, MountWill):
        return {
            "kind": "mount",
            "spec": dict(will.spec),
            "signal": will.signal,
            "lazy": will.lazy,
            "timeout_s": will.timeout_s,
        }
    main = will.main
    return {
        "kind": "mark",
        "mark": will.mark,
        "pid": main.pid if main else 0,
        "ticks": main.start_ticks if main else 0,
        "cgroups": list(will.cgroups),
    }


def looks_up(will: Will | None) -> bool:
    """Whether ``order`` may have to wait."""
    return isinstance(will, CommandWill) and (will.request.user is not None or will.request.group is not None)


def _command(request: RunRequest) -> Message:
    env = dict(request.env)
    who = identity(request.user, request.group, env)
    return {
        "kind": "command",
        "argv": list(request.argv),
        "env": env,
        "cwd": request.cwd,
        "uid": who.uid,
        "gid": who.gid,
        "groups": who.groups,
        "timeout_s": request.timeout_s,
    }
