"""The coordinator is gone, and everybody else is there: what is online stays; with anybody missing it goes in time."""

from dataclasses import replace

import pytest

from failoverd.domain.lease import LeaseSettings
from failoverd.domain.model import Action
from failoverd.domain.placement import LeaseState
from failoverd.log.catalogue import Event
from failoverd.ports import Put
from failoverd.records import encode, lease_key
from failoverd.runtime.failsafe import Standing
from failoverd.runtime.status import status_document
from tests.unit.runtime.fakes import CHAIN, Cluster, cluster, group_of
from tests.virtual import VirtualClock

pytestmark = pytest.mark.virtual
TTL_S = 3.0
USABLE_S = 2.0
LATEST_S = TTL_S + 0.3
"""Counted from the last answer of whoever is missing: the promise that it gave last was asked before that."""
THREE = group_of(*CHAIN, nodes=("a", "b"))
NAMES = ("a", "b", "w")


def touched(c: Cluster) -> list[tuple[str, str, str]]:
    return [(o.node, o.component, o.action.value) for o in c.world.record]


async def test_with_the_coordinator_gone_for_all_nothing_moves_and_nothing_stops(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, THREE, names=NAMES) as c:
        await c.online("a")
        c.world.forget()
        incarnation, generation = c.member("a").incarnation, c.placed().generation
        c.outages.cut |= set(NAMES)
        await c.sleep(30)
        assert c["a"].failsafe.standing is Standing.HELD
        c.outages.cut.clear()
        await c.sleep(10)
        assert touched(c) == []
        assert (c.member("a").incarnation, c.placed().generation) == (incarnation, generation)
        assert c.events(Event.PEER_FENCED) == c.events(Event.LEASE_SELF_STOP) == []
        for node in NAMES:
            assert len(c.events(Event.FAILSAFE_ENTERED, node)) == len(c.events(Event.FAILSAFE_LEFT, node)) == 1
        assert c.events(Event.FAILSAFE_LEFT, "a")[0].fields["reason"] == "the lease is renewed again"


async def test_with_the_coordinator_gone_for_the_owner_alone_nothing_moves_either(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, THREE, names=NAMES) as c:
        await c.online("a")
        c.world.forget()
        c.outages.cut.add("a")
        await c.sleep(60)
        assert touched(c) == []
        assert c.member("a").state is LeaseState.LIVE
        c.outages.cut.clear()
        await c.sleep(5)
        assert touched(c) == []
        assert c["a"].failsafe.standing is Standing.OFF


@pytest.mark.parametrize("missing", ["b", "w"])
async def test_with_one_member_dead_as_well_the_owner_stops_itself_in_time(
    virtual_clock: VirtualClock, missing: str
) -> None:
    async with cluster(virtual_clock, THREE, names=NAMES) as c:
        await c.online("a")
        c.world.forget()
        c.cut_power(missing)
        c.outages.cut |= set(NAMES)
        cut_at = virtual_clock.now()
        await c.until(lambda: not c.world.everything_on("a"), TTL_S)
        assert virtual_clock.now() <= cut_at + TTL_S
        assert c.events(Event.LEASE_SELF_STOP, "a")
        assert c.events(Event.FAILSAFE_ENTERED, "a") == []


@pytest.mark.parametrize("missing", ["b", "w"])
async def test_a_member_that_dies_during_failsafe_ends_it_before_its_promise_does(
    virtual_clock: VirtualClock, missing: str
) -> None:
    async with cluster(virtual_clock, THREE, names=NAMES) as c:
        await c.online("a")
        c.world.forget()
        c.outages.cut |= set(NAMES)
        await c.sleep(20)
        c.cut_power(missing)
        died_at = virtual_clock.now()
        await c.sleep(USABLE_S - 0.3)
        assert touched(c) == []
        await c.until(lambda: not c.world.everything_on("a"), TTL_S)
        assert virtual_clock.now() <= died_at + TTL_S
        (left,) = c.events(Event.FAILSAFE_LEFT, "a")
        assert missing in str(left.fields["reason"])


async def test_an_owner_that_dies_in_failsafe_is_taken_over_when_the_promises_have_run_out(
    virtual_clock: VirtualClock,
) -> None:
    async with cluster(virtual_clock, THREE, names=NAMES) as c:
        await c.online("a")
        c.outages.cut.add("a")
        await c.sleep(20)
        last = c["b"].failsafe.promiser.until("a")
        c.cut_power("a")
        await c.online("b", within_s=TTL_S * 1.05 + 0.5)
        began = c.world.of("disk", "b", Action.ONLINE)[0].begin
        assert began >= last - 0.2  # w has promised too, up to a heartbeat earlier; whoever is first may fence
        assert began >= min(last, c["w"].failsafe.promiser.until("a"))


async def test_the_owner_cut_off_from_everything_has_stopped_before_the_other_begins(
    virtual_clock: VirtualClock,
) -> None:
    """The fakes' world says so: nothing is ever online twice (judged at the end of each test)."""
    async with cluster(virtual_clock, THREE, names=NAMES) as c:
        await c.online("a")
        c.outages.cut.add("a")
        await c.sleep(10)
        for name in ("disk", "db", "web"):
            c.world.behaviour("a", name).takes_s[Action.CLEAN] = 0.49
        c.network.isolate("a")
        await c.online("b", within_s=10)


