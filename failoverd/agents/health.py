"""Asks a service whether it answers: by a TCP connection, an HTTP request, or a command."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol
from urllib.parse import urlsplit

import anyio

from failoverd.agents.commands import CommandKeys, describe, request
from failoverd.config.checks import host_and_port
from failoverd.domain.model import HealthCheck
from failoverd.errors import SpawnFailed
from failoverd.ports import Call, Health, RunResult, Spawner

ATTEMPT_S = 5.0
_LINE_MAX = 1024

Run = Callable[[Sequence[str] | str, float], Awaitable[RunResult]]
"""Runs a command with a time-out in seconds."""


class Way(Protocol):
    """One of these is given."""

    @property
    def tcp(self) -> str | None: ...

    @property
    def http(self) -> str | None: ...

    @property
    def command(self) -> Sequence[str] | str | None: ...


class HealthAsker:
    """``ports.HealthChecker``."""

    def __init__(self, spawner: Spawner) -> None:
        self._spawner = spawner

    async def ask(self, check: HealthCheck, call: Call) -> Health:
        async def run(command: Sequence[str] | str, timeout_s: float) -> RunResult:
            return await self._spawner.run(request(command, call, CommandKeys(), timeout_s))

        return await answers(check, run, check.timeout_s)


async def answers(way: Way, run: Run, timeout_s: float) -> Health:
    """One attempt, over within ``timeout_s`` (and the seconds that ending a command takes)."""
    with anyio.move_on_after(timeout_s):
        try:
            return await _ask(way, run, timeout_s)
        except SpawnFailed as error:
            return Health(healthy=None, detail=str(error))
        except (OSError, anyio.EndOfStream, anyio.BrokenResourceError) as error:
            return Health(healthy=False, detail=str(error) or type(error).__name__)
    return Health(healthy=False, detail=f"no answer within {timeout_s:g} s")


async def _ask(way: Way, run: Run, timeout_s: float) -> Health:
    if way.tcp is not None:
        host, port = host_and_port(way.tcp)
        async with await anyio.connect_tcp(host, port):
            return Health(healthy=True)
    if way.http is not None:
        return _judge_status(await _status_line(way.http))
    if way.command is not None:
        return _judge_result(await run(way.command, timeout_s))
    return Health(healthy=True)


def _judge_status(line: str) -> Health:
    words = line.split()
    good = len(words) > 1 and words[0].startswith("HTTP/") and words[1][:1] in ("2", "3")
    return Health(healthy=good, detail=f"answered {line[:80]!r}")


def _judge_result(result: RunResult) -> Health:
    return Health(healthy=result.exit_status == 0 and not result.timed_out, detail=describe(result))


async def _status_line(url: str) -> str:
    """The first line of the answer to a GET (RFC 9112); the rest is not read."""
    parts = urlsplit(url)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    async with await anyio.connect_tcp(str(parts.hostname), parts.port or 80) as stream:
        head = f"GET {path} HTTP/1.1\r\nHost: {parts.netloc.rpartition('@')[2]}\r\nConnection: close\r\n\r\n"
        await stream.send(head.encode())
        data = b""
        while b"\n" not in data and len(data) < _LINE_MAX:
            data += await stream.receive(_LINE_MAX)
    return data.split(b"\n", 1)[0].decode("latin-1").strip()
