"""What an operator may ask of a group: each request becomes one placement to be written, or a typed denial."""

from dataclasses import dataclass
from enum import StrEnum

from failoverd.domain.decide import GONE, Place, with_holds
from failoverd.domain.eligibility import HARD, Refusal, choose, explain, left_behind, refusal, refusal_text, refusals
from failoverd.domain.holds import way_out
from failoverd.domain.model import RequiredFault, Where
from failoverd.domain.placement import Cause, Placement, Wanted, moved, wanted_offline, wanted_online, without_holder
from failoverd.domain.requires import dependents, frozen_dependent, needs
from failoverd.domain.view import GroupView, View


class Denial(StrEnum):
    CANNOT_ACT = "cannot_act"
    NOT_PLACED = "not_placed"
    NOT_IN_GROUP = "not_in_group"
    ALREADY_THERE = "already_there"
    OWNED_ELSEWHERE = "owned_elsewhere"
    NO_TARGET = "no_target"
    REFUSED_TARGET = "refused_target"
    FROZEN = "frozen"
    NOT_OFF = "not_off"
    REQUIRED = "required"
    """Groups that require it forbid it."""
    LACKS = "lacks"
    """A group that it requires is not wanted online."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Denied:
    code: Denial
    text: str


Answer = Place | Denied


def _frozen(view: View, group: GroupView) -> Denied | None:
    subject = view.freeze_of(group)
    if subject is None:
        return None
    text = f"{group.group.name} is {view.holds.text(subject)}; first: {way_out(subject)}"
    return Denied(code=Denial.FROZEN, text=text)


def cannot_act(view: View) -> Denied | None:
    """Why this node can carry out nobody's wish now; None where it can."""
    why = None
    if not view.coordinator_ok:
        why = "cannot reach the coordinator"
    elif not view.lease_usable:
        why = "holds no valid lease"
    elif not view.ready:
        why = "is still finding out what runs here"
    elif view.stopping:
        why = "is stopping"
    return Denied(code=Denial.CANNOT_ACT, text=f"{view.me} {why}; try again, or ask another node") if why else None


def request_switch(view: View, group: GroupView, to: str | None, *, by: str) -> Answer:
    """Move a group to ``to``, or to the best other node. May redirect or reverse a handover under way."""
    name, placement = group.group.name, group.placement
    if denied := cannot_act(view) or _frozen(view, group):
        return denied
    if placement is None:
        return Denied(code=Denial.NOT_PLACED, text=f"{name} has no owner yet; bring it online first")
    if to is None:
        to = choose(view, group, without=frozenset({placement.owner}))
        if to is None:
            others = {n: why for n, why in refusals(view, group).items() if n != placement.owner}
            return Denied(code=Denial.NO_TARGET, text=f"no node can take {name}: {explain(view, group, others)}")
    if denied := _denied_target(view, group, to):
        return denied
    if to == placement.owner:
        if placement.wanted is Wanted.ONLINE:
            return Denied(code=Denial.ALREADY_THERE, text=f"{to} owns {name} already")
        return _place(view, group, wanted_online(placement, by=by, at="", reason=f"switch to {to}"))
    if denied := _denied_by_dependents(view, group, to):
        return denied
    change = moved(placement, to, cause=Cause.OPERATOR, reason=f"switch to {to}", by=by, at="")
    return _place(view, group, change)


def request_online(view: View, group: GroupView, on: str | None, *, by: str) -> Answer:
    """Bring a group online where it is, or on ``on``."""
    placement = group.placement
    if denied := cannot_act(view) or _frozen(view, group) or _lacking(view, group):
        return denied
    if placement is None:
        return _first_on(view, group, on, by=by)
    if on is not None and on != placement.owner:
        if placement.wanted is Wanted.ONLINE:
            text = f"{placement.owner} owns {group.group.name}; use: failoverd switch {group.group.name} --to {on}"
            return Denied(code=Denial.OWNED_ELSEWHERE, text=text)
        return request_switch(view, group, on, by=by)
    if denied := _denied_target(view, group, placement.owner):
        other = choose(view, group, without=frozenset({placement.owner}))
        if on is not None or other is None:
            return denied
        return request_switch(view, group, other, by=by)
    return _place(view, group, wanted_online(placement, by=by, at="", reason="online"))


