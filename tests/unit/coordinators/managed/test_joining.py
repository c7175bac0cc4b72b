"""What a node without data may do: the rule that keeps a member that has forgotten its votes from voting."""

from hypothesis import given
from hypothesis import strategies as st

from failoverd.coordinators.etcd.managed.joining import Add, Answer, Begin, Empty, Remove, Runs, Silent, Wait, decide
from failoverd.coordinators.etcd.managed.layout import Start
from failoverd.coordinators.etcd.managed.messages import Cluster, Member
from tests.unit.coordinators.managed.support import CLUSTER, layout, member

PLAN = layout("w")
EMPTY = Empty(voters=("a", "b", "w"))
SILENT = Silent(why="no answer")


def runs(*members: Member, number: int = CLUSTER, formed: bool = True) -> Runs:
    return Runs(cluster=Cluster(id=number, members=members), formed=formed)


A, B, W = (member(PLAN, name, number) for number, name in enumerate("abw", 1))
NEW_W = member(PLAN, "w", 9, started=False, learner=True)


def test_all_empty_form_a_new_cluster() -> None:
    decision = decide(PLAN, {"a": EMPTY, "b": EMPTY})
    assert decision == Begin(start=Start.NEW, initial=PLAN.initial)
    assert set(PLAN.initial) == set("abw")


def test_a_single_voter_asks_nobody() -> None:
    alone = layout("a", "a")
    assert decide(alone, {}) == Begin(start=Start.NEW, initial=alone.initial)


def test_one_that_is_silent_may_have_data() -> None:
    decision = decide(PLAN, {"a": EMPTY, "b": SILENT})
    assert isinstance(decision, Wait)
    assert "b: no answer" in decision.why


def test_another_idea_of_the_voters_is_named() -> None:
    decision = decide(PLAN, {"a": EMPTY, "b": Empty(voters=("a", "b", "c"))})
    assert isinstance(decision, Wait)
    assert "configuration of b makes a, b, c the voters" in decision.why


def test_others_that_have_just_begun_are_followed_in_the_same_way() -> None:
    unstarted = [member(PLAN, name, number, started=False) for number, name in enumerate("abw", 1)]
    decision = decide(PLAN, {"a": runs(*unstarted, formed=False), "b": EMPTY})
    assert decision == Begin(start=Start.NEW, initial=PLAN.initial)


def test_nothing_is_begun_while_the_others_only_just_agree() -> None:
    late = member(PLAN, "w", 3, started=False)
    assert isinstance(decide(PLAN, {"a": runs(A, B, late, formed=False), "b": SILENT}), Wait)
    decision = decide(PLAN, {"a": runs(A, B, late, formed=False), "b": runs(A, B, late)})
    assert decision == Begin(start=Start.EXISTING, initial=PLAN.initial)


def test_member_that_has_run_before_and_lost_its_data_is_removed_first() -> None:
    assert decide(PLAN, {"a": runs(A, B, W), "b": SILENT}) == Remove(member=W)


def test_removed_one_is_added_and_added_one_begins() -> None:
    assert decide(PLAN, {"a": runs(A, B), "b": runs(A, B)}) == Add(voting=False)
    decision = decide(PLAN, {"a": runs(A, B, NEW_W), "b": SILENT})
    assert decision == Begin(start=Start.EXISTING, initial=PLAN.initial)


def test_where_one_votes_alone_nobody_can_learn_first() -> None:
    assert decide(PLAN, {"a": runs(A), "b": SILENT}) == Add(voting=True)
    learning = member(PLAN, "b", 2, learner=True)
    assert decide(PLAN, {"a": runs(A, learning), "b": SILENT}) == Add(voting=True)


def test_the_one_who_knows_of_us_is_believed() -> None:
    """A member that lags behind has not heard of our addition yet."""
    assert isinstance(decide(PLAN, {"a": runs(A, B), "b": runs(A, B, NEW_W)}), Begin)


def test_member_under_our_name_at_another_address_is_removed() -> None:
    elsewhere = Member(id=3, name="w", peer_urls=("https://10.9.9.9:7802",), client_urls=())
    assert decide(PLAN, {"a": runs(A, B, elsewhere), "b": SILENT}) == Remove(member=elsewhere)


def test_member_of_another_name_at_our_address_is_removed() -> None:
    former = Member(id=3, name="old", peer_urls=(PLAN.peer_url("w"),), client_urls=(PLAN.client_url("w"),))
    assert decide(PLAN, {"a": runs(A, B, former), "b": SILENT}) == Remove(member=former)


def test_two_clusters_are_no_place_to_join() -> None:
    decision = decide(PLAN, {"a": runs(A, B), "b": runs(A, B, number=0xBEEF)})
    assert isinstance(decision, Wait)
    assert "beef" in decision.why


answers = st.sampled_from([EMPTY, SILENT, runs(A, B, W), runs(A, B), runs(A, B, NEW_W), runs(A, B, formed=False)])


@given(st.fixed_dictionaries({"a": answers, "b": answers}))
def test_a_new_cluster_is_never_formed_beside_data(found: dict[str, Answer]) -> None:
    decision = decide(PLAN, found)
    if isinstance(decision, Begin) and decision.start is Start.NEW:
        assert all(isinstance(answer, Empty) for answer in found.values())
