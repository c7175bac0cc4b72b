"""Nodes of a cluster on virtual time: the real ``Node`` over fakes of its ports that keep a record of their own.

``World`` knows what is really there: a component is there from the begin of its online until an offline or a clean
has ended well. What a daemon believes is another matter; tests judge the world's record.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
from anyio.abc import TaskGroup

from failoverd.coordinators.memory import Fate, MemoryCoordinator, MemoryStore, Operation
from failoverd.domain.lease import LeaseSettings
from failoverd.domain.model import Action, Component, Group, HandoverMode, HealthCheck, NodeSpec
from failoverd.domain.placement import Fault, Lease, Member, Placement
from failoverd.domain.report import PeerState
from failoverd.fencing.none import NoFencer
from failoverd.log.catalogue import Event
from failoverd.log.ring import EventRing
from failoverd.ports import (
    Agent,
    Call,
    Caller,
    Entry,
    Fencer,
    Health,
    LinkCounters,
    Outcome,
    Presence,
    Probe,
    Received,
    Result,
)
from failoverd.records import decode, fault_key, lease_key, node_key, placement_key
from failoverd.runtime.control import Control
from failoverd.runtime.node import Node, NodePorts, NodeSettings
from tests.virtual import VirtualClock

GROUP = "g"
LATENCY_S = 0.001


# --- what is really there -----------------------------------------------------------------------------------------


@dataclass(slots=True)
class Operated:
    """One call of an agent."""

    node: str
    component: str
    action: Action
    begin: float
    generation: int
    revision: str
    """Of the parameters that the agent was built with (``params["revision"]``)."""
    end: float | None = None
    ok: bool = False
    cut: bool = False


@dataclass(slots=True, kw_only=True)
class Behaviour:
    """What an agent does on one node; to be changed at any time."""

    takes_s: dict[Action, float] = field(default_factory=dict)
    outcomes: dict[Action, list[Outcome]] = field(default_factory=dict)
    """Of the next calls, first one first; after them, all is done."""
    always: dict[Action, Outcome] = field(default_factory=dict)
    survives: set[Action] = field(default_factory=set)
    """Operations that end well or not and leave the component where it is."""
    says: Presence | None = None
    """What a probe says; None: the truth."""
    hangs: set[Action] = field(default_factory=set)
    """Never returns."""
    events: bool = False
    """Tells by ``watch`` when the component is gone."""

    def outcome(self, action: Action) -> Outcome:
        waiting = self.outcomes.get(action)
        return waiting.pop(0) if waiting else self.always.get(action, Outcome.DONE)


class World:
    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.record: list[Operated] = []
        self.present: dict[tuple[str, str], bool] = {}
        self.behaviours: dict[tuple[str, str], Behaviour] = {}
        self.probes: list[tuple[float, float, str, str]] = []
        self.twice: list[str] = []
        self.reclaimed: list[tuple[str, str]] = []
        """(node, component): whose agent was told of a doubt about who owns what."""
        self.may_be_twice: set[str] = set()
        self.healthy: dict[tuple[str, str], bool | None] = {}
        """What health checks find, of (node, component); none: True."""
        self.asked: list[tuple[float, str, str]] = []
        """When a health check was asked, on which node, of which component."""
        self.ask_takes_s = 0.0
        self._changed = anyio.Event()

    def behaviour(self, node: str, component: str) -> Behaviour:
        return self.behaviours.setdefault((node, component), Behaviour())

    def put(self, node: str, component: str, *, there: bool) -> None:
        self.present[node, component] = there
        if there and component not in self.may_be_twice:
            others = [n for (n, c), is_there in self.present.items() if c == component and is_there and n != node]
            self.twice += [f"{self.clock.now():.3f} {component} on {node} while it is on {other}" for other in others]
        self._changed.set()
        self._changed = anyio.Event()

    async def changed(self) -> None:
        await self._changed.wait()

    def there(self, node: str, component: str) -> bool:
        return self.present.get((node, component), False)

    def everything_on(self, node: str) -> set[str]:
        return {component for (n, component), is_there in self.present.items() if n == node and is_there}

    def power_cut(self, node: str) -> None:
        for n, component in list(self.present):
            if n == node:
                self.put(node, component, there=False)
        for operated in self.record:
            if operated.node == node and operated.end is None:
                operated.end, operated.cut = self.clock.now(), True

    def of(self, component: str | None = None, node: str | None = None, action: Action | None = None) -> list[Operated]:
        return [
            each
            for each in self.record
            if component in {None, each.component} and node in {None, each.node} and action in {None, each.action}
        ]

    def one(self, component: str, node: str, action: Action) -> Operated:
        found = self.of(component, node, action)
        assert len(found) == 1, f"{action} of {component} on {node}: {found}"
        return found[0]

    def forget(self) -> None:
        self.record.clear()
        self.probes.clear()


class WorldAgent:
    """``ports.Agent`` and ``ports.Claimant``."""

    def __init__(self, world: World, node: str, component: Component) -> None:
        self._world = world
        self._node = node
        self._name = component.name
        self._revision = str(component.params.get("revision", ""))

    @property
    def _behaviour(self) -> Behaviour:
        return self._world.behaviour(self._node, self._name)

    async def probe(self, call: Call) -> Probe:
        began = self._world.clock.now()
        await self._take(Action.PROBE, call)
        self._world.probes.append((began, self._world.clock.now(), self._node, self._name))
        said = self._behaviour.says
        if said is not None:
            return Probe(presence=said, detail=f"told to say {said}")
        return Probe(presence=Presence.ONLINE if self._world.there(self._node, self._name) else Presence.OFFLINE)

    async def prepare(self, call: Call) -> Result:
        return await self._operate(Action.PREPARE, call)

    async def online(self, call: Call) -> Result:
        self._world.put(self._node, self._name, there=True)
        return await self._operate(Action.ONLINE, call)

    async def offline(self, call: Call) -> Result:
        return await self._operate(Action.OFFLINE, call)

    async def clean(self, call: Call) -> Result:
        return await self._operate(Action.CLEAN, call)

    async def watch(self, call: Call) -> Probe | None:
        del call
        if not self._behaviour.events:
            return None
        while self._world.there(self._node, self._name):
            await self._world.changed()
        return Probe(presence=Presence.OFFLINE, detail="an event")

    async def reclaim(self, call: Call) -> None:
        self._world.reclaimed.append((self._node, call.component))

    async def _operate(self, action: Action, call: Call) -> Result:
        begun = Operated(
            self._node, self._name, action, self._world.clock.now(), call.generation, revision=self._revision
        )
        self._world.record.append(begun)
        outcome = self._behaviour.outcome(action)
        try:
            timely = await self._take(action, call)
        except BaseException:
            if begun.end is None:
                begun.end, begun.cut = self._world.clock.now(), True
            raise
        begun.end = self._world.clock.now()
        if not timely:
            return Result(outcome=Outcome.TIMED_OUT, detail=f"{call.timeout_s:g}s")
        begun.ok = outcome is Outcome.DONE
        gone = action in {Action.OFFLINE, Action.CLEAN} and begun.ok and action not in self._behaviour.survives
        if gone:
            self._world.put(self._node, self._name, there=False)
        return Result(outcome=outcome, detail="" if begun.ok else "as told")

    async def _take(self, action: Action, call: Call) -> bool:
        """As long as it takes; False where its time was up."""
        behaviour = self._behaviour
        if action in behaviour.hangs:
            await anyio.sleep_forever()
        takes_s = behaviour.takes_s.get(action, 0.0)
        await anyio.sleep(min(takes_s, call.timeout_s))
        return takes_s <= call.timeout_s


class FakeChecker:
    """``ports.HealthChecker``: ``World.healthy`` says of a (node, component) what is found; nothing: it is healthy."""

    def __init__(self, world: World, node: str) -> None:
        self._world, self._node = world, node

    async def ask(self, check: HealthCheck, call: Call) -> Health:
        self._world.asked.append((self._world.clock.now(), self._node, call.component))
        await anyio.sleep(self._world.ask_takes_s)
        healthy = self._world.healthy.get((self._node, call.component), True)
        return Health(healthy=healthy, detail="" if healthy else f"{check.tcp} refuses")


# --- log, network, coordinator ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Logged:
    at: float
    node: str
    event: Event
    fields: Mapping[str, Any]


class FakeLog:
    def __init__(self, node: str, clock: VirtualClock, into: list[Logged]) -> None:
        self._node, self._clock, self._into = node, clock, into

    def emit(self, event: Event, **fields: Any) -> None:
        self._into.append(Logged(self._clock.now(), self._node, event, fields))


class Network:
    """Datagrams arrive after ``LATENCY_S``, unless they are cut: ``cut`` holds (from, to)."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.sockets: dict[str, FakeTransport] = {}
        self.cut: set[tuple[str, str]] = set()
        self.drop_next = 0

    def isolate(self, node: str) -> None:
        for other in self.sockets:
            self.cut |= {(node, other), (other, node)}

    def heal(self) -> None:
        self.cut.clear()


