"""The synchronous client, against the real server."""

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from failoverd.control.client import InternalError, NoDaemon, ProtocolError, TimedOut, call
from failoverd.control.protocol import SOCKET_NAME
from failoverd.errors import FailoverdError, Refused, UsageError
from tests.unit.control.fakes import Handler, serving_in_thread


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Path]:
    with serving_in_thread(tmp_path, Handler()):
        yield tmp_path


def test_result_and_updates(daemon: Path) -> None:
    updates: list[dict[str, Any]] = []
    assert call(daemon, "count", {"to": 3}, on_update=updates.append) == {"counted": 3}
    assert [update["number"] for update in updates] == [0, 1, 2]
    assert call(daemon, "echo", {"text": "ö\n" * 10_000}) == {"text": "ö\n" * 10_000}


def test_lost_updates_are_told(daemon: Path) -> None:
    lost: list[int] = []
    call(daemon, "count", {"to": 3_000, "yielding": False}, on_lost=lost.append)
    assert sum(lost) == 2_000


@pytest.mark.parametrize(
    ("command", "error", "text"),
    [
        ("refuse", Refused, "not now"),
        ("misuse", UsageError, "no such group"),
        ("late", TimedOut, "not done in time"),
        ("break", InternalError, "ZeroDivisionError"),
    ],
)
def test_errors_are_what_the_daemon_said(daemon: Path, command: str, error: type[FailoverdError], text: str) -> None:
    with pytest.raises(error, match=text):
        call(daemon, command)


def test_the_wait_is_bounded_also_while_updates_come(daemon: Path) -> None:
    with pytest.raises(TimedOut, match="time given"):
        call(daemon, "hang", timeout_s=0.2)


def test_the_callers_own_errors_are_not_taken_for_the_networks(daemon: Path) -> None:
    def broken(_update: dict[str, Any]) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        call(daemon, "count", {"to": 3}, on_update=broken)


def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(NoDaemon, match=r"no daemon answers on .*control\.sock"):
        call(tmp_path / "absent", "status")
    with pytest.raises(NoDaemon, match="no daemon answers"):
        call(tmp_path, "status")
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(tmp_path / SOCKET_NAME))
    dead.close()
    with pytest.raises(NoDaemon, match="no daemon answers"):
        call(tmp_path, "status")


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"", NoDaemon),
        (b'{"type":"update","data":{}}\n', NoDaemon),
        (b'{"type":"res', NoDaemon),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", ProtocolError),
        (b"[]\n", ProtocolError),
        (b'{"type":"result"}\n', ProtocolError),
        (b'{"type":"error"}\n', InternalError),
        (b'{"type":"error","kind":"novel","message":"m"}\n', InternalError),
    ],
)
def test_strange_answers(tmp_path: Path, answer: bytes, error: type[FailoverdError]) -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / SOCKET_NAME))
    listener.listen()

    def serve() -> None:
        connection, _ = listener.accept()
        connection.recv(65536)
        connection.sendall(answer)
        connection.close()

    thread = threading.Thread(target=serve)
    thread.start()
    with pytest.raises(error):
        call(tmp_path, "status", on_update=lambda _: None)
    thread.join(5)
    listener.close()


def test_it_imports_nothing_heavy() -> None:
    """The status command must answer within a quarter of a second as a whole process."""
    code = "import sys, failoverd.cli.main; print(*sorted(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    heavy = {"typer", "rich", "pydantic", "structlog", "anyio", "asyncio", "yaml", "uvloop", "cryptography"}
    assert "failoverd.control.client" in found
    assert not heavy & set(found)
