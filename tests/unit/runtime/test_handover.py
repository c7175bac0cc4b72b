"""The handover rule at work: the agents' own record is held against design section 2."""

from collections.abc import Mapping
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from failoverd.domain.model import Action, Component, HandoverMode, Timeouts
from failoverd.domain.placement import Wanted
from failoverd.errors import Refused
from failoverd.log.catalogue import Event
from failoverd.ports import Outcome
from tests.strategies import dependency_maps
from tests.unit.runtime.fakes import CHAIN, GROUP, Cluster, Operated, World, cluster, component, group_of
from tests.virtual import VirtualClock, run_virtual

virtual = pytest.mark.virtual

TRIANGLE = (component("a"), component("b"), component("c", "a", "b"))
HOP_S = 0.05
"""What the news of a change may take from one node to another here."""


def slow(c: Cluster, durations: Mapping[str, tuple[float, float]]) -> None:
    """Per component: seconds to go offline and to come online, on every node."""
    for node in c.nodes:
        for name, (offline_s, online_s) in durations.items():
            c.world.behaviour(node, name).takes_s |= {Action.OFFLINE: offline_s, Action.ONLINE: online_s}


def order_faults(world: World, components: Mapping[str, Component]) -> list[str]:
    """Where the record breaks an order rule: replayed from the beginning, with what was up at each moment."""
    moments: list[tuple[float, int, str, Operated]] = []
    for number, each in enumerate(world.record):
        moments.append((each.begin, 2 * number, "begin", each))
        if each.end is not None:
            moments.append((each.end, 2 * number + 1, "end", each))
    up: dict[tuple[str, str], bool] = {}
    may_be: dict[tuple[str, str], bool] = {}
    found: list[str] = []
    # At one and the same moment ends come first: that is what opens the gates.
    for at, _, what, each in sorted(moments, key=lambda m: (m[0], m[2] == "begin", m[1])):
        place = (each.node, each.component)
        needs = components[each.component].depends_on
        if what == "begin" and each.action is Action.ONLINE:
            found += [f"{at:.3f} {place} online before {d}" for d in needs if not up.get((each.node, d))]
            if components[each.component].handover is HandoverMode.BREAK_FIRST:
                others = [
                    n for (n, name), there in may_be.items() if name == each.component and there and n != each.node
                ]
                found += [f"{at:.3f} {place} online while it may be on {n}" for n in others]
            may_be[place] = True
        elif what == "begin" and each.action is Action.OFFLINE:
            users = [name for name, one in components.items() if each.component in one.depends_on]
            found += [f"{at:.3f} {place} offline before {u}" for u in users if may_be.get((each.node, u))]
            up[place] = False
        elif what == "end" and each.ok:
            up[place] = each.action is Action.ONLINE
            may_be[place] = each.action is Action.ONLINE
    return found


# --- the rule -----------------------------------------------------------------------------------------------------


@virtual
async def test_components_that_do_not_depend_on_each_other_do_not_wait_for_each_other(
    virtual_clock: VirtualClock,
) -> None:
    async with cluster(virtual_clock, group_of(*TRIANGLE)) as c:
        await c.online("a")
        slow(c, {"a": (10, 20), "b": (30, 5), "c": (5, 5)})
        c.world.forget()
        document = await c.switch("b", wait=True)
        off = {o.component: o for o in c.world.of(node="a", action=Action.OFFLINE)}
        on = {o.component: o for o in c.world.of(node="b", action=Action.ONLINE)}
        assert off["b"].end is not None
        assert on["a"].begin < off["b"].end
        assert on["c"].end == pytest.approx(off["c"].begin + 5 + 30 + 5 + 5, abs=2 * HOP_S)
        assert document["state"] == "done"
        assert document["makespan_s"] == pytest.approx(45, abs=3 * HOP_S)
        assert document["limit_s"] == pytest.approx(45, abs=HOP_S)
        assert document["phased_s"] == pytest.approx(35 + 25, abs=HOP_S)
        assert document["serial_s"] == pytest.approx(75, abs=HOP_S)


@virtual
async def test_the_source_of_a_switch_is_released_and_the_target_owns_it(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(*CHAIN)) as c:
        await c.online("a")
        await c.switch("b", wait=True)
        await c.sleep(0.5)
        placement = c.placed()
        assert (placement.owner, placement.generation, placement.holders) == ("b", 2, ("b",))
        assert c.world.everything_on("a") == set()


