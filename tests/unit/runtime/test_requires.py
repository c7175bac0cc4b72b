"""Groups that require groups, at work: the agents' own record of what began when."""

from dataclasses import replace

import pytest

from failoverd.domain.model import Action, Group, HandoverMode, OnFault, RequiredFault, Requirement, Where
from failoverd.domain.placement import Cause, Wanted
from failoverd.errors import Refused
from failoverd.log.catalogue import Event
from tests.unit.runtime.fakes import Cluster, World, cluster, component, group_of
from tests.virtual import VirtualClock

virtual = pytest.mark.virtual

HOP_S = 0.1
"""What the news of a change, and another's decision on it, may take here."""
BASE = group_of(component("disk"), component("db", "disk"), name="base")


def shop(where: Where = Where.SAME_NODE, on_fault: RequiredFault = RequiredFault.FOLLOW, **fields: object) -> Group:
    need = Requirement(group="base", where=where, on_fault=on_fault)
    web = (component("app"), component("web", "app"))
    return group_of(*web, name="shop", requires=(need,), **fields)  # type: ignore[arg-type]


async def whole(c: Cluster, base: str, above: str) -> None:
    await c.online(base, "base")
    await c.online(above, "shop")


def ends(world: World, name: str, node: str, action: Action) -> float:
    end = world.one(name, node, action).end
    assert end is not None
    return end


def begins(world: World, name: str, node: str, action: Action) -> float:
    return world.one(name, node, action).begin


@virtual
async def test_it_comes_online_after_what_it_requires_and_beside_it(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, shop(), BASE) as c:
        c.world.behaviour("a", "db").takes_s[Action.ONLINE] = 5.0
        await whole(c, "a", "a")
        assert begins(c.world, "app", "a", Action.ONLINE) >= ends(c.world, "db", "a", Action.ONLINE)
        waiting = c.events(Event.GROUP_WAITING, "a")
        assert [each.fields["group"] for each in waiting] == ["shop"]


@virtual
async def test_a_switch_moves_both_in_one_pipeline(virtual_clock: VirtualClock) -> None:
    """Nothing of the lower group goes offline before the upper one is; the upper one comes as soon as the lower is."""
    async with cluster(virtual_clock, shop(), BASE) as c:
        await whole(c, "a", "a")
        for name in ("web", "app", "db", "disk"):
            c.world.behaviour("a", name).takes_s[Action.OFFLINE] = 1.0
            c.world.behaviour("b", name).takes_s[Action.ONLINE] = 1.0
        c.world.forget()
        began = c.clock.now()
        await c.switch("b", group="base")
        await whole(c, "b", "b")
        world, off, on = c.world, Action.OFFLINE, Action.ONLINE
        assert begins(world, "web", "a", off) - began < HOP_S
        assert 0 <= begins(world, "db", "a", off) - ends(world, "app", "a", off) < HOP_S
        assert 0 <= begins(world, "disk", "b", on) - ends(world, "disk", "a", off) < HOP_S
        assert 0 <= begins(world, "app", "b", on) - ends(world, "db", "b", on) < HOP_S
        assert c.placed("shop").cause is Cause.REQUIRED
        assert c.clock.now() - began < 8.0 + 5 * HOP_S


@virtual
async def test_a_command_waits_for_the_groups_that_it_takes_along(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, shop(), BASE) as c:
        await whole(c, "a", "a")
        c.world.behaviour("b", "web").takes_s[Action.ONLINE] = 5.0
        document = await c.switch("b", group="base", wait=True)
        assert document["dependents"] == {"shop": {"state": "done", "reason": ""}}
        assert c.world.one("web", "b", Action.ONLINE).ok
        assert (document["target"], document["state"]) == ("b", "done")


@virtual
async def test_make_first_components_do_not_wait_for_a_node_that_waits_for_them(virtual_clock: VirtualClock) -> None:
    proxy = component("proxy", handover=HandoverMode.MAKE_FIRST)
    need = Requirement(group="base", where=Where.SAME_NODE)
    async with cluster(virtual_clock, group_of(proxy, name="shop", requires=(need,)), BASE) as c:
        await whole(c, "a", "a")
        await c.switch("b", group="base")
        await whole(c, "b", "b")


@virtual
async def test_a_lost_node_gives_both_to_another(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, shop(), BASE) as c:
        await whole(c, "a", "a")
        c.cut_power("a")
        await whole(c, "b", "b")
        assert c.placed("shop").cause is Cause.NODE_LOST


@virtual
async def test_a_restart_in_place_takes_what_follows_down_and_up_again(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, shop(), BASE) as c:
        await whole(c, "a", "a")
        c.world.forget()
        c.world.put("a", "disk", there=False)
        await c.until(lambda: len(c.world.of("web", "a", Action.ONLINE)) == 1)
        order = [(each.component, each.action) for each in c.world.record]
        down = [(name, Action.OFFLINE) for name in ("web", "app", "db")]
        assert order[:3] == down
        assert order[-4:] == [(name, Action.ONLINE) for name in ("disk", "db", "app", "web")]
        assert c.placed("shop").generation == 1


