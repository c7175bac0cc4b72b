"""One scenario from its beginning to its verdict."""

import asyncio
import time
from dataclasses import dataclass, field

from failoverd.domain.model import GroupState, OnFault
from tests.sim import checkers
from tests.sim.checkers import Checkers
from tests.sim.cluster import Cluster
from tests.sim.components import Part
from tests.sim.scenario import Scenario
from tests.sim.world import Broken, Entry, Violation, World, digest_of

STEP_TTL = 1 / 6
"""How often it is asked whether everything is as wanted, in leases."""
STEADY_TTL = 1.0
"""For so long it must stay so."""
RESIGNED = frozenset({GroupState.BLOCKED, GroupState.DEGRADED})
"""States in which a group may be left, if its reason is said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    scenario: Scenario
    violation: Violation | None
    simulated_s: float
    real_s: float
    steps: int
    healed_after_s: float | None = None
    resigned: tuple[str, ...] = ()
    """Groups that were left blocked or degraded, with the reason."""
    counts: dict[str, int] = field(default_factory=dict)
    """How often what happened."""
    trace: tuple[Entry, ...] = field(default=(), repr=False)

    @property
    def digest(self) -> str:
        """Of all that happened: two runs of one scenario have the same."""
        return digest_of(self.trace)


def run(scenario: Scenario) -> Verdict:
    began = time.perf_counter()
    world = World(scenario.seed)
    cluster = Cluster(scenario, world)
    violation, judge = None, _Judge(cluster)
    try:
        for node in scenario.nodes:
            world.at(world.random.uniform(0, 0.3), cluster.boot, node)
        for each in scenario.timeline:
            world.at(each.at, cluster.happen, each)
        world.run_until(scenario.calm_at)
        cluster.repair()
        judge.converge()
    except Broken as broken:
        violation = broken.violation
    finally:
        try:
            cluster.end()
        finally:
            asyncio._set_running_loop(None)
    return Verdict(
        scenario=scenario,
        violation=violation,
        simulated_s=world.now,
        real_s=time.perf_counter() - began,
        steps=world.steps,
        healed_after_s=judge.healed_after_s,
        resigned=tuple(judge.resigned.values()),
        counts={
            "datagrams": cluster.network.sent,
            "transactions": len(cluster.coordination.store.log),
            "operations": cluster.site.begun,
            "guards that acted": sum(guard.fired for guard in cluster.guards.values()),
            "runs that end with a group blocked or degraded": int(bool(judge.resigned)),
        },
        trace=tuple(world.trace),
    )


class _Judge:
    """After the faults: is everything as wanted, in time, and does it stay so?"""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.healed_after_s: float | None = None
        self.resigned: dict[str, str] = {}

    def converge(self) -> None:
        world, scenario = self._cluster.world, self._cluster.scenario
        end, since = world.now + scenario.bound_s, None
        while world.now < end:
            world.run_until(world.now + STEP_TTL * scenario.ttl_s)
            self._cluster.by_hand()
            self._cluster.lift_holds()
            if not self._faults():
                since = world.now if since is None else since
                if world.now - since >= STEADY_TTL * scenario.ttl_s:
                    self.healed_after_s = since - scenario.calm_at
                    return
            else:
                since = None
        world.broken(checkers.CONVERGENCE, "; ".join(self._faults()) or "it does not stay as it is wanted")
        world.stop_if_broken()

    def _faults(self) -> list[str]:
        self.resigned.clear()
        cluster = self._cluster
        found = [f"{name} does not run" for name in cluster.scenario.nodes if name not in cluster.daemons]
        store = cluster.coordination.store
        found += [f"there still is {each.key}" for p in ("freeze/", "drain/") for each in store.list(p).entries]
        found += [f"{n} is not ready" for n, d in cluster.daemons.items() if not d.node.authority.ready]
        placements = {group: cluster.checkers.record(f"placement/{group}") for group in cluster.scenario.groups}
        for group in cluster.scenario.groups:
            faults = self._faults_of(group, cluster.checkers)
            excuse = cluster.related.excuse(group, placements, frozenset(self.resigned)) if faults else ""
            if excuse:
                self.resigned[group] = f"{group}: {excuse}"
                faults = [each for each in faults if "is online, though" in each]
            found += faults
        return found

    def _faults_of(self, group: str, checked: Checkers) -> list[str]:
        placement = checked.record(f"placement/{group}")
        parts = [part for part in self._cluster.site.parts.values() if part.group == group]
        if any(part.operation is not None for part in parts):
            return [f"{group}: operations are in flight"]
        running = [n for n, d in self._cluster.daemons.items() if (b := d.node.books[group].current) and b.running]
        if placement is None:
            return self._unless_resigned(group, [f"{group} was never placed"])
        online = [part for part in parts if part.online]
        if placement["wanted"] == "offline":
            found = [f"{part.key} is online, though {group} is wanted offline" for part in online]
            found += [f"{group} is held by {placement['holders']}"] if placement["holders"] else []
        else:
            found = self._faults_online(group, placement["owner"], parts)
            found += [f"{group} is held by {placement['holders']}"] if len(placement["holders"]) > 1 else []
        found += [f"{n} believes {group} to be in a handover" for n in running]
        return self._unless_resigned(group, found)

    @staticmethod
    def _faults_online(group: str, owner: str, parts: list[Part]) -> list[str]:
        found = [f"{p.key} is online, though {owner} owns {group}" for p in parts if p.online and p.node != owner]
        return found + [f"{p.key} is not online" for p in parts if not p.online and p.node == owner]

    def _unless_resigned(self, group: str, found: list[str]) -> list[str]:
        if not found:
            return []
        for name, daemon in self._cluster.daemons.items():
            condition = daemon.node.announcer.condition(group)
            left_alone = condition.state is GroupState.FAULTED and any(
                component.on_fault is OnFault.IGNORE
                for component in self._cluster.scenario.groups[group].components.values()
            )
            if (condition.state in RESIGNED or left_alone) and condition.reason:
                self.resigned[group] = f"{group} on {name}: {condition.state.value}, {condition.reason}"
                return []
        return found
