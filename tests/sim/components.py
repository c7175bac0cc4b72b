"""The components themselves: what is really online where, and the agents through which daemons reach them."""

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from enum import StrEnum

from failoverd.domain.model import Action, Component, HandoverMode
from failoverd.ports import Call, Outcome, Presence, Probe, Result
from tests.sim.world import World


class Told(StrEnum):
    """What the agents last told the present daemon of a component."""

    NOTHING = "nothing"
    ONLINING = "onlining"
    ONLINE = "online"
    OFFLINING = "offlining"
    ABSENT = "absent"
    BROKEN = "broken"


@dataclass(slots=True)
class Part:
    """One component on one node: the truth."""

    node: str
    group: str
    name: str
    depends_on: tuple[str, ...]
    exclusive: bool
    online: bool = False
    """From the begin of an online operation until it is surely gone."""
    healthy: bool = True
    told: Told = Told.NOTHING
    ghost: bool = False
    """Its agent said that it is offline, and it was not: what that comes to is the agent's fault."""
    offline_failed: bool = False
    """The latest operation was an offline that did not succeed."""
    cleans_failed: int = 0
    operation: "Operation | None" = None

    @property
    def claims(self) -> bool:
        """Whether it is online and nobody else's may be, as far as its agent tells the truth."""
        return self.online and self.exclusive and not self.ghost

    @property
    def key(self) -> str:
        return f"{self.group}/{self.name}@{self.node}"


@dataclass(slots=True)
class Behaviour:
    """How the agents fare at present (all nodes alike, for want of a reason to do otherwise)."""

    fail: dict[Action, float] = field(default_factory=dict)
    hang: dict[Action, float] = field(default_factory=dict)
    lie: float = 0.0
    """The share of offlines that say done, and leave the component running."""
    spread: float = 0.3
    """Operations take their usual time, more or less by this share."""


@dataclass(slots=True)
class Operation:
    action: Action
    outcome: Outcome
    online_after: bool
    over: bool = False
    release: Callable[[], None] = field(default=lambda: None)
    """Tells the daemon that it is over."""


@dataclass(slots=True)
class Site:
    """What is the same for all components of the world."""

    world: World
    parts: dict[tuple[str, str, str], Part] = field(default_factory=dict)
    """By node, group and component."""
    durations: dict[tuple[str, str], dict[Action, float]] = field(default_factory=dict)
    behaviour: Behaviour = field(default_factory=Behaviour)
    begun: int = 0
    """Operations."""
    on_begin: Callable[[Part, Action], None] | None = None
    """Right before an operation takes effect: where the checkers look."""

    def part(self, node: str, group: str, component: Component) -> Part:
        """Made where it is not known yet; its dependencies are those of the configuration in force."""
        exclusive = component.handover is not HandoverMode.MAKE_FIRST
        made = Part(node, group, component.name, component.depends_on, exclusive)
        found = self.parts.setdefault((node, group, component.name), made)
        found.depends_on, found.exclusive = component.depends_on, exclusive
        return found

    def of_node(self, node: str) -> list[Part]:
        return [part for (at, _, _), part in self.parts.items() if at == node]

    def of_group(self, node: str, group: str) -> list[Part]:
        return [part for (at, of, _), part in self.parts.items() if (at, of) == (node, group)]

    def wipe(self, node: str, why: str, only: Collection[tuple[str, str]] | None = None) -> None:
        """Everything on the node (or ``only`` some) is gone at once: a power cut, or the guard."""
        for part in self.of_node(node):
            if only is not None and (part.group, part.name) not in only:
                continue
            if part.operation is not None:
                self.cut_short(part, gone=True)
            if part.online:
                part.online = False
                self.world.note(node, "gone", part=part.key, why=why)

    def forget_told(self, node: str) -> None:
        for part in self.of_node(node):
            part.told, part.offline_failed = Told.NOTHING, False

    def cut_short(self, part: Part, *, gone: bool) -> None:
        """The operation in flight is killed; what it leaves behind is anybody's guess, unless it is surely gone."""
        operation = part.operation
        if operation is None or operation.over:
            return
        operation.over, operation.outcome = True, Outcome.FAILED
        part.operation, part.told = None, Told.BROKEN
        operation.release()
        if gone or (part.online and self.world.random.random() < 0.5):
            part.online = False
        self.world.note(part.node, "cut_short", part=part.key, action=operation.action.value, online=part.online)