@virtual
async def test_make_first_is_online_on_the_target_before_it_goes_offline_on_the_source(
    virtual_clock: VirtualClock,
) -> None:
    proxy = component("proxy", handover=HandoverMode.MAKE_FIRST)
    async with cluster(virtual_clock, group_of(proxy, component("db", "proxy"))) as c:
        await c.online("a")
        slow(c, {"proxy": (1, 3), "db": (1, 1)})
        c.world.forget()
        await c.switch("b", wait=True)
        c.world.one("proxy", "b", Action.ONLINE)
        made, broken = c.world.one("proxy", "b", Action.ONLINE), c.world.one("proxy", "a", Action.OFFLINE)
        assert made.end is not None
        assert broken.begin >= made.end
        assert c.world.everything_on("a") == set()


@virtual
async def test_make_first_stays_on_the_source_while_it_fails_on_the_target(virtual_clock: VirtualClock) -> None:
    proxy = component("proxy", handover=HandoverMode.MAKE_FIRST)
    async with cluster(virtual_clock, group_of(proxy)) as c:
        await c.online("a")
        c.world.behaviour("b", "proxy").always[Action.ONLINE] = Outcome.FAILED
        await c.switch("b")
        await c.sleep(5)
        assert c.placed().owner == "a"
        assert c.world.of("proxy", "a", Action.OFFLINE) == []


@virtual
async def test_prepare_begins_at_once_and_delays_nothing_on_the_source(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(component("disk"), component("db", "disk", has_prepare=True))) as c:
        await c.online("a")
        slow(c, {"disk": (2, 1), "db": (2, 1)})
        c.world.behaviour("b", "db").takes_s[Action.PREPARE] = 3
        asked = virtual_clock.now()
        c.world.forget()
        await c.switch("b", wait=True)
        prepared = c.world.one("db", "b", Action.PREPARE)
        assert prepared.begin == pytest.approx(asked, abs=HOP_S)
        assert c.world.one("db", "a", Action.OFFLINE).begin == pytest.approx(asked, abs=HOP_S)
        online = c.world.one("db", "b", Action.ONLINE)
        assert online.begin == pytest.approx(asked + 5, abs=3 * HOP_S)


@virtual
async def test_a_failed_prepare_costs_nothing_but_its_time(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(component("db", has_prepare=True))) as c:
        c.world.behaviour("b", "db").always[Action.PREPARE] = Outcome.FAILED
        await c.online("a")
        document = await c.switch("b", wait=True)
        assert document["state"] == "done"


@virtual
async def test_prepare_begins_on_mere_suspicion_and_the_suspicion_passes(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(component("db", has_prepare=True))) as c:
        await c.online("a")
        c.world.forget()
        c.network.isolate("a")
        await c.until(lambda: bool(c.world.of("db", "b", Action.PREPARE)), 1.5)
        await c.sleep(10)
        assert [(o.node, o.action) for o in c.world.record] == [("b", Action.PREPARE)]
        assert c.placed().owner == "a"
        c.network.heal()
        await c.sleep(2)
        c.network.isolate("a")
        await c.sleep(2)
        assert len(c.world.of("db", "b", Action.PREPARE)) == 2


@virtual
async def test_max_parallel_bounds_a_node_and_the_longest_remaining_path_goes_first(
    virtual_clock: VirtualClock,
) -> None:
    short, long_ = component("short"), component("long")
    tail = component("tail", "long")
    async with cluster(virtual_clock, group_of(short, long_, tail), max_parallel=1) as c:
        slow(c, {"short": (1, 1), "long": (1, 1), "tail": (1, 5)})  # learned by the time of the last move
        await c.online("a")
        await c.switch("b", wait=True)
        c.world.forget()
        await c.switch("a", by="b", wait=True)
        for node in ("a", "b"):
            spans = sorted((o.begin, o.end or 0.0) for o in c.world.of(node=node))
            assert all(end <= begin for (_, end), (begin, _) in pairwise(spans)), spans
        first_off = min(c.world.of(node="b", action=Action.OFFLINE), key=lambda o: o.begin)
        first_on = min(c.world.of(node="a", action=Action.ONLINE), key=lambda o: o.begin)
        assert first_off.component == "tail"
        assert first_on.component == "long"


# --- operations that fail or take too long ------------------------------------------------------------------------


@virtual
async def test_an_operation_that_times_out_is_a_fault_with_its_reason(virtual_clock: VirtualClock) -> None:
    hasty = component("db", timeouts=Timeouts(online_s=2.0))
    async with cluster(virtual_clock, group_of(hasty)) as c:
        await c.online("a")
        c.world.behaviour("b", "db").takes_s[Action.ONLINE] = 60
        await c.switch("b")
        await c.until(lambda: bool(c.events(Event.COMPONENT_FAULTED, "b")), 3)
        assert c.events(Event.COMPONENT_FAULTED, "b")[0].fields["reason"] == "online timed_out: 2s"
        await c.online("a")


