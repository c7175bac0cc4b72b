"""The fence devices of the machines: they switch them off, or not, or later than they say; and somebody switches them
on again. Nothing that a device does depends on whether the daemon that asked for it still lives."""

import asyncio
from typing import TYPE_CHECKING

from failoverd.domain.fence_record import FenceLevel
from failoverd.ports import Shot

if TYPE_CHECKING:  # the cluster is made of these
    from tests.sim.cluster import Cluster
    from tests.sim.daemon import Daemon

ANSWER_S = (0.02, 0.6)
ATTEMPT_S = 1.0
MOODS = {"well": 60, "fails": 15, "hangs": 10, "lost": 10, "late": 5}
"""Of a hundred. ``lost``: switches off, and the answer never comes; ``late``: likewise, but afterwards."""


class SimFencer:
    """``ports.Fencer`` of one daemon."""

    def __init__(self, cluster: "Cluster", daemon: "Daemon") -> None:
        self._cluster, self._daemon, self._world = cluster, daemon, cluster.world

    def levels(self, node: str) -> tuple[FenceLevel, ...]:
        if not self._cluster.scenario.fences or node not in self._cluster.scenario.nodes:
            return ()
        return (FenceLevel(agents=("sim",), attempt_s=ATTEMPT_S, attempts=2),)

    async def prepare(self, node: str) -> None:
        """Nothing takes any time here."""

    async def off(self, node: str, level: int) -> Shot:
        del level
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[bool] = loop.create_future()
        mood = self._world.random.choices(list(MOODS), list(MOODS.values()))[0]
        self._world.note(self._daemon.name, "shoots", at=node, mood=mood)
        takes_s = self._world.random.uniform(*ANSWER_S)
        if mood in {"well", "lost"}:
            self._world.after(takes_s, self._switch_off, node)
        elif mood == "late":
            self._world.after(ATTEMPT_S + takes_s, self._switch_off, node)
        answers_s = takes_s if mood in {"well", "fails"} else ATTEMPT_S
        self._world.after(answers_s, self._answer, loop, answered, mood == "well")
        off = await answered
        return Shot(off=off, agent="sim", detail=mood)

    def _switch_off(self, node: str) -> None:
        self._cluster.power_cut(node)
        self._world.after(self._world.random.uniform(0.5, 3.0) * self._cluster.scenario.scale, self._cluster.boot, node)

    def _answer(self, loop: asyncio.AbstractEventLoop, answered: "asyncio.Future[bool]", off: bool) -> None:
        if self._daemon.alive:
            loop.call_soon(_give, answered, off)


def _give(answered: "asyncio.Future[bool]", off: bool) -> None:
    if not answered.done():
        answered.set_result(off)
