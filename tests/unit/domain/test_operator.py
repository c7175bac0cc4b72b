"""What an operator may ask for: one placement, or a denial that says why."""

from dataclasses import replace

import pytest

from failoverd.domain.decide import Place
from failoverd.domain.operator import Answer, Denial, Denied, request_offline, request_online, request_switch
from failoverd.domain.placement import Cause, LeaseState, Wanted
from failoverd.domain.view import GroupView, View
from tests.unit.domain.views import GROUP, gone, group, group_view, node, placed, view

BY = "a uid=0"
OFF = placed("a", wanted=Wanted.OFFLINE)


def place(answer: Answer) -> Place:
    assert isinstance(answer, Place), answer
    return answer


def denied(answer: Answer) -> Denied:
    assert isinstance(answer, Denied), answer
    return answer


def seen(record: GroupView, **fields: object) -> tuple[View, GroupView]:
    return view("a", record, **fields), record  # type: ignore[arg-type]


# --- denials ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        ({"coordinator_ok": False}, "cannot reach the coordinator"),
        ({"lease_usable": False}, "holds no valid lease"),
        ({"ready": False}, "is still finding out"),
        ({"stopping": True}, "is stopping"),
    ],
)
def test_a_node_that_cannot_act_says_so_and_names_the_way_out(missing: dict[str, bool], words: str) -> None:
    of, record = seen(group_view(placed("a")), **missing)
    for answer in (
        request_switch(of, record, "b", by=BY),
        request_online(of, record, None, by=BY),
        request_offline(of, record, by=BY),
    ):
        found = denied(answer)
        assert found.code is Denial.CANNOT_ACT
        assert words in found.text
        assert "ask another node" in found.text


def test_what_was_never_placed_can_be_brought_online_but_not_moved_or_taken_down() -> None:
    of, record = seen(group_view())
    assert denied(request_switch(of, record, "b", by=BY)).code is Denial.NOT_PLACED
    assert denied(request_offline(of, record, by=BY)).code is Denial.NOT_PLACED
    assert place(request_online(of, record, None, by=BY)).placement.owner == "a"


def test_a_node_outside_of_the_group_is_denied_and_the_groups_nodes_are_named() -> None:
    of, record = seen(group_view(placed("a"), group=group(nodes=("a", "b"))))
    found = denied(request_switch(of, record, "c", by=BY))
    assert found.code is Denial.NOT_IN_GROUP
    assert "a, b" in found.text


def test_a_switch_to_where_it_is_is_denied() -> None:
    of, record = seen(group_view(placed("a")))
    assert denied(request_switch(of, record, "a", by=BY)).code is Denial.ALREADY_THERE


def test_online_elsewhere_is_denied_and_names_the_right_command() -> None:
    of, record = seen(group_view(placed("a")))
    found = denied(request_online(of, record, "b", by=BY))
    assert found.code is Denial.OWNED_ELSEWHERE
    assert f"failoverd switch {GROUP} --to b" in found.text


def test_without_any_target_every_refusal_is_told() -> None:
    record = group_view(placed("a"))
    of = view("a", record, nodes=gone("b", LeaseState.LEFT) | {"c": node("c", heard=False)})
    found = denied(request_switch(of, record, None, by=BY))
    assert found.code is Denial.NO_TARGET
    assert "b was stopped; c sends no heartbeats" in found.text


def test_a_target_that_cannot_take_it_is_denied_with_the_reason() -> None:
    record = group_view(placed("a"))
    found = denied(request_switch(view("a", record, nodes=gone("b")), record, "b", by=BY))
    assert found.code is Denial.REFUSED_TARGET
    assert found.text == "b cannot take g: it is fenced"


def test_every_denial_is_tested() -> None:
    assert set(Denial) == {
        Denial.CANNOT_ACT,
        Denial.NOT_PLACED,
        Denial.NOT_IN_GROUP,
        Denial.ALREADY_THERE,
        Denial.OWNED_ELSEWHERE,
        Denial.NO_TARGET,
        Denial.REFUSED_TARGET,
        Denial.FROZEN,  # in test_holds
        Denial.NOT_OFF,  # in test_confirm_off
        Denial.REQUIRED,  # in test_requires, as the next
        Denial.LACKS,
    }


