"""The coordinators that the contract is held against: each as a little cluster of clients with one store."""

import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Protocol

from failoverd.clock import BootClock
from failoverd.coordinators.memory import Fate, MemoryCoordinator, MemoryStore, NoFaults, Operation
from failoverd.coordinators.sqlite import SqliteCoordinator
from failoverd.ports import Coordinator

KINDS = ("memory", "sqlite")
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


@asynccontextmanager
async def open_cluster(kind: str, directory: Path, *, tombstones_max: int = 1024) -> AsyncIterator[Cluster]:
    if kind == "memory":
        yield MemoryCluster(tombstones_max)
        return
    async with open_sqlite(directory, tombstones_max=tombstones_max) as cluster:
        yield cluster


@asynccontextmanager
async def open_sqlite(directory: Path, *, tombstones_max: int = 1024) -> AsyncIterator[SqliteCluster]:
    cluster = SqliteCluster(directory, tombstones_max)
    try:
        yield cluster
    finally:
        for client in cluster.clients:
            await client.aclose()
