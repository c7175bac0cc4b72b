"""Which node may take a group: a test for each refusal."""

import pytest

from failoverd.domain.eligibility import HARD, TEXT, Refusal, choose, explain, refusal, refusals
from failoverd.domain.placement import LeaseState
from failoverd.domain.view import NodeView
from tests.unit.domain.views import GROUP, NOW, group, group_view, node, placed, view


def why(b: NodeView, **fields: object) -> Refusal | None:
    return refusal(view("a", nodes={"b": b}), group_view(placed("a"), **fields), "b")


CASES: dict[Refusal, NodeView] = {
    Refusal.NEVER_SEEN: node("b", member=None),
    Refusal.WITNESS: node("b", witness=True),
    Refusal.FENCED: node("b", member=LeaseState.FENCED),
    Refusal.LEFT: node("b", member=LeaseState.LEFT),
    Refusal.AWAY: node("b", member=LeaseState.AWAY),
    Refusal.SILENT: node("b", heard=False),
    Refusal.LEASE_OVERDUE: node("b", lease_expires_at=NOW),
    Refusal.NOT_READY: node("b", ready=False),
    Refusal.STOPPING: node("b", stopping=True),
    Refusal.FROZEN: node("b", frozen=True),
    Refusal.DRAINING: node("b", draining=True),
    Refusal.CONFIG_MISMATCH: node("b", config_hashes={GROUP: "another"}),
    Refusal.NO_CAPACITY: node("b", capacity=0.5),
}


@pytest.mark.parametrize("expected", CASES, ids=str)
def test_each_refusal(expected: Refusal) -> None:
    assert why(CASES[expected]) is expected


def test_a_plain_node_is_not_refused() -> None:
    assert why(node("b")) is None


def test_a_fault_on_record_refuses_the_node_for_this_group() -> None:
    assert why(node("b"), faults={"b": "disk full"}) is Refusal.FAULTED
    assert why(node("b"), faults={"c": "disk full"}) is None


def test_a_node_that_does_not_know_yet_what_runs_there_is_refused_for_that_group_alone() -> None:
    probing = node("b", unprobed=frozenset({"h"}))
    assert why(probing) is None
    assert why(node("b", unprobed=frozenset({GROUP}))) is Refusal.NOT_READY


def test_a_node_that_the_configuration_does_not_have_was_never_seen() -> None:
    assert refusal(view("a"), group_view(), "z") is Refusal.NEVER_SEEN


def test_every_refusal_is_tested_and_has_words() -> None:
    elsewhere = {Refusal.FAULTED, Refusal.REQUIREMENT}  # the latter in test_requires
    assert set(CASES) | elsewhere == set(Refusal) == set(TEXT)


def test_our_own_lease_and_configuration_are_not_judged_as_a_peers() -> None:
    me = node("a", lease_expires_at=NOW - 1, config_hashes={})
    assert refusal(view("a", nodes={"a": me}), group_view(), "a") is None


def test_what_an_operator_may_override() -> None:
    assert set(Refusal) - HARD == {Refusal.FAULTED, Refusal.CONFIG_MISMATCH, Refusal.NO_CAPACITY}


def test_the_most_preferred_node_that_is_not_refused_is_chosen() -> None:
    wanted = group_view(group=group(nodes=("c", "b", "a")))
    assert choose(view("a"), wanted) == "c"
    assert choose(view("a"), wanted, without=frozenset({"c"})) == "b"
    assert choose(view("a", nodes={"c": node("c", heard=False)}), wanted) == "b"
    assert choose(view("a", nodes={"b": node("b", heard=False)}), wanted, without=frozenset("ac")) is None


def test_refusals_are_of_the_groups_own_nodes_in_their_order() -> None:
    nodes = {"c": node("c", heard=False), "b": node("b", ready=False)}
    found = refusals(view("a", nodes=nodes), group_view(group=group(nodes=("c", "b"))))
    assert list(found.items()) == [("c", Refusal.SILENT), ("b", Refusal.NOT_READY)]


def test_the_explanation_is_one_line_with_the_fault_itself() -> None:
    seen = group_view(faults={"b": "disk full"})
    text = explain(view("a", seen), seen, {"b": Refusal.FAULTED, "c": Refusal.LEFT})
    assert text == "b had a fault in this group (disk full); c was stopped"
    assert explain(view("a", seen), seen, {}) == "the group has no other node"
