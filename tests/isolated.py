"""Tests that change addresses and mounts, each in network and mount namespaces of its own: the machine keeps its own.

A test (synchronous or asynchronous, without fixtures but ``tmp_path``) is marked ``@isolated``. It then runs in a
process forked for it by a server that has everything imported already, and fails with that process's traceback. What
it makes (addresses, mounts, other namespaces) goes with the process; /run is an empty file system there.
"""

import atexit
import ctypes
import functools
import importlib
import inspect
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import anyio
import pytest

_CLONE_NEWNS, _CLONE_NEWNET = 0x00020000, 0x40000000
_LIMIT_S = 60.0
_MISSING = [name for name in ("ip", "mount", "unshare") if shutil.which(name) is None]


def isolated(test: Callable[..., Any]) -> Callable[..., None]:
    """The decorator."""

    @pytest.mark.processes
    @pytest.mark.skipif(os.geteuid() != 0, reason="only root may make namespaces, addresses and mounts")
    @pytest.mark.skipif(bool(_MISSING), reason=f"not installed: {', '.join(_MISSING)}")
    def run(tmp_path: Path) -> None:
        failure = _ask(f"{test.__module__}:{test.__name__}", tmp_path)
        if failure:
            pytest.fail(failure, pytrace=False)

    run.__name__, run.__doc__, run.__module__ = test.__name__, test.__doc__, test.__module__
    run.isolated = test  # type: ignore[attr-defined]  # found there by the server
    return run


@functools.cache
def _server() -> socket.socket:
    """One for all tests of this process; it ends when its socket is closed."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = [sys.executable, "-c", "import sys; from tests.isolated import serve; serve(int(sys.argv[1]))"]
    root = Path(__file__).resolve().parents[1]
    process = subprocess.Popen([*command, str(theirs.fileno())], pass_fds=[theirs.fileno()], cwd=root)
    theirs.close()
    ours.settimeout(_LIMIT_S + 20)
    atexit.register(_end, process, ours)
    return ours


def _end(process: subprocess.Popen[bytes], wire: socket.socket) -> None:
    wire.close()
    process.wait(10)


def _ask(test: str, tmp_path: Path) -> str:
    server = _server()
    server.send(json.dumps([test, str(tmp_path)]).encode())
    return str(json.loads(server.recv(1 << 20)))


# --- the server -------------------------------------------------------------------------------------------------


def serve(descriptor: int) -> None:
    """Fork a process for each test that is asked for."""
    wire = socket.socket(fileno=descriptor)
    wire.set_inheritable(False)
    while packet := wire.recv(1 << 16):
        test, tmp_path = json.loads(packet)
        importlib.import_module(test.partition(":")[0])
        failure = _in_child(test, Path(tmp_path))
        wire.send(json.dumps(failure[-60_000:]).encode())


def _in_child(test: str, tmp_path: Path) -> str:
    with tempfile.TemporaryFile() as report:
        pid = os.fork()
        if pid == 0:
            _be_the_test(test, tmp_path, report.fileno())
        descriptor = os.pidfd_open(pid)
        deadline = time.monotonic() + _LIMIT_S
        while os.waitpid(pid, os.WNOHANG) == (0, 0):
            if time.monotonic() > deadline:
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
                os.waitpid(pid, 0)
                return f"not finished within {_LIMIT_S:g} s"
            time.sleep(0.002)
        os.close(descriptor)
        report.seek(0)
        said = report.read().decode()
    return said.removesuffix("done") if said.endswith("done") else said or "the test's process ended without a word"


def _be_the_test(test: str, tmp_path: Path, report: int) -> NoReturn:
    try:
        isolate()
        module, _, name = test.partition(":")
        function = getattr(importlib.import_module(module), name).isolated
        arguments = (tmp_path,) if inspect.signature(function).parameters else ()
        if inspect.iscoroutinefunction(function):
            anyio.run(function, *arguments, backend_options={"use_uvloop": True})
        else:
            function(*arguments)
        os.write(report, b"done")
    except BaseException:
        os.write(report, traceback.format_exc().encode())
        raise
    finally:
        os._exit(0)


def isolate() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNS | _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    for command in (
        "mount --make-rprivate /",
        "mount -t tmpfs tmpfs /run",
        "ip link set lo up",
    ):
        run(*command.split())


# --- for the tests ----------------------------------------------------------------------------------------------


def run(*words: str, within_s: float = 20.0, pass_fds: tuple[int, ...] = ()) -> str:
    """A command, to its end; what it printed. Fails where it fails."""
    done = subprocess.run(words, capture_output=True, text=True, timeout=within_s, check=False, pass_fds=pass_fds)
    assert done.returncode == 0, f"{' '.join(words)}: exit status {done.returncode}: {done.stderr}"
    return done.stdout


def ip(words: str) -> str:
    return run("ip", *words.split())


def pair(name: str = "eth0", peer: str = "peer", address: str = "10.9.0.1/24", other: str = "10.9.0.2/24") -> None:
    """An Ethernet link of ours, and another host (a network namespace) at its other end, where it is called eth0."""
    ip(f"netns add {peer}")
    ip(f"link add name {name} type veth peer name eth0 netns {peer}")
    ip(f"addr add {address} dev {name}")
    ip(f"link set {name} up")
    ip(f"-n {peer} addr add {other} dev eth0")
    ip(f"-n {peer} link set eth0 up")
    ip(f"-n {peer} link set lo up")


@contextmanager
def background(*words: str) -> Iterator[subprocess.Popen[str]]:
    """A program that is ended at the end."""
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()
