"""Reasons that only one node knows, and all of them show."""

import pytest

from failoverd.domain.model import Action, OnFault
from failoverd.log.catalogue import Event
from failoverd.ports import Outcome, Presence
from failoverd.runtime.shown import REASONS_MAX
from failoverd.runtime.status import status_document
from tests.unit.runtime.fakes import CHAIN, Cluster, cluster, component, group_of
from tests.virtual import VirtualClock

pytestmark = pytest.mark.virtual


async def shown(c: Cluster, by: str) -> dict[str, object]:
    document = await status_document(c[by], coordinator_type="memory")
    return dict(document["groups"]["g"])


async def test_every_node_shows_why_the_owner_can_do_nothing(virtual_clock: VirtualClock) -> None:
    failing = component("web", on_fault=OnFault.FAILOVER)
    async with cluster(virtual_clock, group_of(failing, max_moves=1)) as c:
        for node in ("a", "b"):
            c.world.behaviour(node, "web").always[Action.ONLINE] = Outcome.FAILED
        await c.until(lambda: any(c[n].blocked for n in ("a", "b")), 30)
        await c.sleep(1)
        owner = c.placed().owner
        there, elsewhere = await shown(c, owner), await shown(c, "ab".replace(owner, ""))
        assert there["state"] == elsewhere["state"] == "blocked"
        assert there["reason"] == elsewhere["reason"]
        assert "online failed" in str(elsewhere["reason"])
        components = elsewhere["components"]
        assert isinstance(components, dict)
        assert "online failed: as told" in components["web"][owner]["reason"]


async def test_what_the_first_placement_waits_for_is_named_with_the_probe_that_fails(
    virtual_clock: VirtualClock,
) -> None:
    async with cluster(virtual_clock, group_of(*CHAIN), start=False) as c:
        c.world.behaviour("b", "db").says = Presence.UNKNOWN
        c.start()
        await c.sleep(20)
        for by in ("a", "b"):
            found = await shown(c, by)
            assert found["state"] == "offline"
            assert "b is still finding out what runs there (db: told to say unknown)" in str(found["reason"])
        c.world.behaviour("b", "db").says = None
        await c.online("a", within_s=10)


async def test_a_heartbeat_carries_a_bounded_number_of_bounded_reasons(virtual_clock: VirtualClock) -> None:
    parts = [component(f"c{number}") for number in range(3 * REASONS_MAX)]
    async with cluster(virtual_clock, group_of(*parts), names=("a",), start=False) as c:
        for part in parts:
            c.world.behaviour("a", part.name).says = Presence.UNKNOWN
        c.start()
        await c.sleep(20)
        reasons = c["a"].reporter.state(virtual_clock.now()).groups["g"].reasons
        assert len(reasons) == REASONS_MAX


async def test_a_start_does_not_log_placements_that_were_there_before(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(*CHAIN)) as c:
        await c.online("a")
        c.log.clear()
        c.kill("b")
        c.start("b")
        await c.ready("b")
        await c.sleep(1)
        assert c.events(Event.PLACEMENT_CHANGED) == []
        await c.switch("b")
        await c.online("b")
        assert len(c.events(Event.PLACEMENT_CHANGED, "b")) == 1
