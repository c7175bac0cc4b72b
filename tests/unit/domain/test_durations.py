import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from failoverd.domain.durations import DEFAULTS_S, KEPT_SAMPLES, KEPT_STEPS_MAX, Basis, LearnedDurations, expected
from failoverd.domain.handover import Step
from failoverd.domain.model import Action, Component, Expected

DB_ON_A = Step("db", "a", Action.ONLINE)
DB = Component(name="db", type="exec", expect=Expected(online_s=2.0))

steps = st.builds(Step, st.sampled_from(["db", "web"]), st.sampled_from(["a", "b"]), st.sampled_from([*DEFAULTS_S]))
junk = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5) | st.just("online"),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.sampled_from(["samples", "x"]), inner, max_size=2),
)


def learned(*seconds: float, step: Step = DB_ON_A) -> LearnedDurations:
    return LearnedDurations().add_all((step, each) for each in seconds)


def test_learned_takes_the_place_of_declared_which_takes_that_of_the_default() -> None:
    assert expected(DB_ON_A, DB, learned(3.0, 5.0, 4.0)) == (4.0, Basis.LEARNED)
    assert expected(DB_ON_A, DB) == (2.0, Basis.DECLARED)
    offline = Step("db", "a", Action.OFFLINE)
    assert expected(offline, DB) == (DEFAULTS_S[Action.OFFLINE], Basis.DEFAULT)


def test_another_node_tells_more_than_a_default_and_less_than_a_declaration() -> None:
    on_b = Step("db", "b", Action.ONLINE)
    elsewhere = learned(7.0, step=on_b)
    assert expected(DB_ON_A, DB, elsewhere, ["a", "b"]) == (2.0, Basis.DECLARED)
    undeclared = Component(name="db", type="exec")
    assert expected(DB_ON_A, undeclared, elsewhere, ["a", "b"]) == (7.0, Basis.LEARNED)
    assert expected(DB_ON_A, undeclared, elsewhere, ["a"]).basis is Basis.DEFAULT


def test_the_median_shrugs_off_one_outlier_and_p95_shows_it() -> None:
    kept = learned(1.0, 1.0, 1.0, 60.0)
    assert kept.p50(DB_ON_A) == 1.0
    assert kept.p95(DB_ON_A) == 60.0
    assert learned(1.0, 2.0).p50(DB_ON_A) == 1.5
    assert kept.p50(Step("db", "b", Action.ONLINE)) is None
    assert kept.p95(Step("db", "b", Action.ONLINE)) is None


def test_only_the_latest_count() -> None:
    assert learned(*[9.0] * 50, *[1.0] * KEPT_SAMPLES).p95(DB_ON_A) == 1.0


def test_adding_changes_nothing_that_somebody_else_holds() -> None:
    before = learned(1.0)
    before.add(DB_ON_A, 9.0)
    assert before.p95(DB_ON_A) == 1.0


@pytest.mark.parametrize("nonsense", [-1.0, float("nan"), float("inf")])
def test_what_is_no_duration_is_left_out(nonsense: float) -> None:
    assert learned(nonsense).p50(DB_ON_A) is None


def test_memory_is_bounded_and_the_longest_unused_goes_first() -> None:
    names = [f"c{number}" for number in range(KEPT_STEPS_MAX)]
    kept = LearnedDurations().add_all((Step(name, "a", Action.ONLINE), 1.0) for name in ["used", *names[1:], "used"])
    kept = kept.add_all((Step(name, "a", Action.ONLINE), 1.0) for name in ["new", "newer"])
    assert len(kept.samples) == KEPT_STEPS_MAX
    there = [
        name for name in ["used", "c1", "c2", "c3", "new", "newer"] if Step(name, "a", Action.ONLINE) in kept.samples
    ]
    assert there == ["used", "c3", "new", "newer"]


def test_what_the_group_no_longer_has_is_forgotten() -> None:
    kept = learned(1.0).add(Step("web", "a", Action.ONLINE), 2.0).only(["web"])
    assert kept.p50(DB_ON_A) is None
    assert kept.p50(Step("web", "a", Action.ONLINE)) == 2.0


@given(st.lists(st.tuples(steps, st.floats(0, 1e6)), max_size=60))
def test_a_state_file_brings_back_what_was_kept(measured: list[tuple[Step, float]]) -> None:
    kept = LearnedDurations().add_all(measured)
    back = LearnedDurations.from_dict(json.loads(json.dumps(kept.to_dict())))
    assert back == kept
    assert list(back.samples) == list(kept.samples)


@given(junk)
def test_a_state_file_full_of_rubbish_is_only_forgotten(document: object) -> None:
    assert all(kept for kept in LearnedDurations.from_dict(document).samples.values())
    LearnedDurations.from_dict({"samples": document})
    LearnedDurations.from_dict({"samples": [["db", "a", "online", document], document]})
