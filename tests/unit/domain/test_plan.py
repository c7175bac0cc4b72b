"""The plan as a whole, and its document, which scripts read."""

import json

import pytest
from hypothesis import given, settings

from failoverd.domain.durations import LearnedDurations
from failoverd.domain.graph import GraphError
from failoverd.domain.handover import HandoverGraph, Move, Step
from failoverd.domain.model import Action, Component, Expected, Group, HandoverMode
from failoverd.domain.plan import make_plan, plan_document, step_documents
from failoverd.domain.schedule import Progress
from tests.strategies import group_of, handovers, max_parallels


def component(name: str, *depends_on: str, off: float, on: float) -> Component:
    return Component(name=name, type="exec", depends_on=depends_on, expect=Expected(online_s=on, offline_s=off))


TRIANGLE = group_of(
    {
        "A": component("A", "B", "C", off=0.2, on=0.2),
        "B": component("B", off=0.2, on=1.0),
        "C": component("C", off=1.0, on=0.2),
    }
)
SWITCH = Move.switchover(TRIANGLE.components, "a", "b")


def test_the_document_of_the_triangle() -> None:
    document = plan_document(make_plan(TRIANGLE, SWITCH))
    assert json.loads(json.dumps(document)) == document
    numbers = {name: document[name] for name in ("limit_s", "phased_s", "serial_s", "predicted_s")}
    assert numbers == {"limit_s": 1.6, "phased_s": 2.4, "serial_s": 2.8, "predicted_s": 1.6}
    assert (document["version"], document["source"], document["target"]) == (1, "a", "b")
    path = [(step["action"], step["component"], step["node"]) for step in document["critical_path"]]
    assert path == [("offline", "A", "a"), ("offline", "C", "a"), ("online", "C", "b"), ("online", "A", "b")]
    first = document["steps"][0]
    assert (first["component"], first["action"], first["begin_s"], first["end_s"]) == ("A", "offline", 0.0, 0.2)
    assert [step["basis"] for step in document["steps"]] == ["declared"] * 6


def test_a_failover_plan_names_the_dead_source_and_has_no_offline_half() -> None:
    plan = make_plan(TRIANGLE, Move.failover("b"), source="a")
    assert plan.source == "a"
    assert {planned.step.action for planned in plan.steps} == {Action.ONLINE}
    assert plan.numbers.limit_s == plan.numbers.phased_s == 1.2


def test_what_was_learned_is_planned_with() -> None:
    learned = LearnedDurations().add(Step("B", "b", Action.ONLINE), 3.0)
    assert make_plan(TRIANGLE, SWITCH, learned=learned).numbers.limit_s == pytest.approx(3.6)


def test_a_limit_shows_in_the_prediction_and_not_in_the_limit() -> None:
    plan = make_plan(TRIANGLE, SWITCH, max_parallel={"a": 1})
    assert plan.numbers.limit_s == pytest.approx(1.6)
    assert plan.predicted_s == pytest.approx(2.6), "B waits for C's second on the source: 0.2 + 1.0 + 0.2 + 1.0 + 0.2"


def test_the_estimate_follows_what_happens() -> None:
    plan = make_plan(TRIANGLE, SWITCH)
    late = Progress(now_s=1.0, done={Step("A", "a", Action.OFFLINE): (0.0, 1.0)})
    now = plan.predict(late)
    assert now.predicted_s == pytest.approx(2.4)
    assert max(step["end_s"] for step in step_documents(plan, now)) == 2.4
    assert max(step["end_s"] for step in step_documents(plan)) == 1.6


def test_priority_is_the_path_behind_a_step() -> None:
    plan = make_plan(TRIANGLE, SWITCH)
    assert plan.priority(Step("C", "a", Action.OFFLINE)) == pytest.approx(1.4)
    assert plan.priority(Step("C", "c", Action.OFFLINE)) == 0.0


def test_a_group_that_no_handover_can_follow_is_refused() -> None:
    proxy = Component(name="proxy", type="exec", depends_on=("A",), handover=HandoverMode.MAKE_FIRST)
    group = group_of({**TRIANGLE.components, "proxy": proxy})
    with pytest.raises(GraphError):
        make_plan(group, SWITCH)


@given(handovers(), max_parallels())
@settings(deadline=None)
def test_every_plan_is_complete_and_consistent(case: tuple[Group, Move, HandoverGraph], limits: dict[str, int]) -> None:
    group, move, graph = case
    plan = make_plan(group, move, max_parallel=limits)
    assert sorted(planned.step for planned in plan.steps) == sorted(graph.steps)
    assert [planned.begin_s for planned in plan.steps] == sorted(planned.begin_s for planned in plan.steps)
    assert plan.predicted_s >= plan.numbers.limit_s
    assert {planned.step for planned in plan.steps if planned.critical} == set(plan.critical_path)
    assert json.loads(json.dumps(plan_document(plan)))["version"] == 1
