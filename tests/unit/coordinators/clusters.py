"""The coordinators that the contract is held against: each as a little cluster of clients with one store."""

import atexit
import secrets
import shutil
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Protocol

import pytest

from failoverd.clock import BootClock
from failoverd.coordinators.etcd.coordinator import EtcdCoordinator
from failoverd.coordinators.etcd.managed.certificates import Certificates
from failoverd.coordinators.memory import Fate, MemoryCoordinator, MemoryStore, NoFaults, Operation
from failoverd.coordinators.sqlite import SqliteCoordinator
from failoverd.demo.local import HOST
from failoverd.ports import Change, Commit, Coordinator, Delete, Entry, Expect, Listing, Put
from tests.etcd_server import EtcdServers, ServerTls, made, needs_etcd

ETCD_KINDS = ("etcd", "etcd-tls")
"""The second as failoverd runs it itself: certificates of an authority derived from the cluster key, on both sides."""
KINDS = (
    "memory",
    "sqlite",
    *(pytest.param(kind, marks=[needs_etcd, pytest.mark.processes]) for kind in ETCD_KINDS),
)
TIMEOUT_S = 2.0


class Cluster(Protocol):
    async def client(self, name: str = "a", *, request_timeout_s: float = TIMEOUT_S) -> Coordinator: ...

    def outage(self) -> AbstractContextManager[None]:
        """Nobody reaches the store; what it holds is kept."""


class ScriptedFaults(NoFaults):
    """Reachable or not, and the fates of the next requests."""

    def __init__(self) -> None:
        self.reachable = True
        self.fates: list[Fate] = []
        self.asked: list[tuple[str, Operation, tuple[str, ...]]] = []

    def fate(self, client: str, operation: Operation, keys: tuple[str, ...]) -> Fate:
        self.asked.append((client, operation, keys))
        if not self.reachable:
            return Fate(request_lost=True)
        return self.fates.pop(0) if self.fates else Fate()

    def hears(self, client: str) -> bool:
        del client
        return self.reachable


class MemoryCluster:
    def __init__(self, tombstones_max: int) -> None:
        self.store = MemoryStore(tombstones_max=tombstones_max)
        self.faults = ScriptedFaults()

    async def client(self, name: str = "a", *, request_timeout_s: float = TIMEOUT_S) -> MemoryCoordinator:
        return MemoryCoordinator(self.store, client=name, request_timeout_s=request_timeout_s, faults=self.faults)

    @contextmanager
    def outage(self) -> Iterator[None]:
        self.faults.reachable = False
        try:
            yield
        finally:
            self.faults.reachable = True


