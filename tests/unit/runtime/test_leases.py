"""A node's own lease: renewed, lost, taken away, given back; and what becomes of what is online."""

import asyncio
from dataclasses import replace

import pytest

from failoverd.domain.lease import LeaseSettings
from failoverd.domain.model import Action
from failoverd.domain.placement import LeaseState
from failoverd.errors import StartupError
from failoverd.log.catalogue import Event
from failoverd.ports import Delete, Put
from failoverd.records import encode, lease_key, node_key, placement_key
from tests.unit.runtime.fakes import CHAIN, Cluster, cluster, component, group_of
from tests.virtual import VirtualClock, VirtualLoop

pytestmark = pytest.mark.virtual
TTL_S = 3.0
USABLE_S = 2.0
RENEW_S = 0.5
ALONE = LeaseSettings.of(ttl_s=TTL_S, failsafe_s=0.0)
"""A lease that no promise of others stands in for (``test_failsafe`` has those)."""
OPS = {Action.ONLINE, Action.OFFLINE, Action.CLEAN}


def touched(c: Cluster) -> list[tuple[str, str, str]]:
    return [(o.node, o.component, o.action.value) for o in c.world.record]


# --- the coordinator is gone --------------------------------------------------------------------------------------


async def test_an_outage_shorter_than_the_lease_touches_nothing(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(*CHAIN)) as c:
        await c.online("a")
        c.world.forget()
        c.outages.cut |= {"a", "b"}
        await c.sleep(1.3)
        c.outages.cut.clear()
        await c.sleep(10)
        assert touched(c) == []
        assert c.events(Event.COORDINATOR_LOST, "a")
        assert c.events(Event.COORDINATOR_BACK, "a")
        assert c.placed().owner == "a"


async def test_an_outage_longer_than_the_lease_stops_everything_in_time_and_moves_nothing(
    virtual_clock: VirtualClock,
) -> None:
    async with cluster(virtual_clock, group_of(*CHAIN), lease=ALONE) as c:
        await c.online("a")
        c.world.forget()
        c.outages.cut |= {"a", "b"}
        cut_at = virtual_clock.now()
        await c.sleep(20)
        stopped_at = [o.end for o in c.world.record]
        assert {o.action for o in c.world.record} == {Action.CLEAN}
        assert c.world.everything_on("a") | c.world.everything_on("b") == set()
        assert all(at is not None and at <= cut_at + TTL_S for at in stopped_at)
        assert c.placed().owner == "a"
        c.outages.cut.clear()
        await c.online("a", within_s=3)
        assert c.placed().generation == 1


async def test_after_an_outage_for_all_nobody_is_fenced_for_not_having_renewed(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(*CHAIN), lease=ALONE) as c:
        await c.online("a")
        c.outages.cut |= {"a", "b"}
        await c.sleep(30)
        c.outages.cut.clear()
        await c.sleep(10)
        assert c.events(Event.PEER_FENCED) == []


async def test_a_moment_without_the_coordinator_does_not_prolong_a_dead_nodes_lease(
    virtual_clock: VirtualClock,
) -> None:
    async with cluster(virtual_clock, group_of(*CHAIN)) as c:
        await c.online("a")
        c.kill("a")
        killed_at = virtual_clock.now()
        await c.sleep(1.5)
        c.outages.cut.add("b")
        await c.until(lambda: bool(c.events(Event.COORDINATOR_LOST, "b")), 2)
        c.outages.cut.clear()
        await c.until(lambda: bool(c.events(Event.COORDINATOR_BACK, "b")), 2)
        lasted_s = virtual_clock.now() - killed_at - 1.5
        await c.until(lambda: bool(c.events(Event.PEER_FENCED, "b")), 5)
        assert virtual_clock.now() <= killed_at + 1.05 * TTL_S + lasted_s + RENEW_S + 0.1