class FakeTransport:
    """``ports.Transport``: one link."""

    def __init__(self, network: Network, node: str, peers: tuple[str, ...]) -> None:
        self._network, self._node, self._peers = network, node, peers
        self._incarnation = f"{node}-none"
        self._deliver: Callable[[Received], None] | None = None
        self._expected: dict[str, str] = {}
        self.counters = LinkCounters()
        self.sent: list[tuple[float, PeerState]] = []
        network.sockets[node] = self

    def send(self, state: PeerState) -> None:
        self.sent.append((self._network.clock.now(), state))
        self.counters.sent += 1
        for peer in self._peers:
            there = self._network.sockets.get(peer)
            if there is None or (self._node, peer) in self._network.cut:
                continue
            if self._network.drop_next:
                self._network.drop_next -= 1
                continue
            asyncio.get_running_loop().call_later(LATENCY_S, there.arrive, self._node, self._incarnation, state)

    def arrive(self, peer: str, incarnation: str, state: PeerState) -> None:
        if self._deliver is None or (peer, self._node) in self._network.cut:
            return
        now = self._network.clock.now()
        self._deliver(Received(peer=peer, incarnation=incarnation, link=0, at=now, state=state, arrived_after=now))

    async def run(self, deliver: Callable[[Received], None]) -> None:
        self._deliver = deliver
        try:
            await anyio.sleep_forever()
        finally:
            self._deliver = None
            if self._network.sockets.get(self._node) is self:
                del self._network.sockets[self._node]

    def expect(self, peer: str, incarnation: str) -> None:
        self._expected[peer] = incarnation

    def reincarnate(self, incarnation: str) -> None:
        self._incarnation = incarnation

    def reconfigure(self, nodes: Mapping[str, NodeSpec]) -> None:
        self._peers = tuple(name for name in nodes if name != self._node)

    def drain_drops(self) -> dict[str, int]:
        return {}


