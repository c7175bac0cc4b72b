"""Puts together what this node tells its peers in every heartbeat."""

from typing import TYPE_CHECKING

from failoverd.domain.report import GroupReport, PeerState
from failoverd.runtime.shown import own_blocked, own_reasons

if TYPE_CHECKING:  # the node is made of this reporter, so the import would be a cycle
    from failoverd.runtime.node import Node


class Reporter:
    """As long as nothing has changed, it is the very same ``groups`` that is told again: it is made, encoded, and on
    the other side decoded and looked at, once."""

    def __init__(self, node: "Node") -> None:
        self._node = node
        self._groups: dict[str, GroupReport] = {}
        self._changed = True

    def changed(self) -> None:
        """Something that groups are told of may be different from now on."""
        self._changed = True

    def state(self, now: float) -> PeerState:
        node = self._node
        return PeerState(
            ready=node.authority.ready,
            coordinator_ok=node.contact.ok,
            stopping=node.authority.stopping,
            heard=node.peers.ages(now),
            asks=node.failsafe.asks,
            promises=dict(node.failsafe.promiser.given),
            groups=self._all_groups(now),
            known=node.mirror.revision,
        )

    def _all_groups(self, now: float) -> dict[str, GroupReport]:
        if self._changed or any(book.has_news(now) for book in self._node.books.values()):
            found = {name: self._group(name, now) for name in self._node.groups}
            if found != self._groups:
                self._groups = found
            self._changed = any(report.steps for report in found.values())  # next time without them
        return self._groups

    def _group(self, name: str, now: float) -> GroupReport:
        node = self._node
        board = node.groups[name].board
        return GroupReport(
            generation=board.placement.generation if board.placement else 0,
            names_hash=board.names_hash,
            marks=board.marks(),
            names=board.names if self._differs(name, board.names_hash) else None,
            config_hash=board.group.config_hash,
            steps=node.books[name].reports(now),
            blocked=own_blocked(node, name),
            reasons=own_reasons(board),
        )

    def _differs(self, group: str, names_hash: str) -> bool:
        """Whether some peer looks after other components of the group than we do."""
        said = (state.groups.get(group) for state in self._node.peers.said.values())
        return any(report is not None and report.names_hash != names_hash for report in said)