async def test_self_stop_needs_no_gate_and_waits_for_no_operation_in_flight(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(*CHAIN), lease=ALONE) as c:
        await c.online("a")
        c.world.behaviour("a", "web").takes_s[Action.OFFLINE] = 50
        await c.switch("b")
        await c.sleep(0.5)
        c.world.forget()
        c.outages.cut.add("a")
        began = virtual_clock.now()
        await c.until(lambda: not c.world.everything_on("a"), USABLE_S + 0.3)
        assert {o.component for o in c.world.of(node="a", action=Action.CLEAN)} == {"disk", "db", "web"}
        cleaned = [o.begin for o in c.world.of(node="a", action=Action.CLEAN)]
        assert max(cleaned) - min(cleaned) < 0.01
        assert max(cleaned) <= began + USABLE_S + 0.1
        await c.online("b", within_s=10)


async def test_self_stop_waits_for_no_turn(virtual_clock: VirtualClock) -> None:
    """``max_parallel`` is no reason to be late."""
    parts = [component(f"c{number}") for number in range(8)]
    async with cluster(virtual_clock, group_of(*parts), max_parallel=1, lease=ALONE) as c:
        await c.online("a")
        for part in parts:
            c.world.behaviour("a", part.name).takes_s |= {Action.CLEAN: 0.5, Action.OFFLINE: 9.0}
        await c.ask("a", "offline", group="g", wait=False)
        await c.sleep(0.5)
        c.outages.cut.add("a")
        cut_at = virtual_clock.now()
        await c.until(lambda: not c.world.everything_on("a"), TTL_S)
        assert virtual_clock.now() <= cut_at + TTL_S


async def test_self_stop_cleans_what_is_not_known_while_its_probe_hangs(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(component("x"), component("y")), lease=ALONE) as c:
        await c.online("a")
        c.kill("a")
        c.world.behaviour("a", "y").hangs.add(Action.PROBE)
        c.start("a")
        await c.until(lambda: c["a"].keeper.held is not None, 1)
        c.outages.cut.add("a")
        cut_at = virtual_clock.now()
        await c.until(lambda: not c.world.everything_on("a"), TTL_S)
        assert virtual_clock.now() <= cut_at + TTL_S
        c.world.behaviour("a", "y").hangs.clear()


async def test_a_node_that_has_joined_but_is_not_ready_stops_itself_all_the_same(virtual_clock: VirtualClock) -> None:
    """Its groups were adopted with the lease, however long some other group's probe takes."""
    slow = group_of(component("slow"), name="slow")
    async with cluster(virtual_clock, group_of(*CHAIN), slow, start=False, lease=ALONE) as c:
        c.world.behaviour("a", "slow").hangs.add(Action.PROBE)
        c.start("b")
        c.start("a")
        await c.online("a")
        c.kill("a")
        c.start("a")
        await c.until(lambda: c["a"].keeper.held is not None, 1)
        assert not c["a"].authority.ready
        c.outages.cut.add("a")
        cut_at = virtual_clock.now()
        await c.until(lambda: not c.world.everything_on("a") & {"disk", "db", "web"}, TTL_S)
        assert virtual_clock.now() <= cut_at + TTL_S
        c.world.behaviour("a", "slow").hangs.clear()


async def test_a_clean_that_fails_at_self_stop_is_tried_again_and_again(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(component("x")), lease=ALONE) as c:
        await c.online("a")
        c.world.behaviour("a", "x").survives.add(Action.CLEAN)
        c.outages.cut |= {"a", "b"}
        await c.sleep(USABLE_S + 1)
        tries = c.world.of("x", "a", Action.CLEAN)
        assert len(tries) >= 4
        first_pause = tries[1].begin - (tries[0].end or 0.0)
        assert first_pause < 0.06, "a short lease leaves no time to wait"
        c.world.behaviour("a", "x").survives.clear()
        await c.sleep(0.5)
        assert c.world.everything_on("a") == set()


async def test_only_the_node_that_is_cut_off_loses_its_groups(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(*CHAIN), lease=ALONE) as c:
        await c.online("a")
        c.outages.cut.add("a")
        await c.online("b", within_s=TTL_S * 1.05 + 0.5)
        assert c.member("a").state is LeaseState.FENCED
        c.outages.cut.clear()
        await c.until(lambda: c.member("a").state is LeaseState.LIVE, 3)
        await c.sleep(5)
        assert c.placed().owner == "b"
        assert c.events(Event.LEASE_SELF_STOP, "a")