@virtual
async def test_stay_is_not_touched_by_a_fault_beneath(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, shop(on_fault=RequiredFault.STAY), BASE) as c:
        await whole(c, "a", "a")
        c.world.forget()
        c.world.put("a", "disk", there=False)
        await c.until(lambda: len(c.world.of("db", "a", Action.ONLINE)) == 1)
        assert not c.world.of("web")
        assert not c.world.of("app")


@virtual
async def test_stay_keeps_its_node_when_the_other_fails_over_and_is_joined_again(virtual_clock: VirtualClock) -> None:
    base = group_of(component("disk", on_fault=OnFault.FAILOVER), name="base")
    async with cluster(virtual_clock, shop(on_fault=RequiredFault.STAY), base) as c:
        await whole(c, "a", "a")
        c.world.forget()
        c.world.put("a", "disk", there=False)
        await c.online("b", "base")
        await c.sleep(5.0)
        assert not c.world.of("web")
        status = await c.ask("a", "status", group="shop")
        assert status["groups"]["shop"]["state"] == "online"
        assert status["groups"]["shop"]["reason"] == "shop needs base on the same node: base is on b"
        await c.ask("a", "clear", group="base")
        await c.switch("a", group="base")
        await whole(c, "a", "a")
        assert not c.world.of("web")


@virtual
async def test_on_another_node_it_follows_a_fault_across_the_cluster(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, shop(where=Where.OTHER_NODE), BASE) as c:
        await whole(c, "a", "b")
        c.world.forget()
        c.world.behaviour("a", "disk").takes_s[Action.ONLINE] = 1.0
        c.world.put("a", "disk", there=False)
        await c.until(lambda: len(c.world.of("web", "b", Action.ONLINE)) == 1)
        assert begins(c.world, "app", "b", Action.ONLINE) >= ends(c.world, "db", "a", Action.ONLINE)
        assert c.placed("shop").owner == "b"


@virtual
async def test_two_that_must_be_apart_change_places(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, shop(where=Where.OTHER_NODE), BASE) as c:
        await whole(c, "a", "b")
        await c.switch("b", group="base")
        await whole(c, "b", "a")


@virtual
async def test_commands(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, shop(), BASE) as c:
        await whole(c, "a", "a")
        with pytest.raises(Refused, match="failoverd switch base --to b"):
            await c.switch("b", group="shop")
        with pytest.raises(Refused, match="--with-dependents"):
            await c.ask("a", "offline", group="base", wait=False)
        c.world.forget()
        await c.ask("b", "offline", group="base", with_dependents=True, wait=False)
        await c.until(lambda: not c.world.everything_on("a"))
        assert [each.component for each in c.world.of(action=Action.OFFLINE)] == ["web", "app", "db", "disk"]
        assert {c.placed("shop").wanted, c.placed("base").wanted} == {Wanted.OFFLINE}
        with pytest.raises(Refused, match="first: failoverd online base"):
            await c.ask("a", "online", group="shop", wait=False)
        await c.ask("a", "online", group="base", wait=False)
        await c.ask("a", "online", group="shop", wait=False)
        await whole(c, "a", "a")


@virtual
async def test_a_drain_and_a_stop_move_both(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, shop(), BASE) as c:
        await whole(c, "a", "a")
        document = await c.ask("b", "drain", node="a")
        assert document["state"] == "done", document
        await whole(c, "b", "b")
        await c.ask("b", "resume", node="a")
        await c["b"].stop("test", 30.0)
        await whole(c, "a", "a")


@virtual
async def test_a_frozen_group_holds_nothing_up_but_is_not_left_by_command(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, shop(), BASE) as c:
        await whole(c, "a", "a")
        await c.ask("a", "freeze", group="shop")
        with pytest.raises(Refused, match="frozen"):
            await c.switch("b", group="base")
        c.world.forget()
        c.world.put("a", "disk", there=False)
        await c.until(lambda: len(c.world.of("db", "a", Action.ONLINE)) == 1)
        assert not c.world.of("web")


@virtual
async def test_what_is_not_required_any_more_is_not_waited_for(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, shop(), BASE) as c:
        await whole(c, "a", "a")
        c.world.behaviour("a", "disk").takes_s[Action.ONLINE] = 50.0
        c.world.put("a", "disk", there=False)
        await c.until(lambda: not c.world.there("a", "web"))
        await c.sleep(1.0)
        assert not c.world.there("a", "web")
        for node in c.daemons.values():
            node.node.groups["shop"].reconfigure(replace(shop(), requires=()))
            node.node.bonds.rebuild()
            node.node.wake_everything()
        await c.until(lambda: c.world.there("a", "web"), 5.0)
        assert not c["a"].groups["base"].board.all_online
