"""Scenarios made from a seed: each with its own mixture of a few kinds of faults, so that some of them are calm
enough to get far and others are not (swarm testing: Groce et al., ISSTA 2012).

The times of a cluster are those that administrators give: heartbeats each 50 ms to every two seconds, leases of one
second to half a minute. All that faults last, and how fast they follow each other, goes by the lease.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from failoverd.domain.model import (
    Action,
    Component,
    Group,
    HandoverMode,
    MonitorPolicy,
    OnFault,
    OnStop,
    RestartPolicy,
    Timeouts,
)
from tests.sim.scenario import Happening, Scenario

RATE_MAX = 1.05**0.5
"""Two clocks at the two ends of this differ by 5 % in rate."""
USUAL_TTL_S = 3.0
"""For a lease of that length the durations below are meant."""


@dataclass(frozen=True, slots=True)
class Profile:
    """Times as they are configured for a kind of cluster; each a range to choose from, in seconds."""

    name: str
    share: float
    """Of the seeds."""
    interval_s: tuple[float, float]
    misses: tuple[int, int]
    """``dead_after`` in heartbeats."""
    ttl_s: tuple[float, float]


PROFILES = (
    Profile("fast", 0.1, (0.05, 0.1), (4, 10), (1.0, 2.0)),  # a hot standby on the same switch
    Profile("as shipped", 0.15, (0.1, 0.1), (10, 10), (3.0, 3.0)),
    Profile("medium", 0.3, (0.25, 0.5), (4, 5), (4.0, 8.0)),
    Profile("slow", 0.45, (1.0, 2.0), (3, 5), (12.0, 30.0)),  # as is usual with VRRP, Patroni (ttl 30) or Pacemaker
)

Kind = Callable[["Maker", float], None]
"""Puts one fault, or a few that belong together, into the timeline, beginning at the given time."""


class Maker:
    def __init__(self, seed: int, kinds: tuple[Kind, ...]) -> None:
        self.seed, self._kinds = seed, kinds
        self.rng = random.Random(seed)
        self.happenings: list[Happening] = []
        self.profile = self.rng.choices(PROFILES, [each.share for each in PROFILES])[0]
        self.interval_s = self.rng.uniform(*self.profile.interval_s)
        self.dead_after_s = self.interval_s * self.rng.randint(*self.profile.misses)
        self.ttl_s = max(self.rng.uniform(*self.profile.ttl_s), 1.5 * self.dead_after_s)
        self.scale = self.ttl_s / USUAL_TTL_S
        self.nodes = tuple("abcdefg"[: self.rng.choices((2, 3, 4, 5, 7), (50, 34, 8, 5, 3))[0]])
        self.witnesses = self.nodes[-1:] if len(self.nodes) > 2 and self.rng.random() < 0.4 else ()
        self.calm_at = self.ttl_s * self.rng.uniform(2.0, 5.0)
        self.links = self.rng.choice((1, 1, 2))
        self.durations: dict[tuple[str, str], dict[Action, float]] = {}
        self.groups = {name: self._group(name) for name in "ghi"[: self.rng.choice((1, 1, 1, 2, 3))]}

    def make(self) -> Scenario:
        self._faults()
        extreme = self.rng.random() < 0.5
        rates = {
            node: self.rng.choice((1 / RATE_MAX, RATE_MAX)) if extreme else self.rng.uniform(1 / RATE_MAX, RATE_MAX)
            for node in self.nodes
        }
        others = random.Random(f"{self.seed} failsafe")  # so that the rest of the scenario does not depend on it
        return Scenario(
            seed=self.seed,
            profile=self.profile.name,
            failsafe_s=others.choice((None, None, 0.0, 2 * self.ttl_s)),
            fences=random.Random(f"{self.seed} fencing").random() < 0.4,
            nodes=self.nodes,
            witnesses=self.witnesses,
            groups=self.groups,
            durations=self.durations,
            timeline=tuple(sorted(self.happenings, key=lambda each: each.at)),
            rates=rates,
            links=self.links,
            interval_s=self.interval_s,
            dead_after_s=self.dead_after_s,
            ttl_s=self.ttl_s,
            max_parallel={n: self.rng.randint(1, 3) for n in self.nodes if self.rng.random() < 0.15},
            calm_at=self.calm_at,
            bound_s=30.0 + 15.0 * self.ttl_s,
        )

    # --- groups ---------------------------------------------------------------------------------------------------

    def _group(self, name: str) -> Group:
        rng = self.rng
        names = [f"c{number}" for number in range(rng.choice((1, 2, 3, 4, 6)))]
        components: dict[str, Component] = {}
        for position, each in enumerate(names):
            needed = tuple(n for n in names[:position] if rng.random() < 0.4)
            make_first = rng.random() < 0.15 and all(components[n].handover is HandoverMode.MAKE_FIRST for n in needed)
            components[each] = self._component(each, needed, make_first=make_first)
            slowest = rng.choice((0.05, 0.3, 1.0)) * rng.choice((1.0, self.scale))
            self.durations[name, each] = {
                Action.PREPARE: rng.uniform(0.01, slowest),
                Action.ONLINE: rng.uniform(0.01, slowest),
                Action.OFFLINE: rng.uniform(0.01, slowest),
                Action.CLEAN: rng.uniform(0.01, 0.07) * self.scale,
            }
        nodes = [node for node in self.nodes if node not in self.witnesses]
        rng.shuffle(nodes)
        some = nodes if rng.random() < 0.7 else nodes[: max(2, len(nodes) - 1)]
        return Group(
            name=name,
            nodes=tuple(some),
            components=components,
            fault_expiry_s=rng.choice((5.0 * self.scale, 20.0 * self.scale, 3600.0)),
            max_moves=rng.choice((2, 5, 100)),
            move_window_s=rng.choice((20.0 * self.scale, 3600.0)),
            on_stop=rng.choice((OnStop.HANDOVER, OnStop.HANDOVER, OnStop.LEAVE)),
            config_hash="1",
        )

    def _component(self, name: str, needed: tuple[str, ...], *, make_first: bool) -> Component:
        rng, scale = self.rng, max(1.0, self.scale)
        return Component(
            name=name,
            type="sim",
            depends_on=needed,
            handover=HandoverMode.MAKE_FIRST if make_first else HandoverMode.BREAK_FIRST,
            has_prepare=rng.random() < 0.2,
            critical=rng.random() < 0.8,
            on_fault=rng.choice((OnFault.RESTART, OnFault.RESTART, OnFault.FAILOVER, OnFault.IGNORE)),
            restart=RestartPolicy(attempts=rng.choice((1, 3)), window_s=60.0, backoff_s=rng.choice((0.0, 0.5))),
            monitor=MonitorPolicy(interval_s=rng.choice((1.0, 3.0, 10.0)) * scale, fall=rng.choice((1, 2))),
            timeouts=Timeouts(
                probe_s=scale, prepare_s=3.0 * scale, online_s=4.0 * scale, offline_s=4.0 * scale, clean_s=2.0 * scale
            ),
        )

    # --- faults ---------------------------------------------------------------------------------------------------

    def _faults(self) -> None:
        chosen = self.rng.sample(self._kinds, self.rng.randint(1, 6))
        at = self.ttl_s * self.rng.uniform(0.2, 1.0)
        mean_s = self.ttl_s * self.rng.choice((0.15, 0.4, 1.0))
        while at < self.calm_at:
            self.rng.choice(chosen)(self, at)
            at += self.rng.expovariate(1 / mean_s)

    # --- what kinds of faults use -----------------------------------------------------------------------------------

    def do(self, at: float, what: str, **args: Any) -> None:
        """Something happens to the cluster (``Cluster``'s method of that name), unless all faults are over by then."""
        if at < self.calm_at:
            self.happenings.append(Happening(at, what, args))

    def node(self) -> str:
        return self.rng.choice(self.nodes)

    def group(self) -> str:
        return self.rng.choice(list(self.groups))

    def between(self, least: float, most: float) -> float:
        """Seconds, as meant for the usual lease."""
        return self.rng.uniform(least, most) * self.scale

    def while_s(self) -> float:
        """How long a fault lasts: mostly shorter than a lease, often a little longer, seldom much longer."""
        return self.between(*self.rng.choice(((0.1, 2.5), (2.0, 5.0), (5.0, 12.0))))
