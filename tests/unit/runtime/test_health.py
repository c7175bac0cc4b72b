"""Health checks beside the agents' own probes: part of coming online, and then counted."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from failoverd.domain.model import Action, Component, HealthCheck, MonitorPolicy, OnFault
from failoverd.log.catalogue import Event
from failoverd.runtime.spread import next_turn, phases
from tests.unit.runtime.fakes import Cluster, cluster, component, group_of
from tests.virtual import VirtualClock

pytestmark = pytest.mark.virtual
CHECK = HealthCheck(tcp="10.0.0.1:80", interval_s=1.0, timeout_s=1.0, fall=3, rise=2)


def checked(name: str = "web", check: HealthCheck = CHECK, **more: object) -> Component:
    return component(name, check=check, monitor=MonitorPolicy(interval_s=5.0), **more)


def times(c: Cluster, node: str = "a") -> list[float]:
    return [at for at, where, _ in c.world.asked if where == node]


async def test_online_waits_until_it_is_healthy(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(checked(), component("front", "web"))) as c:
        c.world.healthy["a", "web"] = False
        await c.until(lambda: bool(c.world.of("web", "a", Action.ONLINE)), 5)
        await c.sleep(4)
        assert not c.world.of("front", "a", Action.ONLINE), "what depends on it waits"
        assert not c.events(Event.COMPONENT_FAULTED, "a")
        c.world.healthy["a", "web"] = True
        await c.online("a", within_s=3)
        assert c.world.of("front", "a", Action.ONLINE)


async def test_one_that_does_not_get_healthy_in_time_has_failed(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(checked())) as c:
        c.world.healthy["a", "web"] = False
        await c.until(lambda: bool(c.events(Event.COMPONENT_FAULTED, "a")), 90)
        fault = c.events(Event.COMPONENT_FAULTED, "a")[0].fields
        assert fault["check"] == "check tcp 10.0.0.1:80"
        assert "check tcp 10.0.0.1:80: not healthy within 60 s: 10.0.0.1:80 refuses" in str(fault["reason"])
        await c.online("b", within_s=120)


async def test_one_that_is_gone_is_not_waited_for(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(checked())) as c:
        c.world.healthy["a", "web"] = False
        await c.until(lambda: c.world.there("a", "web"), 5)
        c.world.put("a", "web", there=False)
        await c.until(lambda: bool(c.events(Event.COMPONENT_FAULTED, "a")), 7)


async def test_so_many_failures_in_a_row_are_a_fault(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(checked())) as c:
        await c.online("a")
        await c.sleep(10)
        for healthy in (False, None, False, True):  # never three in a row; None says nothing
            c.world.healthy["a", "web"] = healthy
            await c.sleep(1)
        assert not c.events(Event.COMPONENT_FAULTED, "a")
        c.world.healthy["a", "web"] = False
        began = virtual_clock.now()
        await c.until(lambda: bool(c.events(Event.COMPONENT_FAULTED, "a")), 5)
        assert 2.0 < virtual_clock.now() - began < 4.1
        fault = c.events(Event.COMPONENT_FAULTED, "a")[0].fields
        assert fault["check"] == "check tcp 10.0.0.1:80"
        assert fault["reason"] == "check tcp 10.0.0.1:80: 10.0.0.1:80 refuses (3 times in a row)"
        c.world.healthy["a", "web"] = True
        await c.online("a", within_s=5)


async def test_an_ignored_fault_ends_when_it_is_healthy_again_and_not_before(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(checked(on_fault=OnFault.IGNORE))) as c:
        await c.online("a")
        c.world.healthy["a", "web"] = False
        await c.sleep(30)
        assert len(c.events(Event.COMPONENT_FAULTED, "a")) == 1, "its agent's good probes do not make it healthy"
        assert not c.world.of("web", "a", Action.OFFLINE)
        c.world.healthy["a", "web"] = True
        await c.sleep(4)
        await c.online("a", within_s=1)


async def test_checks_of_one_component_never_overlap_and_delay_nobody(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(checked(), component("other"))) as c:
        await c.online("a")
        c.world.ask_takes_s = 3.5
        c.world.asked.clear()
        await c.sleep(30)
        assert all(later - earlier >= 3.5 for earlier, later in pairwise(times(c)))
        assert len(times(c)) >= 6
        began = virtual_clock.now()
        c.world.ask_takes_s = 0.0
        await c.switch("b")
        await c.until(lambda: not c.world.everything_on("a"), 3)
        assert virtual_clock.now() - began < 1.0


async def test_nothing_is_asked_where_it_is_not_online(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(checked())) as c:
        await c.online("a")
        await c.sleep(20)
        assert times(c, "b") == []


@given(st.floats(0, 1e7), st.floats(0.1, 1000), st.floats(0, 0.999))
def test_the_next_turn_comes_within_an_interval(now: float, interval_s: float, phase: float) -> None:
    at = next_turn(now, interval_s, phase)
    assert now < at <= now + interval_s * (1 + 1e-6) + 1e-6
    again = next_turn(at, interval_s, phase)
    assert again - at == pytest.approx(interval_s, rel=1e-3, abs=1e-6)


@given(st.integers(2, 400), st.integers(0, 1000))
def test_phases_are_spread_evenly_whoever_comes_and_goes(count: int, gone: int) -> None:
    every = phases()
    for _ in range(gone):
        next(every)
    places = sorted(next(every) for _ in range(count))
    gaps = [later - earlier for earlier, later in pairwise([*places, places[0] + 1])]
    assert max(gaps) <= 2 / count
