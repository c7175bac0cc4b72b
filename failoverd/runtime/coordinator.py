"""The coordinator that the configuration asks for, and this node's etcd member where failoverd runs it itself."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anyio

from failoverd.config.settings import Config, SqliteSettings
from failoverd.coordinators.sqlite import SqliteCoordinator
from failoverd.errors import CoordinatorUnavailable
from failoverd.ports import Clock, Coordinator, EventLog, Spawner

if TYPE_CHECKING:  # see below
    from failoverd.coordinators.etcd.managed.member import ManagedEtcd

ANSWERS_WITHIN_S = 3.0
"""How long the node waits for a member that was just started, so that it does not begin with a coordinator that is
lost. A cluster of which most is missing is not waited for any longer."""
ASK_EVERY_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    coordinator: Coordinator
    type: str
    member: "ManagedEtcd | None" = None

    def document(self) -> dict[str, Any] | None:
        """What the status says of the etcd member that we run."""
        return None if self.member is None else self.member.document()

    @asynccontextmanager
    async def running(self, spawner: Spawner) -> AsyncIterator[None]:
        """Look after our member, where there is one; it runs on afterwards. Entered once the coordinator answers, or
        has not for too long."""
        if self.member is None:
            yield
            return
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.member.run, spawner, os.environ)
            await self._answers()
            yield
            tasks.cancel_scope.cancel()

    async def _answers(self) -> None:
        with anyio.move_on_after(ANSWERS_WITHIN_S):
            while True:
                try:
                    await self.coordinator.read("node")
                except CoordinatorUnavailable:
                    await anyio.sleep(ASK_EVERY_S)
                else:
                    return

    async def aclose(self, *, stop: bool) -> None:
        """``stop``: after an orderly stop of the node."""
        await self.coordinator.aclose()
        if self.member is not None:
            await self.member.aclose(stop=stop)


async def open_coordinator(config: Config, key: bytes, clock: Clock, log: EventLog) -> Opened:
    """Raises ``StartupError``."""
    settings, timeout_s = config.coordinator, config.lease.request_timeout_s
    if isinstance(settings, SqliteSettings):
        coordinator = await SqliteCoordinator.open(settings.path, request_timeout_s=timeout_s, clock=clock)
        return Opened(coordinator=coordinator, type="sqlite")
    # Imported here because aiohttp takes a quarter of a second to import, which only etcd needs.
    from failoverd.coordinators.etcd.coordinator import EtcdCoordinator  # noqa: PLC0415 (as said)
    from failoverd.coordinators.etcd.managed.member import ManagedEtcd  # noqa: PLC0415 (likewise)

    if settings.managed is None:
        etcd = EtcdCoordinator.of(settings, cluster=config.cluster, request_timeout_s=timeout_s)
        return Opened(coordinator=etcd, type="etcd")
    member = ManagedEtcd(config, settings.managed, key, clock=clock, log=log)
    return Opened(coordinator=member.coordinator(timeout_s), type="etcd", member=member)