async def test_it_does_not_come_back_before_nothing_is_there(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(*CHAIN), lease=ALONE) as c:
        await c.online("a")
        c.world.may_be_twice |= {"disk"}
        c.world.behaviour("a", "disk").survives.add(Action.CLEAN)
        c.outages.cut.add("a")
        await c.sleep(5)
        c.outages.cut.clear()
        await c.sleep(10)
        assert c.member("a").state is LeaseState.FENCED
        c.world.put("a", "disk", there=False)
        await c.until(lambda: c.member("a").state is LeaseState.LIVE, 3)


# --- renewals ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lost", [1, 2])
async def test_lost_replies_of_renewals_are_found_out_and_cost_nothing(virtual_clock: VirtualClock, lost: int) -> None:
    async with cluster(virtual_clock, group_of(*CHAIN)) as c:
        await c.online("a")
        c.world.forget()
        incarnation = c.member("a").incarnation
        c.outages.replies_lost["a"] = lost
        await c.sleep(10)
        assert c.outages.replies_lost["a"] == 0
        assert c.member("a").incarnation == incarnation
        assert touched(c) == []


async def test_a_renewal_whose_reply_was_lost_does_not_prolong_the_lease(virtual_clock: VirtualClock) -> None:
    """It was begun before the one that counts, and may have been carried out at any time."""
    async with cluster(virtual_clock, group_of(*CHAIN)) as c:
        await c.online("a")
        held = c["a"].keeper.held
        assert held is not None
        began = held.began
        c.outages.replies_lost["a"] = 100
        await c.sleep(1.0)
        assert held.began == began


async def test_the_owners_end_of_every_renewal_is_before_every_observers(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(*CHAIN)) as c:
        await c.ready()
        for _ in range(50):
            await c.sleep(0.13)
            held = c["a"].keeper.held
            seen = c["b"].view_builder.build(virtual_clock.now()).nodes["a"].lease_expires_at
            assert held is not None
            assert seen is not None
            if c["b"].mirror.leases["a"].record.renewal >= held.lease.renewal:
                assert seen >= c.lease.ends(held.began)


async def test_a_daemon_whose_decisions_stand_still_does_not_renew(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(*CHAIN), lease=ALONE) as c:
        await c.online("a")
        renewal = c.lease_of("a").renewal
        c["a"].keeper._alive = lambda _: False
        await c.until(lambda: not c.world.everything_on("a"), TTL_S)
        assert c.lease_of("a").renewal == renewal


# --- taken away ---------------------------------------------------------------------------------------------------


async def fence(c: Cluster, node: str) -> None:
    """By another node, for whatever reason."""
    member, lease = c.member(node), c.lease_of(node)
    pending = c.store.send(
        [],
        [
            Put(node_key(node), encode(type(member)(incarnation=member.incarnation, state=LeaseState.FENCED, by="t"))),
            Put(
                lease_key(node),
                encode(
                    type(lease)(
                        incarnation=lease.incarnation,
                        renewal=lease.renewal,
                        ttl_s=lease.ttl_s,
                        state=LeaseState.FENCED,
                    )
                ),
            ),
        ],
        0.0,
    )
    c.store.settle(c.clock.now())
    assert pending.commit is not None


async def test_a_fenced_node_stops_at_once_and_joins_anew_when_nothing_is_there(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(*CHAIN), names=("a",)) as c:
        await c.online("a")
        before = c.member("a").incarnation
        for name in ("disk", "db", "web"):
            c.world.behaviour("a", name).takes_s[Action.CLEAN] = 0.5
        await fence(c, "a")
        await c.until(lambda: c.member("a").incarnation != before, 3)
        lost = c.events(Event.LEASE_LOST, "a")
        assert len(lost) == 1
        assert all((o.end or 9e9) <= virtual_clock.now() for o in c.world.of(node="a", action=Action.CLEAN))


