"""The two-sided graph of a handover and its numbers.

The rule, for x moving to the target T, with D(x) what x depends on and U(x) what depends on x:

- offline(x, N) on a holder N begins as soon as every u of U(x) is offline on N;
- online(x, T) begins as soon as every other holder has released x and every d of D(x) is online on T;
- ``make_first`` x: online(x, T) waits for no release, and offline(x, N) waits for online(x, T) too;
- prepare(x, T) begins at once, and online(x, T) waits for it.

Nothing else delays a step, and a gate that is true already is no gate: what is not online on a holder needs no
offline there, what is online on the target needs no online, a dead holder has released everything.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from failoverd.domain.graph import ComponentGraph, GraphError
from failoverd.domain.model import Action, Component, HandoverMode


class Step(NamedTuple):
    """One operation of a handover."""

    component: str
    node: str
    action: Action

    def __str__(self) -> str:
        return f"{self.action} {self.component} on {self.node}"


class MakeFirstConflict(GraphError):  # noqa: N818 (says what it is, as the other errors of the project)
    def __init__(self, component: str, dependency: str) -> None:
        super().__init__(
            f"{component} (handover: make_first) depends on {dependency} (break_first): it would have to be online on "
            f"the target before {dependency} can be, and {dependency} cannot be before {component} is offline"
        )
        self.component = component
        self.dependency = dependency


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """What a handover has to change, given what is true when it begins."""

    target: str | None
    """Where the group goes; None: it is taken offline."""
    online: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """What is online on each living node: on a holder it must go offline, on the target it may stay."""
    prepared: frozenset[str] = frozenset()
    """What needs no prepare (any more) on the target."""

    @classmethod
    def switchover(cls, names: Iterable[str], source: str, target: str) -> "Move":
        return cls(target=target, online={source: frozenset(names)})

    @classmethod
    def failover(cls, target: str) -> "Move":
        """The source is dead, or there is none: only the online half."""
        return cls(target=target)

    @classmethod
    def shutdown(cls, names: Iterable[str], source: str) -> "Move":
        """Only the offline half."""
        return cls(target=None, online={source: frozenset(names)})

    @property
    def here(self) -> frozenset[str]:
        """What is online on the target already."""
        return frozenset() if self.target is None else self.online.get(self.target, frozenset())

    @property
    def holders(self) -> tuple[str, ...]:
        """The nodes that have something to take offline, in the order given."""
        return tuple(node for node, names in self.online.items() if names and node != self.target)


@dataclass(frozen=True, slots=True)
class HandoverGraph:
    """The steps of a handover and the gates between them. Indices, not steps, link them: half a thousand steps are
    re-scheduled several times a second while a handover is watched."""

    steps: tuple[Step, ...]
    """Every step after everything that it waits for."""
    gates: tuple[tuple[int, ...], ...]
    """For each step the (indices of the) steps whose end it waits for."""
    followers: tuple[tuple[int, ...], ...]
    """For each step the steps that wait for it."""
    index: Mapping[Step, int]

    @classmethod
    def linked(cls, steps: Sequence[Step], gates: Sequence[Collection[int]]) -> "HandoverGraph":
        """``gates`` may name only earlier steps, so that no cycle can be expressed."""
        followers: list[list[int]] = [[] for _ in steps]
        for position, waits_for in enumerate(gates):
            for gate in waits_for:
                if not 0 <= gate < position:
                    raise GraphError(f"step {position} ({steps[position]}) cannot wait for step {gate}")
                followers[gate].append(position)
        return cls(
            tuple(steps),
            tuple(tuple(waits_for) for waits_for in gates),
            tuple(tuple(waiting) for waiting in followers),
            {step: position for position, step in enumerate(steps)},
        )

    def gates_of(self, step: Step) -> tuple[Step, ...]:
        """What ``step`` waits for. Raises ``KeyError`` for a step that is not part of this handover."""
        return tuple(self.steps[gate] for gate in self.gates[self.index[step]])


def make_first_conflicts(components: Mapping[str, Component]) -> tuple[tuple[str, str], ...]:
    """Every (make_first component, break_first component that it depends on): each would be a cycle of the handover."""
    return tuple(
        (name, dependency)
        for name, component in components.items()
        if component.handover is HandoverMode.MAKE_FIRST
        for dependency in component.depends_on
        if dependency in components and components[dependency].handover is not HandoverMode.MAKE_FIRST
    )


def handover_graph(components: Mapping[str, Component], graph: ComponentGraph, move: Move) -> HandoverGraph:
    """The steps that are still to be done and their gates. Raises ``MakeFirstConflict``."""
    for name, dependency in make_first_conflicts(components):
        raise MakeFirstConflict(name, dependency)
    return _Builder(components, graph, move).build()


class _Builder:
    """Emits each step after its gates, without a sort. make_first components depend on make_first components only, so
    their online half comes first; every offline half from the top of the graph down; then all other online steps from
    the bottom up."""

    def __init__(self, components: Mapping[str, Component], graph: ComponentGraph, move: Move) -> None:
        self.components = components
        self.graph = graph
        self.move = move
        self.steps: dict[Step, int] = {}
        self.gates: list[tuple[int, ...]] = []

    def build(self) -> HandoverGraph:
        make_first = [name for name in self.graph.order if self._is_make_first(name)]
        self._online_half(make_first)
        for holder in self.move.holders:
            self._offline_half(holder)
        self._online_half([name for name in self.graph.order if not self._is_make_first(name)])
        return HandoverGraph.linked(list(self.steps), self.gates)

    def _is_make_first(self, name: str) -> bool:
        return self.components[name].handover is HandoverMode.MAKE_FIRST

    def _add(self, step: Step, gates: Iterable[Step]) -> None:
        """Gates that are no step of this handover are true already."""
        self.gates.append(tuple(self.steps[gate] for gate in gates if gate in self.steps))
        self.steps[step] = len(self.steps)

    def _offline_half(self, holder: str) -> None:
        for name in reversed(self.graph.order):
            if name in self.move.online[holder]:
                self._add(Step(name, holder, Action.OFFLINE), self._offline_gates(name, holder))

    def _offline_gates(self, name: str, holder: str) -> Iterator[Step]:
        for dependent in self.graph.dependents[name]:
            yield Step(dependent, holder, Action.OFFLINE)
        if self._is_make_first(name) and self.move.target is not None:
            yield Step(name, self.move.target, Action.ONLINE)

    def _online_half(self, names: Sequence[str]) -> None:
        target = self.move.target
        if target is None:
            return
        here = self.move.here
        for name in names:
            if name not in here:
                if self.components[name].has_prepare and name not in self.move.prepared:
                    self._add(Step(name, target, Action.PREPARE), ())
                self._add(Step(name, target, Action.ONLINE), self._online_gates(name, target))

    def _online_gates(self, name: str, target: str) -> Iterator[Step]:
        yield Step(name, target, Action.PREPARE)
        if not self._is_make_first(name):
            for holder in self.move.holders:
                yield Step(name, holder, Action.OFFLINE)
        for dependency in self.graph.depends_on[name]:
            yield Step(dependency, target, Action.ONLINE)


@dataclass(frozen=True, slots=True)
class Numbers:
    """What a handover is measured against, in seconds. Always ``limit_s <= phased_s <= serial_s``."""

    limit_s: float
    """The longest path: nothing that keeps to the rule can be faster."""
    phased_s: float
    """The longest path of the offline half plus that of the online half (a prepare belongs to its online, as where
    there is no such step): everything offline first, at its best."""
    serial_s: float
    """The sum: one step at a time."""


@dataclass(frozen=True, slots=True)
class Analysis:
    """The earliest times of each step, by the step's index in the graph. Source: the critical path method (Kelley and
    Walker, "Critical-path planning and scheduling", 1959)."""

    numbers: Numbers
    critical_path: tuple[Step, ...]
    """One longest path, first step first; of several equal ones always the same."""
    begin_s: tuple[float, ...]
    end_s: tuple[float, ...]
    remaining_path_s: tuple[float, ...]
    """From the begin of the step to the end of the handover at its best: who goes first where not all can."""
    slack_s: tuple[float, ...]
    """By how much the step may be late without delaying the end."""


def analyse(graph: HandoverGraph, durations: Sequence[float]) -> Analysis:
    """``durations``: seconds, none below 0, in the order of ``graph.steps``."""
    begin, end = _earliest(graph, durations)
    remaining = remaining_paths(graph, durations)
    limit = max(end, default=0.0)
    return Analysis(
        numbers=numbers(graph, durations),
        critical_path=_critical_path(graph, remaining),
        begin_s=begin,
        end_s=end,
        remaining_path_s=remaining,
        slack_s=tuple(max(0.0, limit - (at + path)) for at, path in zip(begin, remaining, strict=True)),
    )


def numbers(graph: HandoverGraph, durations: Sequence[float]) -> Numbers:
    """Limit, phased and serial time of these steps."""
    offline = [
        duration if step.action is Action.OFFLINE else 0.0
        for step, duration in zip(graph.steps, durations, strict=True)
    ]
    online = [
        0.0 if step.action is Action.OFFLINE else duration
        for step, duration in zip(graph.steps, durations, strict=True)
    ]
    limit = max(_earliest(graph, durations)[1], default=0.0)
    phased = max(_earliest(graph, offline)[1], default=0.0) + max(_earliest(graph, online)[1], default=0.0)
    # The same sums in another order may differ in their last bits; the order of the three must not.
    phased = max(limit, phased)
    return Numbers(limit, phased, max(phased, sum(durations)))


def _earliest(graph: HandoverGraph, durations: Sequence[float]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    begin: list[float] = []
    end: list[float] = []
    for gates, duration in zip(graph.gates, durations, strict=True):
        at = max((end[gate] for gate in gates), default=0.0)
        begin.append(at)
        end.append(at + duration)
    return tuple(begin), tuple(end)


def remaining_paths(graph: HandoverGraph, durations: Sequence[float]) -> tuple[float, ...]:
    """For each step the longest path from its begin to the end of the handover, in seconds."""
    remaining = list(durations)
    for position in reversed(range(len(remaining))):
        remaining[position] += max((remaining[following] for following in graph.followers[position]), default=0.0)
    return tuple(remaining)


def _critical_path(graph: HandoverGraph, remaining: Sequence[float]) -> tuple[Step, ...]:
    """Along the longest remaining path; ``max`` keeps the first of equals, and steps have a fixed order."""
    path: list[Step] = []
    candidates: Sequence[int] = [position for position, gates in enumerate(graph.gates) if not gates]
    while candidates:
        best = max(candidates, key=remaining.__getitem__)
        path.append(graph.steps[best])
        candidates = graph.followers[best]
    return tuple(path)
