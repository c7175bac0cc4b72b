"""What a node does about the cluster: a test for each safety rule of design section 3 that ``decide`` carries."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from failoverd.domain.decide import GONE, Blocked, Decision, Fence, Obstacle, Place, decide, next_deadline
from failoverd.domain.eligibility import refusal
from failoverd.domain.model import OnStop
from failoverd.domain.placement import Cause, LeaseState, Placement, Wanted
from failoverd.domain.view import GroupView, NodeView, View
from tests.unit.domain.views import GROUP, NOW, gone, group, group_view, node, placed, view


def places(of: View) -> list[Place]:
    return [decision for decision in decide(of) if isinstance(decision, Place)]


def place(of: View) -> Place:
    (found,) = places(of)
    return found


def fences(of: View) -> list[str]:
    return [decision.node for decision in decide(of) if isinstance(decision, Fence)]


def blocked(of: View) -> Blocked:
    (found,) = [decision for decision in decide(of) if isinstance(decision, Blocked)]
    return found


# --- nothing without a right to act ---------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", ["ready", "coordinator_ok", "lease_usable", "trusted"])
def test_nothing_is_decided_without_lease_trust_readiness_or_coordinator(missing: str) -> None:
    busy = view(
        "b",
        group_view(placed("a")),
        group_view(group=group("h")),
        nodes=gone("a") | {"c": node("c", lease_expires_at=NOW - 1)},
    )
    assert decide(busy)
    without: dict[str, Any] = {missing: False}
    assert decide(replace(busy, **without)) == ()


# --- fencing ------------------------------------------------------------------------------------------------------


def test_only_an_expired_lease_is_fenced() -> None:
    nodes = {"b": node("b", lease_expires_at=NOW), "c": node("c", lease_expires_at=NOW + 0.001)}
    assert fences(view("a", nodes=nodes)) == ["b"]


def test_silence_alone_fences_nobody() -> None:
    assert fences(view("a", nodes={"b": node("b", heard=False, ready=False)})) == []


def test_nobody_fences_itself() -> None:
    assert fences(view("a", nodes={"a": node("a", lease_expires_at=NOW - 9)})) == []


@pytest.mark.parametrize("state", [LeaseState.FENCED, LeaseState.LEFT, LeaseState.AWAY, None])
def test_what_is_not_live_is_not_fenced(state: LeaseState | None) -> None:
    assert fences(view("a", nodes={"b": node("b", member=state, lease_expires_at=NOW - 9)})) == []


def test_a_lease_that_was_never_seen_is_not_fenced() -> None:
    assert fences(view("a", nodes={"b": node("b", lease_expires_at=None)})) == []


def test_fencing_names_the_very_records_that_expired() -> None:
    expired = node("b", lease_expires_at=NOW - 1, member_revision=31, lease_revision=32, incarnation="b-9")
    assert decide(view("a", nodes={"b": expired})) == (
        Fence(node="b", incarnation="b-9", member_revision=31, lease_revision=32),
    )


def test_a_witness_fences_too() -> None:
    nodes = {"c": node("c", witness=True), "b": node("b", lease_expires_at=NOW - 1)}
    assert fences(view("c", nodes=nodes)) == ["b"]


# --- taking over ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [LeaseState.FENCED, LeaseState.LEFT])
def test_a_group_is_taken_over_from_an_owner_that_was_fenced_or_has_left(state: LeaseState) -> None:
    decision = place(view("b", group_view(placed("a")), nodes=gone("a", state)))
    assert decision.placement.owner == "b"
    assert decision.placement.cause is Cause.NODE_LOST


@pytest.mark.parametrize(
    "owner",
    [
        node("a", heard=False, ready=False),
        node("a", heard=False, lease_expires_at=NOW - 60),
        node("a", member=LeaseState.AWAY, heard=False),
        node("a", member=None, heard=False),
        node("a", ready=False),
    ],
    ids=["silent", "expired but not fenced yet", "away", "never joined", "not ready"],
)
def test_nothing_is_taken_over_from_an_owner_that_may_have_something_online(owner: NodeView) -> None:
    assert places(view("b", group_view(placed("a")), nodes={"a": owner})) == []


def test_nothing_is_taken_over_from_an_owner_that_the_configuration_does_not_name() -> None:
    assert places(view("b", group_view(placed("z")))) == []


def test_a_take_over_is_guarded_by_the_records_that_it_was_concluded_from() -> None:
    lost = gone("a")
    decision = place(view("b", group_view(placed("a")), nodes=lost))
    assert decision.revision == 7
    assert decision.unchanged == (("a", lost["a"].member_revision),)
    assert decision.placement.holders == ("b",)
    assert decision.placement.source == "a"


def test_a_take_over_raises_the_generation() -> None:
    assert place(view("b", group_view(placed("a", generation=4)), nodes=gone("a"))).placement.generation == 5


def test_a_third_holder_that_may_have_something_online_stays_a_holder() -> None:
    decision = place(view("b", group_view(placed("a", "a", "c")), nodes=gone("a")))
    assert set(decision.placement.holders) == {"b", "c"}


def test_only_the_chosen_target_takes_over() -> None:
    lost = group_view(placed("a"))
    assert places(view("b", lost, nodes=gone("a")))
    assert places(view("c", lost, nodes=gone("a"))) == []
    assert place(view("c", lost, nodes=gone("a") | {"b": node("b", heard=False)})).placement.owner == "c"


def test_what_is_wanted_offline_is_not_taken_over() -> None:
    assert places(view("b", group_view(placed("a", wanted=Wanted.OFFLINE)), nodes=gone("a"))) == []


# --- the first placement ------------------------------------------------------------------------------------------


def test_the_first_placement_has_every_node_that_may_have_something_online_among_its_holders() -> None:
    nodes = {"b": node("b", heard=False, ready=False), "c": node("c", member=LeaseState.AWAY, heard=False)}
    decision = place(view("a", group_view(), nodes=nodes))
    assert decision.placement.owner == "a"
    assert decision.placement.generation == 1
    assert set(decision.placement.holders) == {"a", "b", "c"}
    assert decision.revision == 0


def test_the_first_placement_leaves_out_the_gone_guarded_by_their_records() -> None:
    lost = gone("b", LeaseState.LEFT)
    decision = place(view("a", group_view(), nodes=lost))
    assert set(decision.placement.holders) == {"a", "c"}
    assert decision.unchanged == (("b", lost["b"].member_revision),)


def test_a_group_goes_first_where_it_runs_already() -> None:
    nodes = {"c": node("c", online={GROUP: 2})}
    assert place(view("c", group_view(), nodes=nodes)).placement.owner == "c"
    assert places(view("a", group_view(), nodes=nodes)) == []


def test_a_group_goes_first_to_its_most_preferred_node() -> None:
    wanted = group_view(group=group(nodes=("c", "b", "a")))
    assert place(view("c", wanted)).placement.owner == "c"
    assert places(view("a", wanted)) == []


def test_a_node_outside_of_the_group_never_places_it() -> None:
    assert places(view("c", group_view(group=group(nodes=("a", "b"))), nodes=gone("a") | gone("b"))) == []


@pytest.mark.parametrize("other", [node("b", member=None), node("b", heard=False), node("b", ready=False)])
def test_the_first_placement_waits_a_while_for_who_may_still_show_up(other: NodeView) -> None:
    assert places(view("a", group_view(), nodes={"b": other}, settle_until=NOW + 1)) == []


@pytest.mark.parametrize("other", [node("b", member=None), node("b", heard=False)])
def test_it_does_not_wait_for_ever_for_who_is_not_heard(other: NodeView) -> None:
    assert places(view("a", group_view(), nodes={"b": other}, settle_until=NOW))


# --- letting go -------------------------------------------------------------------------------------------------


def test_a_holder_lets_go_only_when_nothing_is_there() -> None:
    elsewhere = placed("b", "a", "b")
    assert places(view("a", group_view(elsewhere, all_absent=False))) == []
    decision = place(view("a", group_view(elsewhere, all_absent=True)))
    assert decision.placement == replace(elsewhere, holders=("b",))


def test_the_owner_of_what_is_wanted_online_stays_a_holder_though_nothing_is_there_yet() -> None:
    assert places(view("a", group_view(placed("a"), all_absent=True))) == []


def test_the_owner_lets_go_of_what_is_wanted_offline() -> None:
    decision = place(view("a", group_view(placed("a", wanted=Wanted.OFFLINE), all_absent=True)))
    assert decision.placement.holders == ()
    assert decision.placement.owner == "a"
    assert decision.placement.generation == 4


def test_an_owner_that_had_let_go_is_a_holder_again_before_it_acts() -> None:
    let_go = replace(placed("a"), holders=())
    assert place(view("a", group_view(let_go, all_absent=True))).placement.holders == ("a",)


def test_the_owner_drops_a_holder_that_is_gone_guarded_by_its_record() -> None:
    lost = gone("b")
    decision = place(view("a", group_view(placed("a", "b", "a")), nodes=lost))
    assert decision.placement == placed("a", "a")
    assert decision.unchanged == (("b", lost["b"].member_revision),)


@pytest.mark.parametrize("state", [LeaseState.LIVE, LeaseState.AWAY])
def test_a_holder_that_is_merely_silent_stays_one(state: LeaseState) -> None:
    silent = {"b": node("b", member=state, heard=False, lease_expires_at=None)}
    assert places(view("a", group_view(placed("a", "b", "a")), nodes=silent)) == []


def test_nobody_but_the_owner_drops_holders() -> None:
    assert places(view("c", group_view(placed("a", "a", "b")), nodes=gone("b"))) == []


# --- faults, budget, obstacles ------------------------------------------------------------------------------------


def faulted(**fields: Any) -> GroupView:
    return group_view(placed("a"), given_up="db", given_up_reason="exit status 1", **fields)


def test_the_owner_hands_over_what_it_has_given_up_and_puts_the_fault_on_record() -> None:
    decision = place(view("a", faulted()))
    assert (decision.placement.owner, decision.fault) == ("b", "db")
    assert decision.placement.cause is Cause.FAULT
    assert decision.placement.reason == "db: exit status 1"
    assert "a" in decision.placement.holders


def test_only_the_owner_judges_its_own_faults() -> None:
    assert decide(view("b", faulted())) == ()


def test_no_automatic_move_beyond_the_budget() -> None:
    busy = group(max_moves=3)
    assert places(view("a", faulted(group=busy, recent_moves=2)))
    found = blocked(view("a", faulted(group=busy, recent_moves=3)))
    assert found.obstacle is Obstacle.TOO_MANY_MOVES
    assert "moved 3 times" in found.text


def test_a_take_over_counts_against_the_budget_too() -> None:
    lost = group_view(placed("a"), group=group(max_moves=1), recent_moves=1)
    assert blocked(view("b", lost, nodes=gone("a"))).obstacle is Obstacle.TOO_MANY_MOVES


def test_without_a_target_the_group_is_blocked_and_every_refusal_is_told() -> None:
    found = blocked(
        view("a", faulted(faults={"c": "no space"}), nodes={"b": node("b", heard=False)}),
    )
    assert found.obstacle is Obstacle.NO_TARGET
    assert "db: exit status 1" in found.text
    assert "b sends no heartbeats" in found.text
    assert "c had a fault in this group (no space)" in found.text
    assert "a had" not in found.text


def test_blocked_changes_nothing() -> None:
    decisions = decide(view("a", faulted(faults={"b": "x", "c": "y"})))
    assert [type(each) for each in decisions] == [Blocked]


# --- stopping -----------------------------------------------------------------------------------------------------


def stopping(*groups: GroupView, **nodes: NodeView) -> View:
    return view("a", *groups, nodes={"a": node("a", stopping=True)} | nodes, stopping=True)


def test_a_stopping_owner_hands_over_before_its_components_are_offline() -> None:
    decision = place(stopping(group_view(placed("a"), all_absent=False)))
    assert decision.placement.owner == "b"
    assert decision.placement.cause is Cause.SHUTDOWN
    assert "a" in decision.placement.holders


def test_a_stop_is_no_automatic_move_that_a_budget_could_forbid() -> None:
    assert place(stopping(group_view(placed("a"), group=group(max_moves=0), recent_moves=9))).placement.owner == "b"


def test_without_a_target_a_stopping_owner_keeps_the_group_until_nothing_is_there() -> None:
    alone = {name: node(name, heard=False) for name in ("b", "c")}
    assert places(stopping(group_view(placed("a"), all_absent=False), **alone)) == []
    assert place(stopping(group_view(placed("a"), all_absent=True), **alone)).placement.holders == ()


def test_on_stop_leave_moves_nothing() -> None:
    assert decide(stopping(group_view(placed("a"), group=group(on_stop=OnStop.LEAVE)))) == ()


def test_nothing_is_taken_over_or_begun_by_a_node_that_stops() -> None:
    assert decide(stopping(group_view(placed("b")), group_view(group=group("h")), **gone("b"))) == ()


# --- whatever the view ----------------------------------------------------------------------------------------------

states = st.sampled_from([LeaseState.LIVE, LeaseState.FENCED, LeaseState.LEFT, LeaseState.AWAY, None])
moments = st.sampled_from([None, NOW - 1, NOW, NOW + 1])


@st.composite
def views(draw: st.DrawFn) -> View:
    flag = st.booleans()
    nodes = {
        name: node(
            name,
            member=draw(states),
            heard=draw(flag),
            ready=draw(flag),
            stopping=draw(flag),
            lease_expires_at=draw(moments),
            online={GROUP: draw(st.integers(0, 2))},
            unprobed=frozenset({GROUP}) if draw(st.integers(0, 4)) == 0 else frozenset[str](),
        )
        for name in "abc"
    }
    me = draw(st.sampled_from("abc"))
    nodes[me] = replace(nodes[me], heard=True, member=LeaseState.LIVE)
    holders = draw(st.lists(st.sampled_from("abc"), unique=True))
    record = Placement(
        owner=draw(st.sampled_from("abcz")),
        generation=draw(st.integers(1, 9)),
        holders=tuple(holders),
        wanted=draw(st.sampled_from(Wanted)),
    )
    made = group_view(
        draw(st.none() | st.just(record)),
        group=group(nodes=tuple(draw(st.permutations("abc")))[: draw(st.integers(1, 3))], max_moves=2),
        all_absent=draw(flag),
        given_up=draw(st.sampled_from([None, "db"])),
        faults={name: "x" for name in "abc" if draw(st.integers(0, 3)) == 0},
        recent_moves=draw(st.integers(0, 3)),
    )
    return view(me, made, nodes=nodes, stopping=nodes[me].stopping, settle_until=draw(st.sampled_from([0, NOW + 1])))


def own(decision: Decision) -> Place | None:
    return decision if isinstance(decision, Place) else None


@given(views())
def test_a_generation_changes_exactly_with_the_owner(of: View) -> None:
    old = of.groups[GROUP].placement
    for made in filter(None, map(own, decide(of))):
        if old is None:
            assert made.placement.generation == 1
        else:
            assert made.placement.generation - old.generation == (made.placement.owner != old.owner)


@given(views())
def test_a_holder_is_dropped_only_by_its_own_word_or_because_it_is_gone(of: View) -> None:
    seen = of.groups[GROUP]
    for made in filter(None, map(own, decide(of))):
        dropped = set(seen.placement.holders if seen.placement else ()) - set(made.placement.holders)
        for name in dropped:
            if name == of.me:
                assert seen.all_absent
            else:
                assert of.nodes[name].member in GONE
                assert (name, of.nodes[name].member_revision) in made.unchanged


@given(views())
def test_only_who_is_entitled_changes_a_placement(of: View) -> None:
    """The owner for itself; the target of what a gone owner had; a holder that lets go of its own."""
    old = of.groups[GROUP].placement
    for made in filter(None, map(own, decide(of))):
        if old is not None and old.owner not in {made.placement.owner, of.me}:
            assert made.placement.owner == of.me
            assert of.nodes[old.owner].member in GONE
        if old is not None and made.placement.owner != old.owner:
            assert refusal(of, of.groups[GROUP], made.placement.owner) is None
            assert old.wanted is Wanted.ONLINE


@given(views())
def test_at_most_one_decision_for_a_group_and_none_that_changes_nothing(of: View) -> None:
    made = [each for each in decide(of) if not isinstance(each, Fence)]
    assert len(made) <= 1
    for each in filter(None, map(own, made)):
        assert each.placement != of.groups[GROUP].placement


@given(views())
def test_two_nodes_with_the_same_view_never_both_take_a_group(of: View) -> None:
    takers = []
    for name in "abc":
        if of.nodes[name].member is not LeaseState.LIVE or not of.nodes[name].heard:
            continue
        seen = replace(of, me=name, stopping=of.nodes[name].stopping)
        takers += [each.placement.owner for each in places(seen) if seen.groups[GROUP].placement is None]
    assert len(set(takers)) <= 1


@given(views())
def test_the_next_deadline_is_in_the_future(of: View) -> None:
    deadline = next_deadline(of)
    assert deadline is None or deadline > of.now
