"""Last wills as the guard gets them: everything looked up beforehand, for it must not ask anybody (a user's number may
come from a directory service over a network that is gone)."""

import grp
import os
import pwd

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
    }


def looks_up(will: Will | None) -> bool:
    """Whether ``order`` may have to wait."""
    return isinstance(will, CommandWill) and (will.request.user is not None or will.request.group is not None)


def _command(request: RunRequest) -> Message:
    env = dict(request.env)
    uid = gid = groups = None
    if request.group is not None:
        gid = _group_id(request.group)
    if request.user is not None:
        account = _account(request.user)
        env.setdefault("HOME", account.pw_dir)
        env.setdefault("USER", account.pw_name)
        env.setdefault("LOGNAME", account.pw_name)
        gid = account.pw_gid if gid is None else gid
        if account.pw_uid != os.geteuid():
            uid = account.pw_uid
            groups = os.getgrouplist(account.pw_name, gid)
    if uid is None and gid == os.getegid():
        gid = None
    return {
        "kind": "command",
        "argv": list(request.argv),
        "env": env,
        "cwd": request.cwd,
        "uid": uid,
        "gid": gid,
        "groups": groups,
        "timeout_s": request.timeout_s,
    }


def _account(name: str) -> pwd.struct_passwd:
    try:
        return pwd.getpwuid(int(name)) if name.isdecimal() else pwd.getpwnam(name)
    except KeyError:
        raise LookupError(f"user {name}: no such user on this machine") from None


def _group_id(name: str) -> int:
    if name.isdecimal():
        return int(name)
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise LookupError(f"group {name}: no such group on this machine") from None
