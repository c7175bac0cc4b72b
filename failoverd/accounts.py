"""As whom a command runs: users and groups by name or number. May wait for a directory service."""

import grp
import os
import pwd
from collections.abc import Sequence
from typing import NamedTuple


class Identity(NamedTuple):
    """What is to change for a command; None where it already is so."""

    uid: int | None = None
    gid: int | None = None
    groups: list[int] | None = None
    """The supplementary groups."""


def identity(user: str | None, group: str | None, env: dict[str, str]) -> Identity:
    """For a command of this user and group; gives ``env`` what it has not yet of HOME, USER and LOGNAME, from the
    user's account. Raises LookupError for a user or group that there is not."""
    uid = groups = None
    gid = _group_id(group) if group is not None else None
    if user is not None:
        account = _account(user)
        env.setdefault("HOME", account.pw_dir)
        env.setdefault("USER", account.pw_name)
        env.setdefault("LOGNAME", account.pw_name)
        gid = account.pw_gid if gid is None else gid
        if account.pw_uid != os.geteuid():
            uid, groups = account.pw_uid, os.getgrouplist(account.pw_name, gid)
    if uid is None and gid == os.getegid():
        gid = None
    return Identity(uid, gid, groups)


def assume(uid: int | None, gid: int | None, groups: Sequence[int] | None) -> None:
    """Of the calling process, for good: between fork and exec. The user goes last: after it nothing may be changed.
    Raises OSError."""
    if gid is not None:
        if groups is not None:
            os.setgroups(groups)
        os.setgid(gid)
    if uid is not None:
        os.setuid(uid)


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
