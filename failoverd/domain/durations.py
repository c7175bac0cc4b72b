"""How long a step is expected to take, and how that is known."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from math import ceil, isfinite
from typing import Any, NamedTuple

from failoverd.domain.handover import Step
from failoverd.domain.model import Action, Component

KEPT_SAMPLES = 20
"""The latest successful operations that count, for each component, node and action."""
KEPT_STEPS_MAX = 20_000
"""How many components, nodes and actions are remembered at the most; the longest unused go first."""

DEFAULTS_S: Mapping[Action, float] = {Action.PREPARE: 1.0, Action.ONLINE: 1.0, Action.OFFLINE: 0.5}
"""Of a component about which nothing is known."""


class Basis(StrEnum):
    LEARNED = "learned"
    DECLARED = "declared"
    DEFAULT = "default"


class Expectation(NamedTuple):
    seconds: float
    basis: Basis


@dataclass(frozen=True, slots=True)
class LearnedDurations:
    """Measured durations of one group's operations: a value, bounded, of seconds that were successful."""

    samples: Mapping[Step, tuple[float, ...]] = field(default_factory=dict)
    """Oldest first."""

    def add(self, step: Step, seconds: float) -> "LearnedDurations":
        return self.add_all([(step, seconds)])

    def add_all(self, measured: Iterable[tuple[Step, float]]) -> "LearnedDurations":
        """With these successful operations, in the order in which they ended. What is no duration is left out."""
        samples = dict(self.samples)
        for step, seconds in measured:
            if _is_duration(seconds):
                # Removed and put back: the dict's own order then says what was used last.
                samples[step] = (*samples.pop(step, ()), float(seconds))[-KEPT_SAMPLES:]
        for step in list(samples)[: max(0, len(samples) - KEPT_STEPS_MAX)]:
            del samples[step]
        return LearnedDurations(samples)

    def only(self, components: Iterable[str]) -> "LearnedDurations":
        """Without what was learned of components that the group no longer has."""
        names = frozenset(components)
        return LearnedDurations({step: kept for step, kept in self.samples.items() if step.component in names})

    def p50(self, step: Step) -> float | None:
        """The median (of an even number the mean of the middle two), in seconds; None where nothing was learned."""
        return _median(self.samples.get(step, ()))

    def p95(self, step: Step) -> float | None:
        """By nearest rank, in seconds; None where nothing was learned."""
        kept = sorted(self.samples.get(step, ()))
        return kept[ceil(0.95 * len(kept)) - 1] if kept else None

    def p50_elsewhere(self, step: Step, nodes: Iterable[str]) -> float | None:
        """The median over the same operation on other ``nodes``: a fair guess, since nodes are usually alike."""
        others = [step._replace(node=node) for node in nodes if node != step.node]
        return _median([seconds for other in others for seconds in self.samples.get(other, ())])

    def to_dict(self) -> dict[str, Any]:
        """For a JSON state file."""
        entries = [[step.component, step.node, step.action.value, list(kept)] for step, kept in self.samples.items()]
        return {"version": 1, "samples": entries}

    @classmethod
    def from_dict(cls, document: object) -> "LearnedDurations":
        """From what ``to_dict`` gave, or from anything at all: what cannot be read is forgotten, since nothing but
        predictions depends on it."""
        entries = document.get("samples") if isinstance(document, dict) else None
        learned: list[tuple[Step, float]] = []
        for entry in entries if isinstance(entries, list) else []:
            learned.extend(_read_entry(entry))
        return cls().add_all(learned)


def _median(values: Iterable[float]) -> float | None:
    kept = sorted(values)
    if not kept:
        return None
    middle = len(kept) // 2
    return kept[middle] if len(kept) % 2 else (kept[middle - 1] + kept[middle]) / 2


def _is_duration(seconds: object) -> bool:
    return isinstance(seconds, int | float) and not isinstance(seconds, bool) and isfinite(seconds) and seconds >= 0


def _read_entry(entry: object) -> list[tuple[Step, float]]:
    match entry:
        case [str(component), str(node), str(action), list(kept)] if action in DEFAULTS_S:
            step = Step(component, node, Action(action))
            return [(step, seconds) for seconds in kept[-KEPT_SAMPLES:] if _is_duration(seconds)]
        case _:
            return []


def expected(
    step: Step, component: Component, learned: LearnedDurations | None = None, nodes: Iterable[str] = ()
) -> Expectation:
    """What to expect of ``step``: learned on its node, else declared, else learned on another of ``nodes``, else the
    action's default."""
    learned = learned or LearnedDurations()
    here = learned.p50(step)
    if here is not None:
        return Expectation(here, Basis.LEARNED)
    declared = _declared(component, step.action)
    if declared is not None:
        return Expectation(declared, Basis.DECLARED)
    elsewhere = learned.p50_elsewhere(step, nodes)
    if elsewhere is not None:
        return Expectation(elsewhere, Basis.LEARNED)
    return Expectation(DEFAULTS_S[step.action], Basis.DEFAULT)


def _declared(component: Component, action: Action) -> float | None:
    expect = component.expect
    return {Action.PREPARE: expect.prepare_s, Action.ONLINE: expect.online_s, Action.OFFLINE: expect.offline_s}.get(
        action
    )
