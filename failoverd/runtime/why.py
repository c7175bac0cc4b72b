"""``failoverd why GROUP``: why a group is where it is and as it is, in plain sentences.

Everything is derived from what this node knows at this moment; each sentence has a ``topic``, so that programs need
not read prose.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from failoverd.config.durations import format_duration
from failoverd.domain.eligibility import TEXT, Refusal, refusal, refusal_text
from failoverd.domain.holds import Subject, way_out
from failoverd.domain.machine import waiting_for
from failoverd.domain.model import ComponentState, GroupState
from failoverd.domain.placement import Cause, LeaseState, Placement, Wanted
from failoverd.domain.report import RELEASED_MARKS, Mark
from failoverd.domain.view import GroupView, View
from failoverd.runtime.announcer import STATE_OF_MARK
from failoverd.runtime.node import Node
from failoverd.runtime.shown import reasons_there

NAMED_MAX = 12
"""Components in one sentence, or sentences about components."""

CAUSES: dict[Cause, str] = {
    Cause.INITIAL: "it was the best node when the group was first placed",
    Cause.OPERATOR: "an operator said so",
    Cause.NODE_LOST: "the node that had it is gone",
    Cause.FAULT: "it could not be kept online where it was",
    Cause.SHUTDOWN: "the daemon that had it was stopped",
    Cause.DRAIN: "the node that had it was drained",
    Cause.FAILBACK: "it prefers this node, and this node had been well for long enough",
    Cause.REQUIRED: "a group that it requires was moved",
    Cause.RELEASED: "it was released elsewhere",
}


@dataclass(frozen=True, slots=True)
class Sentence:
    topic: str
    """``state, placement, wanted, blocked, hold, component, release, node, moves`` or ``incident``."""
    text: str
    about: str | None = None
    """The component or node, where it is about one."""


async def why_document(node: Node, name: str) -> dict[str, Any]:
    view = node.view_builder.build(node.clock.now())
    condition = node.announcer.condition(name)
    sentences = list(_sentences(node, view, view.groups[name]))
    incidents, _ = await node.incidents.history(name, 1)
    if incidents:
        sentences.append(Sentence("incident", told(incidents[0])))
    return {
        "version": 1,
        "group": name,
        "seen_by": node.me,
        "state": condition.state.value,
        "reason": condition.reason,
        "sentences": [asdict(each) for each in sentences],
        "incident": incidents[0] if incidents else None,
    }


def _sentences(node: Node, view: View, group: GroupView) -> Iterator[Sentence]:
    name, placement = group.group.name, group.placement
    condition = node.announcer.condition(name)
    reason = f": {condition.reason}" if condition.reason else ""
    yield Sentence("state", f"{name} is {condition.state.value}{reason}.")
    if placement is None:
        yield Sentence("placement", "No node owns it yet.")
    else:
        yield from _placed(placement)
    yield from _on_hold(view, group)
    if placement is not None:
        yield from _components(node, placement, name)
        yield from _releases(node, view, placement, name)
    yield from _nodes(node, view, group)
    yield from _moves(node, group)
    if condition.state is GroupState.BLOCKED:
        yield Sentence("blocked", f"Repair what is named above; then: failoverd clear {name}")


def _placed(placement: Placement) -> Iterator[Sentence]:
    why = CAUSES[placement.cause] + (f" ({placement.reason})" if placement.reason else "")
    since = f" since {placement.at}" if placement.at else ""
    by = f", decided by {placement.by}" if placement.by else ""
    came = f"; it came from {placement.source}" if placement.source else ""
    text = f"{placement.owner} owns it (generation {placement.generation}{since}), because {why}{by}{came}."
    yield Sentence("placement", text, placement.owner)
    if placement.wanted is Wanted.OFFLINE:
        yield Sentence("wanted", f"It is wanted offline{by}: it stays so until it is brought online.")


def _on_hold(view: View, group: GroupView) -> Iterator[Sentence]:
    holds = view.holds
    frozen = view.freeze_of(group)
    if frozen is not None:
        hold = holds.find(frozen)
        since = f" since {hold.at}" if hold and hold.at else ""
        text = f"It is {holds.text(frozen)}{since}. Nothing is done to it until: {way_out(frozen)}"
        yield Sentence("hold", text)
    for subject, held in holds.held.items():
        if subject.of_node and subject != frozen and subject.name in group.group.nodes:
            since = f" since {held.hold.at}" if held.hold.at else ""
            text = f"{subject.name} is {holds.text(subject)}{since}; until: {way_out(subject)}"
            yield Sentence("hold", text, subject.name)


# --- components -------------------------------------------------------------------------------------------------


def _components(node: Node, placement: Placement, name: str) -> Iterator[Sentence]:
    """What is not as it is wanted on the owner, and what it waits for."""
    board = node.groups[name].board
    wanted = ComponentState.ONLINE if placement.wanted is Wanted.ONLINE else ComponentState.OFFLINE
    told_of = 0
    for component, states in node.announcer.states(name).items():
        state = states.get(placement.owner)
        if state is None or state is wanted:
            continue
        told_of += 1
        if told_of > NAMED_MAX:
            yield Sentence("component", "… and more components are not as they are wanted: see failoverd status")
            return
        if placement.owner == node.me:
            local = board.locals[component]
            why = local.given_up or local.reason or waiting_for(board.situation(component))
        else:
            why = reasons_there(node, name, placement.owner).get(component, "")
        text = f"{component} is {state.value} on {placement.owner}" + (f": {why}" if why else "") + "."
        yield Sentence("component", text, component)


def _releases(node: Node, view: View, placement: Placement, name: str) -> Iterator[Sentence]:
    """Who else may still have something online, and what waits for that."""
    board = node.groups[name].board
    for holder in placement.others(placement.owner):
        present = _present(node, name, holder)
        if holder in view.nodes and view.nodes[holder].member is not LeaseState.LIVE:
            known = f"its lease is {view.nodes[holder].member or 'unknown'}"
        elif present is None:
            known = "it says nothing of it"
        elif not present:
            known = "it says that all of it is offline, which is being written down"
        else:
            known = f"still there: {_listed(present)}"
        waits = present if present is not None else list(board.group.components)
        text = f"{holder} has not released it ({known}), so {_listed(waits) or 'nothing'} waits on {placement.owner}."
        yield Sentence("release", text, holder)


def _present(node: Node, name: str, holder: str) -> list[str] | None:
    board = node.groups[name].board
    if holder == node.me:
        marks: dict[str, str] = dict(zip(board.names, board.marks(), strict=True))
    elif holder in board.elsewhere:
        marks = dict(board.elsewhere[holder].items())
    else:
        return None
    return [f"{each} ({STATE_OF_MARK[mark].value})" for each, mark in marks.items() if Mark(mark) not in RELEASED_MARKS]


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - NAMED_MAX} more" if len(names) > NAMED_MAX else ""
    return ", ".join(names[:NAMED_MAX]) + more


# --- nodes ------------------------------------------------------------------------------------------------------


def _nodes(node: Node, view: View, group: GroupView) -> Iterator[Sentence]:
    """Where it could be instead."""
    name = group.group.name
    owner = group.placement.owner if group.placement else None
    for other in group.group.nodes:
        if other == owner:
            continue
        why = refusal(view, group, other)
        if why is None:
            yield Sentence("node", f"{other} could take it.", other)
        else:
            text = f"{other} cannot take it: it {_told(view, group, other, why)}{_more(node, view, name, other, why)}."
            yield Sentence("node", text, other)


def _told(view: View, group: GroupView, other: str, why: Refusal) -> str:
    return refusal_text(view, group, other, why) if why is Refusal.REQUIREMENT else TEXT[why]


def _more(node: Node, view: View, name: str, other: str, why: Refusal) -> str:
    """What makes a refusal useful: since when, until when, what to do."""
    if why is Refusal.FAULTED and (name, other) in node.mirror.faults:
        kept = node.mirror.faults[name, other]
        left_s = kept.seen_at + view.groups[name].group.fault_expiry_s - view.now
        until = f"counts for another {format_duration(round(max(1.0, left_s)))}, or until: failoverd clear {name}"
        return f" ({kept.record.component}: {kept.record.reason}), which {until} --node {other}"
    if why is Refusal.CONFIG_MISMATCH:
        return "; bring the same file to both and reload"
    if why in {Refusal.FENCED, Refusal.LEFT, Refusal.AWAY}:
        said = node.mirror.members[other].record
        return f" ({said.reason})" if said.reason else ""
    if why in {Refusal.DRAINING, Refusal.FROZEN}:
        subjects = [each for each in view.holds.held if _forbids(each, other)]
        return f"; until: {way_out(subjects[0])}" if subjects else ""
    return ""


def _forbids(subject: Subject, node: str) -> bool:
    return not subject.of_node or subject.name == node


def _moves(node: Node, group: GroupView) -> Iterator[Sentence]:
    if group.recent_moves:
        within = format_duration(group.group.move_window_s)
        text = f"It moved by itself {group.recent_moves} times within {within}, as {node.me} has counted"
        yield Sentence("moves", f"{text}; {group.group.max_moves} are allowed.")


# --- incidents --------------------------------------------------------------------------------------------------


def told(incident: dict[str, Any]) -> str:
    """The newest one in a sentence."""
    at, kind = incident.get("ended_at", "?"), incident.get("kind")
    if kind == "restart":
        return (
            f"Latest incident ({at}): {incident.get('component')} faulted ({incident.get('reason')}) and was restarted "
            f"in place, {incident.get('makespan_s')} s without it."
        )
    if kind == "self_stop":
        return f"Latest incident ({at}): {incident.get('recorded_by')} took it down by force: {incident.get('reason')}."
    way = f"{incident.get('source') or 'nowhere'} -> {incident.get('target') or 'offline'}"
    took = f", {incident['makespan_s']} s" if incident.get("makespan_s") is not None else ""
    detected = f", noticed after {incident['detect_s']} s" if incident.get("detect_s") is not None else ""
    failed = f": {incident['failure']}" if incident.get("failure") else ""
    text = f"Latest incident ({at}): {way}, {incident.get('state')}{took}{detected}{failed}."
    return f"{text} Details: failoverd history {incident.get('group')} --id {incident.get('id')}"
