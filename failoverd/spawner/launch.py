"""Starting one command, as cheaply as it gets (measured: tests/bench/spawn.py).

posix_spawn(3) is called through ctypes because that lets go of the interpreter's lock: it returns only once the new
program has been loaded, and on dead storage that may be never. Only the calling thread hangs then.
Another user, group or directory needs code between fork and exec, hence subprocess with a plain fork. Control groups
and limits have a ``nursery``.
"""

import contextlib
import ctypes
import errno
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from failoverd.accounts import identity
from failoverd.spawner.nursery import CannotEnter, Nursery

_SETSIGDEF = 0x04
_SETSIGMASK = 0x08
_SETSID = 0x80
"""<spawn.h> of glibc and musl."""

_ATTR_BYTES = 1024
"""Roomier than either C library's posix_spawnattr_t, posix_spawn_file_actions_t (both below 400) and sigset_t (128)."""

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


NICE = -10
"""Behind the daemon, whose heartbeats no storm of commands may delay."""


def go_before_commands() -> None:
    """Let the calling thread go before the commands that it starts, so that a storm of them holds no other up.

    With SCHED_RESET_ON_FORK (sched(7)) they begin at nice 0 and without a real-time policy, whatever we have.
    """
    try:
        os.sched_setscheduler(0, os.SCHED_OTHER | os.SCHED_RESET_ON_FORK, os.sched_param(0))
        os.setpriority(os.PRIO_PROCESS, 0, NICE)
    except OSError:  # not privileged: whatever priority was inherited need not be inherited any further
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, max(0, os.getpriority(os.PRIO_PROCESS, 0)))


class Order:
    """What is to be started. (A plain class: dataclasses would cost the helper 10 ms of its start.)"""

    __slots__ = ("argv", "cgroup", "cwd", "env", "group", "limits", "user")

    def __init__(
        self,
        argv: Sequence[str],
        env: Mapping[str, str],
        cwd: str | None = None,
        user: str | None = None,
        group: str | None = None,
        *,
        cgroup: str | None = None,
        limits: Mapping[str, Sequence[int]] | None = None,
    ) -> None:
        self.argv = argv
        self.env = env
        self.cgroup = cgroup
        self.limits = limits
        self.cwd = cwd
        self.user = user
        self.group = group

    @property
    def plain(self) -> bool:
        return self.cwd is None and self.user is None and self.group is None


class Launcher:
    """Starts commands in sessions of their own, with default signals and only stdin, stdout and stderr open."""

    def __init__(self) -> None:
        # A vfork would keep the interpreter's lock until the exec is over (the documented way to ask for a fork).
        setattr(subprocess, "_USE_VFORK", False)  # noqa: B010 (final in the type stubs)
        self._libc = libc = ctypes.CDLL(None)
        self._spawn = libc.posix_spawn
        self._spawn.argtypes = [ctypes.c_void_p, ctypes.c_char_p, *([ctypes.c_void_p] * 4)]
        self._dup2 = libc.posix_spawn_file_actions_adddup2
        self._dup2.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_int]
        self._attr = ctypes.create_string_buffer(_ATTR_BYTES)
        self._null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        self._nursery = Nursery(go_before_commands)
        signals = ctypes.create_string_buffer(_ATTR_BYTES)
        _check(libc.posix_spawnattr_init(self._attr))
        libc.sigemptyset(signals)
        _check(libc.posix_spawnattr_setsigmask(self._attr, signals))
        for number in (signal.SIGPIPE, signal.SIGXFSZ):  # the two that Python itself ignores
            libc.sigaddset(signals, int(number))
        _check(libc.posix_spawnattr_setsigdefault(self._attr, signals))
        _check(libc.posix_spawnattr_setflags(self._attr, ctypes.c_short(_SETSIGDEF | _SETSIGMASK | _SETSID)))

    def start(self, order: Order, output: int | None, given: int | None = None) -> int:
        """The new process's pid, which is also its session and process group. ``output``: stdout and stderr (None:
        discarded). ``given``: stdin (None: empty). Raises OSError, LookupError for an unknown user or group,
        ValueError for a NUL character.
        """
        if any("\0" in text for text in (*order.argv, *order.env, *order.env.values())):
            raise ValueError(f"{order.argv[0]}: a NUL character in its arguments or environment")
        output = self._null if output is None else output
        given = self._null if given is None else given
        if order.cgroup is not None or order.limits:
            return self._start_within(order, output, given)
        return self._start_plain(order, output, given) if order.plain else self._start_as(order, output, given)

    def _start_plain(self, order: Order, output: int, given: int) -> int:
        program = find_program(order.argv[0], order.env)
        actions = ctypes.create_string_buffer(_ATTR_BYTES)
        _check(self._libc.posix_spawn_file_actions_init(actions))
        try:
            self._dup2(actions, given, 0)
            self._dup2(actions, output, 1)
            self._dup2(actions, output, 2)
            argv = _vector([os.fsencode(word) for word in order.argv])
            envp = _vector([os.fsencode(f"{name}={value}") for name, value in order.env.items()])
            pid = ctypes.c_int()
            code = self._spawn(ctypes.byref(pid), os.fsencode(program), actions, self._attr, argv, envp)
            if code:
                raise OSError(code, os.strerror(code), program)
        finally:
            self._libc.posix_spawn_file_actions_destroy(actions)
        return pid.value

    def _start_within(self, order: Order, output: int, given: int) -> int:
        order.env = env = dict(order.env)
        who = identity(order.user, order.group, env)
        return self._nursery.start(order, find_program(order.argv[0], env), who, given, output)

    def _start_as(self, order: Order, output: int, given: int) -> int:
        env = dict(order.env)
        ids = _identity(order, env)
        process: subprocess.Popen[bytes] = subprocess.Popen(  # noqa: S603 (the administrator's command)
            order.argv,
            env=env,
            cwd=order.cwd,
            stdin=given,
            stdout=output,
            stderr=output,
            start_new_session=True,
            **ids,
        )
        process.returncode = 0  # it is waited for by its pid, not by this object
        return process.pid