@virtual
async def test_an_agent_that_never_returns_is_given_up_on_after_its_time(virtual_clock: VirtualClock) -> None:
    hasty = component("db", timeouts=Timeouts(online_s=2.0))
    async with cluster(virtual_clock, group_of(hasty)) as c:
        await c.online("a")
        c.world.behaviour("b", "db").hangs.add(Action.ONLINE)
        await c.switch("b")
        await c.online("a", within_s=120)


@virtual
async def test_a_source_that_does_not_let_go_delays_only_what_depends_on_it(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(component("x"), component("y"), component("z", "y"))) as c:
        await c.online("a")
        behaviour = c.world.behaviour("a", "y")
        behaviour.survives |= {Action.OFFLINE, Action.CLEAN}
        behaviour.always[Action.OFFLINE] = Outcome.FAILED
        await c.switch("b")
        await c.sleep(20)
        assert c.world.everything_on("b") == {"x"}
        assert c.events(Event.COMPONENT_STUCK, "a")
        c.world.put("a", "y", there=False)
        await c.online("b", within_s=5)


@virtual
async def test_a_clean_that_returns_well_is_no_proof_of_absence(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(component("y"))) as c:
        await c.online("a")
        behaviour = c.world.behaviour("a", "y")
        behaviour.always[Action.OFFLINE] = Outcome.FAILED
        behaviour.survives.add(Action.CLEAN)
        await c.switch("b")
        await c.sleep(10)
        assert c.world.one("y", "a", Action.CLEAN).ok
        assert c.world.everything_on("b") == set()


@virtual
async def test_what_is_clean_after_a_failed_offline_is_released(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(component("y"))) as c:
        await c.online("a")
        c.world.behaviour("a", "y").always[Action.OFFLINE] = Outcome.FAILED
        document = await c.switch("b", wait=True)
        assert document["state"] == "done"
        assert [o.action for o in c.world.of("y", "a")][-2:] == [Action.OFFLINE, Action.CLEAN]


@virtual
async def test_what_was_stuck_and_is_gone_may_come_back_there(virtual_clock: VirtualClock) -> None:
    """A restart that got stuck in its offline half goes on once a person has helped."""
    async with cluster(virtual_clock, group_of(component("y"), component("other"))) as c:
        await c.online("a")
        behaviour = c.world.behaviour("a", "y")
        behaviour.survives |= {Action.OFFLINE, Action.CLEAN}
        behaviour.always[Action.OFFLINE] = Outcome.FAILED
        c["a"].groups[GROUP].runners["y"]._fault("made up")
        await c.until(lambda: bool(c.events(Event.COMPONENT_STUCK)), 2)
        c.world.put("a", "y", there=False)
        behaviour.survives.clear()
        behaviour.always.clear()
        await c.online("a", within_s=10)


# --- news that get lost -------------------------------------------------------------------------------------------


@virtual
async def test_a_lost_datagram_costs_one_interval(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(component("y"))) as c:
        await c.online("a")
        await c.sleep(1)
        c.network.drop_next = 3
        asked = virtual_clock.now()
        await c.switch("b", wait=True)
        assert c.world.of("y", "b", Action.ONLINE)[-1].begin - asked < 0.35


@virtual
async def test_a_watch_that_is_deaf_does_not_hold_up_a_handover_that_the_peer_knows_of(
    virtual_clock: VirtualClock,
) -> None:
    async with cluster(virtual_clock, group_of(component("y"))) as c:
        await c.online("a")
        c.outages.deaf.add("b")
        document = await c.switch("b", wait=True)
        assert document["makespan_s"] < 0.5


@virtual
async def test_without_heartbeats_a_release_still_comes_by_way_of_the_coordinator(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(*CHAIN)) as c:
        await c.online("a")
        slow(c, {"disk": (1, 1), "db": (1, 1), "web": (1, 1)})
        c.network.isolate("a")
        asked = virtual_clock.now()
        await c.switch("b")
        await c.online("b", within_s=7)
        assert c.world.of("disk", "b", Action.ONLINE)[-1].begin >= asked + 3


# --- changes of mind ----------------------------------------------------------------------------------------------


