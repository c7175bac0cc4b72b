"""Scenarios made from a seed: each with its own mixture of a few kinds of faults, so that some of them are calm
enough to get far and others are not (swarm testing: Groce et al., ISSTA 2012)."""

import random
from collections.abc import Callable
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


class Maker:
    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.rng = random.Random(seed)
        self.happenings: list[Happening] = []
        self.nodes = tuple("abcde"[: self.rng.choice((2, 2, 3, 3, 4, 5))])
        self.calm_at = self.rng.uniform(15.0, 40.0)
        self.links = self.rng.choice((1, 1, 2))
        self.durations: dict[tuple[str, str], dict[Action, float]] = {}
        self.groups = {name: self._group(name) for name in "ghi"[: self.rng.choice((1, 1, 2, 3))]}

    def make(self) -> Scenario:
        self._faults()
        extreme = self.rng.random() < 0.5
        rates = {
            node: self.rng.choice((1 / RATE_MAX, RATE_MAX)) if extreme else self.rng.uniform(1 / RATE_MAX, RATE_MAX)
            for node in self.nodes
        }
        return Scenario(
            seed=self.seed,
            nodes=self.nodes,
            groups=self.groups,
            durations=self.durations,
            timeline=tuple(sorted(self.happenings, key=lambda each: each.at)),
            rates=rates,
            links=self.links,
            max_parallel={n: self.rng.randint(1, 3) for n in self.nodes if self.rng.random() < 0.15},
            calm_at=self.calm_at,
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
            slowest = rng.choice((0.05, 0.3, 1.0))
            self.durations[name, each] = {
                Action.PREPARE: rng.uniform(0.01, slowest),
                Action.ONLINE: rng.uniform(0.01, slowest),
                Action.OFFLINE: rng.uniform(0.01, slowest),
                Action.CLEAN: rng.uniform(0.01, 0.07),
            }
        nodes = list(self.nodes)
        rng.shuffle(nodes)
        some = nodes if rng.random() < 0.7 else nodes[: max(2, len(nodes) - 1)]
        return Group(
            name=name,
            nodes=tuple(some),
            components=components,
            fault_expiry_s=rng.choice((5.0, 20.0, 3600.0)),
            max_moves=rng.choice((2, 5, 100)),
            move_window_s=rng.choice((20.0, 3600.0)),
            on_stop=rng.choice((OnStop.HANDOVER, OnStop.HANDOVER, OnStop.LEAVE)),
            config_hash="1",
        )

    def _component(self, name: str, needed: tuple[str, ...], *, make_first: bool) -> Component:
        rng = self.rng
        return Component(
            name=name,
            type="sim",
            depends_on=needed,
            handover=HandoverMode.MAKE_FIRST if make_first else HandoverMode.BREAK_FIRST,
            has_prepare=rng.random() < 0.2,
            critical=rng.random() < 0.8,
            on_fault=rng.choice((OnFault.RESTART, OnFault.RESTART, OnFault.FAILOVER, OnFault.IGNORE)),
            restart=RestartPolicy(attempts=rng.choice((1, 3)), window_s=60.0, backoff_s=rng.choice((0.0, 0.5))),
            monitor=MonitorPolicy(interval_s=rng.choice((1.0, 3.0)), fall=rng.choice((1, 2))),
            timeouts=Timeouts(probe_s=1.0, prepare_s=3.0, online_s=4.0, offline_s=4.0, clean_s=2.0),
        )

    # --- faults ---------------------------------------------------------------------------------------------------

    def _faults(self) -> None:
        kinds: list[Callable[[float], None]] = [
            self._switch, self._flip, self._offline_online, self._power_cut, self._crash, self._pause, self._stop,
            self._partition, self._one_way, self._noise, self._coordinator_out, self._coordinator_cut,
            self._coordinator_bad, self._late_write, self._restart_amid, self._old_news, self._agents, self._die,
            self._everything_out, self._reload,
        ]  # fmt: skip
        chosen = self.rng.sample(kinds, self.rng.randint(1, 7))
        at = self.rng.uniform(0.5, 4.0)
        mean = self.rng.choice((0.5, 1.5, 4.0))
        while at < self.calm_at:
            self.rng.choice(chosen)(at)
            at += self.rng.expovariate(1 / mean)

    def _do(self, at: float, what: str, **args: Any) -> None:
        if at < self.calm_at:
            self.happenings.append(Happening(at, what, args))

    def _node(self) -> str:
        return self.rng.choice(self.nodes)

    def _a_group(self) -> str:
        return self.rng.choice(list(self.groups))

    def _while(self) -> float:
        """How long a fault lasts: mostly shorter than a lease, often a little longer, seldom much longer."""
        return self.rng.choice((self.rng.uniform(0.1, 2.5), self.rng.uniform(2.0, 5.0), self.rng.uniform(5.0, 12.0)))

    def _switch(self, at: float) -> None:
        group = self._a_group()
        to = self.rng.choice((None, *self.groups[group].nodes))
        self._do(at, "command", node=self._node(), command="switch", group=group, to=to)

    def _flip(self, at: float) -> None:
        """There and back again, while the two do not hear each other (or one does not hear the other)."""
        group = self._a_group()
        one, other = self.rng.sample(self.groups[group].nodes, 2)
        until = at + self.rng.uniform(0.2, 1.5)
        for sender, receiver in ((one, other), (other, one))[: self.rng.choice((1, 2))]:
            self._do(at, "cut", sender=sender, receiver=receiver)
            self._do(until, "mend", sender=sender, receiver=receiver)
        for to in (one, other, one):
            at += self.rng.choice((0.01, 0.1, 0.4)) * self.rng.random()
            self._do(at, "command", node=self._node(), command="switch", group=group, to=to)

    def _offline_online(self, at: float) -> None:
        group = self._a_group()
        self._do(at, "command", node=self._node(), command="offline", group=group)
        on = self.rng.choice((None, *self.groups[group].nodes))
        self._do(at + self._while(), "command", node=self._node(), command="online", group=group, on=on)

    def _power_cut(self, at: float) -> None:
        node = self._node()
        self._do(at, "power_cut", node=node)
        self._do(at + self._while(), "boot", node=node)

    def _crash(self, at: float) -> None:
        node = self._node()
        self._do(at, "crash", node=node)
        self._do(at + self._while(), "boot", node=node)

    def _pause(self, at: float) -> None:
        self._do(at, "pause", node=self._node(), seconds=self._while())

    def _stop(self, at: float) -> None:
        node = self._node()
        self._do(at, "stop", node=node)
        self._do(at + 9.0 + self._while(), "boot", node=node)

    def _partition(self, at: float) -> None:
        some = self.rng.sample(self.nodes, self.rng.randint(1, len(self.nodes) - 1))
        link = self.rng.choice((None, None, *range(self.links)))
        until = at + self._while()
        for one in some:
            for other in self.nodes:
                if other not in some:
                    for sender, receiver in ((one, other), (other, one)):
                        self._do(at, "cut", sender=sender, receiver=receiver, link=link)
                        self._do(until, "mend", sender=sender, receiver=receiver, link=link)
        if self.rng.random() < 0.4:
            self._do(at, "cut_coordinator", node=some[0])
            self._do(until, "mend_coordinator", node=some[0])

    def _one_way(self, at: float) -> None:
        sender, receiver = self.rng.sample(self.nodes, 2)
        self._do(at, "cut", sender=sender, receiver=receiver)
        self._do(at + self._while(), "mend", sender=sender, receiver=receiver)

    def _noise(self, at: float) -> None:
        rng = self.rng
        self._do(
            at,
            "network_is",
            loss=rng.choice((0.0, 0.1, 0.5)),
            duplicate=rng.choice((0.0, 0.3)),
            slow=rng.choice((0.0, 0.2, 1.0)),
            slow_s=rng.choice((0.1, 1.0, 5.0)),
        )
        self._do(at + self._while(), "network_is", loss=0.0, duplicate=0.0, slow=0.0)

    def _coordinator_out(self, at: float) -> None:
        self._do(at, "coordinator_is", down=True)
        self._do(at + self._while(), "coordinator_is", down=False)

    def _coordinator_cut(self, at: float) -> None:
        node = self._node()
        self._do(at, "cut_coordinator", node=node)
        self._do(at + self._while(), "mend_coordinator", node=node)

    def _coordinator_bad(self, at: float) -> None:
        rng = self.rng
        self._do(
            at,
            "coordinator_is",
            request_lost=rng.choice((0.0, 0.2)),
            reply_lost=rng.choice((0.0, 0.2)),
            slow=rng.choice((0.0, 0.3, 1.0)),
            slow_s=rng.choice((0.3, 1.0, 4.0)),
            news_late_s=rng.choice((0.0, 0.0, 0.5, 3.0)),
        )
        self._do(at + self._while(), "coordinator_is", request_lost=0.0, reply_lost=0.0, slow=0.0, news_late_s=0.0)

    def _restart_amid(self, at: float) -> None:
        """A daemon comes back in the middle of a switch, and does not know yet what runs there."""
        group, node = self._a_group(), self._node()
        others = [name for name in self.groups[group].nodes if name != node]
        self._do(at, "agents_are", hang={"probe": 0.5})
        self._do(at, "crash", node=node)
        self._do(at + self.rng.uniform(0.05, 0.8), "boot", node=node)
        self._do(
            at + self.rng.uniform(0.0, 1.0),
            "command",
            node=self._node(),
            command="switch",
            group=group,
            to=self.rng.choice(others),
        )
        self._do(at + 2.0, "agents_are")

    def _old_news(self, at: float) -> None:
        """A node is back with a new lease before it hears what was written while it was away."""
        node, until = self._node(), at + self.rng.uniform(3.5, 6.0)
        self._do(at, "cut_coordinator", node=node)
        self._do(until, "coordinator_is", news_late_s=self.rng.uniform(0.1, 1.0))
        self._do(until, "mend_coordinator", node=node)
        self._do(until + 2.0, "coordinator_is", news_late_s=0.0)

    def _late_write(self, at: float) -> None:
        """What a node wrote comes to the coordinator long after its end."""
        node = self._node()
        self._do(at, "coordinator_is", slow=1.0, slow_s=8.0)
        for name, group in self.groups.items():
            to = self.rng.choice(group.nodes)
            self._do(at + 0.001, "command", node=node, command="switch", group=name, to=to)
        self._do(at + 0.01, "coordinator_is", slow=0.0)
        self._do(at + 0.02, "power_cut", node=node)
        self._do(at + self.rng.uniform(1.0, 9.0), "boot", node=node)

    def _agents(self, at: float) -> None:
        rng = self.rng
        fail = {action: rng.choice((0.0, 0.1, 0.5)) for action in ("online", "offline", "clean")}
        hang = {action: rng.choice((0.0, 0.0, 0.2)) for action in ("online", "offline", "probe")}
        self._do(at, "agents_are", fail=fail, hang=hang)
        self._do(at + self._while(), "agents_are")

    def _die(self, at: float) -> None:
        group = self._a_group()
        component = self.rng.choice(list(self.groups[group].components))
        for node in self.nodes:
            self._do(at, self.rng.choice(("die", "sicken")), node=node, group=group, component=component)

    def _everything_out(self, at: float) -> None:
        self._do(at, "power_cut_all")
        for node in self.nodes:
            self._do(at + self._while(), "boot", node=node)

    def _reload(self, at: float) -> None:
        group = self._a_group()
        later = at + self.rng.uniform(0, 3)
        for node in self.nodes:
            self._do(self.rng.uniform(at, later), "reload", node=node, group=group, max_moves=self.rng.choice((3, 50)))


def scenario_of(seed: int) -> Scenario:
    return Maker(seed).make()
