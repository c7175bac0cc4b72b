"""Brings what operators have put on hold to the groups of this node, and tells of each change once."""

from typing import TYPE_CHECKING

from failoverd.domain.decide import Obstacle
from failoverd.domain.placement import Wanted
from failoverd.domain.view import View
from failoverd.log.catalogue import Event

if TYPE_CHECKING:  # the node is made of this keeper, so the import would be a cycle
    from failoverd.runtime.node import Node


class HoldKeeper:
    def __init__(self, node: "Node") -> None:
        self._node = node
        self.frozen: dict[str, str] = {}
        """By group: why nobody may do anything to it, in so many words. On its owner, that is; ``Board.frozen`` says
        it of this node."""
        self._draining: frozenset[str] = frozenset()
        self._cannot_drain: frozenset[str] = frozenset()
        self._drained = False

    def apply(self) -> None:
        """Something was put on hold, or is no longer."""
        for name in self._node.groups:
            self.apply_to(name)
        self._tell_draining()

    def apply_to(self, group: str) -> None:
        """It is new here, or its owner may be another: what is said of nodes may concern it."""
        node, board = self._node, self._node.groups[group].board
        holds = node.mirror.holds
        here = holds.freeze_of(group, node.me)
        board.freeze(holds.text(here) if here else "")
        subject = holds.freeze_of(group, board.placement.owner if board.placement else None)
        self._tell_frozen(group, holds.text(subject) if subject else "")

    def _tell_frozen(self, group: str, why: str) -> None:
        before = self.frozen.get(group, "")
        if why:
            self.frozen[group] = why
        else:
            self.frozen.pop(group, None)
        if why and why != before:
            self._node.log.emit(Event.GROUP_FROZEN, group=group, reason=why)
        elif before and not why:
            self._node.log.emit(Event.GROUP_THAWED, group=group)

    def _tell_draining(self) -> None:
        node = self._node
        found = frozenset(name for name in node.settings.nodes if node.mirror.holds.draining(name))
        for name in sorted(found - self._draining):
            text = next(node.mirror.holds.text(each) for each in node.mirror.holds.held if each.drains(name))
            node.log.emit(Event.NODE_DRAINING, peer=name, reason=text)
        for name in sorted(self._draining - found):
            node.log.emit(Event.NODE_RESUMED, peer=name)
        self._draining = found

    def judged(self, view: View) -> None:
        """After a round of decisions: what cannot leave this node, and that nothing is left here."""
        node = self._node
        stays = {name: each for name, each in node.blocked.items() if each.obstacle is Obstacle.CANNOT_DRAIN}
        for name in sorted(stays.keys() - self._cannot_drain):
            node.log.emit(Event.NODE_DRAIN_BLOCKED, group=name, peer=node.me, reason=stays[name].text)
        self._cannot_drain = frozenset(stays)
        drained = view.myself.draining and not any(self._has(view, name) for name in node.groups)
        if drained and not self._drained:
            node.log.emit(Event.NODE_DRAINED, peer=node.me)
        self._drained = drained

    def _has(self, view: View, group: str) -> bool:
        placement = view.groups[group].placement if group in view.groups else None
        owned = placement is not None and placement.owner == view.me and placement.wanted is Wanted.ONLINE
        return owned or self._node.groups[group].board.present_count > 0

    def cleared(self, group: str) -> None:
        """An operator said that earlier faults do not count."""
        node = self._node
        kept = node.mirror.clearances.get(group)
        if kept is None or group not in node.groups or kept.record.node not in {None, node.me}:
            return
        record = kept.record
        if record.component is None and record.node is None:
            node.view_builder.moves.pop(group, None)
        node.groups[group].board.forgive(record.component)
        node.log.emit(Event.GROUP_CLEARED, group=group, component=record.component, by=record.by)