async def test_a_renewal_that_was_on_its_way_when_we_were_fenced_does_not_cost_the_next_incarnation(
    virtual_clock: VirtualClock,
) -> None:
    async with cluster(virtual_clock, group_of(*CHAIN)) as c:
        await c.ready()
        await c.sleep(3)
        for _ in range(40):
            await fence(c, "b")
            await c.sleep(0.043)
        await c.sleep(2)
        joined, lost = len(c.events(Event.LEASE_ACQUIRED, "b")), len(c.events(Event.LEASE_LOST, "b"))
        assert joined == lost + 1
        incarnations = [each.fields["incarnation"] for each in c.events(Event.LEASE_LOST, "b")]
        assert len(set(incarnations)) == len(incarnations)
        ended = {each.fields["incarnation"]: each.at for each in c.events(Event.LEASE_LOST, "b")}
        began = {each.fields["incarnation"]: each.at for each in c.events(Event.LEASE_ACQUIRED, "b")}
        assert all(ended[name] > began[name] for name in ended)


async def test_a_lease_record_that_vanishes_is_a_lost_lease(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(*CHAIN)) as c:
        await c.online("a")
        before = c.member("a").incarnation
        c.store._stored.pop(lease_key("a"))
        await c.until(lambda: c.member("a").incarnation != before, 5)
        await c.online("a")


async def test_a_corrupt_lease_record_is_a_lost_lease(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(*CHAIN)) as c:
        await c.online("a")
        c.store.send([], [Put(lease_key("a"), b"nonsense")], 0.0)
        c.store.settle(virtual_clock.now())
        await c.until(lambda: not c.world.everything_on("a"), TTL_S)
        await c.online("a", within_s=5)
        assert c.events(Event.COORDINATOR_CORRUPT, "a")
        assert c.events(Event.LEASE_LOST, "a")


async def test_an_identity_record_that_cannot_be_read_is_waited_for_and_not_overwritten(
    virtual_clock: VirtualClock,
) -> None:
    async with cluster(virtual_clock, group_of(*CHAIN), start=False) as c:
        for key in (node_key("a"), lease_key("a")):
            c.store.send([], [Put(key, b"nonsense")], 0.0)
        c.store.settle(virtual_clock.now())
        c.start()
        await c.online("b")
        await c.sleep(5)
        entry = c.store.get(node_key("a"))
        assert entry is not None
        assert entry.value == b"nonsense"
        assert len(c.events(Event.COORDINATOR_CORRUPT, "a")) == 2


# --- one name, two daemons ----------------------------------------------------------------------------------------


async def test_a_second_daemon_of_a_name_on_another_host_is_refused_and_disturbs_nothing(
    virtual_clock: VirtualClock,
) -> None:
    async with cluster(virtual_clock, group_of(*CHAIN)) as c:
        await c.online("a")
        c.world.forget()
        first = c.daemons["a"]
        before = c.member("a").incarnation
        c.start("a", host="elsewhere")
        second = c.daemons["a"]
        await c.until(second.ended.is_set, 5)
        (error,) = second.errors
        assert isinstance(error, StartupError)
        assert "node name 'a' is in use by another running daemon (host host-a)" in str(error)
        second.errors.clear()
        c.daemons["a"] = first
        await c.sleep(5)
        assert c.member("a").incarnation == before
        assert touched(c) == []


async def test_a_name_whose_daemon_died_elsewhere_is_taken_over_once_its_lease_has_run_out(
    virtual_clock: VirtualClock,
) -> None:
    async with cluster(virtual_clock, group_of(*CHAIN), names=("a",)) as c:
        await c.online("a")
        before = c.member("a").incarnation
        c.cut_power("a")
        cut_at = virtual_clock.now()
        c.start("a", host="elsewhere")
        await c.until(lambda: c.member("a").incarnation != before, 10)
        assert virtual_clock.now() >= cut_at + TTL_S * 1.05 - 0.6
        await c.online("a")


async def test_a_renewal_that_arrives_after_its_daemon_died_costs_the_next_a_lease_and_no_more(
    virtual_clock: VirtualClock,
) -> None:
    """It was on its way; nobody lives who could renew again."""
    async with cluster(virtual_clock, group_of(*CHAIN), names=("a",)) as c:
        await c.online("a")
        before = c.member("a").incarnation
        c.cut_power("a")
        c.start("a", host="elsewhere")
        await c.sleep(1.0)
        lease = c.lease_of("a")
        c.store.send([], [Put(lease_key("a"), encode(replace(lease, renewal=lease.renewal + 1)))], 0.0)
        c.store.settle(virtual_clock.now())
        late = virtual_clock.now()
        await c.until(lambda: c.member("a").incarnation != before, 10)
        assert virtual_clock.now() >= late + TTL_S * 1.05 - 0.01
        await c.online("a")


