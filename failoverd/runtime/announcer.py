"""Logs what changes in the state of whole groups, once per change."""

from typing import TYPE_CHECKING

from failoverd.domain.group_state import Condition, Facts, condition
from failoverd.domain.model import ComponentState, GroupState
from failoverd.domain.report import Mark
from failoverd.log.catalogue import Event
from failoverd.runtime.shown import why_blocked, why_remarkable, why_unmet, why_unplaced

if TYPE_CHECKING:  # the node is made of this announcer, so the import would be a cycle
    from failoverd.runtime.node import Node

STATE_OF_MARK: dict[str, ComponentState] = {
    Mark.UNKNOWN: ComponentState.UNKNOWN,
    Mark.ABSENT: ComponentState.OFFLINE,
    Mark.ONLINING: ComponentState.ONLINING,
    Mark.ONLINE: ComponentState.ONLINE,
    Mark.OFFLINING: ComponentState.OFFLINING,
    Mark.FAULTED: ComponentState.FAULTED,
    Mark.FAULTED_ABSENT: ComponentState.FAULTED,
    Mark.STUCK: ComponentState.STUCK,
}

_EVENTS = {
    GroupState.BLOCKED: Event.GROUP_BLOCKED,
    GroupState.DEGRADED: Event.GROUP_DEGRADED,
    GroupState.ONLINE: Event.GROUP_ONLINE,
}


class Announcer:
    def __init__(self, node: "Node") -> None:
        self._node = node
        self._last: dict[str, Condition] = {}
        self._waiting: set[str] = set()
        self._mismatches: frozenset[tuple[str, str]] = frozenset()

    def states(self, group: str) -> dict[str, dict[str, ComponentState]]:
        """By component, then by node: what this node knows."""
        node = self._node
        board = node.groups[group].board
        found = {name: {node.me: local.shown_state} for name, local in board.locals.items()}
        for peer, said in board.elsewhere.items():
            for name, mark in said.items():
                if name in found:
                    found[name][peer] = STATE_OF_MARK[mark]
        return found

    def condition(self, group: str) -> Condition:
        node = self._node
        current = node.books[group].current
        return condition(
            Facts(
                group=node.groups[group].board.group,
                placement=node.groups[group].board.placement,
                states=self.states(group),
                blocked=why_blocked(node, group),
                unplaced=why_unplaced(node, group),
                in_handover=current is not None and current.running,
                frozen=node.holds.frozen.get(group, ""),
                unmet=why_unmet(node, group),
                remark=why_remarkable(node, group),
            )
        )

    def announce(self) -> None:
        for name in self._node.groups:
            self._announce_waiting(name)
            current = self._node.books[name].current
            if current is not None and current.running:
                continue  # its own events tell of it, and its end is announced
            found, before = self.condition(name), self._last.get(name)
            self._last[name] = found
            if found.state is GroupState.ONLINE and before is not None and before.state is found.state:
                continue  # only a remark on it has changed
            if found != before and found.state in _EVENTS and self._concerns_us(name):
                self._node.log.emit(_EVENTS[found.state], group=name, reason=found.reason)
        self._announce_mismatches()

    def _announce_waiting(self, name: str) -> None:
        """Once, when a group that is to be online here begins to wait for another."""
        board = self._node.groups[name].board
        if not board.group.requires:
            return
        why = why_unmet(self._node, name) if board.owned and not board.all_online else ""
        if why and name not in self._waiting:
            self._node.log.emit(Event.GROUP_WAITING, group=name, reason=why)
        (self._waiting.add if why else self._waiting.discard)(name)

    def placed(self, name: str) -> None:
        """The record of who owns a group, or whether it is wanted, says something else."""
        kept = self._node.mirror.placements[name].record
        self._node.log.emit(
            Event.PLACEMENT_CHANGED,
            group=name,
            generation=kept.generation,
            owner=kept.owner,
            wanted=kept.wanted.value,
            cause=kept.cause.value,
            reason=kept.reason,
            by=kept.by,
        )

    def _concerns_us(self, name: str) -> bool:
        placement = self._node.groups[name].board.placement
        return placement is None or placement.owner == self._node.me or name in self._node.blocked

    def _announce_mismatches(self) -> None:
        node = self._node
        found = frozenset(
            (name, peer)
            for peer, said in node.peers.said.items()
            for name, report in said.groups.items()
            if name in node.groups and report.config_hash != node.groups[name].board.group.config_hash
        )
        for name, peer in sorted(found - self._mismatches):
            reason = f"{peer} has another configuration of it: not moved automatically until both agree"
            node.log.emit(Event.CONFIG_MISMATCH, group=name, peer=peer, reason=reason)
        self._mismatches = found
