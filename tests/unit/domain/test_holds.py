"""What operators have put on hold, and what is still decided of it."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from failoverd.domain.decide import Blocked, Decision, Obstacle, Place, decide
from failoverd.domain.holds import FREEZE_ALL, Held, Hold, HoldKind, Holds, Subject, way_out
from failoverd.domain.operator import Answer, Denial, Denied, request_offline, request_online, request_switch
from failoverd.domain.placement import Cause, LeaseState, Wanted
from failoverd.domain.view import GroupView, NodeView, View
from tests.unit.domain.views import GROUP, gone, group_view, node, placed, view

GROUP_FROZEN = Subject(HoldKind.FREEZE_GROUP, GROUP)
A_FROZEN = Subject(HoldKind.FREEZE_NODE, "a")
A_DRAINS = Subject(HoldKind.DRAIN, "a")


def holding(*subjects: Subject, reason: str = "") -> Holds:
    return Holds({each: Held(Hold(by="b uid=0", reason=reason), 70 + n) for n, each in enumerate(subjects)})


def seen(me: str, group: GroupView, *subjects: Subject, nodes: dict[str, NodeView] | None = None) -> View:
    """As the view builder makes it: what is said of nodes is in them too."""
    holds = holding(*subjects)
    made = {name: node(name) for name in ("a", "b", "c")} | (nodes or {})
    marked = {
        name: replace(each, draining=holds.draining(name), frozen=holds.node_frozen(name))
        for name, each in made.items()
    }
    return view(me, group, nodes=marked, holds=holds)


def only(decisions: tuple[Decision, ...]) -> Decision | None:
    assert len(decisions) < 2
    return decisions[0] if decisions else None


# --- frozen -------------------------------------------------------------------------------------------------------


def test_a_frozen_group_of_a_lost_node_is_left_alone_and_everybody_says_so() -> None:
    for subject in (GROUP_FROZEN, A_FROZEN, FREEZE_ALL):
        for me in ("b", "c"):
            found = only(decide(seen(me, group_view(placed("a")), subject, nodes=gone("a"))))
            assert isinstance(found, Blocked), subject
            assert found.obstacle is Obstacle.FROZEN
            assert "a was lost; nothing is done about it: frozen" in found.text


def test_a_fault_in_a_frozen_group_moves_nothing() -> None:
    found = only(decide(seen("a", group_view(placed("a"), given_up="db", given_up_reason="exit 1"), GROUP_FROZEN)))
    assert isinstance(found, Blocked)
    assert found.text.startswith("db: exit 1; nothing is done about it")


def test_a_frozen_group_is_not_placed_and_not_handed_over_at_a_stop() -> None:
    assert decide(seen("a", group_view(), GROUP_FROZEN)) == ()
    assert decide(replace(seen("a", group_view(placed("a")), GROUP_FROZEN), stopping=True)) == ()


def test_the_record_of_a_frozen_group_is_kept_true() -> None:
    released = only(decide(seen("b", group_view(placed("a", "a", "b"), all_absent=True), GROUP_FROZEN)))
    assert isinstance(released, Place)
    assert released.placement.holders == ("a",)
    assert released.holds == ()


def test_what_freezes_another_node_or_group_changes_nothing_but_where_it_may_go() -> None:
    others = (Subject(HoldKind.FREEZE_GROUP, "h"), Subject(HoldKind.FREEZE_NODE, "b"))
    found = only(decide(seen("c", group_view(placed("a")), *others, nodes=gone("a"))))
    assert isinstance(found, Place)
    assert found.placement.owner == "c"


def test_an_operator_is_refused_what_is_frozen_and_told_the_way_out() -> None:
    for subject in (GROUP_FROZEN, A_FROZEN, FREEZE_ALL):
        record = group_view(placed("a"))
        of = seen("c", record, subject)
        answers: list[Answer] = [
            request_switch(of, record, "b", by="x"),
            request_online(of, record, None, by="x"),
            request_offline(of, record, by="x"),
        ]
        for answer in answers:
            assert isinstance(answer, Denied)
            assert answer.code is Denial.FROZEN
            assert way_out(subject) in answer.text
            assert "b uid=0" in answer.text


# --- draining -----------------------------------------------------------------------------------------------------


def test_a_node_that_is_drained_gives_its_group_away_whatever_the_budget() -> None:
    found = only(decide(seen("a", group_view(placed("a"), recent_moves=99), A_DRAINS)))
    assert isinstance(found, Place)
    assert (found.placement.owner, found.placement.cause) == ("b", Cause.DRAIN)


def test_only_the_drained_node_itself_does() -> None:
    assert decide(seen("b", group_view(placed("a")), A_DRAINS)) == ()


def test_a_group_that_nobody_else_can_take_stays_and_the_reason_is_said() -> None:
    away = {"b": node("b", ready=False), "c": node("c", member=LeaseState.LEFT)}
    found = only(decide(seen("a", group_view(placed("a")), A_DRAINS, nodes=away)))
    assert isinstance(found, Blocked)
    assert found.obstacle is Obstacle.CANNOT_DRAIN
    assert "b is still finding out" in found.text
    assert "c was stopped" in found.text


def test_what_is_wanted_offline_need_not_move() -> None:
    assert decide(seen("a", group_view(placed("a", wanted=Wanted.OFFLINE)), A_DRAINS)) == ()


def test_nothing_is_placed_on_a_drained_node_not_even_by_an_operator() -> None:
    record = group_view(placed("b"))
    answer = request_switch(seen("b", record, A_DRAINS), record, "a", by="x")
    assert isinstance(answer, Denied)
    assert "is being drained" in answer.text


# --- right before the action --------------------------------------------------------------------------------------

SUBJECTS = (GROUP_FROZEN, FREEZE_ALL, *(Subject(k, n) for k in (HoldKind.FREEZE_NODE, HoldKind.DRAIN) for n in "abc"))


@given(
    held=st.sets(st.sampled_from(SUBJECTS)),
    me=st.sampled_from("abc"),
    owner=st.sampled_from([None, "a", "b", "c"]),
    lost=st.booleans(),
    given_up=st.booleans(),
)
def test_every_change_of_owner_compares_all_that_could_forbid_it(
    held: set[Subject], me: str, owner: str | None, lost: bool, given_up: bool
) -> None:
    lost = lost and owner != me
    record = group_view(placed(owner) if owner else None, given_up="db" if given_up else None)
    of = seen(me, record, *held, nodes=gone(owner) if owner and lost else None)
    for found in decide(of):
        if not isinstance(found, Place) or (owner and found.placement.owner == owner):
            continue
        target = found.placement.owner
        forbidding = {GROUP_FROZEN, FREEZE_ALL}
        forbidding |= {Subject(k, n) for k in (HoldKind.FREEZE_NODE,) for n in (owner, target) if n}
        forbidding.add(Subject(HoldKind.DRAIN, target))
        assert not held & forbidding
        compared = dict(found.holds)
        assert forbidding <= compared.keys()
        assert all(compared[each] == 0 for each in forbidding)
