"""``ports.Fencer``: the configured levels of every node's devices."""

from collections.abc import Mapping

import anyio
import anyio.to_thread

from failoverd.config.settings import FenceLevels
from failoverd.domain.fence_record import FenceLevel
from failoverd.fencing.device import Device
from failoverd.ports import Shot, Spawner

PREPARE_S = 2.0
"""A secret's file on storage that does not answer holds up nothing: it is looked for again when it is needed."""


class StandardFencer:
    def __init__(self, levels: Mapping[str, FenceLevels], spawner: Spawner) -> None:
        self._spawner = spawner
        self._levels: dict[str, list[list[Device]]] = {}
        self._described: dict[str, tuple[FenceLevel, ...]] = {}
        self.reconfigure(levels)

    def reconfigure(self, levels: Mapping[str, FenceLevels]) -> None:
        """Take over other devices; an attempt under way goes on with those that it began with."""
        self._levels = {
            node: [[Device(node, device, self._spawner) for device in level] for level in each]
            for node, each in levels.items()
        }
        self._described = {node: tuple(map(_described, each)) for node, each in self._levels.items()}

    def levels(self, node: str) -> tuple[FenceLevel, ...]:
        return self._described.get(node, ())

    async def prepare(self, node: str) -> None:
        devices = [device for level in self._levels.get(node, ()) for device in level]
        with anyio.move_on_after(PREPARE_S):
            await anyio.to_thread.run_sync(_prepare, devices, abandon_on_cancel=True)

    async def off(self, node: str, level: int) -> Shot:
        """All devices of the level at once: one that confirms says nothing while another one does not."""
        levels = self._levels.get(node, [])
        if level >= len(levels):
            return Shot(off=False, agent="", detail="the configuration has no such level any more")
        shots: list[Shot] = []

        async def one(device: Device) -> None:
            shots.append(await device.off())

        with anyio.move_on_after(max(device.attempt_s for device in levels[level])):
            async with anyio.create_task_group() as tasks:
                for device in levels[level]:
                    tasks.start_soon(one, device)
        return _together(levels[level], shots)


def _prepare(devices: list[Device]) -> None:
    for device in devices:
        device.prepare()


def _described(devices: list[Device]) -> FenceLevel:
    return FenceLevel(
        agents=tuple(device.agent for device in devices),
        attempt_s=max(device.attempt_s for device in devices),
        attempts=1 + max(device.settings.retries for device in devices),
        delay_s=max(device.settings.delay_s for device in devices),
    )


def _together(devices: list[Device], shots: list[Shot]) -> Shot:
    agents = ", ".join(dict.fromkeys(device.agent for device in devices))
    if len(shots) < len(devices):
        return Shot(off=False, agent=agents, detail="it did not come to an end in time")
    bad = [shot for shot in shots if not shot.off]
    if bad:
        return Shot(off=False, agent=agents, detail="; ".join(s.detail for s in bad), output=bad[0].output)
    return Shot(off=True, agent=agents, detail="; ".join(dict.fromkeys(shot.detail for shot in shots)))
