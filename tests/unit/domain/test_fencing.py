"""When a node is shot at, and by whom: design section 3, "suspicion is not proof", one test for each part."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from failoverd.domain.decide import Blocked, Obstacle, Place, decide, next_deadline
from failoverd.domain.fence_record import FencedHow, FenceEntry, FenceLevel, FenceRecord, FenceState
from failoverd.domain.fencing import Shoot, ShotCause, grace_s, shots, still_called_for, turn_s
from failoverd.domain.holds import Held, Hold, HoldKind, Holds, Subject
from failoverd.domain.placement import Cause, LeaseState, Wanted
from failoverd.domain.view import GroupView, NodeView, View
from tests.unit.domain.views import NOW, group, group_view, node, placed, view

RENEW_S = 0.5
LEVELS = (FenceLevel(agents=("fence_x",), attempt_s=10.0, attempts=2), FenceLevel(agents=("y", "z"), attempt_s=5.0))
LONGEST_S = 25.0


def dead(name: str = "a", **fields: Any) -> NodeView:
    """Silent, and its lease long overdue, though not expired."""
    plain = node(
        name,
        heard=False,
        suspected=True,
        lease_seen_at=NOW - 2.5,
        renew_s=RENEW_S,
        lease_expires_at=NOW + 0.6,
        fence_levels=LEVELS,
    )
    return replace(plain, **fields)


def of(me: str = "b", *groups: GroupView, a: NodeView | None = None, **fields: Any) -> View:
    """A view of ``me`` in which ``a``, unless said otherwise, is dead and owns a group."""
    nodes = {"a": a or dead(), **fields.pop("nodes", {})}
    return view(me, *(groups or (group_view(placed("a")),)), nodes=nodes, **fields)


def record(state: FenceState, by: str = "c", **fields: Any) -> FenceRecord:
    made: dict[str, Any] = {"incarnation": "a-1", "by_incarnation": f"{by}-1", "deadline_s": 10.0, **fields}
    return FenceRecord(state=state, by=by, **made)


def shot(at: View) -> Shoot:
    (found,) = [each for each in decide(at) if isinstance(each, Shoot)]
    return found


# --- when ---------------------------------------------------------------------------------------------------------


def test_a_silent_node_whose_lease_is_overdue_is_shot_at() -> None:
    made = shot(of())
    assert (made.node, made.cause, made.incarnation, made.attempt) == ("a", ShotCause.SILENT, "a-1", 1)
    assert made.deadline_s == LONGEST_S


def test_the_shot_names_every_record_that_it_was_concluded_from() -> None:
    made = shot(
        of(a=dead(member_revision=3, lease_revision=4, fence_revision=5), nodes={"b": node("b", fence_revision=6)})
    )
    revisions = (made.member_revision, made.lease_revision, made.fence_revision, made.own_fence_revision)
    assert revisions == (3, 4, 5, 6)


@pytest.mark.parametrize(
    ("why", "changed"),
    [
        ("it is heard", {"heard": True, "suspected": False}),
        ("it was never listened to for long enough", {"suspected": False}),
        ("its lease is still renewed", {"lease_seen_at": NOW - 1.4}),
        ("its lease was never seen", {"lease_seen_at": None}),
        ("its lease has ended anyway", {"lease_expires_at": NOW}),
        ("it is fenced", {"member": LeaseState.FENCED}),
        ("it was stopped", {"member": LeaseState.LEFT}),
        ("it left its groups running", {"member": LeaseState.AWAY}),
        ("it never joined", {"member": None}),
        ("it has no device", {"fence_levels": ()}),
        ("it was promised failsafe", {"promised_until": NOW + 0.1}),
        ("it relies on others than us", {"fencers": ("c",)}),
    ],
)
def test_nobody_is_shot_at_where(why: str, changed: dict[str, Any]) -> None:
    del why
    assert shots(of(a=dead(**changed))) == ()


@pytest.mark.parametrize("missing", ["ready", "coordinator_ok", "lease_usable", "trusted"])
def test_nobody_shoots_who_may_not_act(missing: str) -> None:
    fields: dict[str, Any] = {missing: False}
    assert decide(of(**fields)) == ()


def test_who_may_have_forgotten_a_promise_shoots_nobody() -> None:
    assert shots(of(fences_from=NOW + 0.1)) == ()
    assert next_deadline(of(fences_from=NOW + 0.1)) == pytest.approx(NOW + 0.1)


def test_nobody_is_shot_at_for_nothing() -> None:
    nothing = group_view(placed("c"))
    off = group_view(placed("a", wanted=Wanted.OFFLINE))
    assert shots(of("b", nothing)) == shots(of("b", off)) == shots(of("b", group_view())) == ()


def frozen(*subjects: Subject) -> dict[str, Any]:
    return {"holds": Holds({subject: Held(Hold(), 77) for subject in subjects})}


@pytest.mark.parametrize(
    "subject",
    [Subject(HoldKind.FREEZE_NODE, "a"), Subject(HoldKind.FREEZE_GROUP, "g"), Subject(HoldKind.FREEZE_ALL)],
)
def test_nobody_is_shot_at_while_an_operator_wants_hands_off(subject: Subject) -> None:
    assert shots(of(**frozen(subject))) == ()
    assert shots(of("b", stuck(), a=node("a", fence_levels=LEVELS), **frozen(subject))) == ()


def test_a_freeze_that_comes_first_stops_the_shot() -> None:
    made = shot(of(**frozen(Subject(HoldKind.FREEZE_NODE, "c"))))
    assert made.holds == ((Subject(HoldKind.FREEZE_ALL), 0), (Subject(HoldKind.FREEZE_NODE, "a"), 0))


def test_a_holder_that_is_no_owner_any_more_is_shot_at_too() -> None:
    assert shot(of("b", group_view(placed("b", "a", "b")))).node == "a"


def test_two_renewals_overdue_are_counted_from_the_one_that_was_due() -> None:
    overdue = NOW - 3 * RENEW_S
    assert shots(of(a=dead(lease_seen_at=overdue))) != ()
    assert shots(of(a=dead(lease_seen_at=overdue + 0.001))) == ()


def test_how_often_it_renews_is_what_its_own_lease_says() -> None:
    slow = dead(renew_s=1.0)
    assert shots(of(a=slow, renew_s=RENEW_S)) == ()
    assert shots(of(a=replace(slow, renew_s=0.0), renew_s=RENEW_S)) != ()


def test_it_is_looked_at_again_the_moment_that_it_is_overdue() -> None:
    at = of(a=dead(lease_seen_at=NOW - 1.0))
    assert next_deadline(at) == pytest.approx(NOW + 0.5)


# --- stuck components -----------------------------------------------------------------------------------------------


def stuck(**fields: Any) -> GroupView:
    return group_view(placed("b", "a", "b"), stuck_on={"a": "db"}, **fields)


def test_a_stuck_component_is_a_reason_for_the_owner_who_waits_for_it() -> None:
    alive = node("a", fence_levels=LEVELS)
    made = shot(of("b", stuck(), a=alive))
    assert made.cause is ShotCause.STUCK
    assert made.reason == "g/db cannot be taken offline there"
    assert shots(of("c", stuck(), a=alive)) == ()


def test_without_a_device_the_group_is_blocked_and_says_so() -> None:
    (found,) = decide(of("b", stuck(), a=node("a")))
    assert isinstance(found, Blocked)
    assert found.obstacle is Obstacle.STUCK
    assert found.text == "db cannot be taken offline on a, which has no fence device"


def test_while_it_could_not_be_fenced_the_group_is_blocked_with_the_reason() -> None:
    failed = node("a", fence_levels=LEVELS, fence=record(FenceState.FAILED, reason="no route"), fence_seen_at=NOW)
    (found,) = decide(of("b", stuck(), a=failed))
    assert isinstance(found, Blocked)
    assert found.text == "db cannot be taken offline on a, which could not be fenced: no route"


def test_an_owner_with_a_stuck_component_hands_over_so_that_another_may_fence_it() -> None:
    mine = group_view(placed("b"), stuck_here="db")
    (made,) = decide(of("b", mine, a=node("a"), nodes={"b": node("b", fence_levels=LEVELS)}))
    assert isinstance(made, Place)
    assert (made.placement.owner, made.placement.cause) == ("a", Cause.FAULT)
    assert "b" in made.placement.holders
    assert decide(of("b", mine, a=node("a"))) == ()


# --- one at a time ------------------------------------------------------------------------------------------------


def claimed(**fields: Any) -> NodeView:
    return dead(fence=record(FenceState.SHOOTING, **fields), fence_seen_at=NOW - 1, fence_revision=9)


def test_while_another_one_shoots_nobody_else_does() -> None:
    assert shots(of(a=claimed())) == ()


@pytest.mark.parametrize(
    "shooter",
    [node("c", member=LeaseState.FENCED), node("c", member=LeaseState.LEFT), node("c", incarnation="c-2")],
)
def test_a_shot_is_taken_over_from_a_shooter_who_is_gone(shooter: NodeView) -> None:
    made = shot(of(a=claimed(attempt=3), nodes={"c": shooter}))
    assert (made.attempt, made.fence_revision) == (4, 9)


def test_a_shot_is_taken_over_at_the_shooters_own_deadline() -> None:
    assert shots(of(a=replace(claimed(), fence_seen_at=NOW - 10.4))) == ()
    assert shot(of(a=replace(claimed(), fence_seen_at=NOW - 10.5))).attempt == 2


def test_our_own_shot_is_made_once_and_again_only_where_nothing_is_known_of_it() -> None:
    ours = claimed(by="b")
    assert shots(of(a=ours, shooting=frozenset({"a"}))) == ()
    assert shot(of(a=ours)).attempt == 2


def test_what_was_said_of_another_incarnation_counts_for_nothing() -> None:
    for state in FenceState:
        old = dead(fence=record(state, incarnation="a-0"), fence_seen_at=NOW, fence_revision=9)
        made = shot(of(a=old))
        assert (made.attempt, made.incarnation, made.fence_revision) == (1, "a-1", 9)


def test_after_a_failure_there_is_a_pause_that_grows_and_the_others_go_first() -> None:
    def due(by: str, attempt: int, ago_s: float) -> bool:
        failed = record(FenceState.FAILED, by=by, attempt=attempt)
        return bool(shots(of(a=dead(fence=failed, fence_seen_at=NOW - ago_s))))

    assert [due("c", 1, 0.9), due("c", 1, 1.0), due("c", 3, 3.9), due("c", 3, 4.0)] == [False, True, False, True]
    assert [due("b", 1, 1.4), due("b", 1, 1.5)] == [False, True]


def test_who_is_shot_at_does_not_shoot() -> None:
    under_fire = node("b", fence=record(FenceState.SHOOTING, incarnation="b-1"), fence_seen_at=NOW)
    assert shots(of(nodes={"b": under_fire})) == ()
    earlier = replace(under_fire, fence=record(FenceState.SHOOTING, incarnation="b-0"))
    assert shots(of(nodes={"b": earlier})) != ()


def test_before_each_further_attempt_it_is_asked_whether_it_is_still_called_for() -> None:
    made = shot(of())
    assert still_called_for(of(a=claimed(by="b")), made)
    assert not still_called_for(of(a=dead(heard=True, suspected=False)), made)
    assert not still_called_for(of(a=dead(incarnation="a-2")), made)
    assert not still_called_for(of(a=dead(member=LeaseState.FENCED)), made)


# --- who first ----------------------------------------------------------------------------------------------------


def test_who_owns_less_leaves_the_other_one_time_for_a_sign_of_life() -> None:
    assert shot(of()).grace_s == RENEW_S / 2
    owns = of("b", group_view(placed("b", "a", "b")), group_view(placed("b"), group=group("h")))
    assert shot(owns).grace_s == 0.0


def test_who_is_alive_and_stuck_needs_no_time_for_a_sign_of_life() -> None:
    both = (stuck(), group_view(placed("a"), group=group("h")), group_view(placed("a"), group=group("i")))
    assert shot(of("b", *both, a=node("a", fence_levels=LEVELS))).grace_s == 0.0


def test_survivors_come_one_after_the_other_and_witnesses_last() -> None:
    groups = (group_view(placed("a")), group_view(placed("c"), group=group("h")))
    assert turn_s(of("c", *groups), dead()) == 0.0
    assert turn_s(of("b", *groups), dead()) == RENEW_S / 2
    witness = {"b": node("b", witness=True)}
    assert turn_s(of("b", group_view(placed("a")), nodes=witness), dead()) == RENEW_S / 2
    assert turn_s(of("b", nodes={"c": node("c", heard=False)}), dead()) == 0.0


NODES = "abc"


@st.composite
def torn(draw: st.DrawFn) -> tuple[View, View]:
    """The same cluster as a and b see it, who both hold the other one for dead."""
    owners = {name: draw(st.sampled_from("ab")) for name in draw(st.sets(st.sampled_from("gh"), min_size=1))}
    groups = [group_view(placed(owner, "a", "b"), group=group(name)) for name, owner in owners.items()]
    third = node("c", heard=draw(st.booleans()), witness=draw(st.booleans()))

    def seen(me: str, other: str) -> View:
        nodes = {other: dead(other), me: node(me, fence_levels=LEVELS), "c": third}
        return view(me, *groups, nodes=nodes)

    return seen("a", "b"), seen("b", "a")


@given(torn())
def test_of_two_that_hold_each_other_for_dead_one_is_always_favoured(both: tuple[View, View]) -> None:
    a, b = both
    waits = grace_s(a, a.nodes["b"]), grace_s(b, b.nodes["a"])
    assert sorted(waits) == [0.0, RENEW_S / 2]
    owned = [sum(g.placement.owner == me for g in a.groups.values() if g.placement) for me in "ab"]
    if owned[0] != owned[1]:
        assert (waits[0] < waits[1]) == (owned[0] > owned[1])


# --- the record ---------------------------------------------------------------------------------------------------


def test_the_history_is_bounded_and_the_latest_comes_first() -> None:
    kept = record(FenceState.SHOOTING)
    for number in range(30):
        entry = FenceEntry(
            incarnation="a-1", result=FenceState.FAILED, how=FencedHow.FENCE_AGENT, by="c", reason=f"{number}" * 200
        )
        kept = kept.concluded(FenceState.FAILED, entry)
    assert len(kept.history) == 10
    assert kept.history[0].reason.startswith("2929")
    assert len(kept.reason) <= 300
