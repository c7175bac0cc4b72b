"""The status document (design, section 9): what this node knows, and why anything is not plain."""

from typing import Any

import anyio
import anyio.lowlevel

from failoverd.domain.detector import Liveness, PeerView
from failoverd.domain.eligibility import TEXT, Refusal, refusal_text, refusals
from failoverd.domain.machine import waiting_for
from failoverd.domain.model import Group
from failoverd.domain.placement import LeaseState
from failoverd.domain.view import GroupView, NodeView, View
from failoverd.runtime.failsafe import Standing
from failoverd.runtime.fence_document import fencing_document
from failoverd.runtime.node import Node
from failoverd.runtime.shown import reasons_there

AT_ONCE = 50
"""Components that are described in one turn of the event loop."""


async def status_document(node: Node, *, coordinator_type: str, group: str | None = None) -> dict[str, Any]:
    view = node.view_builder.build(node.clock.now())
    peers = node.peers.current_views()
    names = [name for name in node.groups if group is None or name == group]
    return {
        "version": 1,
        "cluster": node.settings.cluster,
        "node": node.me,
        "coordinator": {"type": coordinator_type, "state": "ok" if node.contact.ok else "lost"},
        "nodes": {name: _node(node, view, each, peers.get(name)) for name, each in view.nodes.items()},
        "groups": {name: await group_document(node, view, name) for name in names},
        "faults_of_config": [],
    }


# --- nodes ----------------------------------------------------------------------------------------------------


def _node(node: Node, view: View, each: NodeView, peer: PeerView | None) -> dict[str, Any]:
    mine = each.name == node.me
    said = node.peers.said.get(each.name)
    coordinator_ok = node.contact.ok if mine else said is not None and said.coordinator_ok
    state, reason = _node_state(node, view, each, peer)
    document: dict[str, Any] = {
        "state": state,
        "reason": reason,
        "self": mine,
        "role": node.settings.nodes[each.name].role.value,
        "ready": each.ready,
        "incarnation": each.incarnation,
        "lease_s": _lease_left(node, view, each),
        "lease": _lease(node, view, each),
        "links": {} if mine or peer is None else _links(node, view, each.name, peer),
        "coordinator": "ok" if coordinator_ok else "lost",
        "fencing": fencing_document(each),
    }
    if not mine:
        document["reach"] = node.reaches.found(each.name, view.now)[0].value
    if mine:
        document["failsafe"] = _failsafe(node, view.now)
        document["heartbeat_late_ms_max"] = round(node.late_max_s * 1000, 3)
        document["dropped"] = dict(node.ports.transport.counters.dropped)
    return document


def _node_state(node: Node, view: View, each: NodeView, peer: PeerView | None) -> tuple[str, str]:
    """Of ``up, suspected, down, fenced, draining``, with what is not plain about it."""
    if each.member is LeaseState.FENCED:
        kept = node.mirror.members[each.name].record
        return "fenced", f"by {kept.by}: {kept.reason}"
    if each.member is None:
        return "down", "has not joined the cluster yet"
    if each.member is not LeaseState.LIVE:
        return "down", node.mirror.members[each.name].record.reason or "was stopped"
    if each.name == node.me:
        return _on_hold(view, each, _own_reason(node, view))
    if peer is None or peer.state is Liveness.SUSPECTED:
        renewing = each.lease_expires_at is not None and view.now < each.lease_expires_at
        why = node.reaches.found(each.name, view.now)[1]
        why = why or ("its lease has not run out" if renewing else "")
        return "suspected", "sends no heartbeats" + (f", but {why}" if why else "")
    return _on_hold(view, each, _peer_reason(node, view, each))


def _on_hold(view: View, each: NodeView, reason: str) -> tuple[str, str]:
    """What operators have said of a node that is up, before what else is not plain about it."""
    said = [view.holds.text(subject) for subject in view.holds.held if subject.name == each.name and subject.of_node]
    state = "draining" if each.draining else "up"
    return state, "; ".join(part for part in (*said, reason) if part)


def _failsafe(node: Node, now: float) -> dict[str, Any]:
    """What others promise us; and what we promise them, in seconds from now."""
    failsafe, until = node.failsafe, node.failsafe.until
    held = failsafe.standing is Standing.HELD
    promised = {name: round(node.failsafe.promiser.until(name) - now, 3) for name in failsafe.others}
    return {
        "state": failsafe.standing.value,
        "remaining_s": round(max(0.0, until - now), 3) if held and until is not None else None,
        "lacking": list(failsafe.lacking(now)) if failsafe.asks else [],
        "promises_s": {name: left for name, left in promised.items() if left > 0},
    }


