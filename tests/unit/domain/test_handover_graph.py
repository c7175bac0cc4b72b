from itertools import pairwise

import pytest
from hypothesis import given, settings

from failoverd.domain.graph import ComponentGraph, GraphError
from failoverd.domain.handover import (
    HandoverGraph,
    MakeFirstConflict,
    Move,
    Step,
    analyse,
    handover_graph,
    make_first_conflicts,
)
from failoverd.domain.model import Action, Component, Expected, Group, HandoverMode
from tests.strategies import handovers
from tests.unit.domain.naive_handover import World, chains, longest, remaining_path, simulate, waiting_for

MAKE_FIRST = HandoverMode.MAKE_FIRST


def component(name: str, *depends_on: str, off: float = 0.5, on: float = 0.5) -> Component:
    return Component(
        name=name, type="exec", depends_on=depends_on, expect=Expected(online_s=on, offline_s=off, prepare_s=3.0)
    )


def made(*components: Component) -> dict[str, Component]:
    return {one.name: one for one in components}


def graph_of(components: dict[str, Component], move: Move) -> HandoverGraph:
    depends_on = {name: one.depends_on for name, one in components.items()}
    return handover_graph(components, ComponentGraph.of(depends_on), move)


def durations_of(components: dict[str, Component], move: Move, graph: HandoverGraph) -> list[float]:
    world = World(components, move)
    return [world.duration(step) for step in graph.steps]


TRIANGLE = made(
    component("A", "B", "C", off=0.2, on=0.2), component("B", off=0.2, on=1.0), component("C", off=1.0, on=0.2)
)
PAIR = made(component("db"), component("web", "db"))


def off(name: str, node: str = "a") -> Step:
    return Step(name, node, Action.OFFLINE)


def on(name: str, node: str = "b") -> Step:
    return Step(name, node, Action.ONLINE)


def test_the_rule_for_two_components() -> None:
    graph = graph_of(PAIR, Move.switchover(PAIR, "a", "b"))
    assert graph.gates_of(off("web")) == ()
    assert graph.gates_of(off("db")) == (off("web"),)
    assert graph.gates_of(on("db")) == (off("db"),)
    assert set(graph.gates_of(on("web"))) == {off("web"), on("db")}


def test_the_triangle_overlaps_its_halves() -> None:
    move = Move.switchover(TRIANGLE, "a", "b")
    graph = graph_of(TRIANGLE, move)
    found = analyse(graph, durations_of(TRIANGLE, move, graph))
    assert found.numbers.limit_s == pytest.approx(1.6)
    assert found.numbers.phased_s == pytest.approx(2.4)
    assert found.numbers.serial_s == pytest.approx(2.8)
    begin = dict(zip(graph.steps, found.begin_s, strict=True))
    end = dict(zip(graph.steps, found.end_s, strict=True))
    assert begin[on("B")] < end[off("C")], "B comes online on the target while C is still going offline on the source"


@pytest.mark.parametrize("count", [26, 40])
def test_width_costs_nothing(count: int) -> None:
    wide = made(
        component("top", *(f"c{number}" for number in range(count))),
        *(component(f"c{number}") for number in range(count)),
    )
    move = Move.switchover(wide, "a", "b")
    graph = graph_of(wide, move)
    assert analyse(graph, durations_of(wide, move, graph)).numbers.limit_s == pytest.approx(2.0)


def test_a_dead_source_leaves_only_the_online_half_and_no_target_only_the_offline_half() -> None:
    assert graph_of(PAIR, Move.failover("b")).steps == (on("db"), on("web"))
    assert graph_of(PAIR, Move.shutdown(PAIR, "a")).steps == (off("web"), off("db"))


def test_what_is_true_already_is_no_step_and_no_gate() -> None:
    move = Move(target="b", online={"a": frozenset({"db"}), "b": frozenset({"web"})})
    graph = graph_of(PAIR, move)
    assert graph.steps == (off("db"), on("db"))
    assert graph.gates_of(off("db")) == ()


def test_every_holder_must_release() -> None:
    graph = graph_of(PAIR, Move(target="c", online={"a": frozenset({"db"}), "b": frozenset({"db", "web"})}))
    assert set(graph.gates_of(on("db", "c"))) == {off("db", "a"), off("db", "b")}


def test_make_first_comes_online_before_it_goes_offline() -> None:
    proxy = Component(name="proxy", type="exec", handover=MAKE_FIRST)
    web = component("web", "proxy")
    graph = graph_of(made(proxy, web), Move.switchover(["proxy", "web"], "a", "b"))
    assert graph.gates_of(on("proxy")) == ()
    assert set(graph.gates_of(off("proxy"))) == {off("web"), on("proxy")}
    taken_down = graph_of(made(proxy, web), Move.shutdown(["proxy", "web"], "a"))
    assert taken_down.gates_of(off("proxy")) == (off("web"),), "with no target nothing is waited for"


