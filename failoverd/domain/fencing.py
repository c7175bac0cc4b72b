"""When a node is switched off by its fence devices, and by whom: pure functions of the view.

The rule (design, section 3, "suspicion is not proof"): a node is shot at when it is silent for ``dead_after`` **and**
its lease is overdue by two renewals **and** this node reaches the coordinator itself, and only while a group waits for
what it may have online. A component that cannot be taken offline, and whose policy says ``fence``, is the other reason.

Exactly one node shoots: the claim is a compare-and-swap on ``fence/<node>`` that also compares

- the node's identity record and, for a silent node, its lease record: it has not renewed since we saw it overdue;
- the record of our own fencing: of two nodes that would shoot each other, the one that is second finds it changed.

The survivors come one after the other (``turn_s``). And where the node that is shot at owns more than the one that
shoots, the latter waits between its claim and its shot (``grace_s``): a node that lives after all learns of the claim
from the coordinator, renews its lease at once, and the shot is withdrawn. So the owner's side is favoured, and in a
split in which both reach the coordinator nobody is shot at all.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from failoverd.domain.fence_record import FenceRecord, FenceState
from failoverd.domain.holds import Subject
from failoverd.domain.lease import DRIFT
from failoverd.domain.placement import LeaseState, Wanted
from failoverd.domain.view import GroupView, NodeView, View

OVERDUE_RENEWALS = 2
"""Beyond the one that was due."""
PAUSE_FIRST_S = 1.0
PAUSE_LONGEST_S = 60.0
RANKS_MAX = 3


class ShotCause(StrEnum):
    SILENT = "silent"
    STUCK = "stuck"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shoot:
    """Claim the fencing of a node, if everything that it was concluded from still holds, and switch it off."""

    node: str
    cause: ShotCause
    reason: str
    incarnation: str
    member_revision: int
    lease_revision: int
    """Compared where it is silent: one that is stuck goes on renewing."""
    fence_revision: int
    own_fence_revision: int
    attempt: int
    deadline_s: float
    grace_s: float = 0.0
    """Between the claim and the shot."""
    holds: tuple[tuple[Subject, int], ...] = ()
    """What would keep everybody's hands off the node, each with the revision at which it is known (0: it is not)."""


def shots(view: View) -> tuple[Shoot, ...]:
    """Whom this node is to shoot at now. ``decide`` asks only where the node may act at all."""
    if _under_fire(view):
        return ()
    return tuple(shoot for node in view.nodes.values() if (shoot := _shoot(view, node)) is not None)


def still_called_for(view: View, shoot: Shoot) -> bool:
    """Before another attempt: that very incarnation still gives no sign of life, or is still stuck."""
    node = view.nodes.get(shoot.node)
    if node is None or node.incarnation != shoot.incarnation or node.member is not LeaseState.LIVE:
        return False
    return _cause(view, node) is not None


def overdue_at(view: View, node: NodeView) -> float | None:
    """When a node's lease is overdue by two renewals, as we have seen it (None: it has none)."""
    if node.lease_seen_at is None:
        return None
    return node.lease_seen_at + (1 + OVERDUE_RENEWALS) * (node.renew_s or view.renew_s)


def next_shot_at(view: View) -> Iterator[float]:
    """The times at which ``shots`` may answer differently although nothing is heard."""
    for node in view.nodes.values():
        if not _can_be_shot(view, node):
            continue
        overdue = overdue_at(view, node)
        if overdue is not None:
            yield max(overdue + turn_s(view, node), _unpromised_at(view, node))
        if node.fence is not None:
            yield _free_at(view, node, node.fence)


# --- whom and why ---------------------------------------------------------------------------------------------


def _shoot(view: View, node: NodeView) -> Shoot | None:
    if not _can_be_shot(view, node) or view.now < _unpromised_at(view, node):
        return None
    cause = _cause(view, node)
    if cause is None:
        return None
    record = node.fence if node.fence is not None and node.fence.incarnation == node.incarnation else None
    if record is not None and view.now < _free_at(view, node, record):
        return None
    return Shoot(
        node=node.name,
        cause=cause,
        reason=_reason(view, node, cause),
        incarnation=node.incarnation,
        member_revision=node.member_revision,
        lease_revision=node.lease_revision,
        fence_revision=node.fence_revision,
        own_fence_revision=view.myself.fence_revision,
        attempt=1 if record is None else record.attempt + 1,
        deadline_s=sum(level.longest_s for level in node.fence_levels),
        holds=view.holds.conditions_of_node(node.name),
        grace_s=grace_s(view, node) if cause is ShotCause.SILENT else 0.0,
    )


def _can_be_shot(view: View, node: NodeView) -> bool:
    if node.name == view.me or node.member is not LeaseState.LIVE or view.holds.node_frozen(node.name):
        return False
    if node.fencers is not None and view.me not in node.fencers:
        return False
    return bool(node.fence_levels)


def _unpromised_at(view: View, node: NodeView) -> float:
    """A node in failsafe relies on nobody's fencing it: not while we have promised so, or may have forgotten it."""
    return max(node.promised_until, view.fences_from)


