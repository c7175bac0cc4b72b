"""Which of several nodes that could take a group gets it, and whether there is room (``placement``, ``capacity``).

What a node carries is what the placements say, and what decisions of the same round expect (``View.expected``): so that
the groups of a lost node are spread although all of them are decided on at once. Two nodes may decide on different
groups at the same moment, each on what it knows; then a node may get more than its capacity. It is a policy, not a
safety rule: nothing is ever taken offline for it.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from failoverd.domain.model import PlacementPolicy
from failoverd.domain.placement import Wanted
from failoverd.domain.view import GroupView, NodeView, View


@dataclass(frozen=True, slots=True)
class Carried:
    """What a node has, one group left out of account."""

    groups: int = 0
    load: float = 0.0


def carried(view: View, node: str, without: str) -> Carried:
    count, load = 0, 0.0
    for name, other in view.groups.items():
        if name != without and _bearer(view, other) == node:
            count, load = count + 1, load + other.group.load
    return Carried(count, load)


def _bearer(view: View, group: GroupView) -> str | None:
    name, placement = group.group.name, group.placement
    if name in view.expected:
        return view.expected[name]
    return placement.owner if placement is not None and placement.wanted is Wanted.ONLINE else None


def has_room(view: View, group: GroupView, node: NodeView) -> bool:
    """Whether the node's capacity is enough for the group beside what it carries. Its owner has made room already."""
    if node.capacity is None or (group.placement is not None and group.placement.owner == node.name):
        return True
    return carried(view, node.name, group.group.name).load + group.group.load <= node.capacity


def ranked(view: View, group: GroupView, names: Iterable[str]) -> list[str]:
    """Nodes of the group, the best first; of equal ones the one that stands first in ``nodes``."""
    order = {name: position for position, name in enumerate(group.group.nodes)}
    candidates = sorted(names, key=lambda name: order[name])
    policy = group.group.placement
    if policy is PlacementPolicy.ORDER or len(candidates) < 2:
        return candidates
    found = {name: carried(view, name, group.group.name) for name in candidates}
    if policy is PlacementPolicy.SPREAD:
        return sorted(candidates, key=lambda name: found[name].groups)
    capacities = {name: view.nodes[name].capacity for name in candidates}
    shares = {
        name: (found[name].load + group.group.load) / capacity if capacity else 0.0
        for name, capacity in capacities.items()
    }
    if None in capacities.values():
        return sorted(candidates, key=lambda name: found[name].load)
    return sorted(candidates, key=lambda name: shares[name])


def balances(view: View) -> bool:
    """Whether it matters at all what else a node carries: mostly it does not, and then nothing is counted."""
    return any(group.group.placement is not PlacementPolicy.ORDER for group in view.groups.values()) or any(
        node.capacity is not None for node in view.nodes.values()
    )
