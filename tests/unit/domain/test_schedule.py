from time import perf_counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from failoverd.domain.graph import ComponentGraph
from failoverd.domain.handover import HandoverGraph, Move, Numbers, Step, analyse, handover_graph, remaining_paths
from failoverd.domain.model import Action, Component, Expected, Group, HandoverMode
from failoverd.domain.schedule import (
    OVERRUN_SHARE,
    Measured,
    Progress,
    Schedule,
    limit_from_measured,
    measured_graph,
    schedule,
)
from tests.strategies import TICK_S, handovers, max_parallels
from tests.unit.domain.naive_handover import World, simulate

Case = tuple[Group, Move, HandoverGraph]


def component(name: str, *depends_on: str, off: float = 0.5, on: float = 0.5) -> Component:
    return Component(name=name, type="exec", depends_on=depends_on, expect=Expected(online_s=on, offline_s=off))


def made(*components: Component) -> tuple[dict[str, Component], ComponentGraph]:
    return {one.name: one for one in components}, ComponentGraph.of({one.name: one.depends_on for one in components})


def switchover(*components: Component) -> tuple[HandoverGraph, list[float]]:
    by_name, depends_on = made(*components)
    move = Move.switchover(by_name, "a", "b")
    graph = handover_graph(by_name, depends_on, move)
    world = World(by_name, move)
    return graph, [world.duration(step) for step in graph.steps]


def off(name: str, node: str = "a") -> Step:
    return Step(name, node, Action.OFFLINE)


def on(name: str, node: str = "b") -> Step:
    return Step(name, node, Action.ONLINE)


def durations_of(case: Case) -> list[float]:
    group, move, graph = case
    world = World(group.components, move)
    return [world.duration(step) for step in graph.steps]


def as_measured(graph: HandoverGraph, found: Schedule) -> list[Measured]:
    return [Measured(*entry) for entry in zip(graph.steps, found.begin_s, found.end_s, strict=True)]


@given(handovers())
@settings(deadline=None)
def test_without_limits_everything_happens_at_its_earliest(case: Case) -> None:
    durations = durations_of(case)
    earliest = analyse(case[2], durations)
    assert schedule(case[2], durations) == Schedule(earliest.begin_s, earliest.end_s, earliest.numbers.limit_s)


@given(handovers(8), max_parallels())
@settings(deadline=None)
def test_the_schedule_is_that_of_a_world_walked_through_tick_by_tick(case: Case, limits: dict[str, int]) -> None:
    group, move, graph = case
    durations = durations_of(case)
    urgency = {
        step: (-remaining, position)
        for position, (step, remaining) in enumerate(zip(graph.steps, remaining_paths(graph, durations), strict=True))
    }
    found = schedule(graph, durations, limits)
    times = simulate(World(group.components, move), limits, urgency)
    assert times == dict(zip(graph.steps, zip(found.begin_s, found.end_s, strict=True), strict=True))


@given(handovers(12), max_parallels())
@settings(deadline=None)
def test_gates_and_limits_are_kept_and_no_room_is_left_idle(case: Case, limits: dict[str, int]) -> None:
    graph = case[2]
    durations = [duration / 3 for duration in durations_of(case)]
    found = schedule(graph, durations, limits)
    priority = remaining_paths(graph, durations)
    ready = [max((found.end_s[gate] for gate in gates), default=0.0) for gates in graph.gates]
    for position, step in enumerate(graph.steps):
        begin = found.begin_s[position]
        assert begin >= ready[position]
        limit = limits.get(step.node)
        if limit is None:
            assert begin == ready[position]
            continue
        same_node = [other for other, one in enumerate(graph.steps) if one.node == step.node]
        assert sum(found.begin_s[other] <= begin < found.end_s[other] for other in same_node) <= limit
        overtaken_by = [other for other in same_node if ready[position] < found.begin_s[other] < begin]
        assert all(priority[other] >= priority[position] for other in overtaken_by), "who has the longer way goes first"


