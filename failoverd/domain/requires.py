"""Groups that require other groups (``requires``): where a group may be, when it may come online, when it must go.

The rule, for a group B that requires A, is that of components once more: B's components are as if they depended on all
that A is made of. They come online only while A is online where B needs it; where the two are on one node, nothing of A
goes offline before B is offline there. There is no third record: B has a placement of its own, which its owner changes
when A's has changed, and what B waits for is looked up, not written down. Groups never require each other in a circle
(``check`` refuses it), so nobody waits for himself.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from failoverd.domain.graph import ComponentGraph
from failoverd.domain.model import Group, RequiredFault, Requirement, Where
from failoverd.domain.placement import Cause, Placement, Wanted
from failoverd.domain.view import GroupView, View

FORCED = frozenset({Cause.FAULT, Cause.NODE_LOST})
"""Moves that nobody has planned: what ``on_fault: stay`` does not follow."""

_PLACE = {Where.SAME_NODE: " on the same node", Where.OTHER_NODE: " on another node", Where.ANYWHERE: ""}


def essential(group: Group) -> frozenset[str]:
    """The components without which it is not online: the critical ones (all, where none is)."""
    critical = frozenset(name for name, component in group.components.items() if component.critical)
    return critical or frozenset(group.components)


def fits(where: Where, at: str, node: str) -> bool:
    """Whether ``node`` is where a group may be while the one that it requires is ``at`` a node."""
    return where is Where.ANYWHERE or (at == node) == (where is Where.SAME_NODE)


def needs(group: str, need: Requirement) -> str:
    """``shop needs db on the same node``."""
    return f"{group} needs {need.group}{_PLACE[need.where]}"


# --- on a node: what its components wait for ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Known:
    """What a node knows of a required group."""

    placement: Placement | None
    up: bool | None = None
    """Whether all that is essential of it is online on its owner; None: that is not known."""
    keeps: bool = True
    """Of one that this very node owns: whether it is to stay as it is, as far as this node is concerned."""


def unmet(need: Requirement, known: Known, node: str) -> str:
    """Why nothing may be brought online on ``node`` as yet; empty where it may."""
    placement = known.placement
    if placement is None:
        return f"{need.group} has no owner yet"
    if placement.wanted is Wanted.OFFLINE:
        return f"{need.group} is wanted offline"
    if not fits(need.where, placement.owner, node):
        return f"{need.group} is on {placement.owner}"
    return "" if known.up else f"{need.group} is not online on {placement.owner}"


def may_stay(need: Requirement, known: Known, node: str) -> bool:
    """Whether what is online on ``node`` may stay so. What is not known takes nothing down."""
    placement = known.placement
    if placement is None:
        return True
    follows, wanted = need.on_fault is RequiredFault.FOLLOW, placement.wanted is Wanted.ONLINE
    here = placement.owner == node
    if need.where is Where.OTHER_NODE and here and wanted:
        return False
    if need.where is Where.SAME_NODE and not here:
        return not follows and not (wanted and placement.cause not in FORCED)
    if not follows:
        return True
    return wanted and (known.keeps if here else known.up is not False)


# --- in the cluster: where a group may be ---------------------------------------------------------------------


def unfit(view: View, group: GroupView, node: str) -> str:
    """Why ``node`` is not where the group may be by what it requires; empty where it is."""
    for need, required in _required(view, group):
        at = _whereabouts(view, required)
        if need.where is not Where.ANYWHERE and (at is None or not fits(need.where, at, node)):
            where = f"is on {at}" if at is not None else "has no owner yet"
            return f"{needs(group.group.name, need)}, and {need.group} {where}"
    return ""


def misplaced(view: View, group: GroupView) -> tuple[str, Cause]:
    """Why a group must leave its owner because of one that it requires, and the cause of its move; empty where it need
    not. While the other one is wanted offline it need not: it is down anyhow."""
    owner = group.placement.owner if group.placement else ""
    for need, required in _required(view, group):
        placement = required.placement
        if placement is None or placement.wanted is Wanted.OFFLINE or need.where is Where.ANYWHERE:
            continue
        stays = need.where is Where.SAME_NODE and need.on_fault is RequiredFault.STAY
        forced = placement.cause in FORCED
        if stays and forced and not group.all_absent:
            continue
        at = placement.owner if stays else _whereabouts(view, required)
        if at is not None and not fits(need.where, at, owner):
            return f"{need.group} is on {at}", placement.cause if forced else Cause.REQUIRED
    return "", Cause.REQUIRED


def _whereabouts(view: View, required: GroupView) -> str | None:
    """Where it is, or is about to be by a decision of the same round."""
    if required.placement is None:
        return None
    return view.expected.get(required.group.name, required.placement.owner)


def _required(view: View, group: GroupView) -> Iterator[tuple[Requirement, GroupView]]:
    for need in group.group.requires:
        if need.group in view.groups:  # else it is being removed from the configuration
            yield need, view.groups[need.group]


def in_order(groups: Mapping[str, GroupView]) -> list[GroupView]:
    """Every group after all that it requires, and otherwise by name."""
    edges = {
        name: [need.group for need in groups[name].group.requires if need.group in groups] for name in sorted(groups)
    }
    return [groups[name] for name in ComponentGraph.of(edges).order]


# --- who requires a group -------------------------------------------------------------------------------------


def dependents(view: View, group: GroupView) -> list[tuple[Requirement, GroupView]]:
    """The groups that are to be online and require this one themselves."""
    name = group.group.name
    return [
        (need, other)
        for other in view.groups.values()
        for need in other.group.requires
        if need.group == name and other.placement is not None and other.placement.wanted is Wanted.ONLINE
    ]


def all_dependents(view: View, group: GroupView) -> list[GroupView]:
    """Those that require it directly or not, each before what it requires itself: the order of taking offline."""
    found: dict[str, GroupView] = {}
    waiting = [group]
    while waiting:
        for _, other in dependents(view, waiting.pop()):
            if other.group.name not in found:
                found[other.group.name] = other
                waiting.append(other)
    order = [each.group.name for each in in_order(view.groups)]
    return sorted(found.values(), key=lambda each: -order.index(each.group.name))


def frozen_dependent(view: View, group: GroupView) -> str:
    """Which frozen group would lose this one if it left its owner; empty where none would."""
    for need, other in dependents(view, group):
        subject = view.freeze_of(other)
        if need.where is Where.SAME_NODE and subject is not None:
            return f"{needs(other.group.name, need)} and is {view.holds.text(subject)}"
    return ""
