"""Shots on virtual time: who is shot at, by whom, and what is concluded from it and what is not."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from failoverd.domain.fence_record import FencedHow, FenceRecord, FenceState
from failoverd.domain.lease import LeaseSettings
from failoverd.domain.model import Action, Group, OnOfflineFailure
from failoverd.domain.placement import LeaseState
from failoverd.errors import Refused, UsageError
from failoverd.log.catalogue import Event
from failoverd.ports import Outcome, Presence, Probe, Put
from failoverd.records import decode, encode, fence_key, node_key
from tests.unit.runtime.fakes import CHAIN, Cluster, cluster, component, group_of
from tests.unit.runtime.fence_fakes import Devices, Mood
from tests.virtual import VirtualClock

pytestmark = pytest.mark.virtual
LEASE = LeaseSettings.of(ttl_s=10.0, renew_s=0.5)
OVERDUE_S = 1.5
EXPIRED_S = 10.5


@asynccontextmanager
async def fenced(
    clock: VirtualClock, *groups: Group, devices: Devices | None = None, **settings: Any
) -> AsyncIterator[tuple[Cluster, Devices]]:
    """A cluster with fence devices, its groups online on a."""
    made = devices or Devices()
    lease = settings.pop("lease", LEASE)
    async with cluster(clock, *(groups or (group_of(*CHAIN),)), lease=lease, fencers=made.of, **settings) as c:
        made.cluster = c
        await c.ready()
        for group in c.groups:
            await c.online(group.nodes[0], group.name)
        yield c, made


def record(c: Cluster, node: str = "a") -> FenceRecord:
    entry = c.store.get(fence_key(node))
    assert entry is not None
    return decode(FenceRecord, entry.key, entry.value)


def taken_over_at(c: Cluster) -> float:
    return min(each.begin for each in c.world.of(node="b", action=Action.ONLINE))


# --- the good case --------------------------------------------------------------------------------------------------


async def test_a_dead_node_is_switched_off_and_taken_over_without_waiting_for_its_lease(
    virtual_clock: VirtualClock,
) -> None:
    async with fenced(virtual_clock) as (c, devices):
        cut_at, incarnation = virtual_clock.now(), c.member("a").incarnation
        c.cut_power("a")
        await c.online("b", within_s=4)
        assert taken_over_at(c) <= cut_at + OVERDUE_S + LEASE.renew_s / 2 + devices.takes_s + 0.05
        assert devices.shots() == [("b", "a")]
        assert (c.member("a").state, c.member("a").how) == (LeaseState.FENCED, FencedHow.FENCE_AGENT)
        assert c.member("a").by == "b"
        assert c.lease_of("a").state is LeaseState.FENCED
        said = record(c)
        assert (said.state, said.incarnation, said.history[0].agent) == (FenceState.OFF, incarnation, "fence_0")
        (begun,), (done,) = c.events(Event.FENCE_BEGUN), c.events(Event.FENCE_DONE)
        assert (begun.fields["agent"], begun.fields["device"], begun.fields["peer"]) == ("fence_0", 1, "a")
        assert done.fields["duration_s"] == pytest.approx(LEASE.renew_s / 2 + devices.takes_s, abs=0.02)
        assert devices.prepared == [("b", "a")]


async def test_the_history_is_in_every_nodes_status(virtual_clock: VirtualClock) -> None:
    async with fenced(virtual_clock, names=("a", "b", "c")) as (c, _):
        c.cut_power("a")
        await c.online("b", within_s=4)
        for by in ("b", "c"):
            found = (await c.ask(by, "status"))["nodes"]["a"]["fencing"]
            assert (found["levels"], found["state"]) == (["fence_0"], "off")
            (entry,) = found["history"]
            assert (entry["by"], entry["how"], entry["result"], entry["level"]) == ("b", "fence_agent", "off", 1)


async def test_it_comes_back_as_another_incarnation_and_is_shot_at_again_when_it_dies_again(
    virtual_clock: VirtualClock,
) -> None:
    async with fenced(virtual_clock) as (c, devices):
        c.cut_power("a")
        await c.online("b", within_s=4)
        c.start("a")
        await c.ready("a")
        await c.switch("a", by="b")
        await c.online("a", within_s=5)
        c.cut_power("a")
        await c.online("b", within_s=4)
        assert devices.shots() == [("b", "a")] * 2
        assert len({each.incarnation for each in record(c).history}) == 2
        assert record(c).attempt == 1


# --- when not -------------------------------------------------------------------------------------------------------


async def test_a_node_that_lost_its_heartbeats_but_renews_is_not_touched(virtual_clock: VirtualClock) -> None:
    async with fenced(virtual_clock) as (c, devices):
        c.network.isolate("a")
        await c.sleep(30)
        assert devices.calls == []
        assert c.placed().owner == "a"
        assert {c["a"].peers.suspected("b"), c["b"].peers.suspected("a")} == {True}


async def test_who_does_not_reach_the_coordinator_shoots_nobody(virtual_clock: VirtualClock) -> None:
    async with fenced(virtual_clock) as (c, devices):
        c.network.isolate("a")
        c.outages.cut |= {"a", "b"}
        await c.sleep(5)
        assert devices.calls == []


async def test_after_an_outage_for_all_nobody_is_shot_at_for_not_having_renewed(virtual_clock: VirtualClock) -> None:
    async with fenced(virtual_clock) as (c, devices):
        c.network.isolate("a")
        c.outages.cut |= {"a", "b"}
        await c.sleep(4)
        c.outages.cut.clear()
        await c.sleep(10)
        assert devices.calls == []


async def test_a_renewal_that_we_have_not_heard_of_yet_stops_the_shot(virtual_clock: VirtualClock) -> None:
    """The watch lags behind: only the compare-and-swap knows that the lease is alive."""
    async with fenced(virtual_clock) as (c, devices):
        c.network.isolate("a")
        c.outages.deaf.add("b")
        await c.sleep(5)
        assert devices.calls == []


async def test_a_node_that_holds_nothing_is_not_shot_at(virtual_clock: VirtualClock) -> None:
    async with fenced(virtual_clock) as (c, devices):
        c.cut_power("b")
        await c.sleep(EXPIRED_S + 5)
        assert devices.calls == []
        assert c.member("b").how is FencedHow.LEASE_EXPIRED


async def test_a_node_without_devices_is_waited_for_until_its_lease_has_run_out(virtual_clock: VirtualClock) -> None:
    async with fenced(virtual_clock, devices=Devices(levels={"b": 1})) as (c, devices):
        cut_at = virtual_clock.now()
        c.cut_power("a")
        await c.online("b", within_s=EXPIRED_S + 2)
        assert devices.calls == []
        assert taken_over_at(c) >= cut_at + LEASE.ttl_s - LEASE.renew_s


# --- an unknown result is not fenced ----------------------------------------------------------------------------------


@pytest.mark.parametrize("mood", [Mood.FAILS, Mood.HANGS, Mood.LOST])
async def test_what_is_not_confirmed_counts_for_nothing(virtual_clock: VirtualClock, mood: Mood) -> None:
    async with fenced(virtual_clock, devices=Devices(moods={("a", 0): mood})) as (c, devices):
        cut_at = virtual_clock.now()
        c.network.isolate("a")
        c.outages.cut.add("a")
        await c.until(lambda: bool(c.events(Event.FENCE_FAILED)), 4)
        assert c.member("a").state is LeaseState.LIVE
        await c.online("b", within_s=EXPIRED_S + 3)
        assert taken_over_at(c) >= cut_at + LEASE.ttl_s - LEASE.renew_s
        assert c.member("a").how is FencedHow.LEASE_EXPIRED
        assert record(c).history[-1].result is FenceState.FAILED
        assert len(devices.calls) > 1


async def test_levels_are_tried_in_order_with_their_retries(virtual_clock: VirtualClock) -> None:
    moods: dict[tuple[str | int, ...], Mood] = {("a", 0): Mood.FAILS, ("a", 1): Mood.HANGS}
    devices = Devices(levels={"a": 3}, attempts=2, moods=moods)
    async with fenced(virtual_clock, devices=devices) as (c, _):
        c.cut_power("a")
        await c.online("b", within_s=6)
        assert [call.level for call in devices.calls] == [0, 0, 1, 1, 2]
        assert [each.fields["device"] for each in c.events(Event.FENCE_FAILED)] == [1, 1, 2, 2]
        assert c.events(Event.FENCE_FAILED)[0].fields["output"] == "it said so"
        assert record(c).history[0].level == 3


async def test_who_gives_a_sign_of_life_is_not_shot_at_any_further(virtual_clock: VirtualClock) -> None:
    devices = Devices(levels={"a": 2}, moods={("a", 0): Mood.HANGS})
    async with fenced(virtual_clock, devices=devices) as (c, _):
        c.network.isolate("a")
        c.outages.cut.add("a")
        await c.until(lambda: bool(devices.calls), 4)
        c.network.cut.clear()
        c.outages.cut.clear()
        await c.sleep(5)
        assert [call.level for call in devices.calls] == [0]
        assert record(c).state is FenceState.WITHDRAWN
        assert c.placed().owner == "a"


async def test_a_delay_leaves_time_for_a_sign_of_life(virtual_clock: VirtualClock) -> None:
    async with fenced(virtual_clock, devices=Devices(delay_s=1.0)) as (c, devices):
        c.network.isolate("a")
        c.outages.cut.add("a")
        await c.until(lambda: c.store.get(fence_key("a")) is not None, 4)
        c.network.cut.clear()
        c.outages.cut.clear()
        await c.sleep(3)
        assert devices.calls == []
        assert record(c).state is FenceState.WITHDRAWN


# --- exactly one shoots -----------------------------------------------------------------------------------------------


async def test_of_many_survivors_one_shoots(virtual_clock: VirtualClock) -> None:
    names = ("a", "b", "c", "d", "e")
    async with fenced(virtual_clock, group_of(*CHAIN, nodes=names), names=names) as (c, devices):
        c.cut_power("a")
        await c.sleep(5)
        assert len(devices.calls) == 1


async def test_when_the_shooter_dies_another_one_goes_on(virtual_clock: VirtualClock) -> None:
    """C has nothing to lose, so b shoots first; b dies in the middle of it."""
    groups = (group_of(*CHAIN, nodes=("a", "c")), group_of(component("x"), nodes=("b", "c"), name="h"))
    devices = Devices(takes_s=2.0, attempt_s=3.0)
    async with fenced(virtual_clock, *groups, names=("a", "b", "c"), devices=devices) as (c, _):
        c.cut_power("a")
        await c.until(lambda: bool(devices.calls), 4)
        assert devices.shots() == [("b", "a")]
        c.cut_power("b")
        await c.online("c", within_s=9)
        assert devices.shots() == [("b", "a"), ("c", "b"), ("c", "a")]
        assert record(c).attempt == 2


async def test_where_one_cannot_reach_the_device_another_one_tries(virtual_clock: VirtualClock) -> None:
    devices = Devices(moods={("b", "a", 0): Mood.UNREACHABLE})
    async with fenced(virtual_clock, names=("a", "b", "c"), devices=devices) as (c, _):
        c.cut_power("a")
        await c.online("b", within_s=6)
        assert devices.shots() == [("b", "a"), ("c", "a")]


# --- both sides could shoot -------------------------------------------------------------------------------------------

PATIENT = LeaseSettings.of(ttl_s=10.0, renew_s=0.5, request_timeout_s=4.0)
"""Renewals that hang for a while are no failure yet: nobody notices that the coordinator is slow."""


async def test_an_owner_who_lives_after_all_gives_a_sign_of_life_and_is_not_shot_at(
    virtual_clock: VirtualClock,
) -> None:
    """It is silent, and its renewals hang; when it learns that it is to be shot at, they are through again."""
    async with fenced(virtual_clock, lease=PATIENT) as (c, devices):
        c.network.isolate("a")
        c.outages.held_until["a"] = virtual_clock.now() + 1.65
        await c.until(lambda: c.store.get(fence_key("a")) is not None, 3)
        await c.sleep(5)
        assert devices.calls == []
        assert record(c).history[0].result is FenceState.WITHDRAWN
        assert c.placed().owner == "a"
        assert c.world.everything_on("a") == {"disk", "db", "web"}


@pytest.mark.parametrize("later", ["a", "b"])
async def test_of_two_that_take_each_other_for_dead_at_most_one_is_shot_and_never_the_owner(
    virtual_clock: VirtualClock, later: str
) -> None:
    """Neither hears the other one and neither can renew for a while; then both reach the coordinator again."""
    async with fenced(virtual_clock, lease=PATIENT) as (c, devices):
        c.network.isolate("a")
        for name in ("a", "b"):
            c.outages.held_until[name] = virtual_clock.now() + (2.01 if name == later else 2.0)
        await c.sleep(10)
        assert ("b", "a") not in devices.shots()
        assert len(devices.calls) <= 1
        assert c.placed().owner == "a"
        assert c.world.everything_on("a") == {"disk", "db", "web"}


async def test_at_whom_a_shot_is_under_way_does_not_shoot_back(virtual_clock: VirtualClock) -> None:
    """Each owns something, and each holds the other one for dead: who claims first goes on alone."""
    second = group_of(component("x"), nodes=("b", "a"), name="h")
    devices = Devices(takes_s=1.0, attempt_s=2.0)
    async with fenced(virtual_clock, group_of(*CHAIN), second, devices=devices, lease=PATIENT) as (c, _):
        c.network.isolate("a")
        for name in ("a", "b"):
            c[name].keeper._alive = lambda _: False  # no renewals at all, not even hurried ones
        await c.until(lambda: bool(devices.calls), 4)
        await c.sleep(1.2)
        ((shooter, target),) = devices.shots()
        assert {shooter, target} == {"a", "b"}
        c[shooter].keeper._alive = lambda _: True
        for group in ("g", "h"):
            await c.online(shooter, group, within_s=5)
        assert c.world.everything_on(shooter) == {"disk", "db", "web", "x"}


# --- an old confirmation and a new incarnation ------------------------------------------------------------------------


async def test_a_confirmation_does_not_count_for_who_came_back_meanwhile(virtual_clock: VirtualClock) -> None:
    devices = Devices(takes_s=2.0, attempt_s=3.0)
    async with fenced(virtual_clock, devices=devices) as (c, _):
        c.kill("a")
        await c.until(lambda: bool(devices.calls), 4)
        c.start("a")
        await c.until(lambda: c.member("a").incarnation == "i3", 1)
        c.world.may_be_twice |= {"disk", "db", "web"}  # the device switches it off a moment later
        await c.until(lambda: devices.calls[0].end is not None, 3)
        await c.sleep(0.1)
        assert c.member("a").state is LeaseState.LIVE
        assert c.placed().owner == "a"
        assert "another incarnation" in c.events(Event.FENCE_FAILED)[0].fields["reason"]
        await c.online("b", within_s=8)
        assert devices.shots() == [("b", "a")] * 2
        assert c.member("a").how is FencedHow.FENCE_AGENT


async def test_an_answer_that_was_lost_is_found_out(virtual_clock: VirtualClock) -> None:
    async with fenced(virtual_clock) as (c, devices):
        c.cut_power("a")
        await c.until(lambda: bool(devices.calls), 4)
        await c.sleep(devices.takes_s - 0.001)
        c.outages.replies_lost["b"] = 1
        await c.online("b", within_s=5)
        assert c.events(Event.FENCE_DONE)
        assert devices.shots() == [("b", "a")]


async def test_what_was_confirmed_is_written_once_the_coordinator_answers_again(virtual_clock: VirtualClock) -> None:
    async with fenced(virtual_clock, lease=LeaseSettings.of(ttl_s=20.0, renew_s=0.5)) as (c, devices):
        c.cut_power("a")
        await c.until(lambda: bool(devices.calls), 4)
        c.outages.cut.add("b")
        await c.sleep(2)
        c.outages.cut.clear()
        await c.online("b", within_s=3)
        assert devices.shots() == [("b", "a")]


# --- stuck components -------------------------------------------------------------------------------------------------


def sticky(policy: OnOfflineFailure = OnOfflineFailure.FENCE) -> Group:
    return group_of(component("disk", on_offline_failure=policy), component("db", "disk"))


def stick(c: Cluster) -> None:
    """Nothing takes the disk offline on a."""
    behaviour = c.world.behaviour("a", "disk")
    for action in (Action.OFFLINE, Action.CLEAN):
        behaviour.survives.add(action)
        behaviour.always[action] = Outcome.FAILED


async def test_a_stuck_component_is_fenced_where_its_policy_says_so(virtual_clock: VirtualClock) -> None:
    async with fenced(virtual_clock, sticky()) as (c, devices):
        stick(c)
        await c.switch("b")
        await c.online("b", within_s=5)
        assert devices.shots() == [("b", "a")]
        assert c.events(Event.FENCE_BEGUN)[0].fields["reason"] == "g/disk cannot be taken offline there"
        assert c.member("a").state is LeaseState.FENCED


async def test_by_default_a_stuck_component_blocks_and_nobody_is_shot_at(virtual_clock: VirtualClock) -> None:
    async with fenced(virtual_clock, sticky(OnOfflineFailure.BLOCK)) as (c, devices):
        stick(c)
        await c.switch("b")
        await c.sleep(10)
        assert devices.calls == []
        assert c.world.everything_on("a") == {"disk"}


async def test_without_a_device_it_blocks_with_the_reason(virtual_clock: VirtualClock) -> None:
    async with fenced(virtual_clock, sticky(), devices=Devices(levels={})) as (c, _):
        stick(c)
        await c.switch("b")
        await c.sleep(3)
        found = (await c.ask("b", "status"))["groups"]["g"]
        assert (found["state"], found["reason"]) == (
            "blocked",
            "disk cannot be taken offline on a, which has no fence device",
        )


async def test_a_restart_that_gets_stuck_moves_the_group_by_fencing(virtual_clock: VirtualClock) -> None:
    async with fenced(virtual_clock, sticky()) as (c, devices):
        stick(c)
        c.world.put("a", "db", there=False)
        runner = c["a"].groups["g"].runners["disk"]
        runner.found(Probe(presence=Presence.FAILED, detail="it does not answer"))
        await c.online("b", within_s=30)
        assert devices.shots() == [("b", "a")]
        assert "cannot be taken offline" in c.placed().reason


# --- an operator's word -----------------------------------------------------------------------------------------------


async def test_an_operators_word_releases_at_once_and_is_on_record(virtual_clock: VirtualClock) -> None:
    devices = Devices(levels={})
    async with fenced(virtual_clock, devices=devices, lease=LeaseSettings.of(ttl_s=60.0, renew_s=0.5)) as (c, _):
        c.cut_power("a")
        await c.sleep(3)
        assert c.placed().owner == "a"
        answer = await c.ask("b", "confirm_off", node="a")
        assert answer["incarnation"] == c.member("a").incarnation
        await c.online("b", within_s=2)
        member = c.member("a")
        assert (member.state, member.how, member.by) == (LeaseState.FENCED, FencedHow.OPERATOR, "b uid=0 pid=1")
        (entry,) = record(c).history
        assert (entry.how, entry.by, entry.result) == (FencedHow.OPERATOR, "b uid=0 pid=1", FenceState.OFF)
        (said,) = c.events(Event.OPERATOR_COMMAND)
        assert (said.fields["command"], said.fields["asked_node"]) == ("confirm_off", "a")


async def test_an_operators_word_is_refused_while_the_node_answers_or_renews(virtual_clock: VirtualClock) -> None:
    async with fenced(virtual_clock) as (c, _):
        with pytest.raises(Refused, match="its heartbeats arrive"):
            await c.ask("b", "confirm_off", node="a")
        c.network.isolate("a")
        await c.sleep(3)
        with pytest.raises(Refused, match="it renews its lease"):
            await c.ask("b", "confirm_off", node="a")
        with pytest.raises(UsageError, match="no node"):
            await c.ask("b", "confirm_off", node="z")
        with pytest.raises(UsageError, match="which node"):
            await c.ask("b", "confirm_off")
        assert c.placed().owner == "a"


async def test_an_operators_word_ends_what_a_hanging_agent_holds_up(virtual_clock: VirtualClock) -> None:
    devices = Devices(attempt_s=300.0, moods={("a", 0): Mood.HANGS})
    async with fenced(virtual_clock, devices=devices, lease=LeaseSettings.of(ttl_s=60.0, renew_s=0.5)) as (c, _):
        c.cut_power("a")
        await c.until(lambda: bool(devices.calls), 4)
        await c.ask("b", "confirm_off", node="a")
        await c.online("b", within_s=2)


async def test_what_is_no_fence_record_stops_nobody_but_the_shot(virtual_clock: VirtualClock) -> None:
    """Nothing is decided on what cannot be read: the lease's end is waited for."""
    async with fenced(virtual_clock) as (c, devices):
        await c.daemons["b"].node.ports.coordinator.commit([], [Put(fence_key("a"), b"not a record")])
        c.cut_power("a")
        await c.online("b", within_s=EXPIRED_S + 2)
        assert devices.calls == []
        assert c.events(Event.COORDINATOR_CORRUPT)


async def test_a_member_record_that_changes_under_the_shot_is_left_alone(virtual_clock: VirtualClock) -> None:
    devices = Devices(takes_s=1.0, attempt_s=2.0)
    async with fenced(virtual_clock, devices=devices) as (c, _):
        c.cut_power("a")
        await c.until(lambda: bool(devices.calls), 4)
        changed = c.member("a")
        await c["b"].ports.coordinator.commit([], [Put(node_key("a"), encode(changed))])
        await c.sleep(1.2)
        assert "not needed any more" in c.events(Event.FENCE_FAILED)[0].fields["reason"]
        assert c.member("a").state is LeaseState.LIVE
        await c.online("b", within_s=3)
        assert record(c).attempt == 2