class SimAgent:
    """``ports.Agent`` of one component for one daemon."""

    def __init__(self, site: Site, part: Part, alive: Callable[[], bool]) -> None:
        self._site, self._part, self._alive = site, part, alive
        self._loop = asyncio.get_running_loop()

    async def probe(self, call: Call) -> Probe:
        rng, part = self._site.world.random, self._part
        hangs = part.told is not Told.OFFLINING and rng.random() < self._site.behaviour.hang.get(Action.PROBE, 0.0)
        await self._wait(call.timeout_s if hangs else rng.uniform(0.001, 0.03))
        if not self._alive():
            return Probe(presence=Presence.UNKNOWN)
        if hangs:
            return Probe(presence=Presence.UNKNOWN, detail="the probe timed out")
        return self._look()

    def _look(self) -> Probe:
        part = self._part
        idle = part.operation is None
        if not part.online or (part.ghost and part.told is Told.ABSENT):
            if idle:
                part.told = Told.ABSENT
            return Probe(presence=Presence.OFFLINE, detail="not there")
        if idle:
            # One failed monitor does not count yet (`fall`): the daemon goes on taking it for online.
            part.told = Told.ONLINE if part.healthy or part.told is Told.ONLINE else Told.BROKEN
        if not part.healthy:
            return Probe(presence=Presence.FAILED, detail="there, but broken")
        return Probe(presence=Presence.ONLINE, detail="there")

    async def prepare(self, call: Call) -> Result:
        await self._wait(self._usual(Action.PREPARE))
        del call
        return Result(outcome=Outcome.DONE)

    async def online(self, call: Call) -> Result:
        return await self._operate(Action.ONLINE, call)

    async def offline(self, call: Call) -> Result:
        return await self._operate(Action.OFFLINE, call)

    async def clean(self, call: Call) -> Result:
        return await self._operate(Action.CLEAN, call)

    async def watch(self, call: Call) -> Probe | None:
        del call
        return None

    # --- operations ---------------------------------------------------------------------------------------------

    async def _operate(self, action: Action, call: Call) -> Result:
        site, part = self._site, self._part
        if not self._alive():
            return Result(outcome=Outcome.UNAVAILABLE)
        site.begun += 1
        if site.on_begin is not None:
            site.on_begin(part, action)
        site.world.note(part.node, f"{action.value}.begin", part=part.key, generation=call.generation)
        operation, duration = self._draw(action, call.timeout_s)
        part.operation = operation
        part.told = Told.ONLINING if action is Action.ONLINE else Told.OFFLINING
        if action is Action.ONLINE:
            part.online, part.ghost = True, False
        done: asyncio.Future[None] = self._loop.create_future()
        operation.release = lambda: self._released(done)
        site.world.after(duration, self._finish, operation)
        try:
            await done
        except asyncio.CancelledError:
            if self._alive():
                site.cut_short(part, gone=False)
            raise
        return Result(outcome=operation.outcome, detail="" if operation.outcome is Outcome.DONE else "as it happens")

    def _draw(self, action: Action, timeout_s: float) -> tuple[Operation, float]:
        rng, behaviour, part = self._site.world.random, self._site.behaviour, self._part
        if rng.random() < behaviour.hang.get(action, 0.0):
            return Operation(action, Outcome.TIMED_OUT, self._left_behind(action)), timeout_s
        fails = rng.random() < behaviour.fail.get(action, 0.0)
        if action is Action.CLEAN:
            fails = fails and part.cleans_failed == 0
            part.cleans_failed = part.cleans_failed + 1 if fails else 0
        duration = self._usual(action)
        if fails:
            return Operation(action, Outcome.FAILED, self._left_behind(action)), duration * rng.random()
        return Operation(action, Outcome.DONE, action is Action.ONLINE), duration

    def _lies(self) -> bool:
        share = self._site.behaviour.lie
        return share > 0 and self._site.world.random.random() < share

    def _left_behind(self, action: Action) -> bool:
        """By an operation that did not succeed. An agent never says that something is gone which is not."""
        return (
            self._part.online
            if action is not Action.ONLINE and self._site.world.random.random() < 0.7
            else (action is Action.ONLINE and self._site.world.random.random() < 0.5)
        )

    def _usual(self, action: Action) -> float:
        usual = self._site.durations.get((self._part.group, self._part.name), {}).get(action, 0.05)
        spread = self._site.behaviour.spread
        return usual * self._site.world.random.uniform(1 - spread, 1 + spread)

    def _finish(self, operation: Operation) -> None:
        part = self._part
        if operation.over:
            return
        operation.over = True
        part.operation = None
        part.online, part.ghost = operation.online_after, False
        if operation.action is Action.OFFLINE and not part.online and self._lies():
            part.online = part.ghost = True
            self._site.world.note(part.node, "lie", part=part.key)
        part.healthy = part.healthy or operation.outcome is Outcome.DONE
        ok = operation.outcome is Outcome.DONE
        part.offline_failed = operation.action is Action.OFFLINE and not ok
        if ok:
            part.told = {Action.ONLINE: Told.ONLINE, Action.OFFLINE: Told.ABSENT}.get(operation.action, part.told)
        elif operation.action is not Action.CLEAN:
            part.told = Told.BROKEN if operation.action is Action.ONLINE else Told.OFFLINING
        self._site.world.note(
            part.node,
            f"{operation.action.value}.end",
            part=part.key,
            outcome=operation.outcome.value,
            online=part.online,
        )
        operation.release()

    def _released(self, done: "asyncio.Future[None]") -> None:
        if self._alive():
            self._loop.call_soon(_release, done)

    async def _wait(self, seconds: float) -> None:
        done: asyncio.Future[None] = self._loop.create_future()
        self._site.world.after(seconds, self._released, done)
        await done


def _release(done: "asyncio.Future[None]") -> None:
    if not done.done():
        done.set_result(None)
