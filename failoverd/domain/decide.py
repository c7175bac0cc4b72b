"""``decide(view) -> decisions``: what this node should do about the cluster, as a pure function of its view.

Every node runs it and carries out only what it returns, which is only what this node is the actor of: its own
faults, its own releases, the take-over of which it is the chosen target, and the fencing of an expired lease or of a
dead node (any node; compare-and-swap settles the race). There is no leader.

Each decision is one compare-and-swap: it names the revisions that must still hold, so that acting on an old view
changes nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

from failoverd.domain.balance import balances, ranked
from failoverd.domain.eligibility import Refusal, choose, explain, refusal, refusals
from failoverd.domain.fencing import Shoot, next_shot_at, shots, stuck_without_remedy
from failoverd.domain.holds import Subject
from failoverd.domain.model import OnStop
from failoverd.domain.placement import Cause, LeaseState, Placement, Wanted, first, moved, without_holder
from failoverd.domain.requires import frozen_dependent, in_order, misplaced
from failoverd.domain.view import GroupView, NodeView, View

GONE = frozenset({LeaseState.FENCED, LeaseState.LEFT})
"""Member states of a node that is known to have nothing online."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fence:
    """Mark a node's lease fenced: it expired as we observed it, and can never be renewed afterwards."""

    node: str
    incarnation: str
    member_revision: int
    lease_revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Write a placement, if everything that it was concluded from still holds."""

    group: str
    placement: Placement
    revision: int
    unchanged: tuple[tuple[str, int], ...] = ()
    """Nodes whose identity records must still be at these revisions (because they were fenced or had left)."""
    fault: str | None = None
    """The component whose fault on this node is put on record in the same transaction."""
    holds: tuple[tuple[Subject, int], ...] = ()
    """What might keep the group from moving, at the revisions that must still be true (0: not on hold)."""


class Obstacle(StrEnum):
    NO_TARGET = "no_target"
    TOO_MANY_MOVES = "too_many_moves"
    FROZEN = "frozen"
    """Something should be done, and an operator has said that nothing is."""
    CANNOT_DRAIN = "cannot_drain"
    """It runs well on a node that is to be drained, and no other can take it."""
    STUCK = "stuck"


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocked:
    """Nothing can be done for a group, and why. Changes nothing; is shown and logged."""

    group: str
    obstacle: Obstacle
    text: str


Decision = Fence | Place | Blocked | Shoot


def decide(view: View) -> tuple[Decision, ...]:
    """All that this node is to do now. Empty while it may not act: not ready, no usable lease, no trusted view."""
    if not (view.ready and view.coordinator_ok and view.lease_usable and view.trusted):
        return ()
    decisions: list[Decision] = [*_fence_expired(view), *shots(view)]
    balanced = balances(view)
    related = any(group.group.requires for group in view.groups.values())
    # Where it matters what else a node carries, everybody must go through the groups in the same order; where groups
    # require others, those come first.
    groups = in_order(view.groups) if balanced or related else list(view.groups.values())
    for group in groups:
        phases = PHASES if view.freeze_of(group) is None else PHASES_FROZEN
        found = next((d for d in (phase(view, group) for phase in phases) if d is not None), None)
        if found is not None:
            decisions.append(_heedful(view, group, found))
        if balanced or related:
            view = _expecting(view, group, found)
    return tuple(decisions)


def _expecting(view: View, group: GroupView, found: Decision | None) -> View:
    """The groups that are decided on next reckon with this one where it will be, whoever carries that out."""
    if isinstance(found, Place):
        target: str | None = found.placement.owner
    elif view.freeze_of(group) is not None:
        target = None
    elif group.placement is None:
        target = choose(view, group)
    else:
        owner = view.nodes.get(group.placement.owner)
        lost = owner is not None and owner.member in GONE and group.placement.wanted is Wanted.ONLINE
        target = choose(view, group, without=frozenset({group.placement.owner})) if lost else None
    return view if target is None else replace(view, expected={**view.expected, group.group.name: target})


def _heedful(view: View, group: GroupView, found: Decision) -> Decision:
    old = group.placement
    if isinstance(found, Place) and (old is None or old.generation != found.placement.generation):
        return with_holds(view, group, found)
    return found


def with_holds(view: View, group: GroupView, place: Place) -> Place:
    """To be written only if what is on hold is still what it was concluded from."""
    nodes = (group.placement.owner if group.placement else None, place.placement.owner)
    return replace(place, holds=view.holds.conditions(group.group.name, nodes))


def next_deadline(view: View) -> float | None:
    """When ``decide`` may answer differently although nothing new is heard (the view's clock); None: never."""
    times = [fencing_due_at(view, n) for n in view.nodes.values()]
    times += [view.settle_until, *next_shot_at(view)]
    return min((t for t in times if t is not None and t > view.now), default=None)


def fencing_due_at(view: View, node: NodeView) -> float | None:
    """When this node may hold another's lease for run out and take it away: not before that, nor against a promise of
    its own, nor while it may have forgotten one. None: not at all."""
    if node.name == view.me or node.member is not LeaseState.LIVE or node.lease_expires_at is None:
        return None
    if node.fencers is not None and view.me not in node.fencers:
        return None
    return max(node.lease_expires_at, node.promised_until, view.fences_from)


def _fence_expired(view: View) -> list[Fence]:
    return [
        Fence(
            node=node.name,
            incarnation=node.incarnation,
            member_revision=node.member_revision,
            lease_revision=node.lease_revision,
        )
        for node in view.nodes.values()
        if (due := fencing_due_at(view, node)) is not None and view.now >= due
    ]


def _place_first(view: View, group: GroupView) -> Decision | None:
    """A group that was never placed goes where it already runs, else to its most preferred node."""
    if group.placement is not None or view.me not in group.group.nodes or view.stopping:
        return None
    if _still_awaited(view, group):
        return None
    eligible = [n for n in group.group.nodes if refusal(view, group, n) is None]
    if not eligible:
        return None
    name = group.group.name
    best = ranked(view, group, eligible)
    chosen = max(best, key=lambda n: (view.nodes[n].online.get(name, 0), -best.index(n)))
    if chosen != view.me:
        return None
    joined = tuple(n for n in group.group.nodes if n in view.nodes and view.nodes[n].member is not None)
    possible = tuple(n for n in joined if view.nodes[n].member not in GONE)
    gone = tuple((n, view.nodes[n].member_revision) for n in joined if n not in possible)
    placement = first(view.me, possible, by=view.me, at="")
    return Place(group=name, placement=placement, revision=group.revision, unchanged=gone)


def _still_awaited(view: View, group: GroupView) -> bool:
    """Whether a node of the group may still show up that would be preferred, or that may have it online.

    One that is heard but still probing is waited for (it bounds that time itself), the others until ``settle_until``.
    """
    why = {refusal(view, group, name) for name in group.group.nodes if name != view.me}
    if Refusal.NOT_READY in why:
        return True
    absent = {Refusal.NEVER_SEEN, Refusal.SILENT, Refusal.FENCED, Refusal.LEFT}
    return view.now < view.settle_until and not why.isdisjoint(absent)


def _take_over(view: View, group: GroupView) -> Decision | None:
    """The owner is known to have nothing online any more: the best other node takes the group."""
    placement = group.placement
    if placement is None or placement.owner == view.me or placement.wanted is Wanted.OFFLINE:
        return None
    owner = view.nodes.get(placement.owner)
    if owner is None or owner.member not in GONE:
        return None
    said = "was stopped" if owner.member is LeaseState.LEFT else "was lost"
    return _move(view, group, placement, Cause.NODE_LOST, f"{owner.name} {said}", without=frozenset({owner.name}))


def _hand_over_faulted(view: View, group: GroupView) -> Decision | None:
    """A critical component cannot be kept online here."""
    placement = group.placement
    if placement is None or placement.owner != view.me or group.given_up is None:
        return None
    if placement.wanted is Wanted.OFFLINE or view.stopping:
        return None
    reason = f"{group.given_up}: {group.given_up_reason}"
    move = _move(view, group, placement, Cause.FAULT, reason, without=frozenset({view.me}))
    return replace(move, fault=group.given_up) if isinstance(move, Place) else move


def _hand_over_stuck(view: View, group: GroupView) -> Decision | None:
    """A component cannot be taken offline here, and the next owner may fence us for it: then let there be one."""
    placement = group.placement
    if placement is None or placement.owner != view.me or not group.stuck_here or not view.myself.fence_levels:
        return None
    if placement.wanted is Wanted.OFFLINE or view.stopping:
        return None
    reason = f"{group.stuck_here}: cannot be taken offline"
    return _move(view, group, placement, Cause.FAULT, reason, without=frozenset({view.me}))


def _wait_stuck(view: View, group: GroupView) -> Decision | None:
    text = stuck_without_remedy(view, group)
    return Blocked(group=group.group.name, obstacle=Obstacle.STUCK, text=text) if text else None


def _hand_over_stopping(view: View, group: GroupView) -> Decision | None:
    """This daemon is being stopped; without a target the runner takes the group offline instead."""
    placement = group.placement
    if placement is None or placement.owner != view.me or not view.stopping:
        return None
    if placement.wanted is Wanted.OFFLINE or group.group.on_stop is OnStop.LEAVE:
        return None
    if choose(view, group, without=frozenset({view.me})) is None:
        return None
    return _relocate(view, group, placement, Cause.SHUTDOWN, f"{view.me} is stopping", without=frozenset({view.me}))


def _go_where_required(view: View, group: GroupView) -> Decision | None:
    """A group that it requires is somewhere else by now. That is no failure of this one: its budget does not count."""
    placement = group.placement
    if placement is None or placement.owner != view.me or not group.group.requires:
        return None
    if placement.wanted is Wanted.OFFLINE or view.stopping:
        return None
    reason, cause = misplaced(view, group)
    if not reason:
        return None
    mine = frozenset({view.me})
    if choose(view, group, without=mine) is not None:
        return _relocate(view, group, placement, cause, reason, without=mine)
    others = {n: why for n, why in refusals(view, group).items() if n != view.me}
    text = f"cannot be on {view.me}, because {reason}; {explain(view, group, others)}"
    return Blocked(group=group.group.name, obstacle=Obstacle.NO_TARGET, text=text)


def _hand_over_drained(view: View, group: GroupView) -> Decision | None:
    """An operator wants this node empty. That is no failure of the group, so its budget of moves does not count."""
    placement = group.placement
    if placement is None or placement.owner != view.me or placement.wanted is Wanted.OFFLINE:
        return None
    if view.stopping or not view.myself.draining:
        return None
    mine, frozen = frozenset({view.me}), frozen_dependent(view, group)
    if frozen:
        text = f"stays on {view.me}, which is being drained: {frozen}"
        return Blocked(group=group.group.name, obstacle=Obstacle.CANNOT_DRAIN, text=text)
    if choose(view, group, without=mine) is not None:
        return _relocate(view, group, placement, Cause.DRAIN, f"{view.me} is being drained", without=mine)
    if group.given_up is not None:
        return None  # a fault is the greater trouble
    others = {n: why for n, why in refusals(view, group).items() if n != view.me}
    text = f"stays on {view.me}, which is being drained: {explain(view, group, others)}"
    return Blocked(group=group.group.name, obstacle=Obstacle.CANNOT_DRAIN, text=text)


def _held_back(view: View, group: GroupView) -> Decision | None:
    """What would be done about a frozen group is said instead."""
    subject, placement = view.freeze_of(group), group.placement
    if subject is None or placement is None or placement.wanted is Wanted.OFFLINE:
        return None
    owner = view.nodes.get(placement.owner)
    if owner is not None and owner.member in GONE:
        why = f"{owner.name} {'was stopped' if owner.member is LeaseState.LEFT else 'was lost'}"
    elif placement.owner == view.me and group.given_up is not None:
        why = f"{group.given_up}: {group.given_up_reason}"
    else:
        return None
    text = f"{why}; nothing is done about it: {view.holds.text(subject)}"
    return Blocked(group=group.group.name, obstacle=Obstacle.FROZEN, text=text)


def _move(
    view: View, group: GroupView, placement: Placement, cause: Cause, reason: str, *, without: frozenset[str]
) -> Decision | None:
    """An automatic move, within the group's budget of them."""
    limit = group.group.max_moves
    if group.recent_moves >= limit:
        text = f"{reason}; it has moved {group.recent_moves} times within {group.group.move_window_s:g}s (max_moves)"
        return Blocked(group=group.group.name, obstacle=Obstacle.TOO_MANY_MOVES, text=text)
    if choose(view, group, without=without) is None:
        others = {n: why for n, why in refusals(view, group).items() if n not in without}
        text = f"{reason}; {explain(view, group, others)}"
        return Blocked(group=group.group.name, obstacle=Obstacle.NO_TARGET, text=text)
    return _relocate(view, group, placement, cause, reason, without=without)


def _relocate(
    view: View, group: GroupView, placement: Placement, cause: Cause, reason: str, *, without: frozenset[str]
) -> Place | None:
    """The change of owner itself, where this node is its actor: the target of a lost group, the owner of its own."""
    target = choose(view, group, without=without)
    if target is None or view.me not in {target, placement.owner}:
        return None
    changed = moved(placement, target, cause=cause, reason=reason, by=view.me, at="")
    return _without_gone(view, group, changed)


def _without_gone(view: View, group: GroupView, placement: Placement) -> Place:
    """Holders that are known to have nothing online are dropped, guarded by the records that say so."""
    gone = tuple(
        (name, view.nodes[name].member_revision)
        for name in placement.others(view.me)
        if name in view.nodes and view.nodes[name].member in GONE and name != placement.owner
    )
    for name, _ in gone:
        placement = without_holder(placement, name)
    return Place(group=group.group.name, placement=placement, revision=group.revision, unchanged=gone)


def _regain(view: View, group: GroupView) -> Decision | None:
    """The owner had let go of the group (it was stopped) and is back: it must be a holder before it acts."""
    placement = group.placement
    if placement is None or placement.owner != view.me or view.me in placement.holders:
        return None
    if placement.wanted is Wanted.OFFLINE or view.stopping:
        return None
    holding = replace(placement, holders=(*placement.holders, view.me))
    return Place(group=group.group.name, placement=holding, revision=group.revision)


def _release(view: View, group: GroupView) -> Decision | None:
    """Everything is absent here and will stay so: this node is no holder any more."""
    placement = group.placement
    if placement is None or view.me not in placement.holders or not group.all_absent:
        return None
    stays_absent = placement.owner != view.me or placement.wanted is Wanted.OFFLINE or view.stopping
    if not stays_absent:
        return None
    return Place(group=group.group.name, placement=without_holder(placement, view.me), revision=group.revision)


def _drop_gone_holders(view: View, group: GroupView) -> Decision | None:
    placement = group.placement
    if placement is None or placement.owner != view.me:
        return None
    place = _without_gone(view, group, placement)
    return place if place.unchanged else None


def _fail_back(view: View, group: GroupView) -> Decision | None:
    """All is well, and a node that the group prefers has been well for long enough: only where it is configured, not
    against an operator's own choice of the node, and within the budget of moves."""
    placement, after_s = group.placement, group.group.failback_after_s
    if placement is None or placement.owner != view.me or placement.wanted is Wanted.OFFLINE or after_s is None:
        return None
    if placement.cause is Cause.OPERATOR or placement.holders != (view.me,) or not group.all_online:
        return None
    if view.stopping or group.recent_moves >= group.group.max_moves or frozen_dependent(view, group):
        return None
    for name in group.group.nodes[: _position(group, view.me)]:
        since = group.well_since.get(name)
        if since is not None and view.now - since >= after_s and refusal(view, group, name) is None:
            reason = f"{name} is preferred and has been well for {after_s:g}s"
            changed = moved(placement, name, cause=Cause.FAILBACK, reason=reason, by=view.me, at="")
            return Place(group=group.group.name, placement=changed, revision=group.revision)
    return None


def _position(group: GroupView, node: str) -> int:
    return group.group.nodes.index(node) if node in group.group.nodes else 0


Phase = Callable[[View, GroupView], Decision | None]

PHASES: tuple[Phase, ...] = (
    _place_first,
    _take_over,
    _hand_over_stopping,
    _go_where_required,
    _hand_over_drained,
    _hand_over_faulted,
    _hand_over_stuck,
    _regain,
    _release,
    _drop_gone_holders,
    _fail_back,
    _wait_stuck,
)

PHASES_FROZEN: tuple[Phase, ...] = (_regain, _release, _drop_gone_holders, _held_back)
"""Of a frozen group only the record is kept true: who may still have something online."""
