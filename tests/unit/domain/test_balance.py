"""Placement policies: who gets a group where several could, and that the groups of a lost node are spread."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from failoverd.domain.balance import Carried, carried, ranked
from failoverd.domain.decide import Place, decide
from failoverd.domain.eligibility import Refusal, choose, refusal
from failoverd.domain.model import PlacementPolicy
from failoverd.domain.operator import request_switch
from failoverd.domain.placement import LeaseState, Wanted
from failoverd.domain.view import GroupView, NodeView, View
from tests.unit.domain.views import HASH, group, group_view, node, placed, view

SPREAD, LOAD, ORDER = PlacementPolicy.SPREAD, PlacementPolicy.LOAD, PlacementPolicy.ORDER
NAMES = tuple(f"g{number}" for number in range(9))


def of(name: str, owner: str | None, **fields: object) -> GroupView:
    made = group(name=name, **fields)  # type: ignore[arg-type]
    return group_view(placed(owner) if owner else None, group=made)


def nodes(**capacities: float | None) -> dict[str, NodeView]:
    hashes = dict.fromkeys((*NAMES, "g"), HASH)
    return {name: node(name, config_hashes=hashes, capacity=capacities.get(name)) for name in "abc"}


def test_spread_takes_the_node_with_the_fewest_groups_and_among_equals_the_first() -> None:
    mine = of("g", None, placement=SPREAD)
    others = [of("g1", "a"), of("g2", "a"), of("g3", "b"), of("g4", "c")]
    assert ranked(view("a", mine, *others, nodes=nodes()), mine, "abc") == ["b", "c", "a"]
    assert ranked(view("a", mine, nodes=nodes()), mine, "abc") == ["a", "b", "c"]


def test_what_is_wanted_offline_weighs_nothing_and_a_group_not_against_itself() -> None:
    mine = of("g", "a", placement=SPREAD)
    off = group_view(placed("b", wanted=Wanted.OFFLINE), group=group(name="g1"))
    assert ranked(view("a", mine, off, nodes=nodes()), mine, "cba") == ["a", "b", "c"]


def test_load_is_a_share_of_the_capacity_where_all_have_one() -> None:
    mine = of("g", None, placement=LOAD, load=2.0)
    others = [of("g1", "a", load=3.0), of("g2", "b", load=4.0)]
    seen = view("a", mine, *others, nodes=nodes(a=10.0, b=40.0, c=4.0))
    assert ranked(seen, mine, "abc") == ["b", "a", "c"]  # 6/40, 5/10, 2/4: of equals the first
    seen = view("a", mine, *others, nodes=nodes(a=10.0, b=40.0))
    assert ranked(seen, mine, "abc") == ["c", "a", "b"]  # 0, 3, 4
    assert carried(seen, "b", "g") == Carried(1, 4.0)


def test_a_node_without_room_is_not_eligible_but_an_operator_may_choose_it() -> None:
    mine = of("g", "a", load=3.0)
    seen = view("a", mine, of("g1", "b", load=2.0), nodes=nodes(b=4.0))
    assert refusal(seen, mine, "b") is Refusal.NO_CAPACITY
    assert choose(seen, mine, without=frozenset("a")) == "c"
    answer = request_switch(seen, mine, "b", by="x")
    assert isinstance(answer, Place)
    assert refusal(view("a", of("g", "b", load=9.0), nodes=nodes(b=1.0)), of("g", "b", load=9.0), "b") is None


def settle(start: View, owners: dict[str, str | None]) -> dict[str, str | None]:
    """Every node decides on the same view, and all that they decide is written; until nothing is decided any more."""
    for _ in range(5):
        found: dict[str, str | None] = {}
        for me in "abc":
            if start.nodes[me].member is not LeaseState.LIVE:
                continue
            groups = {name: replace(g, placement=placed(own) if (own := owners[name]) else None)
                      for name, g in start.groups.items()}  # fmt: skip
            for decision in decide(replace(start, me=me, groups=groups)):
                if isinstance(decision, Place) and decision.placement.owner != owners[decision.group]:
                    assert decision.group not in found, "two nodes act on one group"
                    found[decision.group] = decision.placement.owner
        if not found:
            return owners
        owners = owners | found
    raise AssertionError("it never comes to rest")


@given(st.lists(st.sampled_from(["a", "b", "c", None]), min_size=1, max_size=9), st.sampled_from("abc"))
def test_the_groups_of_a_lost_node_are_spread_evenly_at_once(owners: list[str | None], lost: str) -> None:
    names = NAMES[: len(owners)]
    start = view("a", *(of(name, None, placement=SPREAD) for name in names), nodes=nodes())
    gone = replace(start.nodes[lost], member=LeaseState.FENCED, heard=False, ready=False)
    start = replace(start, nodes={**start.nodes, lost: gone})
    before = dict(zip(names, owners, strict=True))
    after = settle(start, before)
    stayed = {n: sum(own == n for own in owners) for n in "abc" if n != lost}
    counts = {n: sum(own == n for own in after.values()) for n in stayed}
    assert all(after[name] == own for name, own in before.items() if own not in {lost, None})
    assert sum(counts.values()) == len(owners)
    moved = len(owners) - sum(stayed.values())
    assert max(counts.values()) - min(counts.values()) <= max(1, max(stayed.values()) - min(stayed.values()) - moved)


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 4)), min_size=1, max_size=9),
    st.sampled_from([ORDER, SPREAD, LOAD]),
    st.integers(1, 12),
)
def test_no_take_over_goes_beyond_a_capacity(
    groups: list[tuple[str, int]], policy: PlacementPolicy, capacity: int
) -> None:
    names = NAMES[: len(groups)]
    loads = dict(zip(names, (float(load) for _, load in groups), strict=True))
    start = view("b", *(of(n, None, placement=policy, load=loads[n]) for n in names),
                 nodes=nodes(b=float(capacity), c=float(capacity)))  # fmt: skip
    gone = replace(start.nodes["a"], member=LeaseState.FENCED, heard=False, ready=False)
    before: dict[str, str | None] = dict(zip(names, (own for own, _ in groups), strict=True))
    after = settle(replace(start, nodes={**start.nodes, "a": gone}), before)
    for name in "bc":
        had = sum(loads[n] for n, own in before.items() if own == name)
        has = sum(loads[n] for n, own in after.items() if own == name)
        assert has <= max(had, capacity)


@pytest.mark.parametrize("policy", [SPREAD, LOAD])
def test_what_runs_somewhere_already_is_placed_there_all_the_same(policy: PlacementPolicy) -> None:
    mine = of("g", None, placement=policy)
    there = nodes() | {"c": replace(nodes()["c"], online={"g": 2})}
    seen = view("c", mine, of("g1", "c"), nodes=there)
    (found,) = [each for each in decide(seen) if isinstance(each, Place)]
    assert found.placement.owner == "c"
