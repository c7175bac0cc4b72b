"""When a process counts as ready: real sockets on loopback, real processes."""

import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest
from pydantic import ValidationError

from failoverd.agents.process.params import ProcessParams
from failoverd.agents.process.ready import ReadyCheck, ReadyKeys
from failoverd.domain.model import Action
from failoverd.ports import Outcome, RunResult
from failoverd.spawner.client import HelperSpawner
from tests.unit.agents.support import NoLog, call
from tests.unit.agents.test_process import CLEAN, ONLINE, instances, make

SERVER = """
import http.server, sys, time
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/ready?now" else 503)
        self.end_headers()
    def log_message(self, *_):
        pass
time.sleep(0.3)
server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
open(sys.argv[1] + ".new", "w").write(str(server.server_port))
server.serve_forever()
"""


async def no_command(_command: Sequence[str] | str, _timeout_s: float) -> RunResult:
    raise AssertionError("no command is to be run")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


async def answering(status_line: bytes) -> tuple[bool, str]:
    """What a check makes of a server that answers so."""
    port = free_port()
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=port)

    async def answer(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            await stream.receive()
            await stream.send(status_line)

    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, answer)
        check = ReadyCheck(ReadyKeys(http=f"http://127.0.0.1:{port}/health"), no_command)
        with anyio.move_on_after(0.5) as limit:
            await check.wait()
        tasks.cancel_scope.cancel()
    return not limit.cancelled_caught, check.why


@pytest.mark.parametrize(
    ("line", "ready"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", True),
        (b"HTTP/1.0 302 Found\r\nLocation: /x\r\n\r\n", True),
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", False),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", False),
        (b"SSH-2.0-OpenSSH\r\n", False),
        (b"\r\n", False),
        (b"", False),
        (b"x" * 5000, False),
    ],
)
async def test_which_answers_mean_ready(line: bytes, *, ready: bool) -> None:
    was_ready, why = await answering(line)
    assert was_ready is ready
    assert why
    assert len(why) < 200


async def test_a_port_that_nobody_listens_on(unused_port: int) -> None:
    check = ReadyCheck(ReadyKeys(tcp=f"127.0.0.1:{unused_port}"), no_command)
    with anyio.move_on_after(0.3) as limit:
        await check.wait()
    assert limit.cancelled_caught
    assert "connect" in check.why.lower()


@pytest.fixture
def unused_port() -> int:
    return free_port()


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({}, "needs exactly one of 'tcp', 'http', 'command' and 'notify'"),
        ({"tcp": "a:1", "command": "true"}, "needs exactly one of"),
        ({"tcp": "localhost"}, "must be host:port, not 'localhost'"),
        ({"tcp": ":80"}, "must be host:port"),
        ({"tcp": "h:99999"}, "must be host:port"),
        ({"http": "https://h/"}, "must be an address such as http://"),
        ({"http": "http://"}, "must be an address such as http://"),
        ({"http": "http://h:port/"}, "Port could not be cast"),
        ({"udp": "h:1"}, "Extra inputs are not permitted"),
    ],
)
def test_checks_that_are_refused(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        ProcessParams.model_validate({"command": ["x"], "ready": keys})
    assert any(message in fault["msg"] for fault in caught.value.errors())


@pytest.mark.parametrize("name", ["KILL", "SIGSTOP", "NONSENSE", ""])
def test_signals_that_end_nothing_are_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="must be the name of a signal that ends a process"):
        ProcessParams(command=["x"], stop_signal=name)


def test_parameters_can_be_read_back_from_what_they_dump() -> None:
    keys = {
        "command": "serve",
        "stop_signal": "SIGINT",
        "stop_timeout": "3s",
        "settle": "0s",
        "ready": {"tcp": "[::1]:80"},
    }
    params = ProcessParams.model_validate(keys)
    assert ProcessParams.model_validate(params.model_dump(mode="json", by_alias=True)) == params
    assert (params.stop_timeout, params.settle, params.stop_signal) == (3.0, 0.0, "INT")


@pytest.mark.processes
async def test_online_waits_until_it_is_ready_and_no_longer(tmp_path: Path) -> None:
    script = "sleep 0.3; touch ready; exec sleep 60"
    async with HelperSpawner(tmp_path, NoLog()) as helper:
        agent = make(tmp_path, helper, script, cwd=str(tmp_path), ready={"command": ["test", "-e", "ready"]})
        begun = anyio.current_time()
        assert (await agent.online(call(ONLINE))).ok
        took = anyio.current_time() - begun
        assert 0.25 < took < 2.0
        assert (await agent.clean(call(CLEAN))).ok


@pytest.mark.processes
async def test_a_server_is_online_when_it_answers(tmp_path: Path, unused_port: int) -> None:
    server = SERVER.replace('("127.0.0.1", 0)', f'("127.0.0.1", {unused_port})')
    async with HelperSpawner(tmp_path, NoLog()) as helper:
        command = [sys.executable, "-c", server, str(tmp_path / "port")]
        url = f"http://127.0.0.1:{unused_port}/ready?now"
        agent = make(tmp_path, helper, command, ready={"http": url}, output=str(tmp_path / "log"))
        assert (await agent.online(call(ONLINE, timeout_s=15))).ok
        async with await anyio.connect_tcp("127.0.0.1", unused_port):
            pass
        assert (await agent.clean(call(CLEAN))).ok


@pytest.mark.processes
async def test_one_that_never_gets_ready_times_out_and_says_what_was_missing(tmp_path: Path) -> None:
    async with HelperSpawner(tmp_path, NoLog()) as helper:
        agent = make(tmp_path, helper, ready={"command": "echo no answer yet; false"})
        result = await agent.online(call(ONLINE, timeout_s=0.5))
        assert result.outcome is Outcome.TIMED_OUT
        assert result.detail == "online: timed out, not ready: exit status 1: no answer yet"
        assert len(instances(tmp_path)) == 1, "left for the clean that follows"
        assert (await agent.clean(call(CLEAN))).ok


@pytest.mark.processes
async def test_one_that_dies_while_it_is_waited_for_fails_at_once(tmp_path: Path) -> None:
    async with HelperSpawner(tmp_path, NoLog()) as helper:
        agent = make(tmp_path, helper, "sleep 0.2; exit 1", ready={"command": ["false"]})
        with anyio.fail_after(5):
            result = await agent.online(call(Action.ONLINE, timeout_s=60))
        assert result.outcome is Outcome.FAILED
        assert "ended before it was ready" in result.detail
