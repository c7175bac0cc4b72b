"""Puts together what this node tells its peers in every heartbeat."""

from typing import TYPE_CHECKING

from failoverd.domain.report import GroupReport, PeerState
from failoverd.runtime.shown import own_blocked, own_reasons

if TYPE_CHECKING:  # the node is made of this reporter, so the import would be a cycle
    from failoverd.runtime.node import Node


class Reporter:
    def __init__(self, node: "Node") -> None:
        self._node = node

    def state(self, now: float) -> PeerState:
        node = self._node
        return PeerState(
            ready=node.authority.ready,
            coordinator_ok=node.contact.ok,
            stopping=node.authority.stopping,
            heard=node.peers.ages(now),
            groups={name: self._group(name, now) for name in node.groups},
            known=node.mirror.revision,
        )

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