def _cause(view: View, node: NodeView) -> ShotCause | None:
    if _stuck_on(view, node):
        return ShotCause.STUCK
    overdue = overdue_at(view, node)
    if overdue is None or not node.suspected or not _is_waited_for(view, node):
        return None
    if node.lease_expires_at is not None and view.now >= node.lease_expires_at:
        return None  # then it has stopped itself, and is marked fenced without a shot
    return ShotCause.SILENT if view.now >= overdue + turn_s(view, node) else None


def _is_waited_for(view: View, node: NodeView) -> bool:
    """Whether anything that is to be online may be online there. Nobody is shot for nothing."""
    return any(
        group.placement is not None
        and group.placement.wanted is Wanted.ONLINE
        and view.freeze_of(group) is None
        and node.name in (group.placement.owner, *group.placement.holders)
        for group in view.groups.values()
    )


def _stuck_on(view: View, node: NodeView) -> str:
    """A component that we wait for as the owner, and that cannot be taken offline there; empty where there is none."""
    for group in view.groups.values():
        mine = group.placement is not None and group.placement.owner == view.me and view.freeze_of(group) is None
        if mine and node.name in group.stuck_on:
            return f"{group.group.name}/{group.stuck_on[node.name]}"
    return ""


def _reason(view: View, node: NodeView, cause: ShotCause) -> str:
    if cause is ShotCause.STUCK:
        return f"{_stuck_on(view, node)} cannot be taken offline there"
    seen = view.now - (node.lease_seen_at or view.now)
    return f"silent on every link, and has not renewed its lease for {seen:.3g}s"


def stuck_without_remedy(view: View, group: GroupView) -> str:
    """Why a stuck component of a group that we own stays so although its policy says ``fence``; else empty."""
    if group.placement is None or group.placement.owner != view.me:
        return ""
    for name, component in group.stuck_on.items():
        node = view.nodes.get(name)
        if node is None or node.member is not LeaseState.LIVE:
            continue
        if not node.fence_levels:
            return f"{component} cannot be taken offline on {name}, which has no fence device"
        record = node.fence
        failed = record is not None and record.incarnation == node.incarnation and record.state is FenceState.FAILED
        if failed and record is not None:
            return f"{component} cannot be taken offline on {name}, which could not be fenced: {record.reason}"
    return ""


# --- one at a time --------------------------------------------------------------------------------------------


def _under_fire(view: View) -> bool:
    """Somebody shoots at us: who was first goes on alone."""
    record = view.myself.fence
    if record is None or record.incarnation != view.myself.incarnation or record.state is not FenceState.SHOOTING:
        return False
    return view.now < _free_at(view, view.myself, record)


def _free_at(view: View, node: NodeView, record: FenceRecord) -> float:
    """From when on another attempt may be made at what a record says of its own incarnation."""
    if record.state is FenceState.SHOOTING:
        return _abandoned_at(view, node, record)
    if record.state is FenceState.OFF:
        return view.now
    pause = min(PAUSE_LONGEST_S, PAUSE_FIRST_S * 2.0 ** min(record.attempt - 1, 10))
    # Another node may have a way to the device that the last one had not: it goes first.
    return node.fence_seen_at + (pause * 1.5 if record.by == view.me and len(_candidates(view, node)) > 1 else pause)


def _abandoned_at(view: View, node: NodeView, record: FenceRecord) -> float:
    """When nobody need be waited for who has said that he shoots."""
    if record.by == view.me:
        return float("inf") if node.name in view.shooting else view.now
    shooter = view.nodes.get(record.by)
    if shooter is None or shooter.member is not LeaseState.LIVE or shooter.incarnation != record.by_incarnation:
        return view.now
    return node.fence_seen_at + record.deadline_s * (1 + DRIFT)


# --- who first ------------------------------------------------------------------------------------------------


def turn_s(view: View, node: NodeView) -> float:
    """How long this node leaves the claim to others: half a renewal for each that may shoot and comes before it."""
    return view.renew_s / 2 * min(_candidates(view, node).index(view.me), RANKS_MAX)


def grace_s(view: View, node: NodeView) -> float:
    """How long a node that is favoured over us has for a sign of life once it is claimed: half a renewal."""
    return view.renew_s / 2 if _order(view, node) < _order(view, view.myself) else 0.0


def _candidates(view: View, node: NodeView) -> list[str]:
    """Who may shoot at ``node``, as far as we can tell, in the order of preference."""
    able = [
        each
        for each in view.nodes.values()
        if each.name == view.me or (each.name != node.name and each.heard and each.member is LeaseState.LIVE)
    ]
    return [each.name for each in sorted(able, key=lambda each: _order(view, each))]


def _order(view: View, node: NodeView) -> tuple[bool, int, str]:
    """Members before witnesses, who owns more first, then by name: the same on every node that sees the same."""
    owned = sum(
        group.placement is not None and group.placement.wanted is Wanted.ONLINE and group.placement.owner == node.name
        for group in view.groups.values()
    )
    return (node.witness, -owned, node.name)