def _own_reason(node: Node, view: View) -> str:
    if node.authority.force:
        lacking = ", ".join(node.failsafe.lacking(view.now))
        without = f", and not promised failsafe by {lacking}" if lacking else ""
        return f"its lease could not be renewed in time{without}: taking everything offline"
    if node.failsafe.standing is Standing.HELD:
        return "failsafe: it cannot renew its lease, and every other member promises not to fence it"
    if not node.contact.ok:
        return "cannot reach the coordinator"
    if not view.trusted:
        return "was stalled; waits until the peers have been heard again"
    if view.stopping:
        return "is stopping"
    return "" if view.ready else "is still finding out what runs here"


def _peer_reason(node: Node, view: View, each: NodeView) -> str:
    if each.stopping:
        return "is stopping"
    if not each.ready:
        return "is still finding out what runs there"
    return node.reaches.found(each.name, view.now)[1]


def _lease_left(node: Node, view: View, each: NodeView) -> float | None:
    if each.name == node.me:
        held = node.keeper.held
        return round(max(0.0, node.settings.lease.ends(held.began) - view.now), 3) if held else None
    if each.member is not LeaseState.LIVE or each.lease_expires_at is None:
        return None
    return round(max(0.0, each.lease_expires_at - view.now), 3)


def _lease(node: Node, view: View, each: NodeView) -> dict[str, Any]:
    state = each.member.value if each.member else "none"
    return {"state": state, "remaining_s": _lease_left(node, view, each)}


def _links(node: Node, view: View, name: str, peer: PeerView) -> dict[str, Any]:
    found = {}
    for (host, port), link in zip(node.peers.addresses(name), peer.links, strict=False):
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        heard = None if link.heard_at is None else round(view.now - link.heard_at, 3)
        found[address] = {"state": link.state.value, "heard_s": heard}
    return found


# --- groups ---------------------------------------------------------------------------------------------------


async def group_document(node: Node, view: View, name: str) -> dict[str, Any]:
    board, group = node.groups[name].board, view.groups[name]
    placement, condition = group.placement, node.announcer.condition(name)
    current = node.books[name].current
    return {
        "state": condition.state.value,
        "reason": condition.reason,
        "owner": placement.owner if placement else None,
        "generation": placement.generation if placement else 0,
        "holders": list(placement.holders) if placement else [],
        "wanted": placement.wanted.value if placement else None,
        "cause": placement.cause.value if placement else None,
        "cause_reason": placement.reason if placement else "",
        "by": placement.by if placement else "",
        "frozen": name in node.holds.frozen,
        "mode": board.group.mode.value,
        "nodes": list(board.group.nodes),
        "refusals": _refusals(view, group),
        "requires": _requires(node, board.group),
        "components": await _components(node, name),
        "spec": {
            n: {"type": c.type, "depends_on": list(c.depends_on), "critical": c.critical}
            for n, c in board.group.components.items()
        },
        "handover": None if current is None else await node.handover_document(name, current),
    }


def _requires(node: Node, group: Group) -> list[dict[str, Any]]:
    lacks = node.bonds.lacks(group.name)
    return [
        {
            "group": need.group,
            "where": need.where.value,
            "on_fault": need.on_fault.value,
            "met": need.group not in lacks,
            "reason": lacks.get(need.group, ""),
        }
        for need in group.requires
    ]


def _refusals(view: View, group: GroupView) -> dict[str, str]:
    found = {}
    for name, why in refusals(view, group).items():
        detail = f": {group.faults[name]}" if why is Refusal.FAULTED and group.faults.get(name) else ""
        found[name] = TEXT[why] + detail if why is not Refusal.REQUIREMENT else refusal_text(view, group, name, why)
    return found


async def _components(node: Node, name: str) -> dict[str, dict[str, Any]]:
    board, now = node.groups[name].board, node.clock.now()
    found: dict[str, dict[str, Any]] = {}
    told = {where: reasons_there(node, name, where) for where in board.elsewhere}
    for number, (component, states) in enumerate(node.announcer.states(name).items(), 1):
        found[component] = {}
        for where, state in states.items():
            reason = told[where].get(component, "") if where in told else ""
            found[component][where] = {"state": state.value, "since": None, "reason": reason}
        local = board.locals.get(component)
        if local is None:  # removed from the configuration, and absent at last, while others had their turn
            continue
        waits = "" if board.at_rest(component) else waiting_for(board.situation(component))
        found[component][node.me] |= {
            "since": round(now - local.since, 3),
            "reason": local.given_up or local.reason or waits,
        }
        if number % AT_ONCE == 0:  # of hundreds: a heartbeat may be due
            await anyio.lowlevel.checkpoint()
    return found