async def test_a_node_that_has_just_restarted_fences_nobody_before_the_longest_promise_has_run_out(
    virtual_clock: VirtualClock,
) -> None:
    """It promised, was restarted and has forgotten; the owner still counts on it."""
    long = LeaseSettings.of(ttl_s=1.0, failsafe_s=20.0)
    async with cluster(virtual_clock, THREE, names=("a", "b"), lease=long) as c:
        await c.online("a")
        c.world.forget()
        c.outages.cut.add("a")
        await c.sleep(5)
        assert c["a"].failsafe.standing is Standing.HELD
        promised_until = c["a"].failsafe.until
        assert promised_until is not None
        c.kill("b")
        c.start("b")
        c.network.isolate("a")
        await c.ready("b")
        joined_at = virtual_clock.now()
        assert c["b"].keeper.fences_from == pytest.approx(joined_at + 20 * 1.05, abs=0.2)
        await c.until(lambda: c.member("a").state is LeaseState.FENCED, 40)
        assert virtual_clock.now() >= joined_at + 20
        assert virtual_clock.now() >= promised_until


async def test_a_second_restart_does_not_shorten_the_wait_of_the_first(virtual_clock: VirtualClock) -> None:
    """The first had a longer promise configured than those after it."""
    async with cluster(virtual_clock, THREE, names=("a", "b")) as c:
        await c.ready()
        lease = c.lease_of("b")
        assert lease.promises_s == TTL_S
        c.kill("b")
        c.store.send([], [Put(lease_key("b"), encode(replace(lease, promises_s=50.0)))], 0.0)
        c.store.settle(virtual_clock.now())
        for _ in range(2):
            c.start("b")
            await c.ready("b")
            assert c["b"].keeper.fences_from >= virtual_clock.now() + 50
            c.kill("b")
        c.start("b")
        await c.sleep(60)
        assert c.lease_of("b").promises_s == TTL_S


async def test_a_fencing_that_may_still_be_carried_out_forbids_every_promise(virtual_clock: VirtualClock) -> None:
    """Its reply was lost, or it is on its way for minutes: nobody may count on a promise that it would break."""
    async with cluster(virtual_clock, THREE, names=("a", "b")) as c:
        await c.online("a")
        kept = c["b"].mirror.leases["a"]
        assert c["b"].failsafe.promiser.begin_fencing("a", kept.revision + 1000, virtual_clock.now())
        c.outages.cut.add("a")
        await c.until(lambda: not c.world.everything_on("a"), TTL_S)
        assert c.events(Event.FAILSAFE_ENTERED, "a") == []


async def test_a_node_that_is_not_told_of_as_a_fencer_takes_nobody_down(virtual_clock: VirtualClock) -> None:
    """The owner knows of b alone, and asks b alone: c, which was added since, may not fence it."""
    async with cluster(virtual_clock, group_of(*CHAIN, nodes=("a", "c")), names=("a", "b"), start=False) as c:
        c.start("a", "b")
        await c.online("a")
        c.nodes["c"] = replace(c.nodes["b"], name="c", addresses=(("c", 1),))
        c.start("c")
        await c.ready("c")
        c.outages.cut |= {"a"}
        await c.sleep(10)
        assert c.member("a").state is LeaseState.LIVE
        assert c.world.everything_on("a")
        assert c.events(Event.PEER_DOWN, "c") == []


async def test_a_faulted_component_is_restarted_in_place_during_failsafe(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, THREE, names=NAMES) as c:
        await c.online("a")
        c.outages.cut |= set(NAMES)
        await c.sleep(10)
        c.world.forget()
        c.world.put("a", "web", there=False)
        await c.until(lambda: c.world.there("a", "web"), 30)
        assert {o.component for o in c.world.record} == {"web"}


async def test_being_cut_off_for_longer_than_the_promises_last_is_a_self_stop(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, THREE, names=NAMES) as c:
        await c.online("a")
        c.outages.cut.add("a")
        await c.sleep(10)
        c.network.isolate("a")
        await c.sleep(USABLE_S)
        c.network.heal()
        await c.until(lambda: not c.world.everything_on("a"), 1.5)


async def test_switched_off_it_neither_asks_nor_promises(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, THREE, names=NAMES, lease=LeaseSettings.of(ttl_s=TTL_S, failsafe_s=0.0)) as c:
        await c.online("a")
        assert c.member("a").fencers is None
        c.outages.cut |= set(NAMES)
        await c.until(lambda: not c.world.everything_on("a"), TTL_S)
        assert all(not state.asks and not state.promises for _, state in c.network.sockets["a"].sent)


async def test_status_says_who_promises_and_who_does_not(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, THREE, names=NAMES) as c:
        await c.online("a")
        c.outages.cut.add("a")
        await c.sleep(10)
        document = await status_document(c["a"], coordinator_type="memory")
        failsafe = document["nodes"]["a"]["failsafe"]
        assert failsafe["state"] == "held"
        assert 0 < failsafe["remaining_s"] <= TTL_S
        assert failsafe["lacking"] == []
        assert "every other member promises not to fence it" in document["nodes"]["a"]["reason"]
        c.network.isolate("w")
        await c.sleep(TTL_S)
        failsafe = (await status_document(c["a"], coordinator_type="memory"))["nodes"]["a"]["failsafe"]
        assert (failsafe["state"], failsafe["lacking"]) == ("asking", ["w"])
