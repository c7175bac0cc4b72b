"""Lease arithmetic: the owner has always stopped before anybody may hold its lease for expired."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from failoverd.domain.lease import DRIFT, LeaseSettings, expires, heartbeat_faults


@given(
    ttl_s=st.floats(0.2, 120),
    began=st.floats(0, 1000),
    delay_s=st.floats(0, 60),
    rate=st.floats(1 - DRIFT + 0.0025, 1.0),
    offset=st.floats(-1e6, 1e6),
)
def test_an_observers_end_is_never_before_the_owners_under_five_percent_of_drift(
    ttl_s: float, began: float, delay_s: float, rate: float, offset: float
) -> None:
    """True time is the owner's; the observer's clock runs at its own rate (1/rate of ours) from its own zero. What the
    owner began at ``began`` the observer sees ``delay_s`` later at the earliest."""
    owner_ends = LeaseSettings.of(ttl_s=ttl_s).ends(began)
    seen = offset + (began + delay_s) / rate
    observer_says = expires(seen, ttl_s)
    in_true_time = (observer_says - offset) * rate
    assert in_true_time >= owner_ends - 1e-6 * max(1.0, abs(offset))


@given(st.floats(0.2, 600))
def test_what_follows_from_ttl_holds_its_own_inequality(ttl_s: float) -> None:
    settings = LeaseSettings.of(ttl_s=ttl_s)
    assert settings.faults() == ()
    assert settings.renew_s == settings.request_timeout_s == ttl_s / 6
    assert settings.self_stop_s == ttl_s / 3


@given(
    ttl_s=st.floats(0.01, 100),
    renew_s=st.floats(0.01, 100),
    request_timeout_s=st.floats(0.01, 100),
    self_stop_s=st.floats(0.01, 100),
    began=st.floats(0, 1000),
)
def test_where_the_inequality_holds_two_renewals_may_fail_before_self_stop(
    ttl_s: float, renew_s: float, request_timeout_s: float, self_stop_s: float, began: float
) -> None:
    settings = LeaseSettings.of(
        ttl_s=ttl_s, renew_s=renew_s, request_timeout_s=request_timeout_s, self_stop_s=self_stop_s
    )
    second_try_answered = began + 2 * renew_s + request_timeout_s
    fits = second_try_answered <= settings.usable_until(began) + 1e-6
    assert bool(settings.faults()) != fits or abs(second_try_answered - settings.usable_until(began)) < 1e-5


def test_self_stop_begins_early_enough_to_end_with_the_lease() -> None:
    settings = LeaseSettings.of(ttl_s=3.0)
    assert settings.usable_until(100.0) == 102.0
    assert settings.ends(100.0) == 103.0


def test_a_violated_inequality_is_told_with_its_numbers() -> None:
    (fault,) = LeaseSettings.of(ttl_s=2.0, renew_s=0.5, request_timeout_s=1.0).faults()
    assert "2*renew + request_timeout + self_stop <= ttl" in fault
    assert "2*0.5s + 1s + 0.666667s = 2.66667s, ttl is 2s" in fault


@pytest.mark.parametrize("name", ["ttl", "renew", "request_timeout", "self_stop"])
def test_nothing_may_be_zero_or_less(name: str) -> None:
    plain = LeaseSettings(ttl_s=3.0, renew_s=0.1, request_timeout_s=0.1, self_stop_s=0.1)
    zero: dict[str, Any] = {f"{name}_s": 0.0}
    settings = replace(plain, **zero)
    assert any(f"lease.{name} must be above 0" in fault for fault in settings.faults())


def test_three_heartbeats_may_be_lost_before_a_peer_is_suspected() -> None:
    assert heartbeat_faults(0.1, 0.3) == ()
    (fault,) = heartbeat_faults(0.1, 0.29)
    assert "3*0.1s = 0.3s, dead_after is 0.29s" in fault
    assert heartbeat_faults(0.0, 1.0)
