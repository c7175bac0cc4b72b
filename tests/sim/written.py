"""Scenarios in files (``tests/scenarios/*.yaml``): what once went wrong, and must never again. Written by hand, or
taken from a seed as they are (``python -m tests.sim SEEDS=7 SCENARIO=FILE``).
"""

from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter

from failoverd.domain.model import Action, Component, Group, HandoverMode, MonitorPolicy, OnFault, OnStop, RestartPolicy
from tests.sim.run import Verdict
from tests.sim.scenario import Happening, Scenario

_EXACT = TypeAdapter(Scenario)
DIRECTORY = Path(__file__).parents[1] / "scenarios"


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    title: str
    scenario: Scenario
    never: tuple[str, ...]
    """No line of the trace may contain any of these."""
    once: tuple[tuple[str, float], ...]
    """Some line must contain each of these, by that time: else it does not test what it is there for."""

    def faults(self, verdict: Verdict) -> list[str]:
        lines = [" ".join(str(entry).split()) for entry in verdict.trace]
        found = [str(verdict.violation)] if verdict.violation else []
        found += [line for line in lines for text in self.never if text in line]
        return found + [
            f"not by {until:g} s: {text}"
            for text, until in self.once
            if not any(text in line and entry.at <= until for line, entry in zip(lines, verdict.trace, strict=True))
        ]


def read(path: Path) -> Written:
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    scenario = _exact(document) if "exact" in document else _by_hand(document)
    return Written(
        title=document["title"],
        scenario=replace(scenario, name=path.stem),
        never=tuple(document.get("never", ())),
        once=tuple((each, inf) if isinstance(each, str) else (each[0], each[1]) for each in document.get("once", ())),
    )


def written_down(scenario: Scenario, title: str) -> str:
    """For a file: the whole of a scenario that a seed has made, so that it stays what it is when seeds change."""
    durations = {"/".join(key): {a.value: s for a, s in each.items()} for key, each in scenario.durations.items()}
    exact = _EXACT.dump_python(replace(scenario, durations={}), mode="json")
    document = {"title": title, "durations": durations, "exact": exact}
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)


def _exact(document: dict[str, Any]) -> Scenario:
    durations: dict[tuple[str, str], dict[Action, float]] = {}
    for key, each in document["durations"].items():
        group, _, component = key.partition("/")
        durations[group, component] = {Action(action): seconds for action, seconds in each.items()}
    return replace(_EXACT.validate_python(document["exact"]), durations=durations)


def _by_hand(document: dict[str, Any]) -> Scenario:
    durations: dict[tuple[str, str], dict[Action, float]] = {}
    groups = {name: _group(name, each, durations) for name, each in document["groups"].items()}
    happenings = [Happening(float(at), what, args or {}) for at, what, args in document["timeline"]]
    return Scenario(
        seed=document.get("seed", 1),
        nodes=tuple(document["nodes"]),
        groups=groups,
        durations=durations,
        timeline=tuple(happenings),
        rates=document.get("rates", {}),
        calm_at=float(document["calm_at"]),
        failsafe_s=document.get("failsafe"),
        bound_s=float(document.get("bound", 20.0)),
        by_hand=bool(document.get("by_hand", True)),
    )


def _group(name: str, document: dict[str, Any], durations: dict[tuple[str, str], dict[Action, float]]) -> Group:
    for component, each in document["components"].items():
        usual = {action: float(each[action.value]) for action in Action if action.value in each}
        durations[name, component] = {Action.ONLINE: 0.2, Action.OFFLINE: 0.1, Action.CLEAN: 0.05} | usual
    return Group(
        name=name,
        nodes=tuple(document["nodes"]),
        components={component: _component(component, each) for component, each in document["components"].items()},
        on_stop=OnStop(document.get("on_stop", "handover")),
        config_hash="1",
    )


def _component(name: str, document: dict[str, Any]) -> Component:
    return Component(
        name=name,
        type="sim",
        depends_on=tuple(document.get("depends_on", ())),
        handover=HandoverMode(document.get("handover", "break_first")),
        on_fault=OnFault(document.get("on_fault", "restart")),
        restart=RestartPolicy(attempts=document.get("attempts", 1)),
        monitor=MonitorPolicy(interval_s=1.0, fall=1),
    )


def all_written() -> list[Written]:
    return [read(path) for path in sorted(DIRECTORY.glob("*.yaml"))]
