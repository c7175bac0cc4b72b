"""A process that starts others in control groups of their own, or with limits of their own.

Moving a process into a control group waits for the whole machine (an RCU grace period: 10 ms and more); being born in
one does not (clone3(2) with CLONE_INTO_CGROUP: version 2, Linux 5.7). But a process with threads cannot be forked by a
bare system call, and the helper has threads. So it forks this one, which has none, when it is first needed. What is
born here is the helper's child all the same (CLONE_PARENT).

Where clone3 cannot do it the child moves itself, before it becomes the command: nothing of it ever ran elsewhere.
"""

import contextlib
import ctypes
import errno
import json
import os
import resource
import signal
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn, Protocol

from failoverd.accounts import assume
from failoverd.kernel import cgroups

_CLONE3 = 435
"""The same number on every architecture that Linux 5.7 runs on, alpha excepted."""
_CLONE_PARENT, _CLONE_INTO_CGROUP = 0x8000, 0x200000000
_CLONE_ARGS = 11
_PACKET_MAX = 256 * 1024
_CANNOT = 127
_FDS_MAX = 1 << 20


class Birth(Protocol):
    """What is to be started (``launch.Order``)."""

    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: str | None
    cgroup: str | None
    limits: Mapping[str, Sequence[int]] | None


class Identity(Protocol):
    """As whom (``accounts.Identity``)."""

    @property
    def uid(self) -> int | None: ...

    @property
    def gid(self) -> int | None: ...

    @property
    def groups(self) -> Sequence[int] | None: ...


class CannotEnter(OSError):  # noqa: N818 (what is the case)
    """What is in the way is the control group or a limit, not the command: ``filename`` says which."""


class Nursery:
    """The helper's side; its threads share one. The process ends when this is closed, or the helper ends."""

    def __init__(self, settle_in: Callable[[], None]) -> None:
        """``settle_in``: what the process does first."""
        self._settle_in = settle_in
        self._lock = threading.Lock()
        self._link: socket.socket | None = None

    def start(self, birth: Birth, program: str, who: Identity, given: int, output: int) -> int:
        """The new process's pid, also its session and process group. Raises OSError, CannotEnter."""
        message = {
            "program": program,
            "argv": list(birth.argv),
            "env": dict(birth.env),
            "cwd": birth.cwd,
            "uid": who.uid,
            "gid": who.gid,
            "groups": None if who.groups is None else list(who.groups),
            "cgroup": birth.cgroup,
            "limits": {name: list(limit) for name, limit in (birth.limits or {}).items()},
        }
        if birth.cgroup is not None:
            try:
                cgroups.make(birth.cgroup)
            except OSError as error:
                raise CannotEnter(error.errno, os.strerror(error.errno or 0), f"control group {birth.cgroup}") from None
        said, say = os.pipe2(os.O_CLOEXEC)
        try:
            self._ask(json.dumps(message).encode(), [given, output, say])
            os.close(say)
            say = -1
            return _answer(said)
        finally:
            for descriptor in (said, say):
                if descriptor >= 0:
                    os.close(descriptor)

    def _ask(self, packet: bytes, descriptors: list[int]) -> None:
        with self._lock:
            for attempt in (1, 2):
                if self._link is None:
                    self._link = _fork(self._settle_in)
                try:
                    socket.send_fds(self._link, [packet], descriptors)
                except (BrokenPipeError, ConnectionError):  # it was killed: it is started again
                    self._link.close()
                    self._link = None
                    if attempt == 2:
                        raise
                else:
                    return


def _answer(said: int) -> int:
    """Once the command has begun, or cannot: whoever could say more has closed the pipe by then."""
    text = b""
    while piece := os.read(said, 4096):
        text += piece
    pid, fault = 0, None
    for line in text.decode("utf-8", "surrogateescape").splitlines():
        what, _, rest = line.partition(" ")
        if what == "pid":
            pid = int(rest)
        else:
            number, _, name = rest.partition(" ")
            kind = CannotEnter if what == "enter" else OSError
            fault = kind(int(number), os.strerror(int(number)), name)
    if fault is not None:
        if pid:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)
        raise fault
    if not pid:
        raise OSError(errno.ECHILD, "the process that starts it was killed")
    return pid


