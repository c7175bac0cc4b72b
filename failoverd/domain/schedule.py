"""When each step will happen: the handover graph under ``max_parallel``, before and in the midst of a handover.

Event-driven list scheduling: whenever an operation ends, what its end releases becomes ready, and on each node the
ready steps with the longest remaining path begin while there is room (Graham, "Bounds on multiprocessing timing
anomalies", SIAM J. Appl. Math. 17(2), 1969; longest remaining path: Hu, "Parallel sequencing and assembly line
problems", Operations Research 9(6), 1961). It is what the runtime does, so it predicts what the runtime will do.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import NamedTuple

from failoverd.domain.graph import ComponentGraph
from failoverd.domain.handover import HandoverGraph, Numbers, Step, numbers, remaining_paths
from failoverd.domain.model import Action, Component, HandoverMode

OVERRUN_SHARE = 0.1
"""How much longer a step is expected to run that has outrun its expectation, as a share of how long it has run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a handover is. Times are seconds since it began; none is later than ``now_s``."""

    now_s: float
    done: Mapping[Step, tuple[float, float]] = field(default_factory=dict)
    """Begin and end of what has ended well. What failed is not done: it is taken to be begun again."""
    running: Mapping[Step, float] = field(default_factory=dict)
    """Begin of what is in flight."""


@dataclass(frozen=True, slots=True)
class Schedule:
    begin_s: tuple[float, ...]
    """By the step's index in the graph; real where the step has begun, predicted where it has not."""
    end_s: tuple[float, ...]
    predicted_s: float
    """When the last step ends."""


NOTHING_YET = Progress(now_s=0.0)


def schedule(
    graph: HandoverGraph,
    durations: Sequence[float],
    max_parallel: Mapping[str, int] | None = None,
    progress: Progress = NOTHING_YET,
) -> Schedule:
    """Predict begin and end of every step. ``max_parallel``: by node, at least 1; a node that is not named has no
    limit, and without any limit the result is the earliest times."""
    return _Scheduler(graph, durations, max_parallel or {}, progress).run()


class _Scheduler:
    def __init__(
        self, graph: HandoverGraph, durations: Sequence[float], max_parallel: Mapping[str, int], progress: Progress
    ) -> None:
        self.graph = graph
        self.durations = durations
        self.progress = progress
        self.priority = remaining_paths(graph, durations)
        self.room: dict[str, float] = {step.node: max_parallel.get(step.node, float("inf")) for step in graph.steps}
        self.ready: dict[str, list[tuple[float, int]]] = {node: [] for node in self.room}
        self.missing = [len(gates) for gates in graph.gates]
        self.begin: list[float | None] = [None] * len(graph.steps)
        self.end = [0.0] * len(graph.steps)
        self.ends: list[tuple[float, int]] = []
        """The heap of operations in flight."""

    def run(self) -> Schedule:
        self._take_over_progress()
        self._begin_ready(self.progress.now_s)
        while self.ends:
            now = self.ends[0][0]
            while self.ends and self.ends[0][0] == now:
                self._finish(heappop(self.ends)[1])
            self._begin_ready(now)
        begin = tuple(0.0 if at is None else at for at in self.begin)
        return Schedule(begin, tuple(self.end), max(self.end, default=0.0))

    def _take_over_progress(self) -> None:
        for position, step in enumerate(self.graph.steps):
            done = self.progress.done.get(step)
            running = self.progress.running.get(step)
            if done is not None:
                self.begin[position], self.end[position] = done
                self._release_followers(position)
            elif running is not None:
                self._begin(position, running, self._expected_end(position, running))
        for position, missing in enumerate(self.missing):
            if missing == 0:
                self._enqueue(position)

    def _expected_end(self, position: int, began: float) -> float:
        elapsed = max(0.0, self.progress.now_s - began)
        return max(began + self.durations[position], self.progress.now_s + OVERRUN_SHARE * elapsed)

    def _begin(self, position: int, at: float, end: float) -> None:
        self.begin[position] = at
        self.end[position] = end
        self.room[self.graph.steps[position].node] -= 1
        heappush(self.ends, (end, position))

    def _finish(self, position: int) -> None:
        self.room[self.graph.steps[position].node] += 1
        for following in self._release_followers(position):
            self._enqueue(following)

    def _release_followers(self, position: int) -> Iterable[int]:
        """Those that wait for nothing any more."""
        released = []
        for following in self.graph.followers[position]:
            self.missing[following] -= 1
            if self.missing[following] == 0:
                released.append(following)
        return released

    def _enqueue(self, position: int) -> None:
        if self.begin[position] is None:
            heappush(self.ready[self.graph.steps[position].node], (-self.priority[position], position))

    def _begin_ready(self, now: float) -> None:
        for node, waiting in self.ready.items():
            while waiting and self.room[node] > 0:
                position = heappop(waiting)[1]
                self._begin(position, now, now + self.durations[position])