def find_program(name: str, env: Mapping[str, str]) -> str:
    """Where execvp(3) would find it, along the command's own PATH. Raises FileNotFoundError, PermissionError."""
    if "/" in name:
        return name
    refused = None
    for directory in env.get("PATH", DEFAULT_PATH).split(":"):
        path = f"{directory or '.'}/{name}"
        if os.access(path, os.X_OK) and os.path.isfile(path):  # noqa: PTH113 (pathlib costs 10 ms of the start)
            return path
        if refused is None and os.path.isfile(path):  # noqa: PTH113 (likewise)
            refused = path
    if refused is not None:
        raise PermissionError(errno.EACCES, "not executable", refused)
    raise FileNotFoundError(errno.ENOENT, f"not found in PATH ({env.get('PATH', DEFAULT_PATH)})", name)


def explain(error: OSError | LookupError | ValueError, order: Order) -> str:
    """One line for the operator: what is in the way and what to do."""
    if not isinstance(error, OSError):
        return str(error).strip("'\"")
    reason = os.strerror(error.errno) if error.errno else str(error)
    if isinstance(error, CannotEnter):
        return f"{error.filename}: {reason}"
    if order.cwd is not None and error.filename == order.cwd:
        return f"directory {order.cwd}: {reason}"
    name = str(error.filename or order.argv[0])
    if error.errno == errno.ENOENT:
        return _explain_missing(error, name)
    hints = {
        errno.EACCES: "not executable, or a directory above it may not be entered: check its mode (chmod +x)",
        errno.EPERM: f"not permitted (to become user {order.user or '?'} failoverd must run as root)",
        errno.ENOEXEC: "not a program: a script needs a first line such as #!/bin/sh",
        errno.EAGAIN: "process limit reached (RLIMIT_NPROC, or pids.max of the cgroup)",
        errno.EMFILE: "file descriptor limit of the helper process reached (RLIMIT_NOFILE)",
        errno.ENFILE: "file descriptor limit of the machine reached (fs.file-max)",
        errno.E2BIG: "arguments and environment are too long",
    }
    if error.errno == errno.EPERM and order.user is None and order.group is None:
        return f"{name}: {reason}"
    hint = hints.get(error.errno or 0)
    return f"{name}: {reason}: {hint}" if hint else f"{name}: {reason}"


def _explain_missing(error: OSError, name: str) -> str:
    if os.path.exists(name):  # noqa: PTH110 (see above)
        return f"{name}: {os.strerror(errno.ENOENT)}: the interpreter that its first line (#!) names is missing"
    if "/" not in name:
        return f"{name}: {error.strerror}: install it, or give its full path"
    return f"{name}: {os.strerror(errno.ENOENT)}"


def _identity(order: Order, env: dict[str, str]) -> dict[str, Any]:
    """Arguments of subprocess for another user or group; nothing where we are them already. Raises LookupError."""
    who = identity(order.user, order.group, env)
    given = {"user": who.uid, "group": who.gid, "extra_groups": who.groups}
    return {name: value for name, value in given.items() if value is not None}


def _vector(items: list[bytes]) -> ctypes.Array[ctypes.c_char_p]:
    """A NULL-terminated array of C strings."""
    return (ctypes.c_char_p * (len(items) + 1))(*items)


def _check(code: int) -> None:
    if code:
        raise OSError(code, os.strerror(code))
