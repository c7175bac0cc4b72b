"""An operator's word that a node is off is taken only where nothing speaks against it (release (d))."""

from typing import Any

import pytest

from failoverd.domain.confirm_off import ConfirmOff, request_confirm_off
from failoverd.domain.operator import Denial, Denied
from failoverd.domain.placement import LeaseState
from failoverd.domain.view import NodeView
from tests.unit.domain.views import NOW, node, view


def silent(**fields: Any) -> NodeView:
    plain: dict[str, Any] = {"heard": False, "suspected": True, "lease_seen_at": NOW - 9.0, "fence_revision": 5}
    return node("a", **{**plain, **fields})


def test_a_silent_node_that_does_not_renew_is_taken_for_off_with_the_records_that_say_so() -> None:
    found = request_confirm_off(view("b", nodes={"a": silent()}), "a")
    assert isinstance(found, ConfirmOff)
    assert (found.node, found.incarnation) == ("a", "a-1")
    assert (found.member_revision, found.lease_revision, found.fence_revision) == (107, 147, 5)


def test_also_one_that_was_stopped_and_left_its_groups_running() -> None:
    away = silent(member=LeaseState.AWAY, lease_seen_at=NOW)
    assert isinstance(request_confirm_off(view("b", nodes={"a": away}), "a"), ConfirmOff)


@pytest.mark.parametrize(
    ("of", "text"),
    [
        (silent(heard=True, suspected=False), "a is not off: its heartbeats arrive"),
        (silent(suspected=False), "a has not been listened for long enough yet; try again in a moment"),
        (silent(lease_seen_at=NOW - 1.0), "a is not off: it renews its lease"),
        (
            silent(promised_until=NOW + 1.5),
            "a may be in failsafe: it was promised not to be fenced for another 1.5s",
        ),
        (silent(member=LeaseState.FENCED), "a is known to be off already: nothing waits for it"),
        (silent(member=LeaseState.LEFT), "a was stopped in good order: nothing waits for it"),
        (silent(member=None), "a never joined this cluster: nothing waits for it"),
    ],
)
def test_what_speaks_against_it_is_said(of: NodeView, text: str) -> None:
    found = request_confirm_off(view("b", nodes={"a": of}), "a")
    assert found == Denied(code=Denial.NOT_OFF, text=text)


def test_nobody_takes_it_of_himself_or_without_a_lease() -> None:
    of = view("b", nodes={"a": silent()})
    assert request_confirm_off(of, "b") == Denied(
        code=Denial.NOT_OFF, text="b is the node that you ask, so it is not off"
    )
    found = request_confirm_off(view("b", nodes={"a": silent()}, lease_usable=False), "a")
    assert isinstance(found, Denied)
    assert found.code is Denial.CANNOT_ACT
