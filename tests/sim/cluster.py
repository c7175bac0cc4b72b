"""The machines and their daemons: born, stalled, killed and born again as the timeline says."""

import asyncio
import traceback
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

from failoverd.domain.lease import LeaseSettings
from failoverd.domain.model import Action, Component, ComponentState, Group, NodeSpec
from failoverd.errors import FailoverdError, StartupError
from failoverd.log.catalogue import Event
from failoverd.log.ring import EventRing
from failoverd.ports import Agent, Caller, Put
from failoverd.runtime.control import Control
from failoverd.runtime.node import Node, NodePorts, NodeSettings
from tests.sim import checkers
from tests.sim.checkers import Checkers
from tests.sim.components import SimAgent, Site
from tests.sim.guard import MachineGuard, SimGuard
from tests.sim.loop import NodeClock, SimLoop
from tests.sim.network import Network, SimTransport
from tests.sim.scenario import Scenario
from tests.sim.store import Coordination, SimCoordinator
from tests.sim.world import World

OPERATOR = Caller(pid=1, uid=0, gid=0)
STOP_PATIENCE_S = 8.0
RESPAWN_S = 1.0
"""After which the service manager starts a daemon again that ended with an error."""


class Daemon:
    """One process: from its start to its end. A restart is another one."""

    def __init__(self, cluster: "Cluster", name: str, number: int, host: str, groups: dict[str, Group]) -> None:
        self.name, self._cluster, self.world = name, cluster, cluster.world
        self.clock = cluster.clocks[name]
        self.loop = SimLoop(self.clock.now)
        self.alive, self.paused_until = True, -1.0
        self._number, self._incarnations = number, 0
        self.joined = False
        self.tasks: list[asyncio.Task[Any]] = []
        self.node: Node
        self.inside(lambda: self._build(host, groups))
        self.main = self.start(self.node.run())

    def inside(self, action: Callable[[], None]) -> None:
        asyncio._set_running_loop(self.loop)
        try:
            action()
        finally:
            asyncio._set_running_loop(None)

    def start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = self.loop.create_task(work)
        self.tasks.append(task)
        return task

    # --- as a process of the world -------------------------------------------------------------------------------

    def next_at(self) -> float | None:
        if self.paused_until > self.world.now:
            return None
        timer = self.loop.next_timer()
        if timer is None:
            return None
        return self.world.now if timer == 0.0 else max(self.world.now, self.clock.to_world(timer))

    def turn(self) -> None:
        """Until it has nothing more to do at this time."""
        self.loop.turn()
        while self.loop.is_ready and not self.main.done():
            self.loop.turn()
        if self.main.done():
            self._cluster.ended(self)
        elif self.loop.faults:
            self.world.broken(checkers.DIED, f"{self.name}: {self.loop.faults}")

    # --- its ports ------------------------------------------------------------------------------------------------

    def _build(self, host: str, groups: dict[str, Group]) -> None:
        cluster, scenario = self._cluster, self._cluster.scenario
        peers = [peer for peer in scenario.nodes if peer != self.name]
        self.transport = SimTransport(
            cluster.network,
            self.name,
            peers=peers,
            incarnation=self._incarnation(),
            now=self.clock.now,
            patience_s=scenario.dead_after_s,
        )
        cluster.network.sockets[self.name] = self.transport
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