class SqliteCluster:
    def __init__(self, directory: Path, tombstones_max: int) -> None:
        self.path = directory / "cluster.db"
        self.clients: list[SqliteCoordinator] = []
        self._tombstones_max = tombstones_max

    async def client(self, name: str = "a", *, request_timeout_s: float = TIMEOUT_S) -> SqliteCoordinator:
        del name
        client = await SqliteCoordinator.open(
            self.path,
            request_timeout_s=request_timeout_s,
            clock=BootClock(),
            poll_s=0.1,
            tombstones_max=self._tombstones_max,
        )
        self.clients.append(client)
        return client

    @contextmanager
    def outage(self) -> Iterator[None]:
        away = self.path.with_suffix(".away")
        self.path.rename(away)
        try:
            yield
        finally:
            away.rename(self.path)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Another process holds the write lock."""
        db = sqlite3.connect(self.path, isolation_level=None)
        db.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            db.close()


class Rebased:
    """An etcd coordinator whose revisions count from when it was made: many tests share one etcd."""

    def __init__(self, inner: EtcdCoordinator, base: int, servers: EtcdServers, history: int) -> None:
        """``history``: how many revisions etcd is let keep; compacted after each commit."""
        self._inner, self._base = inner, base
        self._servers, self._history = servers, history

    async def read(self, key: str) -> Entry | None:
        entry = await self._inner.read(key)
        return entry and replace(entry, revision=entry.revision - self._base)

    async def list(self, prefix: str) -> Listing:
        listing = await self._inner.list(prefix)
        entries = tuple(replace(entry, revision=entry.revision - self._base) for entry in listing.entries)
        return Listing(listing.revision - self._base, entries)

    async def commit(self, expects: Sequence[Expect], writes: Sequence[Put | Delete]) -> Commit:
        based = [replace(e, revision=e.revision + self._base) if e.revision > 0 else e for e in expects]
        commit = await self._inner.commit(based, writes)
        if self._history < SHORT_HISTORY:
            self._servers.compact(commit.revision - self._history)
        return replace(commit, revision=commit.revision - self._base)

    @asynccontextmanager
    async def watch(self, prefix: str, after: int) -> AsyncIterator[AsyncIterator[tuple[Change, ...]]]:
        async with self._inner.watch(prefix, after + self._base) as batches:
            yield RebasedBatches(batches, self._base)

    async def aclose(self) -> None:
        await self._inner.aclose()


class RebasedBatches:
    def __init__(self, inner: AsyncIterator[tuple[Change, ...]], base: int) -> None:
        self._inner, self._base = inner, base

    def __aiter__(self) -> "RebasedBatches":
        return self

    async def __anext__(self) -> tuple[Change, ...]:
        return tuple(replace(c, revision=c.revision - self._base) for c in await anext(self._inner))


SHORT_HISTORY = 100


class EtcdCluster:
    def __init__(self, servers: EtcdServers, base: int, history: int) -> None:
        self.servers = servers
        self._name = f"test-{secrets.token_hex(4)}"
        self._base, self._history = base, history
        self.clients: list[Rebased] = []

    async def client(self, name: str = "a", *, request_timeout_s: float = TIMEOUT_S) -> Rebased:
        del name
        tls = self.servers.members[0].tls
        inner = EtcdCoordinator(
            self.servers.endpoints,
            cluster=self._name,
            request_timeout_s=request_timeout_s,
            tls=None if tls is None else tls.client,
        )
        self.clients.append(Rebased(inner, self._base, self.servers, self._history))
        return self.clients[-1]

    @contextmanager
    def outage(self) -> Iterator[None]:
        self.servers.kill()
        try:
            yield
        finally:
            self.servers.start()


@cache
def shared_etcd(kind: str) -> EtcdServers:
    """One member for all tests of this process that do not mind each other."""
    directory = Path(tempfile.mkdtemp(prefix="failoverd-etcd-"))
    servers = made(directory, 1, tls=certified(directory) if kind == "etcd-tls" else None)
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    atexit.register(servers.kill)
    return servers


def certified(directory: Path) -> ServerTls:
    certificates = Certificates(
        secrets.token_bytes(32),
        cluster="contract",
        node="a",
        names=[HOST],
        ca_file=directory / "tls" / "ca.pem",
        pem_file=directory / "tls" / "member.pem",
    )
    certificates.renew(BootClock().wall())
    pem = certificates.pem_file
    return ServerTls(ca=certificates.ca_file, cert=pem, key=pem, client=certificates.client_context())


@asynccontextmanager
async def open_etcd(kind: str, *, history: int = SHORT_HISTORY) -> AsyncIterator[EtcdCluster]:
    servers = shared_etcd(kind)
    servers.start()
    status = servers.members[0].ask("/v3/maintenance/status")
    cluster = EtcdCluster(servers, int(status["header"]["revision"]), history)
    try:
        yield cluster
    finally:
        for client in cluster.clients:
            await client.aclose()


@asynccontextmanager
async def open_cluster(kind: str, directory: Path, *, tombstones_max: int = 1024) -> AsyncIterator[Cluster]:
    if kind == "memory":
        yield MemoryCluster(tombstones_max)
        return
    opened: AbstractAsyncContextManager[Cluster] = (
        open_etcd(kind, history=tombstones_max)
        if kind in ETCD_KINDS
        else open_sqlite(directory, tombstones_max=tombstones_max)
    )
    async with opened as cluster:
        yield cluster


@asynccontextmanager
async def open_sqlite(directory: Path, *, tombstones_max: int = 1024) -> AsyncIterator[SqliteCluster]:
    cluster = SqliteCluster(directory, tombstones_max)
    try:
        yield cluster
    finally:
        for client in cluster.clients:
            await client.aclose()
