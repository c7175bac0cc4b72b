"""The guard of each machine: outlives its daemon, and takes down what it was told of when the lease is about to end."""

import asyncio
from collections.abc import Collection

from failoverd.ports import Will
from tests.sim.checkers import EXPIRED, Checkers
from tests.sim.loop import NodeClock
from tests.sim.world import World

ANSWER_S = (0.0, 0.004)


class MachineGuard:
    """One process on one machine. Knows nothing but what daemons told it."""

    def __init__(self, checkers: Checkers, node: str, *, clock: NodeClock, will_s: float) -> None:
        self._world, self._site, self._checkers = checkers.world, checkers.site, checkers
        self._node, self._clock, self._will_s = node, clock, will_s
        self.armed: set[tuple[str, str]] = set()
        self._fires_at = -1.0
        self._waits = False
        """For a time that has been set."""
        self.gone = False
        """It has ended, and its successor has not been told anything yet."""
        self.fired = 0

    def reset(self) -> None:
        """It ended: by the power, or dismissed."""
        self.armed.clear()
        self._fires_at = -1.0

    def extend(self, fires_at: float) -> None:
        if fires_at <= self._fires_at:
            return
        self._fires_at = fires_at
        if not self._waits:
            self._waits = True
            self._world.at(self._clock.to_world(fires_at), self._fire, fires_at)

    def _fire(self, set_for: float) -> None:
        """The time has come that it was set for; if it was given more since, that one is waited for."""
        fires_at = self._fires_at
        self._waits = fires_at > set_for
        if self._waits:
            self._world.at(self._clock.to_world(fires_at), self._fire, fires_at)
        if fires_at != set_for:
            return
        left = self._left()
        if left and not self._checkers.excused(self._node):
            self._world.broken(EXPIRED, f"{', '.join(left)} still there when the guard had to act")
        if left:
            self.fired += 1
            self._world.note(self._node, "guard.fires", left=",".join(left))
            takes_s = self._world.random.choice((0.1, 0.5, 0.999)) * self._will_s
            self._world.at(self._clock.to_world(fires_at + takes_s), self._kill, fires_at)

    def _left(self) -> list[str]:
        parts = self._site.of_node(self._node)
        return sorted(p.key for p in parts if (p.group, p.name) in self.armed and p.claims)

    def _kill(self, fires_at: float) -> None:
        if self._fires_at == fires_at:
            self._site.wipe(self._node, "guard", only=self.armed)


class SimGuard:
    """``ports.Guard`` of one daemon."""

    def __init__(self, machine: MachineGuard, world: World) -> None:
        self._machine, self._world = machine, world
        self._told: set[tuple[str, str]] = set()
        self._fires_at = -1.0
        self.dead = False

    def tell_anew(self) -> None:
        """The machine has another guard: it is told of all that the former one was."""
        self._machine.armed |= self._told
        if self._fires_at > 0:
            self._machine.extend(self._fires_at)

    @property
    def _reached(self) -> bool:
        return not self.dead and not self._machine.gone

    async def arm(self, group: str, component: str, will: Will | None) -> None:
        del will
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[None] = loop.create_future()
        self._world.after(self._world.random.uniform(*ANSWER_S), self._arm, group, component, loop, answered)
        await answered

    def _arm(
        self, group: str, component: str, loop: asyncio.AbstractEventLoop, answered: "asyncio.Future[None]"
    ) -> None:
        if self._machine.gone:
            self._world.after(ANSWER_S[1], self._arm, group, component, loop, answered)
        elif not self.dead:
            self._told.add((group, component))
            self._machine.armed.add((group, component))
            loop.call_soon(_answer, answered)

    async def hold(self, group: str, component: str, will: Will | None) -> None:
        del will
        self._told.add((group, component))
        if self._reached:
            self._machine.armed.add((group, component))

    def disarm(self, group: str, component: str) -> None:
        self._told.discard((group, component))
        if self._reached:
            self._machine.armed.discard((group, component))

    def extend(self, fires_at: float, ends: float) -> None:
        del ends
        self._fires_at = max(self._fires_at, fires_at)
        if self._reached:
            self._machine.extend(fires_at)

    def retain(self, known: Collection[tuple[str, str]]) -> None:
        if self._reached:
            self._machine.armed &= set(known)

    async def dismiss(self) -> None:
        if not self.dead:
            self._machine.reset()


def _answer(answered: "asyncio.Future[None]") -> None:
    if not answered.done():
        answered.set_result(None)