class Outages:
    """``Faults`` of the coordinator: who cannot reach it, whose replies are lost."""

    def __init__(self) -> None:
        self.cut: set[str] = set()
        self.deaf: set[str] = set()
        """Hears nothing from its watch, though requests work."""
        self.replies_lost: dict[str, int] = {}
        """How many of the next commits of a client lose their reply, though they are carried out."""
        self.held_until: dict[str, float] = {}
        """Commits of a client are carried out no earlier."""
        self.clock = VirtualClock()

    def fate(self, client: str, operation: Operation, keys: tuple[str, ...]) -> Fate:
        del keys
        if client in self.cut:
            return Fate(request_lost=True)
        if operation is Operation.COMMIT and self.replies_lost.get(client, 0) > 0:
            self.replies_lost[client] -= 1
            return Fate(reply_lost=True)
        held_s = self.held_until.get(client, 0.0) - self.clock.now() if operation is Operation.COMMIT else 0.0
        return Fate(request_delay_s=max(0.001, held_s), reply_delay_s=0.001)

    def hears(self, client: str) -> bool:
        return client not in self.cut and client not in self.deaf

    def news_delay_s(self, client: str) -> float:
        del client
        return 0.001


def _ignore(document: dict[str, Any]) -> None:
    del document


# --- a cluster ----------------------------------------------------------------------------------------------------


