"""A member that does with a request whatever a test wants: on loopback, a few lines of HTTP/1.1."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from failoverd.demo.local import HOST

CLUSTER = "77"

Answer = tuple[int, dict[str, Any]] | None
"""Status and body; None: the connection is cut without a word."""


def header(revision: int = 1, cluster: str = CLUSTER) -> dict[str, Any]:
    return {"header": {"cluster_id": cluster, "member_id": "1", "revision": str(revision), "raft_term": "2"}}


def error(message: str, code: int, status: int = 503) -> Answer:
    return status, {"error": message, "message": message, "code": code}


def done(revision: int = 2) -> Answer:
    return 200, {**header(revision), "succeeded": True}


class FakeMember:
    """``answers`` by path; a path without one is answered as an empty store would."""

    def __init__(self) -> None:
        self.answers: dict[str, Callable[[], Answer]] = {}
        self.asked: list[str] = []
        self.silent = asyncio.Event()
        """Set: requests are read, and that is all."""
        self.url = ""

    def count(self, path: str) -> int:
        return self.asked.count(path)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._one(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        path = head.split(" ")[1]
        length = next(int(line.split(":")[1]) for line in head.split("\r\n") if line.lower().startswith("content-len"))
        await reader.readexactly(length)
        self.asked.append(path)
        if self.silent.is_set():
            await reader.read()
            return False
        answer = self.answers.get(path, lambda: (200, header()))()
        if answer is None:
            return False
        status, body = answer
        raw = json.dumps(body).encode()
        writer.write(f"HTTP/1.1 {status} So\r\nContent-Length: {len(raw)}\r\n\r\n".encode() + raw)
        await writer.drain()
        return True


@asynccontextmanager
async def fake_members(count: int) -> AsyncIterator[list[FakeMember]]:
    members = [FakeMember() for _ in range(count)]
    servers = [await asyncio.start_server(member.serve, HOST, 0) for member in members]
    for member, server in zip(members, servers, strict=True):
        member.url = f"http://{HOST}:{server.sockets[0].getsockname()[1]}"
    try:
        yield members
    finally:
        for server in servers:
            server.close()
            await server.wait_closed()