@virtual
async def test_a_handover_can_be_reversed_and_what_did_not_move_is_not_touched(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(*CHAIN)) as c:
        await c.online("a")
        slow(c, {"disk": (2, 2), "db": (2, 2), "web": (2, 2)})
        c.world.forget()
        await c.switch("b")
        await c.sleep(1)
        document = await c.switch("a", wait=True)
        assert document["state"] == "done"
        assert {(o.node, o.component, o.action) for o in c.world.record} == {
            ("a", "web", Action.OFFLINE),
            ("a", "web", Action.ONLINE),
        }
        assert c.events(Event.HANDOVER_REDIRECTED)


@virtual
async def test_the_target_dies_amid_a_handover(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(*CHAIN)) as c:
        await c.online("a")
        slow(c, {"disk": (1, 5), "db": (1, 5), "web": (1, 5)})
        await c.switch("b")
        await c.sleep(6)
        c.cut_power("b")
        await c.online("a", within_s=3.5 + 16)


@virtual
async def test_the_source_dies_amid_a_handover(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(*CHAIN)) as c:
        await c.online("a")
        slow(c, {"disk": (5, 1), "db": (5, 1), "web": (5, 1)})
        await c.switch("b")
        await c.sleep(6)
        c.cut_power("a")
        await c.online("b", within_s=3.5 + 4)


@virtual
async def test_offline_amid_a_handover_takes_everything_down_and_online_brings_it_back(
    virtual_clock: VirtualClock,
) -> None:
    async with cluster(virtual_clock, group_of(*CHAIN)) as c:
        await c.online("a")
        slow(c, {"disk": (1, 1), "db": (1, 1), "web": (1, 1)})
        await c.switch("b")
        await c.sleep(3.5)
        document = await c.ask("b", "offline", group=GROUP, wait=True)
        assert document["state"] == "done"
        assert c.placed().wanted is Wanted.OFFLINE
        assert c.world.everything_on("a") | c.world.everything_on("b") == set()
        await c.ask("a", "online", group=GROUP, wait=False)
        await c.online("b")


@virtual
async def test_a_switch_to_where_it_cannot_go_is_refused_and_changes_nothing(virtual_clock: VirtualClock) -> None:
    async with cluster(virtual_clock, group_of(*CHAIN)) as c:
        await c.online("a")
        c.cut_power("b")
        await c.sleep(2)
        with pytest.raises(Refused, match="b cannot take g: it sends no heartbeats"):
            await c.switch("b")
        assert c.placed().generation == 1


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    needs=dependency_maps(7),
    durations=st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), min_size=7, max_size=7),
    asked=st.lists(st.tuples(st.integers(0, 40), st.sampled_from(["a", "b", "c", "off"])), min_size=1, max_size=7),
    failing=st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 6)), max_size=2),
    make_first=st.booleans(),
)
def test_whatever_is_asked_whenever_the_order_rules_hold_and_it_ends_online_on_one_node(
    needs: dict[str, tuple[str, ...]],
    durations: list[tuple[int, int]],
    asked: list[tuple[int, str]],
    failing: list[tuple[str, int]],
    make_first: bool,
) -> None:
    parts = [component(name, *depends_on) for name, depends_on in needs.items()]
    if make_first and parts:
        roots = [part.name for part in parts if not part.depends_on]
        parts = [component(p.name, *p.depends_on, handover=mode(p.name == roots[0])) for p in parts]

    async def main(clock: VirtualClock) -> None:
        group = group_of(*parts, nodes=("a", "b", "c"), max_moves=1000)
        async with cluster(clock, group, names=("a", "b", "c")) as c:
            await c.online("a")
            slow(c, {p.name: (d[0] / 4, d[1] / 4) for p, d in zip(parts, durations, strict=False)})
            for node, index in failing:
                if index < len(parts):
                    c.world.behaviour(node, parts[index].name).outcomes[Action.OFFLINE] = [Outcome.FAILED]
            for wait, what in asked:
                await c.sleep(wait / 10)
                try:
                    if what == "off":
                        await c.ask("c", "offline", group=GROUP, wait=False)
                    else:
                        await c.switch(what, by="b")
                except Refused:
                    continue
            if c.placed().wanted is Wanted.OFFLINE:
                await c.ask("a", "online", group=GROUP, wait=False)
            owner = c.placed().owner
            await c.online(owner)
            await c.until(lambda: c.placed().holders == (owner,))
            for node in {"a", "b", "c"} - {owner}:
                assert c.world.everything_on(node) == set()
            assert order_faults(c.world, group.components) == []

    run_virtual(main)


def mode(first: bool) -> HandoverMode:
    return HandoverMode.MAKE_FIRST if first else HandoverMode.BREAK_FIRST
