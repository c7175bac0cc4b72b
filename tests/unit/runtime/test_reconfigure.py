"""A changed configuration is applied as a difference: what is not touched by it sees no action."""

from dataclasses import replace

import pytest

from failoverd.domain.model import Action, Component, Group, HandoverMode, RestartPolicy
from failoverd.log.catalogue import Event
from failoverd.ports import Outcome
from tests.unit.runtime.fakes import CHAIN, GROUP, Cluster, cluster, component, group_of
from tests.virtual import VirtualClock

pytestmark = pytest.mark.virtual
OLD = {"revision": "old"}
NEW = {"revision": "new"}


def apply(c: Cluster, group: Group, *nodes: str) -> None:
    c.groups = tuple(group if each.name == group.name else each for each in c.groups)
    for node in nodes or tuple(c.daemons):
        c[node].groups[group.name].reconfigure(group)


def did(c: Cluster, node: str = "a") -> list[tuple[str, str, str]]:
    return [(o.component, o.action.value, o.revision) for o in c.world.of(node=node)]


async def test_a_changed_parameter_takes_the_component_down_with_the_old_agent_and_up_with_the_new(
    virtual_clock: VirtualClock,
) -> None:
    parts = [component("disk"), component("db", "disk", params=OLD), component("web", "db"), component("free")]
    async with cluster(virtual_clock, group_of(*parts)) as c:
        await c.online("a")
        c.world.forget()
        parts[1] = replace(parts[1], params=NEW)
        apply(c, group_of(*parts))
        await c.until(lambda: len(c.world.record) == 4, 5)
        await c.online("a")
        assert did(c) == [
            ("web", "offline", ""),
            ("db", "offline", "old"),
            ("db", "online", "new"),
            ("web", "online", ""),
        ]
        assert c.placed().generation == 1


async def test_a_changed_policy_is_in_force_at_once_without_any_action_and_counters_stay(
    virtual_clock: VirtualClock,
) -> None:
    async with cluster(virtual_clock, group_of(*CHAIN)) as c:
        await c.online("a")
        budget = c["a"].groups[GROUP].board.locals["db"].budget
        budget.attempts.append(virtual_clock.now())
        c.world.forget()
        changed = [replace(part, restart=RestartPolicy(attempts=9)) for part in CHAIN]
        apply(c, group_of(*changed))
        await c.sleep(5)
        assert c.world.record == []
        assert c["a"].groups[GROUP].board.locals["db"].budget is budget
        assert len(budget.attempts) == 1
        assert c["a"].groups[GROUP].runners["db"].component.restart.attempts == 9


async def test_an_added_component_comes_online_and_a_removed_one_goes_offline(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(*CHAIN)) as c:
        await c.online("a")
        c.world.forget()
        apply(c, group_of(CHAIN[0], CHAIN[1], component("cache", "db")))
        await c.online("a")
        await c.sleep(1)
        assert sorted(did(c)) == [("cache", "online", ""), ("web", "offline", "")]
        assert c.world.everything_on("a") == {"disk", "db", "cache"}
        assert set(c["a"].groups[GROUP].board.locals) == {"disk", "db", "cache"}


async def test_removed_components_go_offline_in_the_order_of_their_dependencies(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(*CHAIN, component("top", "web"))) as c:
        await c.online("a")
        for name in ("top", "web", "db"):
            c.world.behaviour("a", name).takes_s[Action.OFFLINE] = 1.0
        c.world.forget()
        apply(c, group_of(CHAIN[0]))
        await c.sleep(5)
        assert did(c) == [("top", "offline", ""), ("web", "offline", ""), ("db", "offline", "")]
        ends = [o.end for o in c.world.record]
        begins = [o.begin for o in c.world.record]
        assert all(end is not None and end <= begin for end, begin in zip(ends, begins[1:], strict=False))


async def test_a_component_that_is_removed_and_added_again_at_once_stays(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(*CHAIN)) as c:
        await c.online("a")
        c.world.behaviour("a", "web").takes_s[Action.OFFLINE] = 2.0
        apply(c, group_of(*CHAIN[:2]))
        await c.sleep(1)
        apply(c, group_of(*CHAIN))
        await c.online("a")
        await c.sleep(3)
        assert c.world.everything_on("a") == {"disk", "db", "web"}
        apply(c, group_of(*CHAIN[:2]))
        await c.sleep(5)
        assert c.world.everything_on("a") == {"disk", "db"}
        apply(c, group_of(*CHAIN))
        await c.online("a")


