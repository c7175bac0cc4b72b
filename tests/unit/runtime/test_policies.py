"""Policies carried out by daemons: failback, placement."""

import pytest

from failoverd.domain.model import PlacementPolicy
from failoverd.domain.placement import Cause
from tests.unit.runtime.fakes import CHAIN, cluster, component, group_of
from tests.virtual import VirtualClock

pytestmark = pytest.mark.virtual


async def test_a_group_goes_back_once_its_node_has_been_well_for_long_enough(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(*CHAIN, failback_after_s=60.0)) as c:
        await c.online("a")
        c.cut_power("a")
        await c.online("b")
        c.start("a")
        await c.ready("a")
        began = c.clock.now()
        await c.sleep(58)
        assert c.placed().owner == "b"
        await c.online("a", within_s=5)
        assert c.clock.now() - began == pytest.approx(60, abs=2)
        assert c.placed().cause is Cause.FAILBACK


async def test_an_operators_choice_stands(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(*CHAIN, failback_after_s=10.0)) as c:
        await c.online("a")
        await c.switch("b")
        await c.online("b")
        await c.sleep(120)
        assert c.placed().owner == "b"


async def test_the_groups_of_a_lost_node_are_spread(virtual_clock: VirtualClock) -> None:
    groups = [
        group_of(component(f"x{n}"), name=f"g{n}", nodes=("a", "b", "c"), placement=PlacementPolicy.SPREAD)
        for n in range(6)
    ]
    async with cluster(virtual_clock, *groups, names=("a", "b", "c")) as c:
        await c.until(lambda: all(c.placement(g.name) is not None for g in groups), 10)
        owners = [c.placed(g.name).owner for g in groups]
        assert {name: owners.count(name) for name in "abc"} == {"a": 2, "b": 2, "c": 2}
        c.cut_power("a")
        await c.until(lambda: all(c.placed(g.name).owner != "a" for g in groups), 10)
        owners = [c.placed(g.name).owner for g in groups]
        assert {name: owners.count(name) for name in "bc"} == {"b": 3, "c": 3}