async def test_a_restart_on_the_same_host_need_not_wait(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(*CHAIN)) as c:
        await c.online("a")
        before = c.member("a").incarnation
        c.kill("a")
        c.start("a")
        await c.until(lambda: c.member("a").incarnation != before, 0.2)


# --- suspicion is not proof ---------------------------------------------------------------------------------------


async def test_a_silent_peer_that_renews_its_lease_is_touched_by_nobody(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(*CHAIN)) as c:
        await c.online("a")
        c.world.forget()
        c.network.isolate("a")
        await c.sleep(60)
        assert touched(c) == []
        assert c.placed().owner == "a"
        assert c.member("a").state is LeaseState.LIVE
        assert len(c.events(Event.PEER_SUSPECTED, "b")) == 1
        assert c.events(Event.PEER_DOWN) == []


async def test_a_power_cut_is_taken_over_within_the_lease_and_one_round(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(*CHAIN), lease=LeaseSettings.of(ttl_s=1.0), dead_after_s=0.3) as c:
        await c.online("a")
        c.world.forget()
        await c.sleep(1.234)
        c.cut_power("a")
        cut_at = virtual_clock.now()
        await c.online("b", within_s=1.3)
        assert c.world.of("disk", "b", Action.ONLINE)[0].begin <= cut_at + 1.05 + 0.05


async def test_a_take_over_from_an_old_view_changes_nothing(virtual_clock: VirtualClock) -> None:
    """Node b holds a's lease for expired because its watch is deaf; the records have changed long since."""
    async with cluster(virtual_clock, group_of(*CHAIN)) as c:
        await c.online("a")
        c.world.forget()
        c.outages.deaf.add("b")
        c.network.isolate("a")
        await c.sleep(10)
        assert c.member("a").state is LeaseState.LIVE
        assert touched(c) == []
        assert c.events(Event.PEER_DOWN, "b") == []
        c.outages.deaf.clear()
        c.network.heal()
        await c.sleep(5)
        assert c.placed().owner == "a"


async def test_a_deleted_placement_takes_nothing_down(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(*CHAIN)) as c:
        await c.online("a")
        c.world.forget()
        entry = c.store.get(placement_key("g"))
        assert entry is not None
        c.store.send([], [Delete(placement_key("g"))], 0.0)
        c.store.settle(virtual_clock.now())
        await c.sleep(5)
        assert c.world.record == []
        assert c.placed().owner == "a"


# --- stalls -------------------------------------------------------------------------------------------------------


def stall(seconds: float) -> None:
    """Every daemon stands still."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    loop._jumping.now += seconds


async def test_a_stall_shorter_than_the_lease_touches_nothing_and_condemns_nobody(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(*CHAIN)) as c:
        await c.online("a")
        await c.sleep(1)
        c.world.forget()
        stall(1.2)
        await c.sleep(10)
        assert touched(c) == []
        assert c.events(Event.LOOP_STALLED, "a")
        assert c.events(Event.PEER_SUSPECTED) == []
        assert c.events(Event.PEER_FENCED) == []


async def test_a_stall_longer_than_the_lease_is_a_self_stop_and_fences_nobody(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(*CHAIN)) as c:
        await c.online("a")
        c.world.forget()
        stall(30)
        await c.until(lambda: not c.world.everything_on("a"), 0.5)
        assert {o.action for o in c.world.record} == {Action.CLEAN}
        await c.online("a", within_s=5)
        assert c.events(Event.PEER_FENCED) == []


async def test_nothing_is_brought_online_between_a_stall_and_its_notice(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(*CHAIN)) as c:
        await c.online("a")
        await c.sleep(1)
        authority = c["a"].authority
        now = virtual_clock.now()
        assert authority.may_act(now)
        assert authority.usable_until > now + 0.75
        assert not authority.may_act(now + 0.75)
