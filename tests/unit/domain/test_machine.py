"""The component machine: a test for each sentence of the handover rule (design, section 2)."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from failoverd.domain.machine import Situation, next_operation, offline_gate, online_gate, waiting_for
from failoverd.domain.model import Action, ComponentState

S = ComponentState

OPEN = Situation(
    state=S.OFFLINE,
    absent=True,
    wanted=True,
    dependents_absent=True,
    dependencies_online=True,
    may_act=True,
    released=True,
)
"""Every gate is open."""
ONLINE = replace(OPEN, state=S.ONLINE, absent=False, wanted=False)


def situation(base: Situation = OPEN, **fields: Any) -> Situation:
    return replace(base, **fields)


situations = st.builds(
    Situation,
    state=st.sampled_from(S),
    absent=st.booleans(),
    wanted=st.booleans(),
    force=st.booleans(),
    hands_off=st.booleans(),
    rested=st.booleans(),
    dependents_absent=st.booleans(),
    dependencies_online=st.booleans(),
    may_act=st.booleans(),
    released=st.booleans(),
    make_first=st.booleans(),
    succeeded=st.booleans(),
    prepare=st.booleans(),
)


# --- the two gates ----------------------------------------------------------------------------------------------


def test_offline_begins_as_soon_as_every_dependent_is_absent() -> None:
    assert next_operation(situation(ONLINE, dependents_absent=False)) is None
    assert next_operation(situation(ONLINE, dependents_absent=True)) is Action.OFFLINE


def test_online_begins_as_soon_as_it_is_released_and_its_dependencies_are_online() -> None:
    assert next_operation(OPEN) is Action.ONLINE
    assert next_operation(situation(released=False)) is None
    assert next_operation(situation(dependencies_online=False)) is None


def test_only_who_may_act_brings_online() -> None:
    assert next_operation(situation(may_act=False)) is None


@given(situations)
def test_nothing_else_delays_an_offline(s: Situation) -> None:
    s = replace(s, state=S.ONLINE, absent=False, wanted=False, force=False, hands_off=False, make_first=False)
    assert (next_operation(s) is Action.OFFLINE) == s.dependents_absent


@given(situations)
def test_nothing_else_delays_an_online(s: Situation) -> None:
    s = replace(s, state=S.OFFLINE, absent=True, wanted=True, force=False, hands_off=False, prepare=False, rested=True)
    gates = s.may_act and s.dependencies_online and (s.released or s.make_first)
    assert (next_operation(s) is Action.ONLINE) == gates


@given(situations)
def test_no_online_without_its_gate_whatever_else_is_true(s: Situation) -> None:
    if next_operation(s) is Action.ONLINE:
        assert online_gate(s)
        assert s.wanted
        assert s.may_act
        assert not s.force
        assert not s.hands_off
        assert s.state is S.OFFLINE
        assert s.released or s.make_first


@given(situations)
def test_no_offline_without_its_gate_whatever_else_is_true(s: Situation) -> None:
    if next_operation(s) is Action.OFFLINE:
        assert offline_gate(s)
        assert not s.wanted
        assert not s.hands_off


# --- make_first ---------------------------------------------------------------------------------------------------


def test_make_first_comes_online_before_it_is_released() -> None:
    assert next_operation(situation(released=False, make_first=True)) is Action.ONLINE


def test_make_first_goes_offline_only_after_it_is_online_on_its_successor() -> None:
    assert next_operation(situation(ONLINE, make_first=True, succeeded=False)) is None
    assert next_operation(situation(ONLINE, make_first=True, succeeded=True)) is Action.OFFLINE


def test_break_first_does_not_wait_for_a_successor() -> None:
    assert next_operation(situation(ONLINE, succeeded=False)) is Action.OFFLINE


# --- prepare ------------------------------------------------------------------------------------------------------


def test_prepare_begins_at_once_whatever_the_gates_say() -> None:
    closed = situation(released=False, dependencies_online=False, may_act=False, prepare=True)
    assert next_operation(closed) is Action.PREPARE


def test_prepare_begins_on_mere_suspicion_while_the_component_is_not_wanted() -> None:
    assert next_operation(situation(wanted=False, prepare=True)) is Action.PREPARE


@given(situations)
def test_prepare_touches_nothing_that_is_there(s: Situation) -> None:
    if next_operation(s) is Action.PREPARE:
        assert s.state is S.OFFLINE
        assert not s.hands_off


# --- states -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wanted", [True, False])
@pytest.mark.parametrize("state", [S.UNKNOWN, S.STUCK])
def test_what_is_not_known_is_probed_and_never_acted_on(state: ComponentState, wanted: bool) -> None:
    assert next_operation(situation(state=state, absent=False, wanted=wanted)) is Action.PROBE
    assert next_operation(situation(state=state, absent=False, wanted=wanted, rested=False)) is None


@pytest.mark.parametrize("state", [S.ONLINING, S.OFFLINING])
def test_an_operation_in_flight_is_let_finish(state: ComponentState) -> None:
    assert next_operation(situation(state=state, absent=False, wanted=state is S.OFFLINING)) is None


def test_a_fault_is_taken_offline_before_anything_else() -> None:
    assert next_operation(situation(ONLINE, state=S.FAULTED)) is Action.OFFLINE
    assert next_operation(situation(ONLINE, state=S.FAULTED, dependents_absent=False)) is None


def test_an_ignored_fault_is_left_alone() -> None:
    assert next_operation(situation(ONLINE, state=S.FAULTED, wanted=True)) is None


def test_back_off_delays_coming_back_and_never_going_down() -> None:
    assert next_operation(situation(rested=False)) is None
    assert next_operation(situation(ONLINE, rested=False)) is Action.OFFLINE


# --- hands off, self-stop -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [S.ONLINE, S.FAULTED, S.OFFLINE])
@pytest.mark.parametrize("wanted", [True, False])
def test_hands_off_means_that_nothing_is_touched(state: ComponentState, wanted: bool) -> None:
    base = situation(state=state, absent=state is S.OFFLINE, wanted=wanted, hands_off=True, prepare=True)
    assert next_operation(base) is None


def test_hands_off_still_finds_out_what_is_there() -> None:
    assert next_operation(situation(state=S.UNKNOWN, absent=False, hands_off=True)) is Action.PROBE


@given(situations)
def test_self_stop_cleans_whatever_is_not_known_to_be_absent_with_no_gate(s: Situation) -> None:
    s = replace(s, force=True, rested=True)
    assert next_operation(s) is (None if s.absent else Action.CLEAN)


@given(situations)
def test_self_stop_brings_nothing_online(s: Situation) -> None:
    assert next_operation(replace(s, force=True)) in {None, Action.CLEAN}


# --- what status says ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("waiting", "words"),
    [
        (situation(may_act=False), "may not act"),
        (situation(dependencies_online=False), "that it depends on"),
        (situation(released=False), "release by another node"),
        (situation(rested=False), "tried again"),
        (situation(ONLINE, dependents_absent=False), "that depends on it"),
        (situation(ONLINE, make_first=True, succeeded=False), "online on the target"),
    ],
)
def test_whoever_waits_says_for_what(waiting: Situation, words: str) -> None:
    assert next_operation(waiting) is None
    assert words in waiting_for(waiting)


@given(situations)
def test_who_waits_for_nothing_says_nothing(s: Situation) -> None:
    s = replace(s, force=False, hands_off=False, prepare=False)
    if next_operation(s) is not None:
        assert waiting_for(s) == ""
