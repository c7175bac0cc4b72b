"""The transitions of a placement: what holds for every chain of them."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from failoverd.domain.placement import (
    Cause,
    Placement,
    Wanted,
    first,
    moved,
    wanted_offline,
    wanted_online,
    without_holder,
)

BY = {"by": "a", "at": ""}
nodes = st.sampled_from("abcd")


@dataclass(frozen=True)
class Step:
    name: str
    node: str


steps = st.builds(Step, st.sampled_from(["move", "online", "offline", "drop"]), nodes)


def taken(old: Placement, step: Step) -> Placement:
    match step.name:
        case "move":
            return moved(old, step.node, cause=Cause.OPERATOR, reason="r", **BY)
        case "online":
            return wanted_online(old, reason="r", **BY)
        case "offline":
            return wanted_offline(old, reason="r", **BY)
        case _:
            return without_holder(old, step.node)


chains = st.tuples(nodes, st.lists(nodes, unique=True), st.lists(steps, max_size=20))


@given(chains)
def test_the_generation_grows_with_every_change_of_owner_and_never_otherwise(
    chain: tuple[str, list[str], list[Step]],
) -> None:
    owner, possible, following = chain
    now = first(owner, tuple(possible), **BY)
    for step in following:
        old, now = now, taken(now, step)
        assert now.generation == old.generation + (step.name == "move")
        assert now.owner == (step.node if step.name == "move" else old.owner)


@given(chains)
def test_a_holder_leaves_only_by_being_dropped(chain: tuple[str, list[str], list[Step]]) -> None:
    owner, possible, following = chain
    now = first(owner, tuple(possible), **BY)
    for step in following:
        old, now = now, taken(now, step)
        lost = set(old.holders) - set(now.holders)
        assert lost <= ({step.node} if step.name == "drop" else set())
        assert len(set(now.holders)) == len(now.holders)


@given(chains)
def test_whoever_may_bring_online_is_a_holder(chain: tuple[str, list[str], list[Step]]) -> None:
    owner, possible, following = chain
    now = first(owner, tuple(possible), **BY)
    assert now.owner in now.holders
    for step in following:
        now = taken(now, step)
        if step.name in {"move", "online"}:
            assert now.owner in now.holders


def test_the_former_owner_stays_a_holder_and_is_the_source() -> None:
    now = moved(first("a", ("a", "c"), **BY), "b", cause=Cause.FAULT, reason="disk", **BY)
    assert now.holders == ("a", "c", "b")
    assert now.source == "a"
    assert (now.cause, now.reason) == (Cause.FAULT, "disk")


def test_a_move_is_one_to_be_online() -> None:
    off = wanted_offline(first("a", ("a",), **BY), reason="r", **BY)
    assert off.wanted is Wanted.OFFLINE
    assert moved(off, "b", cause=Cause.OPERATOR, reason="r", **BY).wanted is Wanted.ONLINE


def test_every_other_holder_must_have_released() -> None:
    assert first("a", ("a", "b", "c"), **BY).others("a") == ("b", "c")
