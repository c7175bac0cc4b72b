"""After any doubt about who owns what, the owner says so again, and nobody else does."""

import pytest

from tests.unit.runtime.fakes import Cluster, cluster, component, group_of
from tests.virtual import VirtualClock

pytestmark = pytest.mark.virtual


async def quiet(c: Cluster) -> None:
    await c.online("a")
    await c.sleep(10)
    c.world.reclaimed.clear()
    await c.sleep(30)
    assert c.world.reclaimed == []


async def test_a_healed_split_makes_the_owner_say_it_once_more(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(component("ip"))) as c:
        await quiet(c)
        c.network.isolate("b")
        await c.sleep(2)
        assert c.world.reclaimed == []
        c.network.heal()
        await c.sleep(5)
        assert set(c.world.reclaimed) == {("a", "ip")}
        assert len(c.world.reclaimed) <= 2


async def test_a_coordinator_that_is_back_makes_the_owner_say_it_once_more(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(component("ip"))) as c:
        await quiet(c)
        c.outages.cut.add("a")
        await c.sleep(1)
        c.outages.cut.clear()
        await c.sleep(5)
        assert ("a", "ip") in c.world.reclaimed
        assert ("b", "ip") not in c.world.reclaimed


async def test_a_peer_that_comes_and_goes_makes_no_storm(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(component("ip"))) as c:
        await quiet(c)
        began = virtual_clock.now()
        for _ in range(10):
            c.network.isolate("b")
            await c.sleep(1.5)
            c.network.heal()
            await c.sleep(0.5)
        assert 0 < len(c.world.reclaimed) <= (virtual_clock.now() - began) / 1.0 + 1
