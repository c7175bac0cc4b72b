"""A daemon is stopped: it hands over, or takes down, or leaves running; and gives its lease back."""

import anyio
import pytest

from failoverd.domain.model import Action, OnStop
from failoverd.domain.placement import LeaseState
from failoverd.log.catalogue import Event
from tests.unit.runtime.fakes import CHAIN, Cluster, cluster, component, group_of
from tests.virtual import VirtualClock

pytestmark = pytest.mark.virtual


async def stop(c: Cluster, node: str, patience_s: float = 60.0) -> float:
    """Returns how long it took."""
    began = c.clock.now()
    await c[node].stop("received SIGTERM", patience_s)
    with anyio.fail_after(5):
        await c.daemons[node].ended.wait()
    c.network.sockets.pop(node, None)
    return c.clock.now() - began


async def test_a_stop_hands_over_pipelined_and_leaves_in_good_order(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(*CHAIN)) as c:
        await c.online("a")
        for name in ("disk", "db", "web"):
            c.world.behaviour("a", name).takes_s[Action.OFFLINE] = 1.0
        took_s = await stop(c, "a")
        assert took_s == pytest.approx(3.0, abs=0.2)
        await c.online("b", within_s=0.5)
        assert c.member("a").state is LeaseState.LEFT
        assert c.placed().cause == "shutdown"
        await c.sleep(5)
        assert c.events(Event.PEER_FENCED) == []
        assert c.events(Event.PEER_LEFT, "b")


async def test_without_a_target_a_stop_takes_everything_down_and_the_next_start_brings_it_back(
    virtual_clock: VirtualClock,
) -> None:
    async with cluster(virtual_clock, group_of(*CHAIN), names=("a",)) as c:
        await c.online("a")
        assert await stop(c, "a") < 1
        assert c.world.everything_on("a") == set()
        assert c.member("a").state is LeaseState.LEFT
        assert c.placed().holders == ()
        c.start("a")
        await c.online("a", within_s=1)


async def test_whoever_comes_up_first_takes_a_group_whose_owner_has_left(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(*CHAIN), start=False) as c:
        c.start("a")
        await c.online("a")
        await stop(c, "a")
        c.start("b")
        await c.online("b", within_s=10)


async def test_on_stop_leave_touches_nothing_and_nobody_takes_it_over(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(*CHAIN, on_stop=OnStop.LEAVE)) as c:
        await c.online("a")
        c.world.forget()
        assert await stop(c, "a") < 1
        assert c.member("a").state is LeaseState.AWAY
        assert "left running: g" in c.member("a").reason
        await c.sleep(60)
        assert c.world.record == []
        assert c.placed().owner == "a"
        c.start("a")
        await c.ready("a")
        await c.sleep(5)
        assert c.world.record == []
        assert len(c.events(Event.COMPONENT_ADOPTED, "a")) == 3


async def test_what_does_not_go_offline_is_said_and_not_given_away(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(*CHAIN)) as c:
        await c.online("a")
        c.world.behaviour("a", "disk").survives |= {Action.OFFLINE, Action.CLEAN}
        c.world.behaviour("a", "disk").hangs.add(Action.OFFLINE)
        took_s = await stop(c, "a", patience_s=10)
        assert took_s == pytest.approx(10, abs=0.2)
        assert c.member("a").state is LeaseState.AWAY
        await c.sleep(30)
        assert c.world.everything_on("b") == set()


async def test_a_stop_amid_a_handover_lets_it_end(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(*CHAIN)) as c:
        await c.online("a")
        for node in ("a", "b"):
            for name in ("disk", "db", "web"):
                c.world.behaviour(node, name).takes_s |= {Action.OFFLINE: 1.0, Action.ONLINE: 1.0}
        await c.switch("b")
        await c.sleep(1.5)
        await stop(c, "a")
        await c.online("b", within_s=5)


async def test_the_target_of_a_handover_that_stops_gives_it_back(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(*CHAIN)) as c:
        await c.online("a")
        for node in ("a", "b"):
            for name in ("disk", "db", "web"):
                c.world.behaviour(node, name).takes_s |= {Action.OFFLINE: 1.0, Action.ONLINE: 1.0}
        await c.switch("b")
        await c.sleep(4.5)
        await stop(c, "b")
        await c.online("a", within_s=10)


async def test_a_stop_without_the_coordinator_ends_all_the_same(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(component("x"))) as c:
        await c.online("a")
        c.outages.cut.add("a")
        await stop(c, "a", patience_s=20)
        assert c.world.everything_on("a") == set()
        await c.online("b", within_s=5)


async def test_a_stop_before_it_has_joined_takes_nothing_down_that_is_not_its_own(
    virtual_clock: VirtualClock,
) -> None:
    async with cluster(virtual_clock, group_of(*CHAIN), start=False) as c:
        c.outages.cut.add("a")
        c.start("a")
        await c.sleep(1)
        assert await stop(c, "a") < 2


async def test_two_signals_are_one_stop(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(*CHAIN)) as c:
        await c.online("a")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(c["a"].stop, "first", 60.0)
            tasks.start_soon(c["a"].stop, "second", 60.0)
        await c.online("b", within_s=1)


# --- the coordinator is gone ----------------------------------------------------------------------------------------


async def test_a_stop_without_a_coordinator_waits_for_nothing_once_nothing_is_online(
    virtual_clock: VirtualClock,
) -> None:
    async with cluster(virtual_clock, group_of(*CHAIN)) as c:
        await c.online("a")
        c.network.isolate("a")
        c.outages.cut |= {"a", "b"}
        await c.until(lambda: not c.world.everything_on("a"), 5)
        assert await stop(c, "a") < 1


async def test_a_stop_that_begins_before_the_outage_is_noticed_does_not_wait_either(
    virtual_clock: VirtualClock,
) -> None:
    async with cluster(virtual_clock, group_of(*CHAIN), names=("a",)) as c:
        await c.online("a")
        c.outages.cut.add("a")
        assert await stop(c, "a") < 3
        assert c.world.everything_on("a") == set()
