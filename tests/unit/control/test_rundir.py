"""One daemon on a run_dir; what a dead one left is no obstacle."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from failoverd.control.protocol import SOCKET_NAME
from failoverd.control.rundir import LOCK_NAME, RunDirLock, listen
from failoverd.errors import StartupError

HOLDER = """
import sys, time
from pathlib import Path
from failoverd.control.rundir import RunDirLock
with RunDirLock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_the_lock_names_its_holder_and_is_released(tmp_path: Path) -> None:
    run_dir = tmp_path / "new" / "run"
    with RunDirLock(run_dir):
        assert (run_dir / LOCK_NAME).read_text() == f"{os.getpid()}\n"
        with pytest.raises(StartupError, match=rf"another daemon is running on this run_dir \(pid {os.getpid()}\)"):
            RunDirLock(run_dir).__enter__()
        assert (run_dir / LOCK_NAME).read_text() == f"{os.getpid()}\n"
    with RunDirLock(run_dir):
        pass


@pytest.mark.processes
def test_a_killed_holder_holds_no_longer(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    with pytest.raises(StartupError, match=f"pid {holder.pid}"):
        RunDirLock(tmp_path).__enter__()
    holder.send_signal(signal.SIGKILL)
    holder.communicate(timeout=10)
    with RunDirLock(tmp_path):
        assert (tmp_path / LOCK_NAME).read_text() == f"{os.getpid()}\n"


def test_a_removed_lock_file_does_not_let_a_second_daemon_pass_as_the_first(tmp_path: Path) -> None:
    with RunDirLock(tmp_path):
        (tmp_path / LOCK_NAME).unlink()
        with RunDirLock(tmp_path):  # the file is gone, nothing can be done about that here…
            listener = listen(tmp_path)
            with pytest.raises(StartupError, match=f"pid {os.getpid()}"):  # …but the socket tells
                listen(tmp_path)
            listener.close()


def test_a_run_dir_that_cannot_be_used_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StartupError, match="cannot be used: Not a directory"):
        RunDirLock(tmp_path / "file" / "run").__enter__()
    with pytest.raises(StartupError, match="No such file"):
        listen(tmp_path / "absent")


def test_a_stale_socket_is_replaced(tmp_path: Path) -> None:
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(tmp_path / SOCKET_NAME))
    dead.close()
    listener = listen(tmp_path, mode=0o660)
    client = socket.socket(socket.AF_UNIX)
    client.connect(str(tmp_path / SOCKET_NAME))
    assert (tmp_path / SOCKET_NAME).stat().st_mode & 0o777 == 0o660
    client.close()
    listener.close()


def test_a_run_dir_longer_than_a_socket_address_works(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    listener = listen(deep)
    with pytest.raises(StartupError, match="another daemon"):
        listen(deep)
    listener.close()
