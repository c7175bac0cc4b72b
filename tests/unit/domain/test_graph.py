from collections.abc import Mapping
from itertools import pairwise
from random import Random
from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from failoverd.domain.graph import ComponentGraph, DependencyCycle, UnknownDependency, find_cycle
from failoverd.domain.model import Component, Group
from tests.strategies import cyclic_maps, dependency_maps

DIAMOND = {"web": ("db", "ip"), "db": ("disk",), "ip": (), "disk": ()}


def reachable(name: str, depends_on: Mapping[str, tuple[str, ...]]) -> set[str]:
    """Naive: repeat until nothing is new."""
    found: set[str] = set()
    while True:
        new = {needed for at in (found or {name}) | {name} for needed in depends_on.get(at, ())} - found
        if not new:
            return found
        found |= new


def test_a_cycle_is_told_as_a_path_that_returns_to_its_begin() -> None:
    assert find_cycle({"a": ["b"], "b": ["c"], "c": ["b"]}) == ("b", "c", "b")
    assert find_cycle({"a": ["a"]}) == ("a", "a")
    assert find_cycle(DIAMOND) is None
    assert find_cycle({"a": ["not there"]}) is None


@given(cyclic_maps())
def test_a_cycle_is_found_exactly_where_something_reaches_itself(depends_on: dict[str, tuple[str, ...]]) -> None:
    cycle = find_cycle(depends_on)
    on_a_cycle = {name for name in depends_on if name in reachable(name, depends_on)}
    assert (cycle is None) == (not on_a_cycle)
    if cycle is not None:
        assert cycle[0] == cycle[-1]
        assert len(set(cycle)) == len(cycle) - 1 >= 1
        assert all(after in depends_on[before] for before, after in pairwise(cycle))


@given(cyclic_maps(), st.randoms(use_true_random=False))
def test_the_same_cycle_is_found_in_whatever_order_things_are_written(
    depends_on: dict[str, tuple[str, ...]], random: Random
) -> None:
    names = list(depends_on)
    random.shuffle(names)
    assert find_cycle({name: set(depends_on[name]) for name in names}) == find_cycle(depends_on)


@given(dependency_maps(), st.data())
def test_the_order_puts_everything_after_what_it_depends_on(
    depends_on: dict[str, tuple[str, ...]], data: st.DataObject
) -> None:
    graph = ComponentGraph.of(depends_on)
    assert sorted(graph.order) == sorted(depends_on)
    place = {name: position for position, name in enumerate(graph.order)}
    assert all(place[needed] < place[name] for name, needs in depends_on.items() for needed in needs)
    assert ComponentGraph.of(dict(depends_on)).order == graph.order
    if depends_on:
        name = data.draw(st.sampled_from(sorted(depends_on)))
        assert graph.requirements(name) == reachable(name, depends_on)
        assert graph.all_dependents(name) == {other for other in depends_on if name in reachable(other, depends_on)}


def test_direct_neighbours_and_doubled_dependencies() -> None:
    graph = ComponentGraph.of({**DIAMOND, "job": ("db", "db")})
    assert graph.depends_on["job"] == ("db",)
    assert graph.dependents["db"] == ("web", "job")
    assert graph.dependents["web"] == ()


def test_faults_are_typed() -> None:
    with pytest.raises(UnknownDependency, match="web depends on db, which is not a component") as unknown:
        ComponentGraph.of({"web": ("db",)})
    assert (unknown.value.component, unknown.value.dependency) == ("web", "db")
    group = Group(
        name="g",
        nodes=("a",),
        components={
            "x": Component(name="x", type="exec", depends_on=("y",)),
            "y": Component(name="y", type="exec", depends_on=("x",)),
        },
    )
    with pytest.raises(DependencyCycle, match="x -> y -> x") as cycle:
        ComponentGraph.of_group(group)
    assert cycle.value.path == ("x", "y", "x")


def test_a_chain_of_thousands_needs_neither_recursion_nor_patience() -> None:
    chain: dict[str, tuple[str, ...]] = {f"{number}": (f"{number + 1}",) for number in range(20_000)}
    chain["20000"] = ()
    begin = perf_counter()
    assert ComponentGraph.of(chain).order[0] == "20000"
    assert find_cycle({**chain, "20000": ("0",)}) is not None
    assert perf_counter() - begin < 2.0, "quadratic, it would take minutes"
