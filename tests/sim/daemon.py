"""One daemon of the simulation: the real node, on ports of the simulated world, from its start to its end."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from failoverd.domain.model import Component, Group
from failoverd.log.catalogue import Event
from failoverd.log.ring import EventRing
from failoverd.ports import Agent, Put
from failoverd.runtime.control import Control
from failoverd.runtime.node import Node, NodePorts, NodeSettings
from tests.sim import checkers
from tests.sim.components import SimAgent
from tests.sim.fencer import SimFencer
from tests.sim.guard import SimGuard
from tests.sim.loop import SimLoop
from tests.sim.network import SimTransport
from tests.sim.store import SimCoordinator

if TYPE_CHECKING:  # a cluster is made of daemons, so the import would be a cycle
    from tests.sim.cluster import Cluster


class Daemon:
    """One process: from its start to its end. A restart is another one."""

    def __init__(self, cluster: "Cluster", name: str, number: int, host: str, groups: dict[str, Group]) -> None:
        self.name, self._cluster, self.world = name, cluster, cluster.world
        self.clock = cluster.clocks[name]
        self.loop = SimLoop(self.world, self.clock, self._fault)
        self.alive, self.paused_until = True, -1.0
        self._number, self._incarnations = number, 0
        self.joined = False
        self.tasks: list[asyncio.Task[Any]] = []
        self.node: Node
        self.inside(lambda: self._build(host, groups))
        self.main = self.start(self.node.run())
        self.main.add_done_callback(self._over)

    def inside(self, action: Callable[[], None]) -> None:
        self.world.running = self.loop
        asyncio._set_running_loop(self.loop)
        action()

    def start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = self.loop.create_task(work)
        self.tasks.append(task)
        return task

    # --- as a process of the world -------------------------------------------------------------------------------

    def _over(self, main: "asyncio.Task[Any]") -> None:
        """It ended by itself (``end`` is what the world does to it)."""
        if self.alive:
            self.world.after(0.0, self._cluster.ended, self, main)

    def _fault(self, context: dict[str, Any]) -> None:
        """Something went wrong in it that nobody awaits."""
        if self.alive:
            self.world.broken(checkers.DIED, f"{self.name}: {context}")

    def pause(self, until: float) -> None:
        """Until that time nothing of it runs."""
        self.paused_until = until
        self.loop.halt()
        self.world.at(until, self.go_on)

    def go_on(self) -> None:
        if self.world.now >= self.paused_until:
            self.loop.go_on()

    # --- its ports ------------------------------------------------------------------------------------------------

    def _build(self, host: str, groups: dict[str, Group]) -> None:
        cluster, scenario = self._cluster, self._cluster.scenario
        peers = [peer for peer in scenario.nodes if peer != self.name]
        self.transport = SimTransport(
            cluster.network,
            self.name,
            self.loop,
            peers=peers,
            incarnation=self._incarnation(),
            now=self.clock.now,
            patience_s=scenario.dead_after_s,
        )
        cluster.network.sockets[self.name] = self.transport
        promises, transport = cluster.promises, self.transport
        transport.on_send = lambda state: promises.sent(self.name, transport.incarnation, state)
        transport.on_hear = lambda by, state: promises.heard(self.name, transport.incarnation, by, state)
        self.coordinator = SimCoordinator(cluster.coordination, self.name, cluster.lease.request_timeout_s)
        self.coordinator.on_lease = self._lease_written
        self.coordinator.identity = lambda: self.transport.incarnation
        self.guard = SimGuard(cluster.guards[self.name], self.world)
        ports = NodePorts(
            clock=self.clock,
            coordinator=self.coordinator,
            transport=self.transport,
            log=self,
            build_agent=self._agent,
            new_incarnation=self._incarnation,
            host=host,
            guard=self.guard,
            fencer=SimFencer(cluster, self),
        )
        settings = NodeSettings(
            cluster="sim",
            me=self.name,
            nodes=cluster.specs,
            groups=groups,
            interval_s=scenario.interval_s,
            dead_after_s=scenario.dead_after_s,
            lease=cluster.lease,
        )
        self.node = Node(settings, ports)
        self.control = Control(self.node, EventRing(), self._reload, "memory")

    async def _reload(self) -> dict[str, Any]:
        raise NotImplementedError("the timeline changes configurations itself")

    def _incarnation(self) -> str:
        self._incarnations += 1
        return f"{self.name}.{self._number}.{self._incarnations}"

    def _agent(self, group: Group, component: Component) -> Agent:
        site = self._cluster.site
        return SimAgent(site, site.part(self.name, group.name, component), lambda: self.alive)

    def emit(self, event: Event, **fields: Any) -> None:
        """``ports.EventLog``."""
        if self.alive:
            self.world.note(self.name, event.value, **fields)

    def _lease_written(self, began: float, put: Put) -> None:
        if b'"live"' not in put.value or not self.alive:
            return
        self.joined = True
        lease, at = self._cluster.lease, self.clock.now() - (self.world.now - began) * self.clock.rate
        usable = self.clock.to_world(at + lease.ttl_s - lease.self_stop_s)
        self._cluster.checkers.renewed(self.name, usable, self.clock.to_world(at + lease.ttl_s))

    def end(self) -> None:
        """As by SIGKILL: nothing that it would still have done is done."""
        self.alive = False
        self.transport.dead = self.coordinator.dead = self.guard.dead = True
        self.loop.end()
