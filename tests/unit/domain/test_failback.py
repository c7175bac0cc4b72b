"""Going back to a preferred node: only where it says so, after long enough, and never against an operator."""

from dataclasses import replace
from typing import Any

import pytest

from failoverd.domain.decide import Decision, Place, decide
from failoverd.domain.placement import Cause, LeaseState, Wanted
from failoverd.domain.preferences import Preferences
from failoverd.domain.view import GroupView, View
from tests.unit.domain.views import NOW, group, group_view, node, placed, view

AFTER_S = 60.0


def record(**fields: Any) -> GroupView:
    """On c, all well, b well for long enough, a not."""
    placement = fields.pop("placement", placed("c", cause=Cause.NODE_LOST))
    plain = {"all_online": True, "well_since": {"b": NOW - AFTER_S, "a": NOW - 1}}
    made = fields.pop("group", group(failback_after_s=AFTER_S))
    return group_view(placement, group=made, **(plain | fields))


def decided(of: View) -> Decision | None:
    return next(iter(decide(of)), None)


def test_it_goes_back_to_the_first_that_has_been_well_for_long_enough() -> None:
    found = decided(view("c", record()))
    assert isinstance(found, Place)
    assert (found.placement.owner, found.placement.cause) == ("b", Cause.FAILBACK)
    assert found.placement.holders == ("c", "b")
    assert found.holds, "an operator who freezes it meanwhile is heeded"


@pytest.mark.parametrize(
    "fields",
    [
        {"group": group()},
        {"all_online": False},
        {"well_since": {"b": NOW - AFTER_S + 0.1}},
        {"well_since": {}},
        {"recent_moves": 5},
        {"faults": {"b": "disk full"}},
        {"placement": placed("c", cause=Cause.OPERATOR)},
        {"placement": placed("c", "c", "a", cause=Cause.NODE_LOST)},
        {"placement": placed("c", wanted=Wanted.OFFLINE)},
        {"placement": placed("b", cause=Cause.NODE_LOST)},
    ],
    ids=str,
)
def test_it_stays_where_anything_speaks_against_it(fields: dict[str, Any]) -> None:
    assert decided(view("c", record(**fields))) is None


def test_only_the_owner_acts() -> None:
    assert decided(view("b", record())) is None


def test_the_time_begins_anew_with_whatever_makes_the_node_not_eligible() -> None:
    preferences, seen = Preferences(), view("c", record(well_since={}))

    def since(now: float, **b: Any) -> dict[str, float]:
        plain = {name: node(name, lease_expires_at=NOW + 99) for name in "ac"}
        nodes = {**plain, "b": node("b", **{"lease_expires_at": NOW + 99} | b)}
        return dict(preferences.noted(replace(seen, now=now, nodes=nodes)).groups["g"].well_since)

    assert since(NOW) == {"a": NOW, "b": NOW}
    now = NOW + 1
    assert since(now) == {"a": NOW, "b": NOW}
    for trouble in ({"heard": False}, {"draining": True}, {"member": LeaseState.LEFT}, {"stopping": True}):
        assert since(now + 1, **trouble) == {"a": NOW}
        now += 2
        assert since(now) == {"a": NOW, "b": now}
