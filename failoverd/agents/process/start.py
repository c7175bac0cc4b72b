"""How a component is started: each way keeps what it becomes together (``place``)."""

from dataclasses import replace
from typing import Protocol

from failoverd.agents.process.params import ProcessParams
from failoverd.errors import SpawnFailed
from failoverd.ports import Detached, RunRequest, Spawner


class Starter(Protocol):
    async def start(self, order: RunRequest) -> Detached:
        """Its main process. Raises SpawnFailed, where it was not started; SpawnerLost, where it may have been, or has
        ended already."""

    async def under_way(self, *, cancel: bool) -> str:
        """Why it may yet start without our doing, by an earlier ``start`` of whatever daemon; empty where it cannot.
        ``cancel``: see to it that it does not; ask again until it is empty."""

    def runs(self) -> None:
        """It was seen to run: so no earlier ``start`` is under way any more."""


class DirectStart:
    """By the spawner: what it has begun when it is lost is found by its mark and control group."""

    def __init__(self, spawner: Spawner, params: ProcessParams, cgroup: str | None) -> None:
        self._spawner = spawner
        self._output = params.output_file
        self._limits = params.rlimits
        self._cgroup = cgroup

    async def start(self, order: RunRequest) -> Detached:
        within = replace(order, cgroup=self._cgroup, limits=self._limits)
        return await self._spawner.detach(within, self._output)

    async def under_way(self, *, cancel: bool) -> str:
        del cancel
        return ""

    def runs(self) -> None:
        """Nothing to remember."""


class NoStart:
    """What was asked for by its name cannot be had here."""

    def __init__(self, lacks: str) -> None:
        self._lacks = lacks

    async def start(self, order: RunRequest) -> Detached:
        raise SpawnFailed(f"{order.argv[0]}: {self._lacks}")

    async def under_way(self, *, cancel: bool) -> str:
        del cancel
        return ""

    def runs(self) -> None:
        """Nothing to remember."""
