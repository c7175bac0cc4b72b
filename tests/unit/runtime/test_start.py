"""A daemon comes up: it finds out what is there, adopts what it owns, and acts on nothing before it may."""

import pytest

from failoverd.domain.model import Action
from failoverd.domain.placement import Wanted
from failoverd.log.catalogue import Event
from failoverd.ports import Presence
from failoverd.runtime.node import PROBE_PATIENCE_S
from tests.unit.runtime.fakes import CHAIN, Cluster, cluster, component, group_of
from tests.virtual import VirtualClock

pytestmark = pytest.mark.virtual
NAMES = ("disk", "db", "web")


def put(c: Cluster, node: str, *names: str) -> None:
    for name in names:
        c.world.put(node, name, there=True)


async def test_a_group_comes_online_on_its_first_node_in_the_order_of_its_dependencies(
    virtual_clock: VirtualClock,
) -> None:
    async with cluster(virtual_clock, group_of(*CHAIN)) as c:
        await c.online("a")
        assert [(o.node, o.component, o.action) for o in c.world.record] == [("a", n, Action.ONLINE) for n in NAMES]
        assert c.placed().generation == 1


@pytest.mark.parametrize("away_s", [0.05, 0.5, 2.0])
async def test_a_killed_daemon_that_is_back_within_its_lease_adopts_what_runs(
    virtual_clock: VirtualClock, away_s: float
) -> None:
    async with cluster(virtual_clock, group_of(*CHAIN)) as c:
        await c.online("a")
        c.world.forget()
        c.kill("a")
        await c.sleep(away_s)
        c.start("a")
        await c.ready("a")
        await c.sleep(10)
        assert c.world.record == []
        assert c.placed().owner == "a"
        assert len(c.events(Event.COMPONENT_ADOPTED, "a")) == 3


async def test_nothing_is_taken_down_while_the_coordinator_has_not_said_who_owns_it(
    virtual_clock: VirtualClock,
) -> None:
    async with cluster(virtual_clock, group_of(*CHAIN)) as c:
        await c.online("a")
        c.world.forget()
        c.kill("a")
        c.outages.cut.add("a")
        c.start("a")
        await c.sleep(1.0)
        assert c.world.record == []
        c.outages.cut.clear()
        await c.ready("a")
        await c.sleep(5)
        assert c.world.record == []


async def test_a_group_that_was_never_placed_is_placed_where_it_runs(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(*CHAIN), start=False) as c:
        put(c, "b", *NAMES)
        c.start()
        await c.online("b")
        await c.sleep(5)
        assert c.world.record == []


async def test_a_lost_node_that_comes_back_takes_offline_what_it_does_not_own(virtual_clock: VirtualClock) -> None:
    """Its machine came back with everything started by something else than us."""
    async with cluster(virtual_clock, group_of(*CHAIN)) as c:
        await c.online("a")
        c.cut_power("a")
        await c.online("b")
        c.world.may_be_twice.update(NAMES)
        put(c, "a", *NAMES)
        c.start("a")
        await c.until(lambda: not c.world.everything_on("a"), 5)
        assert [o.component for o in c.world.of(node="a", action=Action.OFFLINE)] == ["web", "db", "disk"]
        assert c.world.everything_on("b") == set(NAMES)
        assert c.placed().owner == "b"


async def test_a_daemon_that_is_away_for_longer_than_its_lease_is_fenced_and_joins_anew(
    virtual_clock: VirtualClock,
) -> None:
    async with cluster(virtual_clock, group_of(*CHAIN)) as c:
        await c.online("a")
        before = c.member("a").incarnation
        c.cut_power("a")
        await c.online("b", within_s=3.0 * 1.05 + 0.3)
        assert c.events(Event.PEER_FENCED, "b")
        c.start("a")
        await c.ready("a")
        assert c.member("a").incarnation != before
        await c.sleep(5)
        assert c.placed().owner == "b"


async def test_a_probe_that_hangs_holds_up_its_own_group_alone(virtual_clock: VirtualClock) -> None:
    other = group_of(component("other"), name="other")
    async with cluster(virtual_clock, group_of(*CHAIN), other, start=False) as c:
        c.world.behaviour("a", "db").hangs.add(Action.PROBE)
        c.start()
        await c.until(lambda: c["a"].authority.ready, PROBE_PATIENCE_S + 0.5)
        await c.online("a", "other", within_s=0.5)
        assert c["a"].contact.ok


async def test_a_probe_that_learns_nothing_holds_up_nobody(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(*CHAIN), start=False) as c:
        c.world.behaviour("a", "db").says = Presence.UNKNOWN
        c.start()
        await c.until(lambda: c["a"].authority.ready, 1)


@pytest.mark.parametrize("presence", [Presence.UNKNOWN, Presence.FAILED])
async def test_what_cannot_be_learned_is_never_brought_online_over(
    virtual_clock: VirtualClock, presence: Presence
) -> None:
    async with cluster(virtual_clock, group_of(*CHAIN), names=("a",), start=False) as c:
        behaviour = c.world.behaviour("a", "db")
        behaviour.says = presence
        c.start()
        await c.ready()
        await c.sleep(2.5)
        first = c.world.of("db", "a")[:1]
        assert [o.action for o in first] == ([] if presence is Presence.UNKNOWN else [Action.OFFLINE])
        behaviour.says = None
        await c.online("a", within_s=15)


async def test_what_is_wanted_offline_stays_so_over_a_restart(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(*CHAIN)) as c:
        await c.online("a")
        await c.ask("a", "offline", group="g", wait=True)
        c.kill("a")
        c.world.forget()
        c.start("a")
        await c.ready("a")
        await c.sleep(5)
        assert c.world.record == []
        assert c.placed().wanted is Wanted.OFFLINE


async def test_a_restarted_daemon_does_not_report_a_handover_that_did_not_happen(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(*CHAIN)) as c:
        await c.online("a")
        c.kill("a")
        c.log.clear()
        c.start("a")
        await c.ready("a")
        await c.sleep(3)
        assert c.events(Event.HANDOVER_BEGUN) == []
        assert c.events(Event.HANDOVER_DONE) == []
