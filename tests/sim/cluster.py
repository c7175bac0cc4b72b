"""The machines and their daemons: born, stalled, killed and born again as the timeline says."""

import asyncio
import traceback
from dataclasses import replace
from typing import Any

from failoverd.domain.lease import LeaseSettings
from failoverd.domain.model import Action, ComponentState, Group, NodeSpec, Role
from failoverd.errors import FailoverdError, StartupError
from failoverd.ports import Caller
from tests.sim import checkers
from tests.sim.checkers import Checkers
from tests.sim.components import Site
from tests.sim.daemon import Daemon
from tests.sim.guard import MachineGuard
from tests.sim.loop import NodeClock
from tests.sim.network import Network
from tests.sim.promises import Promises
from tests.sim.related import LATE_S, Related
from tests.sim.scenario import Happening, Scenario
from tests.sim.store import Coordination
from tests.sim.world import World

OPERATOR = Caller(pid=1, uid=0, gid=0)
STOP_PATIENCE_S = 8.0
"""With a lease of three seconds, as the next."""
RESPAWN_S = 1.0
SUCCESSION_S = (0.02, 0.3)
"""From the end of a guard until its successor has been told everything."""
"""After which the service manager starts a daemon again that ended with an error."""


class Cluster:
    def __init__(self, scenario: Scenario, world: World) -> None:
        self.scenario, self.world = scenario, world
        self.lease = LeaseSettings.of(ttl_s=scenario.ttl_s, failsafe_s=scenario.failsafe_s)
        self.specs = {
            name: NodeSpec(
                name=name,
                addresses=tuple((f"{name}{link}", 7800) for link in range(scenario.links)),
                role=Role.WITNESS if name in scenario.witnesses else Role.MEMBER,
                max_parallel=scenario.max_parallel.get(name),
            )
            for name in scenario.nodes
        }
        self.clocks = {
            name: NodeClock(world, rate=scenario.rates.get(name, 1.0), base=1000.0 + 777 * index)
            for index, name in enumerate(scenario.nodes)
        }
        self.network = Network(world, scenario.links)
        self.coordination = Coordination(world)
        self.site = Site(world, durations={key: dict(each) for key, each in scenario.durations.items()})
        self.groups = {name: dict(scenario.groups) for name in scenario.nodes}
        """The configuration on each node."""
        self.daemons: dict[str, Daemon] = {}
        self.related = Related(world, self.site, scenario.groups, late_s=LATE_S * max(1.0, scenario.scale))
        self.checkers = Checkers(world, self.site, self.coordination.store, self.related, self._excused)
        self.promises = Promises(
            self.checkers,
            scenario.nodes,
            rate=lambda node: self.clocks[node].rate,
            self_stop_s=self.lease.self_stop_s,
        )
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

    def happen(self, happening: Happening) -> None:
        """Carry out an entry of the timeline."""
        getattr(self, happening.what)(**happening.args)

    # --- life and death -------------------------------------------------------------------------------------------

    def boot(self, node: str) -> None:
        """Start the daemon, unless it runs."""
        if node in self.daemons:
            return
        self._starts[node] += 1
        self.site.forget_told(node)
        self.checkers.forget_told(node)
        self.world.note(node, "boot")
        host = f"{node}/{self._boots[node]}"
        daemon = Daemon(self, node, self._starts[node], host, dict(self.groups[node]))
        self.daemons[node] = daemon

    def crash(self, node: str) -> None:
        """The daemon is killed; what it brought online stays. The commands that it ran are killed with it."""
        daemon = self.daemons.pop(node, None)
        if daemon is None:
            return
        self.world.note(node, "crash")
        self._bury(daemon)
        if self.guards[node].gone:  # nobody would take anything down any more: the watchdog resets the machine
            self._boots[node] += 1
            self.site.wipe(node, "watchdog")

    def _bury(self, daemon: Daemon) -> None:
        daemon.end()
        self.network.sockets.pop(daemon.name, None)
        for part in self.site.of_node(daemon.name):
            self.site.cut_short(part, gone=False)

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
        if self.guards[node].gone:
            self._guard_is_back(node, daemon)
        self.world.note(node, "pause", seconds=seconds)
        daemon.pause(self.world.now + seconds)
        self._stood_still[node] = max(daemon.paused_until, self._stood_still.get(node, 0.0))

    def slow(self, node: str, seconds: float, lag_s: float) -> None:
        """The daemon runs, but each round of its event loop takes so long."""
        daemon = self.daemons.get(node)
        if daemon is None:
            return
        self.world.note(node, "slow", seconds=seconds, lag_s=lag_s)
        daemon.loop.lag_s = lag_s
        until = self.world.now + seconds
        self._stood_still[node] = max(until, self._stood_still.get(node, 0.0))
        self.world.at(until, daemon.loop.keep_up)

    def guard_dies(self, node: str) -> None:
        """The guard ends, and its daemon starts another, which is told everything anew."""
        daemon, machine = self.daemons.get(node), self.guards[node]
        if daemon is None or daemon.paused_until > self.world.now or daemon.loop.lag_s or machine.gone:
            return  # two that fail at once are what the watchdog is for
        self.world.note(node, "guard.dies")
        machine.reset()
        machine.gone = True
        self.world.after(self.world.random.uniform(*SUCCESSION_S), self._guard_is_back, node, daemon)

    def _guard_is_back(self, node: str, daemon: Daemon) -> None:
        self.guards[node].gone = False
        if daemon.alive:
            daemon.guard.tell_anew()

    def stop(self, node: str) -> None:
        """An orderly stop of the daemon."""
        daemon = self.daemons.get(node)
        if daemon is not None:
            self.world.note(node, "stop")
            daemon.start(daemon.node.stop("sim", STOP_PATIENCE_S * self.scenario.scale))

    def ended(self, daemon: Daemon, main: "asyncio.Task[Any]") -> None:
        """The daemon ended by itself."""
        if self.daemons.get(daemon.name) is not daemon:
            return
        error = None if main.cancelled() else main.exception()
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
            self.world.after(RESPAWN_S * self.scenario.scale, self.boot, daemon.name)

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
        self.coordination.changed()

    def cut_coordinator(self, node: str) -> None:
        self.world.note("world", "cut_coordinator", node=node)
        self.coordination.reach.cut.add(node)

    def mend_coordinator(self, node: str) -> None:
        self.world.note("world", "mend_coordinator", node=node)
        self.coordination.reach.cut.discard(node)
        self.coordination.changed()

    # --- agents and components ------------------------------------------------------------------------------------

    def agents_are(
        self, fail: dict[str, float] | None = None, hang: dict[str, float] | None = None, lie: float = 0.0
    ) -> None:
        self.world.note("world", "agents", fail=fail, hang=hang, lie=lie)
        self.site.behaviour.lie = lie
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

    def command(self, node: str, command: str, about: dict[str, Any] | None = None, **params: Any) -> None:
        """Given to the daemon of ``node``; ``about``: parameters that may be called ``node`` too."""
        daemon = self.daemons.get(node)
        if daemon is not None and not self.calm:
            daemon.start(self._command(daemon, command, params | (about or {})))

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
                daemon.go_on()
            daemon.loop.keep_up()
        self.boot_all()
        self.by_hand()

    def by_hand(self) -> None:
        """What the daemons show as stuck, an administrator takes down."""
        if not self.scenario.by_hand:
            return
        for part in self.site.parts.values():
            if part.ghost and part.online and part.operation is None:
                part.online = part.ghost = False
                self.world.note(part.node, "by_hand", part=part.key)
            daemon = self.daemons.get(part.node)
            local = daemon and daemon.node.groups[part.group].board.locals.get(part.name)
            if local and local.state is ComponentState.STUCK and part.online and part.operation is None:
                part.online = False
                self.world.note(part.node, "by_hand", part=part.key)

    def lift_holds(self) -> None:
        """Whatever operators have frozen or drained, they thaw and resume, by any daemon that is ready."""
        commands = {"freeze/group/": ("thaw", "group"), "freeze/node/": ("thaw", "node"), "drain/": ("resume", "node")}
        held = [entry.key for prefix in ("freeze/", "drain/") for entry in self.coordination.store.list(prefix).entries]
        daemon = next((each for each in self.daemons.values() if each.node.authority.ready), None)
        for key in held if daemon is not None else ():
            found = next(((c, k, key.removeprefix(p)) for p, (c, k) in commands.items() if key.startswith(p)), None)
            command, params = (found[0], {found[1]: found[2]}) if found else ("thaw", {"all": True})
            if daemon is not None:
                daemon.start(self._command(daemon, command, params))

    def end(self) -> None:
        """Of the run."""
        for daemon in self.daemons.values():
            daemon.end()
        self.daemons.clear()


def _unheard(update: dict[str, Any]) -> None:
    """The operator looks away."""
    del update


def hash_of(group: Group) -> str:
    shape = sorted((name, c.depends_on, sorted(c.params.items())) for name, c in group.components.items())
    return f"{shape} {group.max_moves}"
