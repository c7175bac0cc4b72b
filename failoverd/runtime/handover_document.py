"""The handover document of the control protocol, made off the event loop: for hundreds of components it takes longer
than a heartbeat may be late."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from failoverd.domain.handover import Step
from failoverd.domain.plan import Plan, step_documents
from failoverd.domain.schedule import Progress
from failoverd.runtime.handovers import Handover, HandoverBook, rounded

Offload = Callable[[Callable[[], Any]], Awaitable[Any]]
"""Runs a function of unchanging values somewhere where it does not hold up the event loop."""


async def inline(work: Callable[[], Any]) -> Any:
    """Where nothing is held up: on a virtual clock, or for small work."""
    return work()


async def handover_document(book: HandoverBook, handover: Handover, now: float, offload: Offload) -> dict[str, Any]:
    """``now``: the clock of the node whose book it is."""
    if handover.document is not None:
        return handover.document
    final = not handover.running
    plan = book.planner(handover) if handover.plan is None else None
    known = replace(handover, steps={step: [replace(each) for each in runs] for step, runs in handover.steps.items()})
    document, made = await offload(lambda: _build(known, plan, now, book.group))
    handover.plan = handover.plan or made
    if final:  # nothing is added to it any more
        handover.document = document
    return dict(document)


def _build(
    handover: Handover, make: Callable[[], Plan] | None, now: float, group: str
) -> tuple[dict[str, Any], Plan | None]:
    plan = handover.plan if make is None else make()
    assert plan is not None  # noqa: S101 (one of the two is always there)
    elapsed = (handover.ended if handover.ended is not None else now) - handover.began
    predicted = _predict(handover, plan, elapsed) if handover.running else None
    numbers = handover.measured or plan.numbers
    document = {
        "version": 1,
        "group": group,
        "source": handover.source,
        "target": handover.target,
        "generation": handover.generation,
        "cause": handover.cause.value,
        "state": handover.state,
        "elapsed_s": round(elapsed, 4),
        "eta_s": None if predicted is None else round(max(0.0, predicted - elapsed), 3),
        "makespan_s": rounded(handover.makespan_s),
        "detect_s": rounded(handover.detect_s),
        "limit_s": round(numbers.limit_s, 4),
        "phased_s": round(numbers.phased_s, 4),
        "serial_s": round(numbers.serial_s, 4),
        "predicted_s": round(plan.predicted_s, 4),
        "reason": handover.failure or handover.reason,
        "steps": steps_of(handover),
        "plan": step_documents(plan),
    }
    return document, plan


def _predict(handover: Handover, plan: Plan, elapsed: float) -> float:
    done: dict[Step, tuple[float, float]] = {}
    running: dict[Step, float] = {}
    for step, runs in handover.steps.items():
        if not runs or step not in plan.graph.index:
            continue
        begin = min(elapsed, max(0.0, runs[-1].begin - handover.began))
        if runs[-1].end is None:
            running[step] = begin
        elif runs[-1].ok:
            done[step] = (begin, min(elapsed, max(begin, runs[-1].end - handover.began)))
    return plan.predict(Progress(now_s=elapsed, done=done, running=running)).predicted_s


def steps_of(handover: Handover) -> list[dict[str, Any]]:
    """In the order of their begin; times count from the handover's begin."""
    found = [
        {
            "component": step.component,
            "node": step.node,
            "action": step.action.value,
            "begin_s": round(timed.begin - handover.began, 4),
            "end_s": None if timed.end is None else round(timed.end - handover.began, 4),
            "ok": timed.ok,
        }
        for step, runs in handover.steps.items()
        for timed in runs
    ]
    return sorted(found, key=lambda entry: entry["begin_s"])
