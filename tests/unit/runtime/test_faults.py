"""Faults and monitors: what is found, when, and what follows."""

from itertools import pairwise

import pytest

from failoverd.domain.model import Action, MonitorPolicy, OnFault, RestartPolicy
from failoverd.log.catalogue import Event
from failoverd.ports import Outcome, Presence
from failoverd.runtime.status import status_document
from tests.unit.runtime.fakes import CHAIN, GROUP, Cluster, cluster, component, group_of
from tests.virtual import VirtualClock

pytestmark = pytest.mark.virtual
FAST = MonitorPolicy(interval_s=1.0, fall=1)
MODEST = MonitorPolicy(interval_s=10.0, fall=3)


def did(c: Cluster, node: str) -> list[tuple[str, str]]:
    return [(o.component, o.action.value) for o in c.world.of(node=node)]


async def shown(c: Cluster, node: str = "a") -> dict[str, object]:
    return dict((await status_document(c[node], coordinator_type="memory"))["groups"][GROUP])


# --- recovery -----------------------------------------------------------------------------------------------------


async def test_a_restart_takes_dependents_down_first_and_brings_them_back(virtual_clock: VirtualClock) -> None:
    middle = component("db", "disk", monitor=FAST)
    async with cluster(virtual_clock, group_of(CHAIN[0], middle, CHAIN[2], component("free"))) as c:
        await c.online("a")
        c.world.forget()
        c.world.put("a", "db", there=False)
        await c.until(lambda: bool(c.world.record), 2)
        await c.online("a", within_s=1)
        assert did(c, "a") == [("web", "offline"), ("db", "offline"), ("db", "online"), ("web", "online")]
        assert c.placed().generation == 1
        assert c.events(Event.COMPONENT_CHANGED_EXTERNALLY, "a")
        assert c.events(Event.COMPONENT_RESTARTING, "a")


async def test_back_off_delays_the_return_and_not_the_way_down(virtual_clock: VirtualClock) -> None:
    patient = component("db", monitor=FAST, restart=RestartPolicy(attempts=3, backoff_s=7.0))
    async with cluster(virtual_clock, group_of(patient)) as c:
        await c.online("a")
        c.world.forget()
        c.world.put("a", "db", there=False)
        found_at = virtual_clock.now()
        await c.until(lambda: len(c.world.record) == 2, 10)
        down, up = c.world.record
        assert down.begin <= found_at + 1.01
        assert up.begin == pytest.approx((down.end or 0) + 7.0, abs=0.01)


async def test_attempts_used_up_hand_a_critical_component_over(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(component("db", monitor=FAST), component("web", "db"))) as c:
        await c.online("a")
        c.world.behaviour("a", "db").always[Action.ONLINE] = Outcome.FAILED
        c.world.put("a", "db", there=False)
        await c.online("b", within_s=5)
        fault = c.fault("a")
        assert fault is not None
        assert fault.component == "db"
        assert c.placed().cause == "fault"
        assert (await shown(c))["refusals"] == {"a": "had a fault in this group: db: online failed: as told"}


async def test_without_a_target_the_group_is_blocked_with_the_reason_and_told_once(
    virtual_clock: VirtualClock,
) -> None:
    async with cluster(virtual_clock, group_of(component("db", on_fault=OnFault.FAILOVER, monitor=FAST))) as c:
        await c.online("a")
        c.cut_power("b")
        await c.sleep(5)
        c.world.put("a", "db", there=False)
        await c.sleep(20)
        said = await shown(c)
        assert said["state"] == "blocked"
        assert "b is fenced" in str(said["reason"])
        assert len(c.events(Event.GROUP_BLOCKED, "a")) == 1
        c.start("b")
        await c.online("b", within_s=5)
        await c.sleep(0.5)
        assert (await shown(c))["state"] == "online"