def test_make_first_on_break_first_is_a_cycle_and_refused() -> None:
    components = made(component("db"), Component(name="proxy", type="exec", depends_on=("db",), handover=MAKE_FIRST))
    assert make_first_conflicts(components) == (("proxy", "db"),)
    with pytest.raises(MakeFirstConflict, match=r"proxy \(handover: make_first\) depends on db") as conflict:
        graph_of(components, Move.failover("b"))
    assert (conflict.value.component, conflict.value.dependency) == ("proxy", "db")


def test_prepare_begins_at_once_and_its_own_online_waits_for_it() -> None:
    components = {
        name: Component(name=name, type="exec", depends_on=one.depends_on, has_prepare=True)
        for name, one in PAIR.items()
    }
    graph = graph_of(components, Move.switchover(components, "a", "b"))
    prepare = Step("web", "b", Action.PREPARE)
    assert graph.gates_of(prepare) == ()
    assert prepare in graph.gates_of(on("web"))
    assert prepare not in graph.gates_of(on("db"))
    ready = Move(target="b", online={"a": frozenset(components)}, prepared=frozenset({"web"}))
    assert prepare not in graph_of(components, ready).steps


def test_steps_cannot_be_linked_into_a_cycle() -> None:
    with pytest.raises(GraphError, match="cannot wait for step 1"):
        HandoverGraph.linked([off("web"), off("db")], [[1], []])


def test_an_empty_group_takes_no_time() -> None:
    graph = graph_of({}, Move.switchover([], "a", "b"))
    found = analyse(graph, [])
    assert (found.numbers.limit_s, found.numbers.phased_s, found.numbers.serial_s) == (0.0, 0.0, 0.0)
    assert found.critical_path == ()


@given(handovers(7))
@settings(deadline=None)
def test_steps_and_gates_are_those_of_the_naive_twin(case: tuple[Group, Move, HandoverGraph]) -> None:
    group, move, graph = case
    world = World(group.components, move)
    assert sorted(graph.steps) == sorted(world.all_steps())
    for step, following in zip(graph.steps, graph.followers, strict=True):
        assert sorted(graph.steps[position] for position in following) == sorted(waiting_for(world, step))


@given(handovers(5))
@settings(deadline=None)
def test_the_numbers_are_those_of_the_naive_twin(case: tuple[Group, Move, HandoverGraph]) -> None:
    group, move, graph = case
    world = World(group.components, move)
    durations = durations_of(dict(group.components), move, graph)
    found = analyse(graph, durations)
    every = chains(world)
    assert found.numbers.limit_s == max((sum(map(world.duration, chain)) for chain in every), default=0.0)
    assert found.numbers.phased_s == (
        longest(world, {Action.OFFLINE}) + longest(world, {Action.ONLINE, Action.PREPARE})
    )
    assert found.numbers.serial_s == sum(durations)
    assert found.remaining_path_s == tuple(remaining_path(world, step) for step in graph.steps)


@given(handovers())
@settings(deadline=None)
def test_limit_phased_and_serial_never_change_places(case: tuple[Group, Move, HandoverGraph]) -> None:
    group, move, graph = case
    found = analyse(graph, [duration / 3 for duration in durations_of(dict(group.components), move, graph)])
    assert found.numbers.limit_s <= found.numbers.phased_s <= found.numbers.serial_s


@given(handovers())
@settings(deadline=None)
def test_the_critical_path_is_a_chain_as_long_as_the_limit_and_without_slack(
    case: tuple[Group, Move, HandoverGraph],
) -> None:
    group, move, graph = case
    durations = durations_of(dict(group.components), move, graph)
    found = analyse(graph, durations)
    assert sum(durations[graph.index[step]] for step in found.critical_path) == found.numbers.limit_s
    for before, after in pairwise(found.critical_path):
        assert before in graph.gates_of(after)
    assert all(found.slack_s[graph.index[step]] == 0.0 for step in found.critical_path)


@given(handovers(8))
@settings(deadline=None)
def test_slack_is_exactly_what_a_step_may_lose(case: tuple[Group, Move, HandoverGraph]) -> None:
    group, move, graph = case
    durations = durations_of(dict(group.components), move, graph)
    found = analyse(graph, durations)
    for position, slack in enumerate(found.slack_s):
        longer = [*durations]
        longer[position] += slack
        assert analyse(graph, longer).numbers.limit_s == found.numbers.limit_s
        longer[position] += 0.0625
        assert analyse(graph, longer).numbers.limit_s == found.numbers.limit_s + 0.0625


@given(handovers(8))
@settings(deadline=None)
def test_earliest_times_are_those_of_a_world_that_keeps_to_the_rule(case: tuple[Group, Move, HandoverGraph]) -> None:
    group, move, graph = case
    found = analyse(graph, durations_of(dict(group.components), move, graph))
    urgency = {step: (0.0, position) for position, step in enumerate(graph.steps)}
    times = simulate(World(group.components, move), {}, urgency)
    assert times == {
        step: (found.begin_s[position], found.end_s[position]) for position, step in enumerate(graph.steps)
    }