def request_offline(view: View, group: GroupView, *, by: str) -> Answer:
    """Take a group offline where it is and leave it so; refused while groups that follow it are to be online."""
    name = group.group.name
    if denied := cannot_act(view) or _frozen(view, group):
        return denied
    if group.placement is None:
        return Denied(code=Denial.NOT_PLACED, text=f"{name} has no owner, so nothing is online")
    following = [each for each in dependents(view, group) if each[0].on_fault is RequiredFault.FOLLOW]
    if following and group.placement.wanted is Wanted.ONLINE:
        said = "; ".join(needs(other.group.name, need) for need, other in following)
        text = f"{said}; take them offline first, or all of them: failoverd offline {name} --with-dependents"
        return Denied(code=Denial.REQUIRED, text=text)
    return _place(view, group, wanted_offline(group.placement, by=by, at="", reason="offline"))


def _denied_by_dependents(view: View, group: GroupView, to: str) -> Denied | None:
    """The groups that are to be beside it, or apart from it, must be able to go where that sends them."""
    name, frozen = group.group.name, frozen_dependent(view, group)
    left = left_behind(view, group, to)
    if not (frozen or left):
        return None
    why = frozen or "; ".join(f"{other}, which requires it, could not follow: {text}" for other, text in left.items())
    return Denied(code=Denial.REQUIRED, text=f"{name} cannot go to {to}: {why}")


def _lacking(view: View, group: GroupView) -> Denied | None:
    """What it requires is not even to be online."""
    name = group.group.name
    for need in group.group.requires:
        required = view.groups.get(need.group)
        placement = required.placement if required is not None else None
        if required is not None and (placement is None or placement.wanted is Wanted.OFFLINE):
            why = "has no owner yet" if placement is None else "is wanted offline"
            text = f"{needs(name, need)}, and {need.group} {why}; first: failoverd online {need.group}"
            return Denied(code=Denial.LACKS, text=text)
    return None


def _first_on(view: View, group: GroupView, on: str | None, *, by: str) -> Answer:
    target = on or choose(view, group)
    if target is None:
        text = f"no node can take {group.group.name}: {explain(view, group, refusals(view, group))}"
        return Denied(code=Denial.NO_TARGET, text=text)
    if denied := _denied_target(view, group, target):
        return denied
    possible = tuple(n for n in group.group.nodes if n in view.nodes and view.nodes[n].member is not None)
    placement = Placement(
        owner=target,
        generation=1,
        holders=(*(n for n in possible if n != target), target),
        cause=Cause.OPERATOR,
        reason=f"online on {target}",
        by=by,
    )
    return _place(view, group, placement)


def _denied_target(view: View, group: GroupView, name: str) -> Denied | None:
    if name not in group.group.nodes:
        text = f"{name} is not a node of {group.group.name} (its nodes: {', '.join(group.group.nodes)})"
        return Denied(code=Denial.NOT_IN_GROUP, text=text)
    why = refusal(view, group, name)
    if why is None or why not in HARD:
        return None
    text = f"{name} cannot take {group.group.name}: it {refusal_text(view, group, name, why)}"
    if why is Refusal.REQUIREMENT:
        beside = [need.group for need in group.group.requires if need.where is Where.SAME_NODE]
        text += f"; to move them together: failoverd switch {beside[0]} --to {name}" if beside else ""
    return Denied(code=Denial.REFUSED_TARGET, text=text)


def _place(view: View, group: GroupView, placement: Placement) -> Place:
    """As for automatic moves: holders known to have nothing online are dropped with the same write."""
    gone = tuple(
        (n, view.nodes[n].member_revision)
        for n in placement.others(placement.owner)
        if n in view.nodes and view.nodes[n].member in GONE
    )
    for name, _ in gone:
        placement = without_holder(placement, name)
    place = Place(group=group.group.name, placement=placement, revision=group.revision, unchanged=gone)
    return with_holds(view, group, place)