def test_the_longest_remaining_path_goes_first() -> None:
    graph, durations = switchover(component("short", off=0.25, on=0.25), component("long", off=0.25, on=2.0))
    found = schedule(graph, durations, {"a": 1})
    assert found.begin_s[graph.index[off("long")]] == 0.0
    assert found.begin_s[graph.index[off("short")]] == 0.25
    assert found.predicted_s == 2.25


def test_a_limit_on_one_node_does_not_hold_up_the_other() -> None:
    graph, durations = switchover(*(component(f"c{number}", off=0.5, on=1.0) for number in range(4)))
    found = schedule(graph, durations, {"a": 1})
    assert sorted(found.begin_s[graph.index[on(f"c{number}")]] for number in range(4)) == [0.5, 1.0, 1.5, 2.0]


# --- in the midst of it ---------------------------------------------------------------------------------------


@given(handovers(), st.integers(0, 200))
@settings(deadline=None)
def test_as_long_as_all_goes_to_plan_the_estimate_stays_the_plan(case: Case, tick: int) -> None:
    graph = case[2]
    durations = durations_of(case)
    plan = schedule(graph, durations)
    now = tick * TICK_S
    entries = as_measured(graph, plan)
    progress = Progress(
        now_s=now,
        done={entry.step: (entry.begin_s, entry.end_s) for entry in entries if entry.end_s <= now},
        running={entry.step: entry.begin_s for entry in entries if entry.begin_s <= now < entry.end_s},
    )
    found = schedule(graph, durations, {}, progress)
    # A step that is nearly over is taken to need a share of its time more; nothing else may move the estimate.
    share = OVERRUN_SHARE * max(durations, default=0.0)
    assert plan.predicted_s <= found.predicted_s <= plan.predicted_s + share
    for step, (begin, end) in progress.done.items():
        position = graph.index[step]
        assert (found.begin_s[position], found.end_s[position]) == (begin, end)


def test_a_step_that_overruns_delays_what_waits_for_it_and_nothing_else() -> None:
    graph, durations = switchover(component("slow"), component("other", on=4.0))
    progress = Progress(now_s=2.0, done={off("other"): (0.0, 0.5)}, running={off("slow"): 0.0, on("other"): 0.5})
    found = schedule(graph, durations, {}, progress)
    assert found.end_s[graph.index[off("slow")]] == pytest.approx(2.0 + OVERRUN_SHARE * 2.0)
    assert found.begin_s[graph.index[on("slow")]] == found.end_s[graph.index[off("slow")]]
    assert found.end_s[graph.index[on("other")]] == 4.5


def test_what_ended_early_brings_the_end_forward() -> None:
    graph, durations = switchover(component("x", off=2.0, on=1.0))
    found = schedule(graph, durations, {}, Progress(now_s=0.5, done={off("x"): (0.0, 0.5)}))
    assert found.predicted_s == 1.5


def test_what_is_in_flight_counts_against_the_limit() -> None:
    graph, durations = switchover(component("x"), component("y"))
    found = schedule(graph, durations, {"a": 1}, Progress(now_s=0.25, running={off("x"): 0.0}))
    assert found.begin_s[graph.index[off("y")]] == 0.5


def test_what_failed_is_taken_to_be_begun_again() -> None:
    graph, durations = switchover(component("x"))
    found = schedule(graph, durations, {}, Progress(now_s=1.0, done={off("x"): (0.0, 0.5)}))
    assert found.begin_s[graph.index[on("x")]] == 1.0


def test_when_all_is_done_the_end_is_the_real_one() -> None:
    graph, durations = switchover(component("x"))
    done = {off("x"): (0.0, 0.75), on("x"): (0.75, 2.0)}
    assert schedule(graph, durations, {}, Progress(now_s=9.0, done=done)).predicted_s == 2.0


# --- afterwards -----------------------------------------------------------------------------------------------


@given(handovers(), max_parallels())
@settings(deadline=None)
def test_what_went_to_plan_measures_what_was_planned(case: Case, limits: dict[str, int]) -> None:
    group, _, graph = case
    durations = durations_of(case)
    found = schedule(graph, durations, limits)
    measured = limit_from_measured(group.components, ComponentGraph.of_group(group), as_measured(graph, found))
    assert measured == analyse(graph, durations).numbers