class Cluster:
    def __init__(self, scenario: Scenario, world: World) -> None:
        self.scenario, self.world = scenario, world
        self.lease = LeaseSettings.of(ttl_s=scenario.ttl_s)
        self.specs = {
            name: NodeSpec(
                name=name,
                addresses=tuple((f"{name}{link}", 7800) for link in range(scenario.links)),
                max_parallel=scenario.max_parallel.get(name),
            )
            for name in scenario.nodes
        }
        self.clocks = {
            name: NodeClock(lambda: world.now, rate=scenario.rates.get(name, 1.0), base=1000.0 + 777 * index, since=0.0)
            for index, name in enumerate(scenario.nodes)
        }
        self.network = Network(world, scenario.links)
        self.coordination = Coordination(world)
        self.site = Site(world, durations={key: dict(each) for key, each in scenario.durations.items()})
        self.groups = {name: dict(scenario.groups) for name in scenario.nodes}
        """The configuration on each node."""
        self.daemons: dict[str, Daemon] = {}
        self.checkers = Checkers(world, self.site, self.coordination.store, self._excused)
        self.guards = {
            name: MachineGuard(self.checkers, name, clock=self.clocks[name], will_s=self.lease.will_s)
            for name in scenario.nodes
        }
        self._boots = dict.fromkeys(scenario.nodes, 1)
        self._starts = dict.fromkeys(scenario.nodes, 0)
        self._stood_still: dict[str, float] = {}
        self.calm = False

    def _excused(self, node: str) -> bool:
        daemon = self.daemons.get(node)
        if daemon is None or not daemon.joined:
            return True  # what is online there was left by the daemon before it
        return self._stood_still.get(node, -1e9) > self.world.now - self.lease.self_stop_s

    # --- life and death -------------------------------------------------------------------------------------------

    def boot(self, node: str) -> None:
        """Start the daemon, unless it runs."""
        if node in self.daemons:
            return
        self._starts[node] += 1
        self.site.forget_told(node)
        self.world.note(node, "boot")
        host = f"{node}/{self._boots[node]}"
        daemon = Daemon(self, node, self._starts[node], host, dict(self.groups[node]))
        self.daemons[node] = daemon
        self._order()

    def _order(self) -> None:
        self.world.processes[:] = [self.daemons[name] for name in self.scenario.nodes if name in self.daemons]

    def crash(self, node: str) -> None:
        """The daemon is killed; what it brought online stays. The commands that it ran are killed with it."""
        daemon = self.daemons.pop(node, None)
        if daemon is None:
            return
        self.world.note(node, "crash")
        self._bury(daemon)

    def _bury(self, daemon: Daemon) -> None:
        daemon.end()
        self.network.sockets.pop(daemon.name, None)
        for part in self.site.of_node(daemon.name):
            self.site.cut_short(part, gone=False)
        self._order()

    def power_cut(self, node: str) -> None:
        self.crash(node)
        self._boots[node] += 1
        self.guards[node].reset()
        self.site.wipe(node, "power cut")

    def power_cut_all(self) -> None:
        for node in self.scenario.nodes:
            self.power_cut(node)

    def boot_all(self) -> None:
        for node in self.scenario.nodes:
            self.boot(node)

    def pause(self, node: str, seconds: float) -> None:
        """The machine's daemon does not run for a while; its components do."""
        daemon = self.daemons.get(node)
        if daemon is None:
            return
        self.world.note(node, "pause", seconds=seconds)
        daemon.paused_until = self.world.now + seconds
        self._stood_still[node] = max(daemon.paused_until, self._stood_still.get(node, 0.0))
        self.world.after(seconds, lambda: None)  # so that it is looked at when the time is up

    def stop(self, node: str) -> None:
        """An orderly stop of the daemon."""
        daemon = self.daemons.get(node)
        if daemon is not None:
            self.world.note(node, "stop")
            daemon.start(daemon.node.stop("sim", STOP_PATIENCE_S))

    def ended(self, daemon: Daemon) -> None:
        """The daemon ended by itself."""
        error = None if daemon.main.cancelled() else daemon.main.exception()
        found = error
        while isinstance(found, BaseExceptionGroup):
            found = found.exceptions[0]
        del self.daemons[daemon.name]
        self.world.note(daemon.name, "ended", error=str(found or ""))
        if found is not None and not isinstance(found, StartupError):
            text = "".join(traceback.format_exception(error)) if error else ""
            self.world.broken(checkers.DIED, f"{daemon.name}: {text}")
        self._bury(daemon)
        if found is not None or self.calm:
            self.world.after(RESPAWN_S, lambda: self.boot(daemon.name))

    # --- network --------------------------------------------------------------------------------------------------

    def cut(self, sender: str, receiver: str, link: int | None = None) -> None:
        """One direction only."""
        links = range(self.scenario.links) if link is None else [link]
        self.world.note("world", "cut", sender=sender, receiver=receiver, link=link)
        self.network.conditions.cut |= {(sender, receiver, each) for each in links}

    def mend(self, sender: str, receiver: str, link: int | None = None) -> None:
        links = range(self.scenario.links) if link is None else [link]
        self.world.note("world", "mend", sender=sender, receiver=receiver, link=link)
        self.network.conditions.cut -= {(sender, receiver, each) for each in links}

    def network_is(self, **conditions: Any) -> None:
        self.world.note("world", "network", **conditions)
        for key, value in conditions.items():
            setattr(self.network.conditions, key, value)

    # --- coordinator ----------------------------------------------------------------------------------------------

    def coordinator_is(self, **reach: Any) -> None:
        self.world.note("world", "coordinator", **reach)
        for key, value in reach.items():
            setattr(self.coordination.reach, key, value)

    def cut_coordinator(self, node: str) -> None:
        self.world.note("world", "cut_coordinator", node=node)
        self.coordination.reach.cut.add(node)

    def mend_coordinator(self, node: str) -> None:
        self.world.note("world", "mend_coordinator", node=node)
        self.coordination.reach.cut.discard(node)

    # --- agents and components ------------------------------------------------------------------------------------

    def agents_are(self, fail: dict[str, float] | None = None, hang: dict[str, float] | None = None) -> None:
        self.world.note("world", "agents", fail=fail, hang=hang)
        self.site.behaviour.fail = {Action(action): share for action, share in (fail or {}).items()}
        self.site.behaviour.hang = {Action(action): share for action, share in (hang or {}).items()}

    def die(self, node: str, group: str, component: str) -> None:
        """A component ends by itself."""
        part = self.site.parts.get((node, group, component))
        if part is not None and part.online and part.operation is None:
            part.online = False
            self.world.note(node, "died", part=part.key)

    def sicken(self, node: str, group: str, component: str) -> None:
        """A component is there, but does not work any more, until it is brought online anew."""
        part = self.site.parts.get((node, group, component))
        if part is not None and part.online and part.operation is None:
            part.healthy = False
            self.world.note(node, "sickened", part=part.key)

    # --- operators ------------------------------------------------------------------------------------------------

    def command(self, node: str, command: str, **params: Any) -> None:
        daemon = self.daemons.get(node)
        if daemon is not None and not self.calm:
            daemon.start(self._command(daemon, command, params))

    async def _command(self, daemon: Daemon, command: str, params: dict[str, Any]) -> None:
        if not daemon.node.authority.ready:
            return
        try:
            await daemon.control.handle(command, {"wait": False, **params}, OPERATOR, _unheard)
        except (FailoverdError, TimeoutError) as error:
            daemon.world.note(daemon.name, "refused", command=command, reason=str(error))

    def reload(self, node: str, group: str, **changes: Any) -> None:
        """Another configuration of a group, on one node."""
        changed = replace(self.groups[node][group], **changes)
        self.groups[node][group] = replace(changed, config_hash=str(hash_of(changed)))
        self.world.note(node, "reload", group=group, hash=self.groups[node][group].config_hash)
        daemon = self.daemons.get(node)
        if daemon is not None:
            daemon.inside(lambda: daemon.node.groups[group].reconfigure(self.groups[node][group]))
            daemon.inside(daemon.node.wake_everything)

    # --- the end of all faults --------------------------------------------------------------------------------------

    def repair(self) -> None:
        """Everything works from here on, every daemon runs, and what was stuck is taken down by hand."""
        self.world.note("world", "repair")
        self.calm = True
        self.network.conditions.cut.clear()
        self.network_is(loss=0.0, duplicate=0.0, slow=0.0)
        self.coordination.reach.cut.clear()
        self.coordinator_is(down=False, request_lost=0.0, reply_lost=0.0, slow=0.0, news_late_s=0.0)
        self.agents_are()
        for name, daemon in self.daemons.items():
            if daemon.paused_until > self.world.now:
                self._stood_still[name] = daemon.paused_until = self.world.now
        self.boot_all()
        self.by_hand()

    def by_hand(self) -> None:
        """What the daemons show as stuck, an administrator takes down."""
        if not self.scenario.by_hand:
            return
        for part in self.site.parts.values():
            daemon = self.daemons.get(part.node)
            local = daemon and daemon.node.groups[part.group].board.locals.get(part.name)
            if local and local.state is ComponentState.STUCK and part.online and part.operation is None:
                part.online = False
                self.world.note(part.node, "by_hand", part=part.key)

    def end(self) -> None:
        for daemon in self.daemons.values():
            daemon.end()
        self.daemons.clear()


def _unheard(update: dict[str, Any]) -> None:
    """The operator looks away."""
    del update


def hash_of(group: Group) -> str:
    shape = sorted((name, c.depends_on, sorted(c.params.items())) for name, c in group.components.items())
    return f"{shape} {group.max_moves}"
