"""The state of a group: the worst that applies, with its reason."""

from dataclasses import replace
from typing import Any

import pytest

from failoverd.domain.group_state import Condition, Facts, condition
from failoverd.domain.model import ComponentState, GroupState
from failoverd.domain.placement import Wanted
from tests.unit.domain.views import group, placed

S = ComponentState
ON = {"db": {"a": S.ONLINE, "b": S.OFFLINE}, "job": {"a": S.ONLINE, "b": S.OFFLINE}}


def of(states: dict[str, dict[str, ComponentState]] | None = None, **fields: Any) -> Condition:
    fields.setdefault("placement", placed("a"))
    return condition(Facts(group=group(), states=states or ON, **fields))


def db(a: ComponentState, b: ComponentState = S.OFFLINE) -> dict[str, dict[str, ComponentState]]:
    return ON | {"db": {"a": a, "b": b}}


def job(a: ComponentState) -> dict[str, dict[str, ComponentState]]:
    return ON | {"job": {"a": a, "b": S.OFFLINE}}


OFFLINE = placed("a", wanted=Wanted.OFFLINE, reason="offline")
BOTH = placed("a", "b", "a", reason="switch to a")

TABLE = [
    ("plain", of(), GroupState.ONLINE, ""),
    ("never placed", of(placement=None), GroupState.OFFLINE, "no owner"),
    ("blocked", of(blocked="no node can take it"), GroupState.BLOCKED, "no node can take it"),
    ("stuck", of(db(S.ONLINE, S.STUCK)), GroupState.FAULTED, "cannot be taken offline: db on b"),
    ("critical fault", of(db(S.FAULTED)), GroupState.FAULTED, "faulted on a: db"),
    ("fault that is not critical", of(job(S.FAULTED)), GroupState.DEGRADED, "faulted on a: job"),
    ("fault amid a handover", of(db(S.FAULTED), in_handover=True), GroupState.ONLINING, ""),
    ("fault elsewhere", of(db(S.ONLINE, S.FAULTED)), GroupState.ONLINE, ""),
    ("frozen", of(frozen="by hand"), GroupState.FROZEN, "by hand"),
    ("coming online", of(db(S.ONLINING)), GroupState.ONLINING, "coming online on a"),
    ("partly there", of(db(S.OFFLINE)), GroupState.PARTIAL, "not online on a: db"),
    ("not known", of(db(S.UNKNOWN)), GroupState.PARTIAL, "not online on a: db"),
    ("handing over", of(db(S.OFFLINE, S.ONLINE), placement=BOTH), GroupState.HANDOVER, "from b to a: switch to a"),
    ("all released", of(db(S.ONLINING), placement=BOTH), GroupState.ONLINING, "switch to a"),
    ("going offline", of(placement=OFFLINE), GroupState.HANDOVER, "being taken offline on a"),
]


@pytest.mark.parametrize(("found", "state", "words"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_states_and_reasons(found: Condition, state: GroupState, words: str) -> None:
    assert found.state is state
    assert words in found.reason


def test_offline_once_every_holder_has_let_go() -> None:
    assert of(placement=replace(OFFLINE, holders=())) == Condition(GroupState.OFFLINE, "offline")


def test_the_worst_wins() -> None:
    worse_and_worse = [
        of(job(S.FAULTED)),
        of(job(S.FAULTED) | {"db": {"a": S.FAULTED, "b": S.OFFLINE}}),
        of(db(S.FAULTED), blocked="nowhere to go"),
    ]
    assert [each.state for each in worse_and_worse] == [GroupState.DEGRADED, GroupState.FAULTED, GroupState.BLOCKED]


def test_every_state_that_is_not_plain_has_a_reason() -> None:
    for name, found, state, _ in TABLE:
        assert found.reason or state is GroupState.ONLINE, name
