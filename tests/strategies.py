"""Hypothesis strategies for components, groups and handovers, shared by the tests of everything that plans or moves.

Durations are multiples of 1/16 s: sums of them are exact in binary, so that tests may compare with ``==``.
"""

from collections.abc import Mapping

from hypothesis import strategies as st

from failoverd.domain.graph import ComponentGraph
from failoverd.domain.handover import HandoverGraph, Move, handover_graph
from failoverd.domain.model import Component, Expected, Group, HandoverMode

TICK_S = 1 / 16

seconds = st.integers(0, 48).map(lambda ticks: ticks * TICK_S)


@st.composite
def dependency_maps(draw: st.DrawFn, max_components: int = 10) -> dict[str, tuple[str, ...]]:
    """Without cycles; the order of the keys is no topological order."""
    count = draw(st.integers(0, max_components))
    names = [f"c{number}" for number in range(count)]
    needs = {
        name: tuple(draw(st.lists(st.sampled_from(names[:position]), unique=True, max_size=4))) if position else ()
        for position, name in enumerate(names)
    }
    return {name: needs[name] for name in draw(st.permutations(names))}


@st.composite
def cyclic_maps(draw: st.DrawFn) -> dict[str, tuple[str, ...]]:
    """Any directed graph at all: mostly with cycles, also of length one, and with dangling references."""
    names = [f"c{number}" for number in range(draw(st.integers(0, 7)))]
    return {name: tuple(draw(st.lists(st.sampled_from([*names, "missing"]), max_size=4))) for name in names}


@st.composite
def components(
    draw: st.DrawFn, max_components: int = 10, *, make_first: bool = True, prepare: bool = True
) -> dict[str, Component]:
    """Every duration declared; ``make_first`` ones only where the rule allows them."""
    needs = dependency_maps(max_components)
    depends_on = draw(needs)
    order = ComponentGraph.of(depends_on).order
    modes: dict[str, HandoverMode] = {}
    for name in order:
        allowed = make_first and all(modes[needed] is HandoverMode.MAKE_FIRST for needed in depends_on[name])
        modes[name] = HandoverMode.MAKE_FIRST if allowed and draw(st.booleans()) else HandoverMode.BREAK_FIRST
    return {
        name: Component(
            name=name,
            type="exec",
            depends_on=depends_on[name],
            handover=modes[name],
            has_prepare=prepare and draw(st.integers(0, 3)) == 0,
            expect=Expected(prepare_s=draw(seconds), online_s=draw(seconds), offline_s=draw(seconds)),
        )
        for name in depends_on
    }


def group_of(made: Mapping[str, Component], nodes: tuple[str, ...] = ("a", "b", "c")) -> Group:
    return Group(name="g", nodes=nodes, components=made)


def groups(max_components: int = 10) -> st.SearchStrategy[Group]:
    return components(max_components).map(group_of)


@st.composite
def moves(draw: st.DrawFn, group: Group) -> Move:
    """From a to b, in any state that a handover may begin in: partly offline on the source, partly online on b,
    a second holder, a dead source, no target."""
    names = sorted(group.components)
    some = st.frozensets(st.sampled_from(names)) if names else st.just(frozenset[str]())
    everything = st.just(frozenset(names))
    online = {"a": draw(everything | some)} if draw(st.integers(0, 4)) else {}
    if draw(st.integers(0, 3)) == 0:
        online["c"] = draw(some)
    if draw(st.integers(0, 5)) == 0:
        return Move(target=None, online=online)
    if draw(st.integers(0, 2)) == 0:
        online["b"] = draw(some)
    return Move(target="b", online=online, prepared=draw(some) if draw(st.booleans()) else frozenset())


@st.composite
def handovers(draw: st.DrawFn, max_components: int = 10) -> tuple[Group, Move, HandoverGraph]:
    group = draw(groups(max_components))
    move = draw(moves(group))
    return group, move, handover_graph(group.components, ComponentGraph.of_group(group), move)


def max_parallels() -> st.SearchStrategy[dict[str, int]]:
    return st.dictionaries(st.sampled_from(["a", "b", "c"]), st.integers(1, 4))
