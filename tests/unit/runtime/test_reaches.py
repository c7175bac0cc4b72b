"""Each way of not quite reaching a member has a name, a reason, an event, and touches nobody."""

import pytest

from failoverd.log.catalogue import Event
from failoverd.runtime.status import status_document
from tests.unit.runtime.fakes import CHAIN, Cluster, cluster, group_of
from tests.virtual import VirtualClock

pytestmark = pytest.mark.virtual
THREE = group_of(*CHAIN, nodes=("a", "b"))
NAMES = ("a", "b", "w")


async def reach(c: Cluster, by: str, of: str) -> tuple[str, str]:
    shown = (await status_document(c[by], coordinator_type="memory"))["nodes"][of]
    return shown["reach"], shown["reason"]


def told(c: Cluster, by: str, of: str) -> list[str]:
    found = [each for each in c.events(Event.PARTITION_FOUND, by) if each.fields["peer"] == of]
    return [str(each.fields["state"]) for each in found]


async def calm(c: Cluster) -> None:
    await c.online("a")
    await c.sleep(5)
    assert c.events(Event.PARTITION_FOUND) == []
    c.world.forget()
    c.log.clear()


async def test_only_the_link_between_two_nodes_is_cut(virtual_clock: VirtualClock) -> None:
    """Both still reach the coordinator: nobody is shot, nothing moves, both name the state."""
    async with cluster(virtual_clock, THREE, names=NAMES) as c:
        await calm(c)
        c.network.cut |= {("a", "b"), ("b", "a")}
        await c.sleep(60)
        assert c.world.record == []
        assert c.events(Event.PEER_FENCED) == c.events(Event.PEER_DOWN) == c.events(Event.LEASE_SELF_STOP) == []
        for by, of in (("a", "b"), ("b", "a")):
            state, reason = await reach(c, by, of)
            assert state == "cut"
            assert "it renews its lease: the network between us is cut, and nobody touches it; w hears it" in reason
            assert told(c, by, of) == ["cut"]
        for of, other in (("a", "b"), ("b", "a")):
            assert await reach(c, "w", of) == ("partial", f"{other} does not hear it")
            assert told(c, "w", of) == ["partial"]
        c.network.heal()
        await c.sleep(5)
        assert (await reach(c, "a", "b")) == ("full", "")
        assert len(c.events(Event.PARTITION_HEALED)) == 4


async def test_one_direction_alone_does_not_work(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, THREE, names=("a", "b")) as c:
        await calm(c)
        c.network.cut.add(("a", "b"))
        await c.sleep(10)
        assert c.world.record == []
        assert await reach(c, "a", "b") == ("one_way", "it does not hear us, though we hear it")
        assert (await reach(c, "b", "a"))[0] == "cut"
        assert (told(c, "a", "b"), told(c, "b", "a")) == (["one_way"], ["cut"])


async def test_a_member_that_lost_the_coordinator_answers_all_the_same(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, THREE, names=NAMES) as c:
        await calm(c)
        c.outages.cut.add("a")
        await c.sleep(10)
        assert c.world.record == []
        assert await reach(c, "b", "a") == ("lost_coordinator", "it answers, but cannot reach the coordinator")
        assert told(c, "b", "a") == told(c, "w", "a") == ["lost_coordinator"]
        assert told(c, "a", "b") == []


async def test_what_others_hear_is_named_where_the_coordinator_cannot_tell(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, THREE, names=NAMES) as c:
        await calm(c)
        c.outages.cut |= set(NAMES)
        await c.sleep(3)
        c.network.cut |= {("a", "b"), ("b", "a")}
        await c.until(lambda: told(c, "b", "a")[-1:] == ["partial"], 10)
        state, reason = await reach(c, "b", "a")
        assert (state, "but w hears it" in reason) == ("partial", True)


async def test_a_member_that_died_is_no_partition(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, THREE, names=NAMES) as c:
        await calm(c)
        c.cut_power("a")
        await c.online("b")
        await c.sleep(5)
        assert c.events(Event.PARTITION_FOUND) == []
