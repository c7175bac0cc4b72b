"""Groups that require groups: where they may be, what moves with what, and what an operator is told."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from failoverd.domain.decide import Blocked, Decision, Obstacle, Place, decide
from failoverd.domain.eligibility import Refusal, choose, refusal
from failoverd.domain.holds import Held, Hold, HoldKind, Holds, Subject
from failoverd.domain.model import Component, Group, RequiredFault, Requirement, Where
from failoverd.domain.operator import Denial, Denied, request_offline, request_online, request_switch
from failoverd.domain.placement import Cause, Placement, Wanted
from failoverd.domain.requires import FORCED, Known, all_dependents, essential, in_order, may_stay, misplaced, unmet
from failoverd.domain.view import GroupView, View
from tests.unit.domain.views import HASH, gone, group, group_view, node, placed, view

BY = "a uid=0"
SAME, OTHER, ANY = Where.SAME_NODE, Where.OTHER_NODE, Where.ANYWHERE
FOLLOW, STAY = RequiredFault.FOLLOW, RequiredFault.STAY
EVERY = dict.fromkeys(("db", "shop", "mail"), HASH)


def need(where: Where = SAME, on_fault: RequiredFault = FOLLOW, group: str = "db") -> Requirement:
    return Requirement(group=group, where=where, on_fault=on_fault)


def db(placement: Placement | None, **fields: Any) -> GroupView:
    return group_view(placement, group=group("db", **fields))


def shop(
    placement: Placement | None,
    *needs: Requirement,
    name: str = "shop",
    nodes: tuple[str, ...] = ("a", "b", "c"),
    **fields: Any,
) -> GroupView:
    return group_view(placement, group=group(name, nodes, requires=needs or (need(),)), **fields)


def cluster(me: str, *groups: GroupView, nodes: Any = None, **fields: Any) -> View:
    known = {name: node(name, config_hashes=EVERY) for name in ("a", "b", "c")} | (nodes or {})
    return view(me, *groups, nodes=known, **fields)


def places(of: View) -> dict[str, Placement]:
    return {each.group: each.placement for each in decide(of) if isinstance(each, Place)}


def blocked(found: tuple[Decision, ...]) -> Blocked:
    (one,) = [each for each in found if isinstance(each, Blocked)]
    return one


# --- where it may be ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("where", "allowed"), [(SAME, {"a"}), (OTHER, {"b", "c"}), (ANY, {"a", "b", "c"})], ids=["same", "other", "any"]
)
def test_the_nodes_that_a_requirement_leaves(where: Where, allowed: set[str]) -> None:
    wanted = shop(None, need(where))
    seen = cluster("a", db(placed("a")), wanted)
    assert {name for name in "abc" if refusal(seen, wanted, name) is None} == allowed


@pytest.mark.parametrize("where", [SAME, OTHER])
def test_a_group_is_not_placed_before_the_one_it_must_be_beside_or_apart_from(where: Where) -> None:
    wanted = shop(None, need(where))
    seen = cluster("a", db(None), wanted)
    assert {refusal(seen, wanted, name) for name in "abc"} == {Refusal.REQUIREMENT}


def test_it_is_first_placed_where_the_other_is() -> None:
    wanted = shop(None)
    assert places(cluster("b", db(placed("b")), wanted))["shop"].owner == "b"
    assert places(cluster("a", db(placed("b")), wanted)) == {}


def test_the_essential_components_are_the_critical_ones_or_all() -> None:
    assert essential(group()) == {"db"}
    lax = {name: Component(name=name, type="fake", critical=False) for name in ("x", "y")}
    assert essential(Group(name="g", nodes=("a",), components=lax)) == {"x", "y"}


# --- on the node ----------------------------------------------------------------------------------------------------


def test_what_a_component_waits_for_is_said() -> None:
    assert unmet(need(), Known(None), "a") == "db has no owner yet"
    assert unmet(need(), Known(placed("b"), up=True), "a") == "db is on b"
    assert unmet(need(OTHER), Known(placed("a"), up=True), "a") == "db is on a"
    assert unmet(need(), Known(placed("a"), up=False), "a") == "db is not online on a"
    assert unmet(need(ANY), Known(placed("b"), up=None), "a") == "db is not online on b"
    assert unmet(need(ANY), Known(placed("b", wanted=Wanted.OFFLINE), up=True), "a") == "db is wanted offline"
    assert unmet(need(), Known(placed("a"), up=True), "a") == ""


MAY_STAY = [
    # where, on_fault, placement of db, up, keeps, may what is online on a stay?
    (SAME, FOLLOW, placed("a"), True, True, True),
    (SAME, FOLLOW, placed("a"), False, False, False),
    (SAME, FOLLOW, placed("b", cause=Cause.FAULT), True, True, False),
    (SAME, FOLLOW, placed("a", wanted=Wanted.OFFLINE), True, True, False),
    (SAME, STAY, placed("a"), False, False, True),
    (SAME, STAY, placed("b", cause=Cause.FAULT), True, True, True),
    (SAME, STAY, placed("b", cause=Cause.NODE_LOST), False, True, True),
    (SAME, STAY, placed("b", cause=Cause.OPERATOR), True, True, False),
    (SAME, STAY, placed("a", wanted=Wanted.OFFLINE), False, False, True),
    (OTHER, FOLLOW, placed("b"), True, True, True),
    (OTHER, FOLLOW, placed("b"), False, True, False),
    (OTHER, FOLLOW, placed("b"), None, True, True),
    (OTHER, STAY, placed("b"), False, True, True),
    (OTHER, STAY, placed("a"), True, True, False),
    (ANY, FOLLOW, placed("b"), False, True, False),
    (ANY, FOLLOW, placed("a"), True, False, False),
    (ANY, FOLLOW, placed("b"), None, True, True),
    (ANY, STAY, placed("b"), False, True, True),
]


@pytest.mark.parametrize("case", MAY_STAY)
def test_what_is_online_stays_or_goes(case: tuple[Where, RequiredFault, Placement, bool | None, bool, bool]) -> None:
    where, on_fault, placement, up, keeps, expected = case
    assert may_stay(need(where, on_fault), Known(placement, up=up, keeps=keeps), "a") is expected


def test_what_is_not_known_takes_nothing_down() -> None:
    for where in Where:
        assert may_stay(need(where), Known(None), "a")


# --- what moves -----------------------------------------------------------------------------------------------------


def test_a_group_follows_the_one_it_needs_beside_it() -> None:
    moved = placed("b", "a", "b", cause=Cause.OPERATOR)
    found = places(cluster("a", db(moved), shop(placed("a"))))
    assert (found["shop"].owner, found["shop"].cause, found["shop"].reason) == ("b", Cause.REQUIRED, "db is on b")
    assert found["shop"].holders == ("a", "b")


def test_both_are_moved_in_one_round_when_their_node_is_drained_or_stops() -> None:
    for fields in ({"nodes": {"a": node("a", draining=True, config_hashes=EVERY)}}, {"stopping": True}):
        found = places(cluster("a", shop(placed("a")), db(placed("a")), **fields))
        assert {name: each.owner for name, each in found.items()} == {"db": "b", "shop": "b"}


def test_both_are_taken_over_in_one_round_from_a_node_that_is_lost() -> None:
    found = places(cluster("b", shop(placed("a")), db(placed("a")), nodes=gone("a")))
    assert {name: each.owner for name, each in found.items()} == {"db": "b", "shop": "b"}


def test_a_failover_goes_where_the_dependent_can_go_too() -> None:
    two = shop(placed("a"), nodes=("a", "c"))
    assert choose(cluster("a", db(placed("a")), two), db(placed("a")), without=frozenset("a")) == "c"


def test_what_must_be_apart_makes_room() -> None:
    found = places(cluster("b", db(placed("b", cause=Cause.NODE_LOST)), shop(placed("b"), need(OTHER))))
    assert found["shop"].owner in {"a", "c"}


def test_what_has_no_place_left_is_blocked_with_the_reason() -> None:
    apart = shop(placed("b"), need(OTHER), nodes=("a", "b"))
    found = blocked(decide(cluster("b", db(placed("b")), apart, nodes=gone("a"))))
    assert (found.group, found.obstacle) == ("shop", Obstacle.NO_TARGET)
    assert found.text == "cannot be on b, because db is on b; a is fenced"


def test_a_fault_of_the_dependent_alone_does_not_move_the_other() -> None:
    hurt = shop(placed("a"), given_up="db", given_up_reason="broken")
    found = decide(cluster("a", db(placed("a")), hurt))
    assert not places(cluster("a", db(placed("a")), hurt))
    assert "b is not eligible: shop needs db on the same node, and db is on a" in blocked(found).text


def test_stay_follows_what_was_planned_and_not_what_was_forced() -> None:
    for cause in Cause:
        other = db(placed("b", cause=cause))
        stays = shop(placed("a"), need(SAME, STAY))
        assert bool(misplaced(cluster("a", other, stays), stays)[0]) is (cause not in FORCED)


def test_stay_goes_after_all_once_nothing_of_it_is_online() -> None:
    down = shop(placed("a"), need(SAME, STAY), all_absent=True)
    assert places(cluster("a", db(placed("b", cause=Cause.FAULT)), down))["shop"].owner == "b"


def test_nothing_follows_what_is_wanted_offline_and_nothing_moves_that_is_frozen() -> None:
    assert places(cluster("a", db(placed("b", wanted=Wanted.OFFLINE)), shop(placed("a")))) == {}
    frozen = Holds({Subject(HoldKind.FREEZE_GROUP, "shop"): Held(Hold(by="b"), 3)})
    assert places(cluster("a", db(placed("b")), shop(placed("a")), holds=frozen)) == {}


def test_a_drain_does_not_take_a_group_from_beneath_a_frozen_one() -> None:
    frozen = Holds({Subject(HoldKind.FREEZE_GROUP, "shop"): Held(Hold(by="b"), 3)})
    nodes = {"a": node("a", draining=True, config_hashes=EVERY)}
    found = decide(cluster("a", db(placed("a")), shop(placed("a")), holds=frozen, nodes=nodes))
    assert [each.obstacle for each in found if isinstance(each, Blocked)] == [Obstacle.CANNOT_DRAIN]
    assert not [each for each in found if isinstance(each, Place)]


@given(st.permutations(["a", "b", "c", "d"]), st.data())
def test_the_order_has_every_group_after_what_it_requires(names: list[str], data: st.DataObject) -> None:
    groups = {}
    for position, name in enumerate(names):
        below = data.draw(st.lists(st.sampled_from(names[:position]), unique=True)) if position else []
        groups[name] = shop(placed("a"), *(need(group=each) for each in below), name=name)
    order = [each.group.name for each in in_order(groups)]
    for each in groups.values():
        for one in each.group.requires:
            if one.group in groups:
                assert order.index(one.group) < order.index(each.group.name)


# --- operators ------------------------------------------------------------------------------------------------------


def denied(found: object) -> Denied:
    assert isinstance(found, Denied), found
    return found


def test_a_switch_away_from_what_it_needs_is_refused_with_the_way_to_do_it() -> None:
    wanted = shop(placed("a"))
    found = denied(request_switch(cluster("a", db(placed("a")), wanted), wanted, "b", by=BY))
    assert found.code is Denial.REFUSED_TARGET
    assert found.text == (
        "b cannot take shop: it is not eligible: shop needs db on the same node, and db is on a; "
        "to move them together: failoverd switch db --to b"
    )


def test_a_switch_to_where_a_dependent_cannot_go_is_refused() -> None:
    seen = cluster("a", db(placed("a")), shop(placed("a"), faults={"b": "disk full"}))
    found = denied(request_switch(seen, seen.groups["db"], "b", by=BY))
    assert found.code is Denial.REQUIRED
    assert "shop, which requires it, could not follow: b had a fault in this group (disk full)" in found.text
    assert isinstance(request_switch(seen, seen.groups["db"], "c", by=BY), Place)


def test_a_switch_without_a_node_takes_the_one_where_all_can_go() -> None:
    seen = cluster("a", db(placed("a")), shop(placed("a"), faults={"b": "disk full"}))
    found = request_switch(seen, seen.groups["db"], None, by=BY)
    assert isinstance(found, Place)
    assert found.placement.owner == "c"


def test_online_of_a_group_whose_requirement_is_not_wanted_is_refused() -> None:
    off = placed("a", wanted=Wanted.OFFLINE)
    seen = cluster("a", db(off), shop(off))
    found = denied(request_online(seen, seen.groups["shop"], None, by=BY))
    assert found.code is Denial.LACKS
    assert found.text == "shop needs db on the same node, and db is wanted offline; first: failoverd online db"


def test_offline_beneath_others_is_refused_unless_they_may_stay() -> None:
    seen = cluster("a", db(placed("a")), shop(placed("a")))
    found = denied(request_offline(seen, seen.groups["db"], by=BY))
    assert found.code is Denial.REQUIRED
    assert "failoverd offline db --with-dependents" in found.text
    assert isinstance(request_offline(seen, seen.groups["shop"], by=BY), Place)
    stays = cluster("a", db(placed("a")), shop(placed("a"), need(ANY, STAY)))
    assert isinstance(request_offline(stays, stays.groups["db"], by=BY), Place)


def test_all_that_depends_on_a_group_goes_offline_from_the_top() -> None:
    top = shop(placed("a"), need(group="shop"), need(group="db"), name="mail")
    seen = cluster("a", db(placed("a")), top, shop(placed("a")))
    assert [each.group.name for each in all_dependents(seen, seen.groups["db"])] == ["mail", "shop"]
