"""Whatever a client does ends at most its own request: these tests do it."""

import asyncio
import json
import os
import socket
from pathlib import Path
from typing import Any

import anyio
import pytest

from failoverd.control.protocol import REQUEST_MAX, SOCKET_NAME, request
from failoverd.control.server import Limits
from failoverd.log.catalogue import Event
from tests.unit.control.fakes import Handler, serving

WAIT_S = 5.0


class Client:
    """A client of raw bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def connect(cls, run_dir: Path) -> "Client":
        return cls(*await asyncio.open_unix_connection(str(run_dir / SOCKET_NAME), limit=1 << 26))

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def answer(self) -> dict[str, Any] | None:
        line = await asyncio.wait_for(self._reader.readline(), WAIT_S)
        return json.loads(line) if line else None

    async def final(self) -> dict[str, Any]:
        """The last line before the connection's end."""
        last = None
        while (answer := await self.answer()) is not None:
            last = answer
        assert last is not None
        return last

    async def close(self) -> None:
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except ConnectionError:
            return


async def ask(run_dir: Path, command: str, **params: Any) -> dict[str, Any]:
    client = await Client.connect(run_dir)
    await client.send(request(command, params))
    answer = await client.final()
    await client.close()
    return answer


async def until(condition: Any) -> None:
    with anyio.fail_after(WAIT_S):
        while not condition():  # noqa: ASYNC110 (what is waited for is the other end of a socket)
            await anyio.sleep(0.005)


async def test_a_request_is_answered_and_its_caller_known(tmp_path: Path) -> None:
    handler = Handler()
    async with serving(tmp_path, handler):
        assert await ask(tmp_path, "echo", group="shöp") == {"type": "result", "data": {"group": "shöp"}}
    (caller,) = handler.callers
    assert (caller.pid, caller.uid, caller.gid) == (os.getpid(), os.getuid(), os.getgid())


async def test_updates_come_in_order_before_the_result(tmp_path: Path) -> None:
    async with serving(tmp_path, Handler()):
        client = await Client.connect(tmp_path)
        await client.send(request("count", {"to": 50}))
        answers = [await client.answer() for _ in range(51)]
        await client.close()
    assert [answer["data"]["number"] for answer in answers[:50] if answer] == list(range(50))
    assert answers[50] == {"type": "result", "data": {"counted": 50}}


@pytest.mark.parametrize(
    ("command", "kind", "message"),
    [
        ("refuse", "refused", "not now"),
        ("misuse", "usage", "no such group"),
        ("unavailable", "refused", "no answer from it"),
        ("late", "timed_out", "not done in time"),
        ("group", "refused", "one of them"),
        ("whatever", "usage", "unknown command 'whatever'"),
    ],
)
async def test_foreseen_errors_are_answered_and_not_logged(
    tmp_path: Path, command: str, kind: str, message: str
) -> None:
    async with serving(tmp_path, Handler()) as log:
        assert await ask(tmp_path, command) == {"type": "error", "kind": kind, "message": message}
    assert not log.events


@pytest.mark.parametrize(("command", "error"), [("break", "ZeroDivisionError"), ("unprintable", "TypeError")])
async def test_a_defect_ends_one_request_and_is_logged_with_its_traceback(
    tmp_path: Path, command: str, error: str
) -> None:
    async with serving(tmp_path, Handler()) as log:
        answer = await ask(tmp_path, command)
        assert (answer["type"], answer["kind"]) == ("error", "internal")
        assert error in answer["message"]
        assert (await ask(tmp_path, "echo"))["type"] == "result"
    (fields,) = log.named(Event.DAEMON_INTERNAL_ERROR)
    assert fields["command"] == command
    assert error in fields["traceback"]


@pytest.mark.parametrize(
    "data",
    [
        b"\n",
        b"garbage\n",
        b"\xff\xfe\x00\n",
        b"[]\n",
        b'{"version":2,"command":"echo"}\n',
        b'{"version":1}\n',
        b'{"version":1,"command":7}\n',
        b'{"version":1,"command":"echo","params":[]}\n',
        b"[" * 50_000 + b"\n",
        b"x" * (REQUEST_MAX + 1),
        b" " * (REQUEST_MAX + 1) + b"\n",
    ],
)
async def test_what_is_no_request_is_answered_as_such(tmp_path: Path, data: bytes) -> None:
    handler = Handler()
    async with serving(tmp_path, handler) as log:
        client = await Client.connect(tmp_path)
        await client.send(data)
        answer = await client.answer()
        assert answer is not None
        assert (answer["type"], answer["kind"]) == ("error", "usage")
        await client.close()
        assert (await ask(tmp_path, "echo"))["type"] == "result"
    assert len(handler.asked) == 1
    assert log.named(Event.CONTROL_CLIENT_DROPPED)[0]["caller"].startswith(f"uid={os.getuid()}")


