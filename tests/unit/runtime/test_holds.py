"""Operators freeze, thaw, drain, resume and clear; daemons come and go, and faults happen, meanwhile."""

from typing import Any

import pytest

from failoverd.domain.holds import HoldKind, Subject
from failoverd.domain.model import Action, MonitorPolicy, RestartPolicy
from failoverd.domain.placement import LeaseState
from failoverd.errors import Refused, UsageError
from failoverd.log.catalogue import Event
from failoverd.ports import Outcome, Put
from failoverd.records import hold_key
from failoverd.runtime.status import status_document
from tests.unit.runtime.fakes import CHAIN, GROUP, Cluster, cluster, component, group_of
from tests.unit.runtime.test_stop import stop
from tests.virtual import VirtualClock

pytestmark = pytest.mark.virtual
FAST = MonitorPolicy(interval_s=1.0, fall=1)
WATCHED = (component("db", monitor=FAST), component("web", "db", monitor=FAST))


def did(c: Cluster) -> list[tuple[str, str, str]]:
    return [(o.node, o.component, o.action.value) for o in c.world.record]


async def shown(c: Cluster, node: str = "a") -> dict[str, Any]:
    return dict((await status_document(c[node], coordinator_type="memory"))["groups"][GROUP])


# --- freeze -------------------------------------------------------------------------------------------------------


async def test_a_fault_in_a_frozen_group_is_reported_and_acted_on_when_it_is_thawed(
    virtual_clock: VirtualClock,
) -> None:
    async with cluster(virtual_clock, group_of(*WATCHED)) as c:
        await c.online("a")
        c.world.forget()
        frozen = await c.ask("b", "freeze", group=GROUP, reason="storage work")
        assert frozen["unconfirmed"] == {}
        assert "storage work" in frozen["frozen"][GROUP]
        c.world.put("a", "db", there=False)
        await c.sleep(30)
        assert c.world.record == []
        assert [each.fields["recovery"] for each in c.events(Event.COMPONENT_FAULTED)] == ["defer"]
        status = await shown(c)
        assert status["frozen"]
        assert status["state"] == "faulted"
        assert "nothing is done about it: frozen by b uid=0 pid=1: storage work" in status["reason"]
        await c.ask("a", "thaw", group=GROUP)
        await c.online("a", within_s=2)
        assert did(c) == [
            ("a", "web", "offline"),
            ("a", "db", "offline"),
            ("a", "db", "online"),
            ("a", "web", "online"),
        ]
        assert [len(c.events(event)) for event in (Event.GROUP_FROZEN, Event.GROUP_THAWED)] == [2, 2]


async def test_what_was_repaired_by_hand_while_frozen_is_taken_as_it_is(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(*WATCHED)) as c:
        await c.online("a")
        c.world.forget()
        await c.ask("a", "freeze", all=True)
        c.world.put("a", "db", there=False)
        await c.sleep(5)
        c.world.put("a", "db", there=True)
        await c.ask("a", "thaw", all=True)
        await c.sleep(30)
        assert c.world.record == []
        assert (await shown(c))["state"] == "online"


async def test_a_frozen_group_stays_where_its_lost_node_left_it(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(*CHAIN)) as c:
        await c.online("a")
        await c.ask("a", "freeze", node="a")
        c.cut_power("a")
        await c.sleep(30)
        assert c.placed().owner == "a"
        status = await shown(c, "b")
        assert status["state"] == "blocked"
        assert "a was lost; nothing is done about it" in status["reason"]
        assert len(c.events(Event.GROUP_BLOCKED, "b")) == 1
        await c.ask("b", "thaw", node="a")
        await c.online("b", within_s=2)


async def test_a_stop_leaves_a_frozen_group_running_and_a_restart_adopts_it(virtual_clock: VirtualClock) -> None:
    frozen, other = group_of(*CHAIN), group_of(component("x"), name="h")
    async with cluster(virtual_clock, frozen, other) as c:
        await c.online("a")
        await c.online("a", "h")
        await c.ask("a", "freeze", group=GROUP)
        c.world.forget()
        assert await stop(c, "a") < 1
        await c.online("b", "h")
        assert c.member("a").state is LeaseState.AWAY
        await c.sleep(30)
        assert {each.component for each in c.world.record} == {"x"}
        c.start("a")
        await c.ready("a")
        await c.sleep(5)
        assert {each.component for each in c.world.record} == {"x"}
        assert len(c.events(Event.COMPONENT_ADOPTED, "a")) == 3
        await c.ask("a", "thaw", group=GROUP)
        await c.sleep(5)
        assert {each.component for each in c.world.record} == {"x"}


