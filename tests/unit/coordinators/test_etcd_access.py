"""TLS with client certificates, users and passwords, against a real etcd that insists on both."""

import base64
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from failoverd.config.settings import EtcdSettings, TlsSettings
from failoverd.coordinators.etcd.access import tls_context
from failoverd.coordinators.etcd.coordinator import EtcdCoordinator
from failoverd.demo.local import HOST
from failoverd.errors import CoordinatorUnavailable, StartupError
from failoverd.ports import Change, Expect, Put
from tests.etcd_server import EtcdServers, ServerTls, needs_etcd, serving
from tests.unit.coordinators.certificates import Authority

pytestmark = [needs_etcd, pytest.mark.processes]

TOKEN_TTL_S = 1
PASSWORD = "pässword"


@dataclass(frozen=True)
class Guarded:
    """An etcd that asks for certificate, user and password; the user ``ha`` may use the cluster ``shop`` alone."""

    servers: EtcdServers
    settings: EtcdSettings
    directory: Path
    authority: Authority

    def tls(self, **changes: Path | None) -> EtcdSettings:
        assert self.settings.tls is not None
        return replace(self.settings, tls=replace(self.settings.tls, **changes))


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    directory = tmp_path_factory.mktemp("guarded")
    authority = Authority(directory, "authority")
    server, client = authority.issue("server", HOST), authority.issue("client")
    tls = TlsSettings(ca=authority.ca, cert=client[0], key=client[1])
    context = tls_context(ca=tls.ca, cert=tls.cert, key=tls.key)
    password_file = directory / "password"
    password_file.write_text(PASSWORD + "\n", encoding="utf-8")
    server_tls = ServerTls(ca=authority.ca, cert=server[0], key=server[1], client=context)
    with serving(directory, tls=server_tls, options=["--auth-token-ttl", str(TOKEN_TTL_S)]) as servers:
        enable_users(servers)
        settings = EtcdSettings(endpoints=servers.endpoints, tls=tls, username="ha", password_file=password_file)
        yield Guarded(servers, settings, directory, authority)


def enable_users(servers: EtcdServers) -> None:
    def ask(path: str, **body: Any) -> None:
        servers.members[0].ask(f"/v3/auth/{path}", **body)

    def raw(text: str) -> str:
        return base64.b64encode(text.encode()).decode()

    ask("user/add", name="root", password="root")
    ask("role/add", name="root")
    ask("user/grant", user="root", role="root")
    ask("user/add", name="ha", password=PASSWORD)
    ask("role/add", name="ha")
    mine = {"permType": "READWRITE", "key": raw("/failoverd/shop/"), "range_end": raw("/failoverd/shop0")}
    ask("role/grant", name="ha", perm=mine)
    ask("user/grant", user="ha", role="ha")
    ask("enable")


@asynccontextmanager
async def opened(
    settings: EtcdSettings, cluster: str = "shop", timeout_s: float = 2.0
) -> AsyncIterator[EtcdCoordinator]:
    etcd = EtcdCoordinator.of(settings, cluster=cluster, request_timeout_s=timeout_s)
    try:
        yield etcd
    finally:
        await etcd.aclose()


async def test_with_certificate_and_password_everything_works(guarded: Guarded) -> None:
    async with opened(guarded.settings) as etcd, opened(guarded.settings) as other:
        start = (await etcd.list("")).revision
        async with etcd.watch("", start) as batches:
            commit = await other.commit([Expect("k", 0)], [Put("k", b"1")])
            assert commit.ok
            with anyio.fail_after(3):
                assert await anext(batches) == (Change("k", b"1", commit.revision),)
        entry = await etcd.read("k")
        assert entry is not None
        assert entry.value == b"1"


async def test_expired_token_is_renewed_without_a_word(guarded: Guarded) -> None:
    async with opened(guarded.settings) as etcd:
        revision = (await etcd.commit([], [Put("t", b"1")])).revision
        await anyio.sleep(TOKEN_TTL_S * 2.5)
        assert (await etcd.commit([Expect("t", revision)], [Put("t", b"2")])).ok
        await anyio.sleep(TOKEN_TTL_S * 2.5)
        async with etcd.watch("t", revision) as batches:
            with anyio.fail_after(3):
                assert (await anext(batches))[0].value == b"2", "a watch that is opened with an expired token too"


