"""Whether a process that has been started is ready for work."""

from collections.abc import Awaitable, Callable
from typing import Self
from urllib.parse import urlsplit

import anyio
from pydantic import field_validator, model_validator

from failoverd.agents.commands import Command, describe
from failoverd.config.types import Keys
from failoverd.errors import SpawnFailed
from failoverd.ports import RunResult

_FIRST_PAUSE_S = 0.01
_PAUSE_MAX_S = 0.25
_PAUSE_SHARE = 0.1
"""Of the time that it has taken so far: asking late makes no component's online longer by more than this."""
_ATTEMPT_S = 5.0
_LINE_MAX = 1024

Run = Callable[[list[str] | str, float], Awaitable[RunResult]]
"""Runs a command with a time-out in seconds."""


class ReadyKeys(Keys):
    """When the component counts as online: exactly one of these, tried until it holds or ``timeout.online`` is over."""

    tcp: str | None = None
    """A TCP connection to host:port can be made."""

    http: str | None = None
    """A GET of this http:// address is answered with a status from 200 to 399."""

    command: Command | None = None
    """This command ends with exit status 0."""

    @field_validator("tcp")
    @classmethod
    def _has_port(cls, value: str | None) -> str | None:
        if value is not None:
            host_and_port(value)
        return value

    @field_validator("http")
    @classmethod
    def _is_http(cls, value: str | None) -> str | None:
        if value is not None:
            parts = urlsplit(value)
            if parts.scheme != "http" or not parts.hostname or any(char.isspace() for char in value):
                raise ValueError(f"must be an address such as http://127.0.0.1:8080/health, not {value[:60]!r}")
            _ = parts.port  # raises ValueError for one that is no number
        return value

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if sum(way is not None for way in (self.tcp, self.http, self.command)) != 1:
            raise ValueError("needs exactly one of 'tcp', 'http' and 'command'")
        return self


def host_and_port(text: str) -> tuple[str, int]:
    """``host:port`` or ``[address]:port``. Raises ValueError."""
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f"must be host:port, not {text[:60]!r}")
    return host, int(port)


class ReadyCheck:
    def __init__(self, keys: ReadyKeys, run: Run) -> None:
        self._keys = keys
        self._run = run
        self.why = "not asked yet"
        """The latest reason why it is not ready."""

    async def wait(self) -> None:
        """Return once it is ready. The caller sets the deadline."""
        began = anyio.current_time()
        while not await self._attempt():
            passed = anyio.current_time() - began
            await anyio.sleep(min(max(_FIRST_PAUSE_S, _PAUSE_SHARE * passed), _PAUSE_MAX_S))

    async def _attempt(self) -> bool:
        with anyio.move_on_after(_ATTEMPT_S):
            try:
                return await self._ask()
            except (OSError, SpawnFailed, anyio.EndOfStream, anyio.BrokenResourceError) as error:
                self.why = str(error) or type(error).__name__
                return False
        self.why = f"no answer within {_ATTEMPT_S:g} s"
        return False

    async def _ask(self) -> bool:
        if self._keys.tcp is not None:
            host, port = host_and_port(self._keys.tcp)
            async with await anyio.connect_tcp(host, port):
                return True
        if self._keys.http is not None:
            return self._judge_status(await _status_line(self._keys.http))
        if self._keys.command is not None:
            return self._judge_result(await self._run(self._keys.command, _ATTEMPT_S))
        return True

    def _judge_status(self, line: str) -> bool:
        words = line.split()
        ready = len(words) > 1 and words[0].startswith("HTTP/") and words[1][:1] in ("2", "3")
        self.why = f"answered {line[:80]!r}"
        return ready

    def _judge_result(self, result: RunResult) -> bool:
        self.why = describe(result)
        return result.exit_status == 0 and not result.timed_out


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