# --- switch -------------------------------------------------------------------------------------------------------


def test_a_switch_changes_the_owner_and_keeps_the_former_one_a_holder() -> None:
    of, record = seen(group_view(placed("a")))
    made = place(request_switch(of, record, "c", by=BY))
    assert (made.placement.owner, made.placement.generation) == ("c", 5)
    assert made.placement.holders == ("a", "c")
    assert made.placement.cause is Cause.OPERATOR
    assert made.placement.by == BY
    assert made.revision == record.revision


def test_a_switch_without_a_target_takes_the_best_other_node() -> None:
    of, record = seen(group_view(placed("a")))
    assert place(request_switch(of, record, None, by=BY)).placement.owner == "b"


def test_a_handover_under_way_can_be_redirected_and_reversed() -> None:
    record = group_view(placed("b", "a", "b"))
    redirected = place(request_switch(view("a", record), record, "c", by=BY)).placement
    reversed_ = place(request_switch(view("a", record), record, "a", by=BY)).placement
    assert (redirected.owner, redirected.generation, set(redirected.holders)) == ("c", 5, {"a", "b", "c"})
    assert (reversed_.owner, reversed_.generation, set(reversed_.holders)) == ("a", 5, {"a", "b"})


def test_a_switch_leaves_out_holders_that_are_gone_guarded_by_their_records() -> None:
    record = group_view(placed("a", "a", "b"))
    lost = gone("b")
    made = place(request_switch(view("a", record, nodes=lost), record, "c", by=BY))
    assert set(made.placement.holders) == {"a", "c"}
    assert made.unchanged == (("b", lost["b"].member_revision),)


@pytest.mark.parametrize("soft", [{"faults": {"b": "x"}}])
def test_an_operators_own_choice_overrides_a_fault(soft: dict[str, dict[str, str]]) -> None:
    record = group_view(placed("a"), **soft)
    assert place(request_switch(view("a", record), record, "b", by=BY)).placement.owner == "b"
    assert place(request_switch(view("a", record), record, None, by=BY)).placement.owner == "c"


def test_a_switch_to_the_owner_of_what_is_offline_brings_it_online_there() -> None:
    of, record = seen(group_view(OFF))
    made = place(request_switch(of, record, "a", by=BY)).placement
    assert (made.owner, made.generation, made.wanted) == ("a", OFF.generation, Wanted.ONLINE)


# --- online, offline ----------------------------------------------------------------------------------------------


def test_online_brings_it_up_where_it_is_as_a_holder() -> None:
    of, record = seen(group_view(replace(OFF, holders=())))
    made = place(request_online(of, record, None, by=BY)).placement
    assert (made.owner, made.wanted, made.holders) == ("a", Wanted.ONLINE, ("a",))


def test_online_on_another_node_moves_what_is_offline() -> None:
    of, record = seen(group_view(OFF))
    made = place(request_online(of, record, "b", by=BY)).placement
    assert (made.owner, made.generation, made.wanted) == ("b", OFF.generation + 1, Wanted.ONLINE)


def test_online_goes_elsewhere_when_the_owner_cannot() -> None:
    record = group_view(replace(OFF, owner="b", holders=()))
    of = view("a", record, nodes=gone("b"))
    assert place(request_online(of, record, None, by=BY)).placement.owner == "a"
    assert denied(request_online(of, record, "b", by=BY)).code is Denial.REFUSED_TARGET


def test_the_first_online_has_every_possible_holder() -> None:
    record = group_view()
    of = view("a", record, nodes=gone("b") | {"c": node("c", heard=False)})
    made = place(request_online(of, record, "a", by=BY))
    assert set(made.placement.holders) == {"a", "c"}
    assert made.placement.generation == 1
    assert made.unchanged == (("b", of.nodes["b"].member_revision),)
    assert made.revision == 0


def test_offline_keeps_owner_generation_and_holders() -> None:
    record = group_view(placed("a", "b", "a"))
    made = place(request_offline(view("a", record), record, by=BY)).placement
    assert made == replace(
        record.placement or OFF, wanted=Wanted.OFFLINE, cause=Cause.OPERATOR, reason="offline", by=BY
    )
