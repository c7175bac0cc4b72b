"""Starting what carries out a last will, a command or one of our own ``chores``, such that nothing it may hang on
hangs the guard.

A plain fork: whatever blocks (a directory on dead storage, the exec itself) then blocks the child alone, which is why
neither posix_spawn(3) nor ``subprocess`` will do: both wait for the exec.
"""

import contextlib
import os
import resource
import signal
from typing import NoReturn

from failoverd.accounts import assume
from failoverd.guard import chores, machine
from failoverd.guard.protocol import Message

_CANNOT = 127
_FILES = 1024
"""Soft limit of a command's descriptors, the customary one: select(2) cannot use more."""


def raise_limits() -> None:
    """One descriptor for each command that runs; commands do not inherit it (``_become``)."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def start(will: Message) -> int:
    """The pid, also its session and process group. Raises OSError where there can be no further process."""
    pid = os.fork()
    if pid == 0:
        _become(will)
    return pid


def _become(will: Message) -> NoReturn:
    try:
        os.setsid()
        machine.be_ordinary()
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(_FILES, hard), hard))
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        if will["kind"] in chores.CHORES:
            os._exit(chores.CHORES[will["kind"]](will))
        for number in (signal.SIGPIPE, signal.SIGXFSZ):  # the two that Python itself ignores
            signal.signal(number, signal.SIG_DFL)
        assume(will["uid"], will["gid"], will["groups"])
        os.chdir(will["cwd"] or "/")
        os.umask(0o022)
        os.execvpe(will["argv"][0], will["argv"], will["env"])  # noqa: S606 (the administrator's command)
    finally:
        os._exit(_CANNOT)


def kill(pid: int) -> None:
    """A command with its process group, or alone where it has not got as far as to have one."""
    for send in (os.killpg, os.kill):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            send(pid, signal.SIGKILL)