def test_delays_between_the_steps_are_the_managers_own_and_not_part_of_the_limit() -> None:
    components, graph = made(component("x"))
    entries = [Measured(off("x"), 0.1, 0.6), Measured(on("x"), 0.9, 1.4)]
    assert limit_from_measured(components, graph, entries).limit_s == pytest.approx(1.0)


def test_a_reversed_handover_is_measured_along_what_really_happened() -> None:
    components, graph = made(component("db"), component("web", "db"))
    entries = [
        Measured(off("web"), 0.0, 1.0),
        Measured(off("db"), 1.0, 2.0),
        Measured(on("db"), 2.0, 3.0),
        Measured(off("db", "b"), 3.0, 4.0),
        Measured(on("db", "a"), 4.0, 5.0),
        Measured(on("web", "a"), 5.0, 6.0),
    ]
    linked, durations = measured_graph(components, graph, entries)
    assert [linked.gates[position] for position in range(6)] == [(), (0,), (1,), (2,), (1, 3), (0, 4)]
    assert limit_from_measured(components, graph, entries) == Numbers(6.0, 6.0, 6.0)
    assert sum(durations) == 6.0


def test_a_repeated_operation_counts_each_time() -> None:
    components, graph = made(component("x"))
    entries = [
        Measured(on("x"), 0.0, 1.0),
        Measured(Step("x", "b", Action.CLEAN), 1.0, 1.5),
        Measured(on("x"), 1.5, 2.0),
    ]
    assert limit_from_measured(components, graph, entries).limit_s == 2.0


def test_a_prepare_counts_only_for_what_of_it_fell_into_the_handover() -> None:
    components, graph = made(component("x"))
    entries = [Measured(Step("x", "b", Action.PREPARE), -2.0, 0.5), Measured(on("x"), 0.5, 1.0)]
    assert limit_from_measured(components, graph, entries).limit_s == 1.0
    assert entries[0].whole_s == 2.5


def test_steps_of_components_that_are_gone_are_ignored() -> None:
    components, graph = made(component("x"))
    assert limit_from_measured(components, graph, [Measured(on("removed"), 0.0, 9.0)]).serial_s == 0.0


def test_make_first_is_measured_online_before_offline() -> None:
    proxy = Component(name="proxy", type="exec", handover=HandoverMode.MAKE_FIRST)
    components, graph = made(proxy)
    entries = [Measured(on("proxy"), 0.0, 1.0), Measured(off("proxy"), 1.0, 2.0)]
    assert limit_from_measured(components, graph, entries) == Numbers(2.0, 2.0, 2.0)


def test_steps_of_no_length_at_one_instant_still_wait_for_each_other() -> None:
    base = Component(name="base", type="exec", handover=HandoverMode.MAKE_FIRST)
    proxy = Component(
        name="proxy", type="exec", depends_on=("base",), handover=HandoverMode.MAKE_FIRST, has_prepare=True
    )
    components, graph = made(base, proxy)
    entries = [
        Measured(on("base"), 0.0, 0.0),
        Measured(Step("proxy", "b", Action.PREPARE), 0.0, 5.0),
        Measured(off("proxy"), 5.0, 5.0),
        Measured(on("proxy"), 5.0, 5.0),
        Measured(off("base"), 5.0, 8.0),
    ]
    assert limit_from_measured(components, graph, entries).limit_s == 8.0


def test_a_thousand_components_are_cheap_enough_to_predict_while_watching() -> None:
    components = [
        component(f"c{number}", *({f"c{number // 2}", f"c{number // 3}"} if number else ())) for number in range(1000)
    ]
    graph, durations = switchover(*(one for one in components if one.name not in one.depends_on))
    begin = perf_counter()
    found = schedule(graph, durations, {"a": 8, "b": 8})
    limit_from_measured(
        *made(*(one for one in components if one.name not in one.depends_on)), as_measured(graph, found)
    )
    assert perf_counter() - begin < 1.0, "linear, it takes some hundredths of a second"