async def test_a_component_that_is_not_critical_degrades_its_group_and_leaves_the_rest_alone(
    virtual_clock: VirtualClock,
) -> None:
    job = component("job", "db", critical=False, on_fault=OnFault.FAILOVER, monitor=FAST)
    report = component("report", "job", critical=False)
    async with cluster(virtual_clock, group_of(component("db"), job, report)) as c:
        await c.online("a")
        c.world.forget()
        c.world.put("a", "job", there=False)
        await c.sleep(5)
        assert did(c, "a") == [("report", "offline"), ("job", "offline")]
        assert c.placed().owner == "a"
        said = await shown(c)
        assert said["state"] == "degraded"
        assert "job" in str(said["reason"])
        assert c.events(Event.GROUP_DEGRADED, "a")


@pytest.mark.parametrize("by", ["a", "b"])
async def test_a_handover_ends_though_a_component_that_is_not_critical_does_not_come_online(
    virtual_clock: VirtualClock, by: str
) -> None:
    """Seen from the source as well as from the target."""
    job = component("job", "db", critical=False)
    report = component("report", "job", critical=False)
    async with cluster(virtual_clock, group_of(component("db"), job, report)) as c:
        await c.online("a")
        c.world.behaviour("b", "job").always[Action.ONLINE] = Outcome.FAILED
        document = await c.ask(by, "switch", group=GROUP, to="b", wait=True, timeout_s=10)
        assert document["state"] == "done"
        await c.sleep(1)
        assert (await shown(c, "b"))["state"] == "degraded"


@pytest.mark.parametrize("by", ["a", "b"])
async def test_a_handover_ends_though_a_fault_in_it_is_ignored(virtual_clock: VirtualClock, by: str) -> None:
    job = component("job", "db", critical=False, on_fault=OnFault.IGNORE)
    async with cluster(virtual_clock, group_of(component("db"), job, component("top", "job", critical=False))) as c:
        await c.online("a")
        c.world.behaviour("b", "job").always[Action.ONLINE] = Outcome.FAILED
        await c.switch("b")
        c.world.behaviour("b", "job").says = Presence.FAILED
        document = await c.ask(by, "follow", group=GROUP)
        assert document["state"] == "done"
        assert document["elapsed_s"] < 1


async def test_a_restart_amid_a_handover_does_not_end_it(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(component("db"), component("web", "db"))) as c:
        await c.online("a")
        behaviour = c.world.behaviour("b", "db")
        behaviour.outcomes[Action.ONLINE] = [Outcome.FAILED]
        behaviour.takes_s[Action.OFFLINE] = 2.0
        document = await c.switch("b", wait=True)
        assert document["state"] == "done"
        assert c.world.everything_on("b") == {"db", "web"}


async def test_an_ignored_fault_is_told_and_nothing_is_done_until_it_is_over_by_itself(
    virtual_clock: VirtualClock,
) -> None:
    ignored = component("db", on_fault=OnFault.IGNORE, monitor=MonitorPolicy(interval_s=1.0, fall=1, rise=2))
    async with cluster(virtual_clock, group_of(ignored, component("web", "db"))) as c:
        await c.online("a")
        c.world.forget()
        c.world.put("a", "db", there=False)
        await c.sleep(10)
        assert c.world.record == []
        assert len(c.events(Event.COMPONENT_FAULTED, "a")) == 1
        c.world.put("a", "db", there=True)
        await c.sleep(4)
        assert c.world.record == []
        assert c["a"].groups[GROUP].board.locals["db"].state == "online"


async def test_a_fault_is_forgotten_when_an_operator_brings_the_group_back(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(component("db", on_fault=OnFault.FAILOVER, monitor=FAST))) as c:
        await c.online("a")
        c.world.put("a", "db", there=False)
        await c.online("b")
        await c.switch("a", wait=True)
        assert c.fault("a") is None
        assert c.placed().owner == "a"


async def test_faults_on_both_nodes_block_instead_of_playing_ping_pong(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(component("db", on_fault=OnFault.FAILOVER, monitor=FAST))) as c:
        await c.online("a")
        for node in ("a", "b"):
            c.world.behaviour(node, "db").always[Action.ONLINE] = Outcome.FAILED
        c.world.put("a", "db", there=False)
        await c.sleep(60)
        assert c.placed().generation == 2
        assert (await shown(c, "b"))["state"] == "blocked"


