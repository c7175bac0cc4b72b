"""What the groups of a node mean to each other (``requires``): kept true in each board's ``Bond``.

Whatever changes on a board (an operation, a placement, what a peer says) may open or close the gates of the groups that
require it, or are required by it; these are looked at anew, at once and nobody else. ``look`` does so for all of them:
for what no board tells, that a peer is silent or gone.
"""

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from failoverd.domain.decide import GONE
from failoverd.domain.model import GroupMode, Requirement, Where
from failoverd.domain.placement import Wanted
from failoverd.domain.report import Mark
from failoverd.domain.requires import Known, essential, may_stay, needs, unmet
from failoverd.runtime.board import Board

if TYPE_CHECKING:  # the node is made of what uses this, so the import would be a cycle
    from failoverd.runtime.node import Node


class Bonds:
    def __init__(self, node: "Node") -> None:
        self._node = node
        self._above: dict[str, tuple[tuple[str, Requirement], ...]] = {}
        """By group: those that require it, and how."""

    def added(self, group: str) -> None:
        """There is a group more."""
        self._node.groups[group].board.on_change.append(partial(self._changed, group))
        self.rebuild()

    def rebuild(self) -> None:
        """The configuration is another. What it opens is woken by whoever has changed it."""
        found: dict[str, list[tuple[str, Requirement]]] = {}
        for name, runner in self._node.groups.items():
            for need in runner.board.group.requires:
                found.setdefault(need.group, []).append((name, need))
        self._above = {name: tuple(above) for name, above in found.items()}
        for name, runner in self._node.groups.items():
            bond, requires = runner.board.bond, runner.board.group.requires
            bond.tied = any(self._is_tied(need) for need in requires)
            bond.unneeded = bond.unneeded or name not in self._above
            if not requires:
                bond.met = bond.sustained = True
        self.look()

    def _is_tied(self, need: Requirement) -> bool:
        """It cannot be on two nodes at once, for what it needs beside it cannot."""
        required = self._node.groups.get(need.group)
        exclusive = required is not None and required.board.group.mode is GroupMode.FAILOVER
        return need.where is Where.SAME_NODE and exclusive

    def look(self) -> None:
        """At all of them."""
        if not self._above:
            return
        for name, runner in list(self._node.groups.items()):
            if runner.board.group.requires:
                self._look_down(name)
            if name in self._above:
                self._look_up(name)

    def why(self, group: str) -> str:
        """What a group that is to be online lacks on its owner, as this node knows; empty where nothing."""
        board = self._node.groups[group].board
        placement = board.placement
        if placement is None or placement.wanted is Wanted.OFFLINE:
            return ""
        return next((f"{needs(group, need)}: {why}" for need, why in self._lacks(board, placement.owner)), "")

    def lacks(self, group: str) -> dict[str, str]:
        """By required group: what a group lacks on its owner."""
        board = self._node.groups[group].board
        owner = board.placement.owner if board.placement else self._node.me
        return {need.group: why for need, why in self._lacks(board, owner)}

    def _lacks(self, board: Board, at: str) -> Iterator[tuple[Requirement, str]]:
        for need in board.group.requires:
            why = unmet(need, self._known(need.group), at)
            if why:
                yield need, why

    # --- what changes -------------------------------------------------------------------------------------------

    def _changed(self, name: str, pressing: bool) -> None:
        del pressing
        if not self._above or name not in self._node.groups:
            return
        for above, _ in self._above.get(name, ()):
            self._look_down(above)
        if name in self._above:
            self._look_up(name)
        for need in self._node.groups[name].board.group.requires:
            if need.group in self._node.groups:
                self._look_up(need.group)

    def _look_down(self, name: str) -> None:
        """At what a group needs."""
        board, me = self._node.groups[name].board, self._node.me
        known = [(need, self._known(need.group)) for need in board.group.requires]
        met = not any(unmet(need, each, me) for need, each in known)
        sustained = all(may_stay(need, each, me) for need, each in known)
        bond = board.bond
        if (bond.met, bond.sustained) != (met, sustained):
            bond.met, bond.sustained = met, sustained
            board.wake_all()

    def _look_up(self, name: str) -> None:
        """At what needs a group beside it, and is to go first."""
        board = self._node.groups[name].board
        unneeded = not any(
            need.where is Where.SAME_NODE and _is_still_to_go(self._node.groups[above].board)
            for above, need in self._above.get(name, ())
            if above in self._node.groups
        )
        if board.bond.unneeded != unneeded:
            board.bond.unneeded = unneeded
            board.wake_all()

    # --- what is known ------------------------------------------------------------------------------------------

    def _known(self, name: str) -> Known:
        runner = self._node.groups.get(name)
        if runner is None or runner.board.placement is None:
            return Known(None)
        board, placement = runner.board, runner.board.placement
        names = essential(board.group)
        if placement.owner == self._node.me:
            return Known(placement, up=_all_online(board, names), keeps=board.keeps(names))
        return Known(placement, up=self._is_up_elsewhere(board, placement.owner, names))

    def _is_up_elsewhere(self, board: Board, owner: str, names: frozenset[str]) -> bool | None:
        member = self._node.mirror.members.get(owner)
        if member is not None and member.record.state in GONE:
            return False
        said, placement = board.elsewhere.get(owner), board.placement
        if said is None or placement is None or said.generation != placement.generation:
            return None
        up = all(said.mark(name) == Mark.ONLINE for name in names)
        return None if up and self._node.peers.suspected(owner) else up


def _all_online(board: Board, names: frozenset[str]) -> bool:
    return all(name in board.locals and board.locals[name].mark() is Mark.ONLINE for name in names)


def _is_still_to_go(board: Board) -> bool:
    return not (board.all_absent or board.hands_off or board.frozen or board.wanted_here())