# --- in the process itself ------------------------------------------------------------------------------------------


def _fork(settle_in: Callable[[], None]) -> socket.socket:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in (ours, theirs):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _PACKET_MAX)
    pid = os.fork()
    if pid == 0:
        try:
            settle_in()
            _serve(theirs)
        finally:
            os._exit(1)
    theirs.close()
    return ours


def _serve(link: socket.socket) -> None:
    """Nothing of the helper's is kept open: neither its lock nor its socket may outlive it."""
    os.closerange(3, link.fileno())
    os.closerange(link.fileno() + 1, _FDS_MAX)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    cloner = Cloner()
    while True:
        packet, descriptors, _, _ = socket.recv_fds(link, _PACKET_MAX, 3)
        if not packet:
            os._exit(0)
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
        _bear(cloner, json.loads(packet), descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def _bear(cloner: "Cloner", message: dict[str, Any], descriptors: Sequence[int]) -> None:
    given, output, say = descriptors
    try:
        pid, inside = cloner.fork(message["cgroup"])
    except OSError as error:
        os.write(say, f"error {error.errno} fork\n".encode())
        return
    if pid == 0:
        _become(message, given, output, say, enter=not inside)
    os.write(say, f"pid {pid}\n".encode())


class Cloner:
    """For a process without threads alone."""

    def __init__(self) -> None:
        self._call = ctypes.PyDLL(None, use_errno=True).syscall  # with the interpreter's lock held throughout
        self._call.restype = ctypes.c_long

    def fork(self, cgroup: str | None) -> tuple[int, bool]:
        """As os.fork; and whether the child is in the control group already. Raises OSError."""
        if cgroup is not None:
            with contextlib.suppress(OSError):
                descriptor = os.open(cgroup, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                try:
                    pid = self._clone(_CLONE_PARENT | _CLONE_INTO_CGROUP, descriptor)
                finally:
                    os.close(descriptor)
                if pid >= 0:
                    return pid, True
        pid = self._clone(_CLONE_PARENT, 0)
        return (pid if pid >= 0 else os.fork()), False

    def _clone(self, flags: int, descriptor: int) -> int:
        """Below 0 where it cannot be done so."""
        fields = [flags, 0, 0, 0, 0, 0, 0, 0, 0, 0, descriptor]
        arguments = (ctypes.c_uint64 * _CLONE_ARGS)(*fields)
        return int(self._call(_CLONE3, arguments, ctypes.c_size_t(ctypes.sizeof(arguments))))


def _become(message: dict[str, Any], given: int, output: int, say: int, *, enter: bool) -> NoReturn:
    """The child: until it is the command."""
    place = "enter"
    name = ""
    try:
        os.setsid()
        if enter and message["cgroup"] is not None:
            name = f"control group {message['cgroup']}"
            _move(message["cgroup"])
        for limit, values in message["limits"].items():
            name = f"limit {limit}"
            resource.setrlimit(getattr(resource, f"RLIMIT_{limit.upper()}"), (values[0], values[1]))
        place, name = "error", message["program"]
        for descriptor, number in ((given, 0), (output, 1), (output, 2)):
            os.dup2(descriptor, number)
        for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        assume(message["uid"], message["gid"], message["groups"])
        if message["cwd"] is not None:
            name = message["cwd"]
            os.chdir(name)
            name = message["program"]
        os.execve(message["program"], message["argv"], message["env"])  # noqa: S606 (the administrator's command)
    except (OSError, ValueError) as error:
        number = error.errno if isinstance(error, OSError) and error.errno else errno.EPERM
        os.write(say, f"{place} {number} {name}\n".encode("utf-8", "surrogateescape"))
    finally:
        os._exit(_CANNOT)


def _move(cgroup: str) -> None:
    descriptor = os.open(f"{cgroup}/cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, b"0")
    finally:
        os.close(descriptor)
