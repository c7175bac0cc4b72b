"""The run_dir: one daemon at a time, and the control socket's file in it."""

import fcntl
import os
import socket
import struct
from pathlib import Path
from types import TracebackType
from typing import Self

from failoverd.control.protocol import SOCKET_NAME, short_path
from failoverd.errors import StartupError

LOCK_NAME = "daemon.lock"
BACKLOG = 64
PROBE_TIMEOUT_S = 1.0


class RunDirLock:
    """Holds ``run_dir/daemon.lock`` (flock(2)) with our pid in it; entering raises ``StartupError`` where another
    daemon holds it. The kernel releases it when the process ends, however it ends.

    The lock goes with the open file: a child that is forked and never calls exec must close it.
    """

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir
        self._fd: int | None = None

    def __enter__(self) -> Self:
        try:
            self._run_dir.mkdir(parents=True, exist_ok=True, mode=0o755)
            self._fd = self._locked()
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)
        except OSError as error:
            self._close()
            raise StartupError(f"run_dir {self._run_dir} cannot be used: {error.strerror or error}") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # The file stays: removing it would let two daemons lock two files of one name.
        if self._fd is not None:
            os.ftruncate(self._fd, 0)
        self._close()

    def _locked(self) -> int:
        path = self._run_dir / LOCK_NAME
        while True:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _same_file(fd, path):
                    return fd
            except BlockingIOError as error:
                holder = os.pread(fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
                os.close(fd)
                raise StartupError(
                    f"another daemon is running on this run_dir (pid {holder}): {self._run_dir}"
                ) from error
            # Somebody removed the file between our open and our lock: what we hold protects nothing.
            os.close(fd)

    def _close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def _same_file(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False


def listen(run_dir: Path, *, mode: int = 0o600, gid: int | None = None) -> socket.socket:
    """The listening control socket, non-blocking, in place of one that a dead daemon left behind.

    It gets its owner and mode before it gets its name, so that nobody can connect in between. Raises
    ``StartupError``, also where a daemon answers on the present one.
    """
    _refuse_live(run_dir)
    temporary = f".{SOCKET_NAME}.{os.getpid()}"
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        (run_dir / temporary).unlink(missing_ok=True)
        with short_path(run_dir, temporary) as path:
            listener.bind(path)
        if gid is not None:
            os.chown(run_dir / temporary, -1, gid)
        (run_dir / temporary).chmod(mode)
        listener.listen(BACKLOG)
        (run_dir / temporary).replace(run_dir / SOCKET_NAME)
    except OSError as error:
        listener.close()
        raise StartupError(f"no control socket in {run_dir}: {error.strerror or error}") from error
    return listener


def _refuse_live(run_dir: Path) -> None:
    """Belt and braces beside the lock: its file may have been removed under a running daemon."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as probe:
        probe.settimeout(PROBE_TIMEOUT_S)
        try:
            with short_path(run_dir) as path:
                probe.connect(path)
        except OSError as error:
            if isinstance(error, (TimeoutError, BlockingIOError)):
                raise StartupError(
                    f"another daemon is running on this run_dir, but does not answer: {run_dir}"
                ) from error
            return
        pid = peer_credentials(probe)[0]
    raise StartupError(f"another daemon is running on this run_dir (pid {pid}): {run_dir}")


def peer_credentials(connection: socket.socket) -> tuple[int, int, int]:
    """(pid, uid, gid) of the other end at the time it connected or listened (SO_PEERCRED, unix(7))."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid, uid, gid = struct.unpack("3i", raw)
    return pid, uid, gid