def component(name: str, *needs: str, **fields: Any) -> Component:
    return Component(name=name, type="fake", depends_on=needs, **fields)


def group_of(*components: Component, nodes: tuple[str, ...] = ("a", "b"), name: str = GROUP, **fields: Any) -> Group:
    made = {each.name: each for each in components}
    return Group(name=name, nodes=nodes, components=made, config_hash=f"{name}-1", **fields)


CHAIN = (component("disk"), component("db", "disk"), component("web", "db"))


@dataclass(slots=True, kw_only=True)
class Daemon:
    node: Node
    scope: anyio.CancelScope
    ended: anyio.Event = field(default_factory=anyio.Event)
    errors: list[BaseException] = field(default_factory=list)


class Cluster:
    def __init__(self, clock: VirtualClock, tasks: TaskGroup, groups: tuple[Group, ...], **settings: Any) -> None:
        self.clock, self._tasks = clock, tasks
        self.groups = groups
        self.world = World(clock)
        self.network = Network(clock)
        self.store = MemoryStore()
        self.outages = Outages()
        self.log: list[Logged] = []
        names: tuple[str, ...] = settings.pop("names", ("a", "b"))
        self.max_parallel: int | None = settings.pop("max_parallel", None)
        self.nodes = {
            name: NodeSpec(name=name, addresses=((name, 1),), max_parallel=self.max_parallel) for name in names
        }
        self.lease: LeaseSettings = settings.pop("lease", LeaseSettings.of(ttl_s=3.0))
        self.dead_after_s: float = settings.pop("dead_after_s", 1.0)
        self.fencers: Callable[[str], Fencer] = settings.pop("fencers", lambda _: NoFencer())
        assert not settings, settings
        self.daemons: dict[str, Daemon] = {}
        self._incarnations = 0
        for group in groups:
            for each in group.components.values():
                if each.handover is HandoverMode.MAKE_FIRST:
                    self.world.may_be_twice.add(each.name)

    # --- daemons ----------------------------------------------------------------------------------------------

    def start(self, *names: str, host: str = "", groups: tuple[Group, ...] | None = None) -> None:
        for name in names or tuple(self.nodes):
            self._start(name, host or f"host-{name}", self.groups if groups is None else groups)

    def _start(self, name: str, host: str, groups: tuple[Group, ...]) -> None:
        faults = self.outages
        settings = NodeSettings(
            cluster="c",
            me=name,
            nodes=self.nodes,
            groups={group.name: group for group in groups},
            interval_s=0.1,
            dead_after_s=self.dead_after_s,
            lease=self.lease,
        )
        ports = NodePorts(
            clock=self.clock,
            coordinator=MemoryCoordinator(
                self.store, client=name, request_timeout_s=self.lease.request_timeout_s, faults=faults
            ),
            transport=FakeTransport(self.network, name, tuple(other for other in self.nodes if other != name)),
            log=FakeLog(name, self.clock, self.log),
            build_agent=lambda _, component: self._agent(name, component),
            new_incarnation=self._incarnation,
            host=host,
            fencer=self.fencers(name),
            checker=FakeChecker(self.world, name),
        )
        daemon = Daemon(node=Node(settings, ports), scope=anyio.CancelScope())
        self.daemons[name] = daemon
        self._tasks.start_soon(self._live, daemon)

    def _agent(self, node: str, component: Component) -> Agent:
        return WorldAgent(self.world, node, component)

    def _incarnation(self) -> str:
        self._incarnations += 1
        return f"i{self._incarnations}"

    async def _live(self, daemon: Daemon) -> None:
        with daemon.scope:
            try:
                await daemon.node.run()
            except* Exception as errors:  # noqa: BLE001 (a crash is what the test may be about)
                daemon.errors.extend(errors.exceptions)
        daemon.ended.set()

    def kill(self, name: str) -> None:
        """The daemon alone; what it brought online stays."""
        self.daemons[name].scope.cancel()
        self.network.sockets.pop(name, None)

    def cut_power(self, name: str) -> None:
        self.kill(name)
        self.world.power_cut(name)

    def __getitem__(self, name: str) -> Node:
        return self.daemons[name].node

    async def ask(self, by: str, command: str, *updates: list[dict[str, Any]], **params: Any) -> dict[str, Any]:
        """A command at the control socket of one daemon. Raises ``Refused``, ``UsageError`` or ``TimeoutError``."""
        control = Control(self[by], EventRing(), self._no_reload, "memory")
        emit = updates[0].append if updates else _ignore
        return await control.handle(command, params, Caller(pid=1, uid=0, gid=0), emit)

    async def switch(self, to: str, *, by: str = "a", group: str = GROUP, wait: bool = False) -> dict[str, Any]:
        return await self.ask(by, "switch", group=group, to=to, wait=wait)

    @staticmethod
    async def _no_reload() -> dict[str, Any]:
        raise AssertionError("not tested here")

    # --- waiting ----------------------------------------------------------------------------------------------

    async def sleep(self, seconds: float) -> None:
        await self.clock.sleep_until(self.clock.now() + seconds)

    async def until(self, true: Callable[[], bool], within_s: float = 60.0, what: str = "") -> None:
        end = self.clock.now() + within_s
        while not true():
            assert self.clock.now() < end, f"{what} not within {within_s:g}s\n{self.tail()}"
            await self.sleep(0.005)

    async def ready(self, *names: str) -> None:
        for name in names or tuple(self.daemons):
            await self.until(lambda name=name: self[name].authority.ready)  # type: ignore[misc]

    async def online(self, node: str, group: str = GROUP, within_s: float = 60.0) -> None:
        """Until the group is whole on a node, in the world as in every daemon's book of handovers."""
        wanted = set(next(each for each in self.groups if each.name == group).components)

        def there() -> bool:
            placement = self.placement(group)
            return (
                placement is not None
                and placement.owner == node
                and self[node].groups[group].board.all_online
                and wanted <= self.world.everything_on(node)
            )

        await self.until(there, within_s, f"{group} online on {node}")

    def tail(self, count: int = 40) -> str:
        lines = [f"{each.at:.3f} {each.node} {each.event} {dict(each.fields)}" for each in self.log[-count:]]
        return "\n".join([*lines, *(f"{name}: {daemon.errors}" for name, daemon in self.daemons.items())])

    # --- the coordinator --------------------------------------------------------------------------------------

    def _get(self, key: str) -> Entry | None:
        return self.store.get(key)

    def placement(self, group: str = GROUP) -> Placement | None:
        entry = self._get(placement_key(group))
        return decode(Placement, entry.key, entry.value) if entry else None

    def placed(self, group: str = GROUP) -> Placement:
        found = self.placement(group)
        assert found is not None
        return found

    def member(self, node: str) -> Member:
        entry = self._get(node_key(node))
        assert entry is not None
        return decode(Member, entry.key, entry.value)

    def lease_of(self, node: str) -> Lease:
        entry = self._get(lease_key(node))
        assert entry is not None
        return decode(Lease, entry.key, entry.value)

    def fault(self, node: str, group: str = GROUP) -> Fault | None:
        entry = self._get(fault_key(group, node))
        return decode(Fault, entry.key, entry.value) if entry else None

    def events(self, event: Event, node: str | None = None) -> list[Logged]:
        return [each for each in self.log if each.event is event and node in {None, each.node}]


@asynccontextmanager
async def cluster(clock: VirtualClock, *groups: Group, start: bool = True, **settings: Any) -> AsyncIterator[Cluster]:
    """Daemons a and b (or ``names``) with their groups; nothing was ever online twice, and no daemon crashed."""
    async with anyio.create_task_group() as tasks:
        made = Cluster(clock, tasks, groups, **settings)
        if start:
            made.start()
        yield made
        tasks.cancel_scope.cancel()
    assert not made.world.twice, made.world.twice
    crashed = {name: daemon.errors for name, daemon in made.daemons.items() if daemon.errors}
    assert not crashed, crashed