async def test_self_stop_heeds_no_freeze(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(*CHAIN)) as c:
        await c.online("a")
        await c.ask("a", "freeze", group=GROUP)
        c.outages.cut.add("a")
        c.network.isolate("a")
        await c.until(lambda: not c.world.everything_on("a"), 4)
        await c.sleep(30)
        assert c.world.everything_on("b") == set()
        assert c.placed().owner == "a"


async def test_a_handover_stands_still_while_frozen_and_goes_on_after(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(*CHAIN)) as c:
        await c.online("a")
        for name in ("disk", "db", "web"):
            c.world.behaviour("a", name).takes_s[Action.OFFLINE] = 1.0
        c.world.forget()
        await c.switch("b")
        await c.sleep(0.5)
        await c.ask("a", "freeze", group=GROUP)
        await c.sleep(10)
        assert did(c) == [("a", "web", "offline")]
        assert c.world.record[0].ok
        with pytest.raises(Refused, match=r"frozen by a uid=0.*failoverd thaw g"):
            await c.switch("a")
        await c.ask("a", "thaw", group=GROUP)
        await c.online("b", within_s=3)


async def test_whoever_froze_first_has_it_frozen_although_the_other_has_not_heard_of_it(
    virtual_clock: VirtualClock,
) -> None:
    async with cluster(virtual_clock, group_of(*CHAIN)) as c:
        await c.online("a")
        c.outages.deaf.add("b")
        frozen = await c.ask("a", "freeze", group=GROUP)
        assert frozen["unconfirmed"] == {"b": "has not read it from the coordinator yet"}
        with pytest.raises(Refused):
            await c.switch("b", by="b")
        assert c.placed().generation == 1


async def test_thawing_what_is_not_frozen_says_what_is(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(*CHAIN)) as c:
        await c.ready()
        with pytest.raises(Refused, match=r"group g is not frozen$"):
            await c.ask("a", "thaw", group=GROUP)
        await c.ask("a", "freeze", all=True)
        with pytest.raises(Refused, match="by itself, but everything is: failoverd thaw --all"):
            await c.ask("a", "thaw", group=GROUP)
        for wrong in ({}, {"group": GROUP, "all": True}, {"node": "z"}, {"group": "z"}):
            with pytest.raises(UsageError):
                await c.ask("a", "freeze", **wrong)


async def test_a_freeze_that_cannot_be_read_is_a_freeze(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(*WATCHED)) as c:
        await c.online("a")
        c.world.forget()
        key = hold_key(Subject(HoldKind.FREEZE_GROUP, GROUP))
        await c["b"].ports.coordinator.commit([], [Put(key, b"garbage")])
        await c.sleep(1)
        c.world.put("a", "db", there=False)
        await c.sleep(10)
        assert c.world.record == []


async def test_a_plan_is_made_all_the_same_and_says_what_stands_against_it(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(*CHAIN)) as c:
        await c.online("a")
        assert (await c.ask("a", "plan", group=GROUP, to="b"))["refused"] is None
        await c.ask("a", "drain", node="b")
        found = await c.ask("a", "plan", group=GROUP, to="b")
        assert found["refused"] == "b cannot take g: it is being drained"
        assert len(found["steps"]) == 6
        with pytest.raises(Refused, match="b is being drained"):
            await c.ask("a", "plan", group=GROUP)
        await c.ask("a", "freeze", group=GROUP, reason="storage work")
        assert "storage work" in (await c.ask("a", "plan", group=GROUP, to="b", down="a"))["refused"]


# --- drain --------------------------------------------------------------------------------------------------------


async def test_a_drain_moves_everything_away_and_nothing_comes_back_before_the_resume(
    virtual_clock: VirtualClock,
) -> None:
    groups = (group_of(*CHAIN), group_of(component("x"), name="h"))
    async with cluster(virtual_clock, *groups) as c:
        await c.online("a")
        await c.online("a", "h")
        updates: list[dict[str, Any]] = []
        done = await c.ask("b", "drain", updates, node="a", reason="new memory")
        assert done["state"] == "done"
        assert {name: (each["state"], each["to"]) for name, each in done["groups"].items()} == {
            GROUP: ("moved", "b"),
            "h": ("moved", "b"),
        }
        assert done["groups"][GROUP]["handover"]["cause"] == "drain"
        assert updates[-1]["state"] == "done"
        assert c.world.everything_on("a") == set()
        await c.until(lambda: bool(c.events(Event.NODE_DRAINED, "a")), 1)
        node = (await status_document(c["b"], coordinator_type="memory"))["nodes"]["a"]
        assert node["state"] == "draining"
        assert "new memory" in node["reason"]
        await stop(c, "a")
        c.start("a")
        await c.ready("a")
        c.cut_power("b")
        await c.sleep(30)
        assert c.world.everything_on("a") == set()
        await c.ask("a", "resume", node="a")
        await c.online("a", within_s=2)
        assert c.events(Event.NODE_RESUMED, "a")