class Measured(NamedTuple):
    """An operation as it really was. Times are seconds since the handover began."""

    step: Step
    begin_s: float
    end_s: float

    @property
    def duration_s(self) -> float:
        """What of it fell into the handover: a prepare may have begun on suspicion, before it."""
        return max(0.0, self.end_s - max(0.0, self.begin_s))

    @property
    def whole_s(self) -> float:
        """How long the operation took in all: what is to be learned from it."""
        return max(0.0, self.end_s - self.begin_s)


_DOWN = frozenset({Action.OFFLINE, Action.CLEAN})


def measured_graph(
    components: Mapping[str, Component], graph: ComponentGraph, measured: Iterable[Measured]
) -> tuple[HandoverGraph, tuple[float, ...]]:
    """The graph of what really happened, and how long each step took: also of a handover that was redirected or
    reversed, or in which an operation was repeated. Each step waits for the latest earlier ones that its gates name.
    """
    known = [entry for entry in measured if entry.step.component in components]
    ranks = _ranks(components, graph)
    happened = sorted(known, key=lambda entry: (entry.begin_s, entry.end_s, ranks(entry.step)))
    latest: dict[str, dict[tuple[str, bool], int]] = {name: {} for name in components}
    own: dict[tuple[str, str], int] = {}
    gates: list[tuple[int, ...]] = []
    for position, entry in enumerate(happened):
        step = entry.step
        found = set(_latest_gates(step, components[step.component], graph, latest))
        if (step.component, step.node) in own:
            found.add(own[step.component, step.node])
        gates.append(tuple(sorted(found)))
        own[step.component, step.node] = position
        if step.action is not Action.PREPARE:
            latest[step.component][step.node, step.action in _DOWN] = position
    linked = HandoverGraph.linked([entry.step for entry in happened], gates)
    return linked, tuple(entry.duration_s for entry in happened)


def _ranks(components: Mapping[str, Component], graph: ComponentGraph) -> Callable[[Step], tuple[int, int, str]]:
    """In which order steps of no length that happened at the same instant must have happened."""
    place = {name: position for position, name in enumerate(graph.order)}

    def rank(step: Step) -> tuple[int, int, str]:
        position = place[step.component]
        if step.action is Action.PREPARE:
            return 0, position, step.node
        if step.action in _DOWN:
            return 2, -position, step.node
        return (1 if components[step.component].handover is HandoverMode.MAKE_FIRST else 3), position, step.node

    return rank


def _latest_gates(
    step: Step, component: Component, graph: ComponentGraph, latest: Mapping[str, Mapping[tuple[str, bool], int]]
) -> Iterator[int]:
    """``latest``: for each component, by node and whether it went down, the latest step so far."""
    down = step.action in _DOWN
    if not down and step.action is not Action.ONLINE:
        return
    for neighbour in graph.dependents[step.component] if down else graph.depends_on[step.component]:
        position = latest[neighbour].get((step.node, down))
        if position is not None:
            yield position
    make_first = component.handover is HandoverMode.MAKE_FIRST
    if down == make_first:  # the step on another node that goes before this one
        for (node, was_down), position in latest[step.component].items():
            if node != step.node and was_down != down:
                yield position


def limit_from_measured(
    components: Mapping[str, Component], graph: ComponentGraph, measured: Iterable[Measured]
) -> Numbers:
    """Limit, phased and serial time of a handover from the operations' own, measured durations: what its makespan
    is held against afterwards."""
    return numbers(*measured_graph(components, graph, measured))