async def test_half_a_request_is_given_up_after_its_time(tmp_path: Path) -> None:
    async with serving(tmp_path, Handler(), limits=Limits(request_timeout_s=0.2)) as log:
        client = await Client.connect(tmp_path)
        await client.send(b'{"version":1,')
        answer = await client.answer()
        assert answer is not None
        assert "in time" in answer["message"]
        assert await client.answer() is None
        await client.close()
    assert len(log.named(Event.CONTROL_CLIENT_DROPPED)) == 1


async def test_a_client_that_leaves_early_leaves_no_trace(tmp_path: Path) -> None:
    async with serving(tmp_path, Handler()) as log:
        for data in (b"", b'{"version":1'):
            client = await Client.connect(tmp_path)
            await client.send(data)
            await client.close()
        assert (await ask(tmp_path, "echo"))["type"] == "result"
    assert not log.named(Event.DAEMON_INTERNAL_ERROR)


async def test_a_client_that_vanishes_ends_its_own_request_only(tmp_path: Path) -> None:
    handler = Handler()
    async with serving(tmp_path, handler):
        one, other = await Client.connect(tmp_path), await Client.connect(tmp_path)
        for client in (one, other):
            await client.send(request("hang", {}))
            assert await client.answer() == {"type": "update", "data": {"hanging": True}}
        await one.close()
        await until(lambda: handler.cancelled == 1)
        assert (await ask(tmp_path, "echo"))["type"] == "result"
        assert handler.cancelled == 1
        await other.close()
        await until(lambda: handler.cancelled == 2)


async def test_a_client_that_vanishes_mid_stream_disturbs_nobody(tmp_path: Path) -> None:
    handler = Handler()
    async with serving(tmp_path, handler) as log:
        client = await Client.connect(tmp_path)
        await client.send(request("count", {"to": 100_000, "filler": 1000}))
        assert await client.answer() is not None
        await client.close()
        await until(lambda: handler.cancelled == 1)
        assert (await ask(tmp_path, "echo"))["type"] == "result"
    assert not log.named(Event.DAEMON_INTERNAL_ERROR)


async def test_a_client_that_speaks_out_of_turn_is_cut_off(tmp_path: Path) -> None:
    handler = Handler()
    async with serving(tmp_path, handler):
        client = await Client.connect(tmp_path)
        await client.send(request("hang", {}))
        await client.answer()
        await client.send(b"more")
        await until(lambda: handler.cancelled == 1)
        await client.close()


async def test_a_slow_reader_loses_the_oldest_updates_but_never_the_result(tmp_path: Path) -> None:
    async with serving(tmp_path, Handler(), limits=Limits(updates_max=10)):
        client = await Client.connect(tmp_path)
        await client.send(request("count", {"to": 1_000, "yielding": False}))
        answers = []
        while (answer := await client.answer()) is not None:
            answers.append(answer)
        await client.close()
    assert answers[0] == {"type": "lost", "count": 990}
    assert [answer["data"]["number"] for answer in answers[1:-1]] == list(range(990, 1_000))
    assert answers[-1]["type"] == "result"


async def test_a_client_that_never_reads_is_dropped(tmp_path: Path) -> None:
    limits = Limits(send_timeout_s=0.2, update_bytes_max=1 << 20)
    async with serving(tmp_path, Handler(), limits=limits) as log:
        deaf = socket.socket(socket.AF_UNIX)
        deaf.connect(str(tmp_path / SOCKET_NAME))
        deaf.send(request("count", {"to": 2_000, "filler": 10_000}))
        await until(lambda: log.named(Event.CONTROL_CLIENT_DROPPED))
        assert "read" in log.named(Event.CONTROL_CLIENT_DROPPED)[0]["reason"]
        assert (await ask(tmp_path, "echo"))["type"] == "result"
        deaf.close()


async def test_too_many_clients_are_told_so_and_the_others_served(tmp_path: Path) -> None:
    handler = Handler()
    async with serving(tmp_path, handler, limits=Limits(clients_max=3)) as log:
        clients = [await Client.connect(tmp_path) for _ in range(3)]
        for client in clients:
            await client.send(request("hang", {}))
            await client.answer()
        extra = await Client.connect(tmp_path)
        answer = await extra.answer()
        assert answer is not None
        assert (answer["kind"], "too many" in answer["message"]) == ("refused", True)
        await extra.close()
        for client in clients:
            await client.close()
        await until(lambda: handler.cancelled == 3)
        assert (await ask(tmp_path, "echo"))["type"] == "result"
    assert len(log.named(Event.CONTROL_CLIENT_DROPPED)) == 1


async def test_the_socket_is_ours_alone_and_goes_with_the_server(tmp_path: Path) -> None:
    async with serving(tmp_path, Handler()):
        assert (tmp_path / SOCKET_NAME).stat().st_mode & 0o777 == 0o600
    assert not (tmp_path / SOCKET_NAME).exists()


async def test_stopping_the_server_ends_requests_under_way(tmp_path: Path) -> None:
    handler = Handler()
    async with serving(tmp_path, handler):
        client = await Client.connect(tmp_path)
        await client.send(request("hang", {}))
        await client.answer()
    assert handler.cancelled == 1
    assert await client.answer() is None
    await client.close()
