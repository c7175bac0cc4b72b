"""What a guard holds and when it fires, on numbers alone."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from failoverd.domain.lease import LeaseSettings
from failoverd.guard.protocol import PACKET_MAX, VERSION, Message, decode, encode
from failoverd.guard.watch import Watch

NONE = {"kind": "none"}
MARK = {"kind": "mark", "mark": "M=a/", "pid": 0, "ticks": 0}


def arm(watch: Watch, component: str, now: float, *, do: str = "arm", will: Mapping[str, Any] = MARK) -> str | None:
    return watch.handle({"do": do, "key": ["g", component], "will": dict(will)}, now)


def disarm(watch: Watch, component: str) -> None:
    assert watch.handle({"do": "disarm", "key": ["g", component]}, 0.0) is None


def extended(fires_at: float, ends: float) -> Watch:
    watch = Watch()
    assert watch.handle({"do": "extend", "fires_at": fires_at, "ends": ends}, 0.0) is None
    return watch


def test_it_fires_at_its_time_and_not_before() -> None:
    watch = extended(10.0, 11.0)
    assert arm(watch, "c", 9.0) is None
    assert watch.alarm == 10.0
    assert not watch.due(9.999)
    assert watch.due(10.0)


def test_a_renewal_postpones_it() -> None:
    watch = extended(10.0, 11.0)
    arm(watch, "c", 9.0)
    watch.extend(12.0, 13.0)
    assert not watch.due(11.5)
    assert watch.due(12.0)
    assert watch.alarm == 12.0


def test_with_nothing_to_take_down_it_leaves_the_daemon_alone() -> None:
    watch = extended(10.0, 11.0)
    arm(watch, "c", 9.0)
    disarm(watch, "c")
    assert not watch.due(1000.0)
    assert watch.alarm is None


def test_once_the_lease_has_lapsed_nothing_is_armed_and_nothing_kept() -> None:
    watch = extended(10.0, 11.0)
    assert "lease" in (arm(watch, "c", 10.0) or "")
    assert not watch.due(10.0)
    watch.extend(20.0, 21.0)
    assert arm(watch, "c", 10.0) is None


def test_what_is_online_without_a_lease_goes_down_at_once() -> None:
    watch = extended(10.0, 11.0)
    assert arm(watch, "c", 15.0, do="hold") is None
    assert watch.due(15.0)


def test_before_the_first_lease_nothing_is_due() -> None:
    watch = Watch()
    assert arm(watch, "found online", 5.0, do="hold") is None
    assert not watch.due(1e9)
    assert watch.alarm is None


def test_a_will_is_replaced_by_a_newer_one() -> None:
    watch = extended(10.0, 11.0)
    arm(watch, "c", 1.0)
    arm(watch, "c", 1.0, do="hold", will={**MARK, "pid": 42})
    assert [will["pid"] for will in watch.wills.values()] == [42]
    disarm(watch, "c")
    assert not watch.wills


def test_wills_have_what_is_left_of_the_lease_and_after_a_suspension_what_they_would_have_had() -> None:
    watch = extended(10.0, 11.0)
    assert watch.until(10.0) == 11.0
    assert watch.until(10.25) == 11.25
    assert watch.until(100.0) == 101.0


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"do": "arm"},
        {"do": "arm", "key": ["g"], "will": MARK},
        {"do": "hold", "key": ["g", "c"], "will": {"kind": "bomb"}},
        {"do": "hold", "key": ["g", "c"], "will": {}},
        {"do": "extend", "fires_at": None, "ends": 1},
        {"do": "extend", "fires_at": "soon", "ends": 1},
    ],
)
def test_what_is_no_request_changes_nothing(message: Message) -> None:
    watch = extended(10.0, 11.0)
    arm(watch, "c", 1.0)
    with pytest.raises((LookupError, TypeError, ValueError)):
        watch.handle(message, 1.0)
    assert list(watch.wills) == [("g", "c")]
    assert watch.alarm == 10.0


def test_an_unknown_request_is_refused() -> None:
    assert "dance" in (Watch().handle({"do": "dance"}, 1.0) or "")


def through_the_wire(messages: list[Message]) -> list[Message]:
    return [decode(encode(message)) for message in messages]


def test_a_successor_has_the_same_wills_and_the_same_deadline() -> None:
    old = extended(10.0, 11.0)
    for number in range(300):
        arm(old, f"c{number}", 1.0, will={**MARK, "mark": f"M={number}/"})
    bequest = old.bequest()
    assert max(len(encode(message)) for message in bequest) < PACKET_MAX
    new = Watch()
    new.inherit(through_the_wire(bequest))
    assert new.wills == old.wills
    assert (new.fires_at, new.ends) == (10.0, 11.0)
    assert new.due(10.0)


def test_of_another_version_a_successor_takes_the_deadline_alone() -> None:
    old = extended(10.0, 11.0)
    arm(old, "c", 1.0)
    *wills, last = old.bequest()
    new = Watch()
    new.inherit([*wills, {**last, "version": VERSION + 1}])
    assert not new.wills
    assert new.fires_at == 10.0


def test_a_predecessor_without_a_lease_bequeaths_none() -> None:
    old = Watch()
    arm(old, "c", 1.0, do="hold")
    new = Watch()
    new.inherit(through_the_wire(old.bequest()))
    assert new.fires_at is None
    assert list(new.wills) == [("g", "c")]


@given(ttl=st.floats(0.1, 60), began=st.floats(0, 1e7), share=st.floats(0.01, 0.6))
def test_self_stop_is_halved_between_the_daemon_and_its_guard(ttl: float, began: float, share: float) -> None:
    lease = LeaseSettings.of(ttl_s=ttl, self_stop_s=ttl * share)
    fires = lease.guard_fires_at(began)
    assert lease.usable_until(began) < fires < lease.ends(began)
    assert fires - lease.usable_until(began) == pytest.approx(lease.will_s, abs=1e-6)
    assert lease.ends(began) - fires == pytest.approx(lease.will_s, abs=1e-6)


def test_a_will_that_does_not_fit_is_named_with_its_numbers() -> None:
    lease = LeaseSettings.of(ttl_s=3.0)
    assert lease.will_fault(0.5) is None
    assert lease.will_fault(0.7) == (
        "longest clean <= self_stop/2 does not hold: it takes 0.7s, self_stop/2 is 1s/2 = 0.5s"
    )