async def test_no_more_automatic_moves_than_the_budget_allows(virtual_clock: VirtualClock) -> None:
    mortal = component("db", on_fault=OnFault.FAILOVER, monitor=FAST)
    group = group_of(mortal, max_moves=3, move_window_s=3600.0, fault_expiry_s=1.0)
    async with cluster(virtual_clock, group) as c:
        await c.online("a")
        for node in ("a", "b"):
            c.world.behaviour(node, "db").always[Action.ONLINE] = Outcome.FAILED
        c.world.put("a", "db", there=False)
        await c.sleep(120)
        assert c.placed().generation == 4
        assert "moved 3 times" in str((await shown(c, c.placed().owner))["reason"])


# --- monitors -----------------------------------------------------------------------------------------------------


async def test_a_check_that_fails_counts_only_as_often_as_fall_says(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(component("db", monitor=MODEST))) as c:
        await c.online("a")
        behaviour = c.world.behaviour("a", "db")
        await c.sleep(30)
        c.world.probes.clear()
        behaviour.says = Presence.FAILED
        await c.until(lambda: len(c.world.probes) == 2, 15)
        behaviour.says = None
        await c.sleep(30)
        assert c.events(Event.COMPONENT_FAULTED, "a") == []
        behaviour.says = Presence.FAILED
        c.world.probes.clear()
        await c.until(lambda: bool(c.events(Event.COMPONENT_FAULTED, "a")), 15)
        assert len([p for p in c.world.probes if p[2] == "a"]) == 3
        behaviour.says = None


async def test_what_is_not_there_needs_no_second_look(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(component("db", monitor=MODEST))) as c:
        await c.online("a")
        await c.sleep(30)
        c.world.put("a", "db", there=False)
        gone_at = virtual_clock.now()
        await c.until(lambda: bool(c.events(Event.COMPONENT_FAULTED, "a")), 11)
        assert virtual_clock.now() - gone_at <= 10.1


async def test_an_event_beats_the_next_poll(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(component("db", monitor=MODEST))) as c:
        c.world.behaviour("a", "db").events = True
        await c.online("a")
        await c.sleep(1)
        c.world.put("a", "db", there=False)
        await c.sleep(0.02)
        assert c.events(Event.COMPONENT_CHANGED_EXTERNALLY, "a")


async def test_monitors_of_one_component_never_overlap_and_are_spread(virtual_clock: VirtualClock) -> None:
    parts = [component(f"c{n}", monitor=MonitorPolicy(interval_s=4.0)) for n in range(10)]
    async with cluster(virtual_clock, group_of(*parts)) as c:
        await c.online("a")
        for part in parts:
            c.world.behaviour("a", part.name).takes_s[Action.PROBE] = 6.0
        c.world.probes.clear()
        await c.sleep(60)
        for part in parts:
            mine = sorted((begin, end) for begin, end, node, name in c.world.probes if (node, name) == ("a", part.name))
            assert len(mine) >= 7
            assert all(end <= begin for (_, end), (begin, _) in pairwise(mine))
    async with cluster(virtual_clock, group_of(*parts)) as c:
        await c.online("a")
        since = virtual_clock.now()
        c.world.probes.clear()
        await c.sleep(4.1)
        first = {name: begin for begin, _, node, name in reversed(c.world.probes) if node == "a"}
        times = sorted(first.values())
        assert times[-1] - times[0] > 3.0, "over the whole interval"
        assert times[-1] - since < 4.1
        assert max(later - earlier for earlier, later in pairwise(times)) < 2 * 4.0 / 10


async def test_nothing_is_monitored_that_is_not_online_here(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(*CHAIN)) as c:
        await c.online("a")
        c.world.probes.clear()
        await c.sleep(60)
        assert {node for _, _, node, _ in c.world.probes} == {"a"}
        assert c.events(Event.COMPONENT_FAULTED) == []


async def test_a_monitor_that_hangs_disturbs_no_handover(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(*(component(n, monitor=FAST) for n in "xyz"))) as c:
        await c.online("a")
        for name in "xyz":
            c.world.behaviour("a", name).hangs.add(Action.PROBE)
        await c.sleep(1.5)
        document = await c.switch("b", wait=True)
        assert document["makespan_s"] < 0.1
