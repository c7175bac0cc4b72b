"""What a node answers before its member runs, over real TLS on loopback."""

import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import anyio
import pytest

from failoverd.coordinators.etcd.managed.asking import Asker, Unanswered
from failoverd.coordinators.etcd.managed.certificates import Certificates
from failoverd.coordinators.etcd.managed.greeting import PortTaken, greeting_at
from failoverd.coordinators.etcd.managed.joining import Empty, Silent
from failoverd.demo.local import HOST, free_ports


def certificates(directory: Path, key: bytes = b"k" * 32) -> Certificates:
    made = Certificates(
        key,
        cluster="shop",
        node="a",
        names=[HOST],
        ca_file=directory / key.hex() / "ca.pem",
        pem_file=directory / key.hex() / "member.pem",
    )
    made.renew(datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"))
    return made


@asynccontextmanager
async def asking(made: Certificates) -> AsyncIterator[Asker]:
    asker = Asker(made.client_context())
    try:
        yield asker
    finally:
        await asker.aclose()


async def test_a_node_without_data_says_so_to_whoever_has_the_key(tmp_path: Path) -> None:
    made = certificates(tmp_path)
    port, nobody = free_ports(2)
    client, peer = f"https://{HOST}:{port}", f"https://{HOST}:{nobody}"
    async with asking(made) as asker:
        async with greeting_at(HOST, port, made.server_context(), ["a", "b", "w"]):
            for _ in range(2):
                assert await asker.survey(client, peer) == Empty(voters=("a", "b", "w"))
            with pytest.raises(Unanswered, match="does not run yet"):
                await asker.status(client)
        silent = await asker.survey(client, peer)
        assert isinstance(silent, Silent)
        assert "refused" in silent.why


async def test_another_key_learns_nothing_but_that_it_is_another(tmp_path: Path) -> None:
    made, other = certificates(tmp_path), certificates(tmp_path, b"x" * 32)
    port, nobody = free_ports(2)
    async with greeting_at(HOST, port, made.server_context(), ["a"]), asking(other) as asker:
        found = await asker.survey(f"https://{HOST}:{port}", f"https://{HOST}:{nobody}")
        assert isinstance(found, Silent)
        assert "key_file and the cluster's name must be the same on every node" in found.why


async def test_whoever_speaks_nonsense_or_nothing_disturbs_nobody(tmp_path: Path) -> None:
    made = certificates(tmp_path)
    (port, nobody) = free_ports(2)
    async with greeting_at(HOST, port, made.server_context(), ["a"]), asking(made) as asker:
        silent = await anyio.connect_tcp(HOST, port)
        async with await anyio.connect_tcp(HOST, port) as rude:
            await rude.send(b"GET / HTTP/1.1\r\n\r\n" * 1000)
            with contextlib.suppress(anyio.EndOfStream, anyio.BrokenResourceError):
                await rude.receive()
        assert isinstance(await asker.survey(f"https://{HOST}:{port}", f"https://{HOST}:{nobody}"), Empty)
        await silent.aclose()


async def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    made = certificates(tmp_path)
    (port,) = free_ports(1)
    async with greeting_at(HOST, port, made.server_context(), ["a"]):
        with pytest.raises(PortTaken, match=f"port {port} is in use by another program.*client_port"):
            async with greeting_at(HOST, port, made.server_context(), ["a"]):
                pytest.fail("two listen at one port")
    with pytest.raises(PortTaken, match="no address of this machine"):
        async with greeting_at("192.0.2.1", port, made.server_context(), ["a"]):
            pytest.fail("an address of another machine")
