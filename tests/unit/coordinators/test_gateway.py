"""Connections that end as soon as they begin, as those to a member that is just starting do."""

import resource
import socket
import ssl
import struct
import subprocess
import sys
import threading
from pathlib import Path

import aiohttp
import anyio
import pytest

from failoverd.coordinators.etcd import gateway

ROUNDS = 60
AT_ONCE = 10


def resetting() -> int:
    """The port of a server that resets every connection that it has accepted."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            connection, _ = server.accept()
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()

    threading.Thread(target=serve, daemon=True).start()
    return int(server.getsockname()[1])


def silent() -> int:
    """Of one that accepts and never says anything."""
    server = socket.create_server(("127.0.0.1", 0), backlog=2 * ROUNDS * AT_ONCE)
    threading.Thread(target=threading.Event().wait, args=(server,), daemon=True).start()
    return int(server.getsockname()[1])


async def ask(session: aiohttp.ClientSession, port: int, limit_s: float) -> None:
    try:
        await gateway.post(session, f"https://127.0.0.1:{port}/", {}, token=None, limit_s=limit_s, connect_s=1.0)
    except gateway.Failed:
        return
    raise AssertionError("nobody can have answered")


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def main() -> None:
    bad, good = resetting(), silent()
    session = gateway.session(ssl.create_default_context(), 4 * AT_ONCE)
    open_before = descriptors()
    for _ in range(ROUNDS):
        async with anyio.create_task_group() as tasks:
            for number in range(2 * AT_ONCE):
                tasks.start_soon(ask, session, *((bad, 1.0) if number % 2 else (good, 0.02)))
    await session.close()
    await anyio.sleep(0.2)
    assert descriptors() <= open_before + AT_ONCE, "descriptors were left open"


@pytest.mark.processes
def test_a_reset_connection_takes_no_other_one_with_it() -> None:
    """In a process of its own: what went wrong here aborted it."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.unit.coordinators.test_gateway"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    anyio.run(main, backend_options={"use_uvloop": True})
