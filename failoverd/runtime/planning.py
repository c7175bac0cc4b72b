"""Plans on request: what a handover of a group would be like, from what is online now."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from failoverd.domain.durations import LearnedDurations
from failoverd.domain.eligibility import choose, explain, refusals
from failoverd.domain.handover import Move
from failoverd.domain.model import Group, limits_of
from failoverd.domain.operator import Denied, request_switch
from failoverd.domain.plan import make_plan, plan_document
from failoverd.domain.view import GroupView, View
from failoverd.errors import Refused, UsageError
from failoverd.runtime.node import Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    source: str | None = None
    target: str | None = None
    down: str | None = None
    """A node that is assumed dead."""


async def plan_for(node: Node, name: str, request: Request) -> dict[str, Any]:
    """Raises ``Refused`` where there is nowhere to go, ``UsageError`` where the request contradicts itself."""
    view = node.view_builder.build(node.clock.now())
    group = view.groups[name]
    owner = group.placement.owner if group.placement else None
    source = request.source or request.down or owner
    without = frozenset(n for n in (source, request.down) if n)
    target = request.target or choose(view, group, without=without)
    if target is None:
        others = {n: why for n, why in refusals(view, group).items() if n not in without}
        raise Refused(f"no node can take {name}: {explain(view, group, others)}")
    limits, learned = limits_of(node.settings.nodes), node.learned
    found: dict[str, Any] = await node.ports.offload(
        lambda: document(group.group, source=source, target=target, dead=request.down, limits=limits, learned=learned)
    )
    return found | {"refused": _refused(view, group, target, request)}


def _refused(view: View, group: GroupView, target: str, request: Request) -> str | None:
    """Why it would not be done as things are now: frozen, drained, or a target that cannot take it."""
    frozen = view.freeze_of(group)
    if frozen is not None:
        return f"{group.group.name} is {view.holds.text(frozen)}"
    if group.placement is None or request.down is not None or request.source not in {None, group.placement.owner}:
        return None
    answer = request_switch(view, group, target, by="")
    return answer.text if isinstance(answer, Denied) else None


def document(
    group: Group,
    *,
    source: str | None,
    target: str,
    dead: str | None,
    limits: Mapping[str, int],
    learned: LearnedDurations,
) -> dict[str, Any]:
    """Of a handover of the whole group, everything being online on the source (nothing, where that is dead)."""
    for node in (source, target):
        if node is not None and node not in group.nodes:
            raise UsageError(f"{node} is not a node of {group.name} (its nodes: {', '.join(group.nodes)})")
    if source == target:
        raise UsageError(f"{group.name} cannot move from {source} to itself")
    if target == dead:
        raise UsageError(f"{group.name} cannot move to {target}, which is assumed down")
    if source is None or source == dead:
        move = Move.failover(target)
    else:
        move = Move.switchover(group.components, source, target)
    return plan_document(make_plan(group, move, source=source, learned=learned, max_parallel=limits))