async def test_token_of_a_member_that_forgot_it_is_renewed(guarded: Guarded) -> None:
    async with opened(guarded.settings) as etcd:
        revision = (await etcd.commit([], [Put("f", b"1")])).revision
        async with etcd.watch("f", revision) as batches:
            with anyio.move_on_after(0.1):
                await anext(batches)
            guarded.servers.kill()
            guarded.servers.start()
            with anyio.move_on_after(0.5):
                await anext(batches)
            commit = await etcd.commit([Expect("f", revision)], [Put("f", b"2")])
            assert commit.ok
            with anyio.fail_after(3):
                assert await anext(batches) == (Change("f", b"2", commit.revision),)


async def test_other_clusters_keys_are_refused_with_what_to_do(guarded: Guarded) -> None:
    async with opened(guarded.settings, cluster="foreign") as etcd:
        for _ in range(2):
            with pytest.raises(
                CoordinatorUnavailable, match=r"permission denied \(coordinator\.username needs a role with readwrite"
            ):
                await etcd.commit([], [Put("k", b"")])
        async with etcd.watch("", 1) as batches:
            with anyio.fail_after(3), pytest.raises(CoordinatorUnavailable, match="permission denied"):
                await anext(batches)


async def test_wrong_password_is_told_and_a_corrected_one_taken(guarded: Guarded) -> None:
    password = guarded.directory / "changing"
    password.write_text("wrong", encoding="utf-8")
    async with opened(replace(guarded.settings, password_file=password)) as etcd:
        began = time.monotonic()
        with pytest.raises(CoordinatorUnavailable, match=r"look at coordinator\.username and password_file"):
            await etcd.list("")
        assert time.monotonic() - began < 1.5, "at once, not at the deadline"
        password.write_text(PASSWORD, encoding="utf-8")
        await etcd.list("")
        password.unlink()
        await anyio.sleep(TOKEN_TTL_S * 2.5)
        with pytest.raises(CoordinatorUnavailable, match=f"{password}: No such file"):
            await etcd.list("")


async def test_no_user_where_one_is_needed_is_told(guarded: Guarded) -> None:
    async with opened(replace(guarded.settings, username=None, password_file=None)) as etcd:
        with pytest.raises(CoordinatorUnavailable, match=r"coordinator\.username"):
            await etcd.list("")


async def test_client_without_certificate_gets_nothing(guarded: Guarded) -> None:
    async with opened(guarded.tls(cert=None, key=None), timeout_s=0.6) as etcd:
        with pytest.raises(CoordinatorUnavailable, match=r"certificate.*look at coordinator\.tls"):
            await etcd.list("")


async def test_common_name_that_the_gateway_does_not_bear_is_named(guarded: Guarded) -> None:
    cert, key = guarded.authority.issue("named", common_name=True)
    async with opened(guarded.tls(cert=cert, key=key)) as etcd:
        with anyio.fail_after(1), pytest.raises(CoordinatorUnavailable, match="whose subject has no CN"):
            await etcd.list("")


async def test_server_of_another_authority_is_not_trusted(guarded: Guarded) -> None:
    other = Authority(guarded.directory, "other")
    async with opened(guarded.tls(ca=other.ca), timeout_s=0.6) as etcd:
        with pytest.raises(CoordinatorUnavailable, match=r"certificate.*not trusted|certificate verify failed"):
            await etcd.commit([], [Put("k", b"")])


async def test_server_under_another_name_is_not_trusted(guarded: Guarded) -> None:
    elsewhere = tuple(url.replace(HOST, "localhost") for url in guarded.settings.endpoints)
    async with opened(replace(guarded.settings, endpoints=elsewhere), timeout_s=0.6) as etcd:
        with pytest.raises(CoordinatorUnavailable, match="localhost"):
            await etcd.list("")


async def test_plain_http_to_a_tls_port_is_named(guarded: Guarded) -> None:
    plain = tuple(url.replace("https", "http") for url in guarded.settings.endpoints)
    async with opened(replace(guarded.settings, endpoints=plain), timeout_s=0.6) as etcd:
        with pytest.raises(CoordinatorUnavailable, match="perhaps it speaks https only"):
            await etcd.list("")


@pytest.mark.parametrize("key", ["ca", "cert", "key", "password_file"])
async def test_missing_file_is_a_fault_at_the_start(guarded: Guarded, key: str) -> None:
    missing = guarded.directory / "missing"
    changed = key == "password_file"
    settings = replace(guarded.settings, password_file=missing) if changed else guarded.tls(**{key: missing})
    with pytest.raises(StartupError, match=f"{missing}.*No such file"):
        async with opened(settings):
            pass
