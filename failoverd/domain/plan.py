"""The plan of a handover: what will happen, when, how that is known, and what it is measured against.

One ``Plan`` serves ``failoverd plan``, the live timeline, the estimate of the end and the order in which steps go
where ``max_parallel`` binds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from failoverd.domain.durations import Basis, LearnedDurations, expected
from failoverd.domain.graph import ComponentGraph
from failoverd.domain.handover import HandoverGraph, Move, Numbers, Step, analyse, handover_graph
from failoverd.domain.model import Group
from failoverd.domain.schedule import Progress, Schedule, schedule


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedStep:
    step: Step
    begin_s: float
    end_s: float
    basis: Basis
    critical: bool
    """Whether it lies on the critical path."""
    slack_s: float
    remaining_path_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    group: str
    source: str | None
    target: str | None
    numbers: Numbers
    predicted_s: float
    critical_path: tuple[Step, ...]
    steps: tuple[PlannedStep, ...]
    """By begin, then as in the graph."""
    max_parallel: Mapping[str, int]
    graph: HandoverGraph
    durations: tuple[float, ...]
    """Expected seconds, in the order of ``graph.steps``."""
    remaining_path_s: tuple[float, ...]
    """Likewise."""

    def priority(self, step: Step) -> float:
        """Seconds of the path that waits behind ``step``, itself included: where ``max_parallel`` binds the largest
        goes first, of equal ones the earlier in ``graph.steps``. 0 for a step that is not planned."""
        position = self.graph.index.get(step)
        return 0.0 if position is None else self.remaining_path_s[position]

    def predict(self, progress: Progress) -> Schedule:
        """When what is left will happen, from what is known by now; ``predicted_s`` of it is the end of it all."""
        return schedule(self.graph, self.durations, self.max_parallel, progress)


def make_plan(
    group: Group,
    move: Move,
    *,
    source: str | None = None,
    learned: LearnedDurations | None = None,
    max_parallel: Mapping[str, int] | None = None,
) -> Plan:
    """``source``: the node that the group leaves, alive or not (where not given: the first holder). ``max_parallel``:
    by node, for those that have a limit. Raises ``GraphError`` for a group that no handover can follow."""
    graph = handover_graph(group.components, ComponentGraph.of_group(group), move)
    learned = learned or LearnedDurations()
    expectations = [expected(step, group.components[step.component], learned, group.nodes) for step in graph.steps]
    durations = tuple(expectation.seconds for expectation in expectations)
    analysis = analyse(graph, durations)
    limits = dict(max_parallel or {})
    times = schedule(graph, durations, limits)
    on_path = frozenset(analysis.critical_path)
    steps = [
        PlannedStep(
            step=step,
            begin_s=times.begin_s[position],
            end_s=times.end_s[position],
            basis=expectations[position].basis,
            critical=step in on_path,
            slack_s=analysis.slack_s[position],
            remaining_path_s=analysis.remaining_path_s[position],
        )
        for position, step in enumerate(graph.steps)
    ]
    return Plan(
        group=group.name,
        source=source if source is not None else next(iter(move.holders), None),
        target=move.target,
        numbers=analysis.numbers,
        predicted_s=times.predicted_s,
        critical_path=analysis.critical_path,
        steps=tuple(sorted(steps, key=lambda planned: planned.begin_s)),
        max_parallel=limits,
        graph=graph,
        durations=durations,
        remaining_path_s=analysis.remaining_path_s,
    )


def plan_document(plan: Plan) -> dict[str, Any]:
    """What ``failoverd plan --json`` prints."""
    return {
        "version": 1,
        "group": plan.group,
        "source": plan.source,
        "target": plan.target,
        "limit_s": _rounded(plan.numbers.limit_s),
        "phased_s": _rounded(plan.numbers.phased_s),
        "serial_s": _rounded(plan.numbers.serial_s),
        "predicted_s": _rounded(plan.predicted_s),
        "critical_path": [step_document(step) for step in plan.critical_path],
        "max_parallel": dict(plan.max_parallel),
        "steps": step_documents(plan),
    }


def step_document(step: Step) -> dict[str, Any]:
    return {"component": step.component, "node": step.node, "action": step.action.value}


def step_documents(plan: Plan, now: Schedule | None = None) -> list[dict[str, Any]]:
    """The planned steps, for a plan document's ``steps`` and a handover document's ``plan``. With the schedule that
    ``Plan.predict`` gave ``now``, their times are the present expectation instead of the first."""
    begin_s = {step: now.begin_s[position] for step, position in plan.graph.index.items()} if now else {}
    end_s = {step: now.end_s[position] for step, position in plan.graph.index.items()} if now else {}
    return [
        {
            **step_document(planned.step),
            "begin_s": _rounded(begin_s.get(planned.step, planned.begin_s)),
            "end_s": _rounded(end_s.get(planned.step, planned.end_s)),
            "basis": planned.basis.value,
            "critical": planned.critical,
            "slack_s": _rounded(planned.slack_s),
        }
        for planned in plan.steps
    ]


def _rounded(seconds: float) -> float:
    """To the microsecond: below is noise, and a sum of tenths should read as one."""
    return round(seconds, 6)