@pytest.mark.parametrize("after_s", [0.0, 0.5, 1.5, 2.5, 3.5])
async def test_a_parameter_that_changes_amid_a_handover_is_in_force_at_its_end(
    virtual_clock: VirtualClock, after_s: float
) -> None:
    part = component("db", params=OLD, has_prepare=True)
    async with cluster(virtual_clock, group_of(part)) as c:
        for node in ("a", "b"):
            c.world.behaviour(node, "db").takes_s |= {Action.OFFLINE: 1.0, Action.PREPARE: 2.0, Action.ONLINE: 1.0}
        await c.online("a")
        await c.sleep(3)
        await c.switch("b")
        await c.sleep(after_s)
        apply(c, group_of(replace(part, params=NEW)))
        await c.until(lambda: c.world.of("db", "b", Action.ONLINE)[-1:] != [], 10)
        await c.sleep(10)
        assert c.world.of("db", "b")[-1].revision == "new"
        assert c.world.of("db", "b")[-1].action is Action.ONLINE
        assert c.world.everything_on("b") == {"db"}


async def test_a_component_that_was_down_is_brought_online_with_the_new_parameters(
    virtual_clock: VirtualClock,
) -> None:
    part = component("db", params=OLD)
    async with cluster(virtual_clock, group_of(part)) as c:
        await c.online("a")
        await c.ask("a", "offline", group=GROUP, wait=True)
        apply(c, group_of(replace(part, params=NEW)))
        await c.sleep(1)
        c.world.forget()
        await c.ask("a", "online", group=GROUP, wait=False)
        await c.online("a")
        assert did(c) == [("db", "online", "new")]


async def test_a_change_that_cannot_go_down_is_stuck_and_goes_on_once_it_is_gone(virtual_clock: VirtualClock) -> None:
    part = component("db", params=OLD)
    async with cluster(virtual_clock, group_of(part, component("free"))) as c:
        await c.online("a")
        behaviour = c.world.behaviour("a", "db")
        behaviour.always[Action.OFFLINE] = Outcome.FAILED
        behaviour.survives |= {Action.OFFLINE, Action.CLEAN}
        apply(c, group_of(replace(part, params=NEW), component("free")))
        await c.sleep(5)
        assert c.events(Event.COMPONENT_STUCK, "a")
        c.world.put("a", "db", there=False)
        await c.until(lambda: c.world.there("a", "db"), 10)
        assert c.world.of("db", "a")[-1].revision == "new"


async def test_an_added_group_is_probed_first_and_then_placed(virtual_clock: VirtualClock) -> None:
    other = group_of(component("extra"), name="other")
    async with cluster(virtual_clock, group_of(*CHAIN)) as c:
        await c.online("a")
        c.world.forget()
        c.world.behaviour("a", "extra").takes_s[Action.PROBE] = 3.0
        added_at = virtual_clock.now()
        for node in ("a", "b"):
            c[node].add_group(other)
        c.groups = (*c.groups, other)
        await c.until(lambda: c.placement("other") is not None, 10)
        await c.online(c.placed("other").owner, "other")
        if c.placed("other").owner == "a":
            assert virtual_clock.now() >= added_at + 3.0
        assert {o.component for o in c.world.record} == {"extra"}


async def test_a_removed_group_is_looked_after_no_longer(virtual_clock: VirtualClock) -> None:
    other = group_of(component("extra"), name="other")
    async with cluster(virtual_clock, group_of(*CHAIN), other) as c:
        await c.online("a")
        await c.online("a", "other")
        await c.ask("a", "offline", group="other", wait=True)
        for node in ("a", "b"):
            c[node].remove_group("other")
        c.world.forget()
        await c.sleep(5)
        assert c.world.record == []
        assert set(c["a"].groups) == {GROUP}


async def test_nodes_whose_configurations_differ_do_not_move_that_group_automatically(
    virtual_clock: VirtualClock,
) -> None:
    other = group_of(component("extra"), name="other")
    async with cluster(virtual_clock, group_of(*CHAIN), other) as c:
        await c.online("a")
        await c.online("a", "other")
        apply(c, replace(group_of(*CHAIN, component("more")), config_hash="g-2"), "b")
        await c.sleep(1)
        assert [e.fields["group"] for e in c.events(Event.CONFIG_MISMATCH, "a")] == [GROUP]
        assert [e.fields["group"] for e in c.events(Event.CONFIG_MISMATCH, "b")] == [GROUP]
        await c.ask("a", "switch", group="other", to="b", wait=True)
        view = c["a"].view_builder.build(virtual_clock.now())
        assert c.placed("other").owner == "b"
        assert view.nodes["b"].config_hashes[GROUP] == "g-2"


def proxy(name: str = "proxy") -> Component:
    return component(name, handover=HandoverMode.MAKE_FIRST)


async def test_a_component_that_only_one_of_two_nodes_knows_of_is_no_obstacle_for_the_others(
    virtual_clock: VirtualClock,
) -> None:
    async with cluster(virtual_clock, group_of(*CHAIN, proxy())) as c:
        await c.online("a")
        apply(c, group_of(*CHAIN, proxy(), component("new")), "b")
        await c.sleep(0.5)
        await c.switch("b")
        await c.online("b", within_s=5)
        await c.until(lambda: c.world.everything_on("b") == {"disk", "db", "web", "proxy", "new"}, 5)
        assert c.world.everything_on("a") == set()
