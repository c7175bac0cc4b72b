"""Fence devices of a virtual cluster: they switch its nodes off, or not, and keep a record of their own."""

import asyncio
from dataclasses import dataclass, field
from enum import StrEnum

from failoverd.domain.fence_record import FenceLevel
from failoverd.ports import Shot
from tests.unit.runtime.fakes import Cluster


class Mood(StrEnum):
    WELL = "well"
    FAILS = "fails"
    HANGS = "hangs"
    """Never returns; ended at its deadline, with nothing known."""
    LOST = "lost"
    """Switches it off, and the answer is lost."""
    UNREACHABLE = "unreachable"


@dataclass(slots=True, kw_only=True)
class Call:
    by: str
    node: str
    level: int
    begin: float
    end: float | None = None


@dataclass(slots=True)
class Devices:
    """The devices of all nodes. ``moods``: by (node, level), and by (shooter, node, level) where one has another."""

    takes_s: float = 0.1
    attempt_s: float = 0.5
    levels: dict[str, int] = field(default_factory=lambda: {"a": 1, "b": 1, "c": 1})
    attempts: int = 1
    delay_s: float = 0.0
    moods: dict[tuple[str | int, ...], Mood] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    prepared: list[tuple[str, str]] = field(default_factory=list)
    cluster: Cluster | None = None

    def of(self, me: str) -> "DeviceOf":
        return DeviceOf(self, me)

    def shots(self) -> list[tuple[str, str]]:
        return [(call.by, call.node) for call in self.calls]


class DeviceOf:
    """``ports.Fencer`` of one daemon."""

    def __init__(self, devices: Devices, me: str) -> None:
        self._devices, self._me = devices, me

    def levels(self, node: str) -> tuple[FenceLevel, ...]:
        of = self._devices
        return tuple(
            FenceLevel(agents=(f"fence_{n}",), attempt_s=of.attempt_s, attempts=of.attempts, delay_s=of.delay_s)
            for n in range(of.levels.get(node, 0))
        )

    async def prepare(self, node: str) -> None:
        self._devices.prepared.append((self._me, node))

    async def off(self, node: str, level: int) -> Shot:
        of, agent = self._devices, f"fence_{level}"
        cluster = of.cluster
        assert cluster is not None
        mood = of.moods.get((self._me, node, level), of.moods.get((node, level), Mood.WELL))
        call = Call(by=self._me, node=node, level=level, begin=cluster.clock.now())
        of.calls.append(call)
        await asyncio.sleep(of.attempt_s if mood is Mood.HANGS else of.takes_s)
        call.end = cluster.clock.now()
        if mood in {Mood.WELL, Mood.LOST}:
            cluster.cut_power(node)
        if mood is Mood.WELL:
            return Shot(off=True, agent=agent, detail="confirmed")
        return Shot(off=False, agent=agent, detail=f"device {mood}", output="it said so")