async def test_a_group_with_nowhere_to_go_stays_visibly_and_moves_once_it_can(virtual_clock: VirtualClock) -> None:
    alone, other = group_of(*CHAIN, nodes=("a",)), group_of(component("x"), name="h")
    async with cluster(virtual_clock, alone, other) as c:
        await c.online("a")
        await c.online("a", "h")
        done = await c.ask("a", "drain", node="a")
        assert done["state"] == "incomplete"
        assert done["groups"]["h"]["state"] == "moved"
        assert done["groups"][GROUP] == {"state": "refused", "to": None, "reason": "the group has no other node"}
        await c.sleep(1)
        status = await shown(c)
        assert status["state"] == "online"
        assert "stays on a, which is being drained" in status["reason"]
        assert len(c.events(Event.NODE_DRAIN_BLOCKED)) == 1
        assert not c.events(Event.GROUP_BLOCKED)
        assert not c.events(Event.NODE_DRAINED)


async def test_a_frozen_group_is_not_drained_until_it_is_thawed(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(*CHAIN)) as c:
        await c.online("a")
        await c.ask("a", "freeze", group=GROUP)
        done = await c.ask("a", "drain", node="a")
        assert done["groups"][GROUP]["state"] == "refused"
        assert "frozen by a" in done["groups"][GROUP]["reason"]
        await c.ask("a", "thaw", group=GROUP)
        await c.online("b", within_s=2)


async def test_a_drain_that_takes_too_long_goes_on(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(*CHAIN)) as c:
        await c.online("a")
        c.world.behaviour("b", "web").takes_s[Action.ONLINE] = 20.0
        with pytest.raises(TimeoutError, match="it goes on: g"):
            await c.ask("b", "drain", node="a", timeout_s=5.0)
        await c.online("b", within_s=30)
        with pytest.raises(Refused, match="not being drained"):
            await c.ask("b", "resume", node="b")


# --- clear --------------------------------------------------------------------------------------------------------


async def test_clear_tries_again_what_was_given_up_on_a_node_far_from_the_operator(
    virtual_clock: VirtualClock,
) -> None:
    job = component("job", monitor=FAST, critical=False, restart=RestartPolicy(attempts=0))
    async with cluster(virtual_clock, group_of(CHAIN[0], job)) as c:
        c.world.behaviour("a", "job").outcomes[Action.ONLINE] = [Outcome.FAILED]
        await c.until(lambda: bool(c.events(Event.GROUP_DEGRADED)), 20)
        await c.sleep(60)
        c.world.forget()
        done = await c.ask("b", "clear", group=GROUP, component="job")
        assert done["unconfirmed"] == {}
        await c.online("a", within_s=1)
        assert c.world.of("disk") == []
        assert c.events(Event.GROUP_CLEARED, "a")


async def test_clear_makes_a_node_eligible_again(virtual_clock: VirtualClock) -> None:
    once = component("db", monitor=FAST, restart=RestartPolicy(attempts=0))
    async with cluster(virtual_clock, group_of(once)) as c:
        c.world.behaviour("a", "db").outcomes[Action.ONLINE] = [Outcome.FAILED]
        await c.online("b")
        assert c.fault("a") is not None
        with pytest.raises(UsageError, match="no component"):
            await c.ask("b", "clear", group=GROUP, component="nope")
        done = await c.ask("b", "clear", group=GROUP, node="a")
        assert list(done["faults"]) == ["a"]
        assert c.fault("a") is None
        c.cut_power("b")
        await c.online("a", within_s=10)


async def test_an_operators_word_is_in_the_log_with_who_gave_it(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(*CHAIN)) as c:
        await c.ready()
        await c.ask("a", "freeze", node="b", reason="why")
        (said,) = c.events(Event.OPERATOR_COMMAND)
        assert (said.fields["command"], said.fields["asked_node"], said.fields["uid"]) == ("freeze", "b", 0)
