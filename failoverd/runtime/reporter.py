"""Puts together what this node tells its peers in every heartbeat."""

import hashlib
from functools import lru_cache
from typing import TYPE_CHECKING

from failoverd.domain.report import GroupReport, PeerState

if TYPE_CHECKING:  # the node is made of this reporter, so the import would be a cycle
    from failoverd.runtime.node import Node


@lru_cache(maxsize=256)
def hash_of(names: tuple[str, ...]) -> str:
    """Of a group's sorted component names: whether two nodes mean the same by a row of marks."""
    return hashlib.sha256("\0".join(names).encode()).hexdigest()[:16]


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
        )

    def _group(self, name: str, now: float) -> GroupReport:
        node = self._node
        board = node.groups[name].board
        names_hash = hash_of(board.names)
        return GroupReport(
            generation=board.placement.generation if board.placement else 0,
            names_hash=names_hash,
            marks=board.marks(),
            names=board.names if self._differs(name, names_hash) else None,
            config_hash=board.group.config_hash,
            steps=node.books[name].reports(now),
        )

    def _differs(self, group: str, names_hash: str) -> bool:
        """Whether some peer looks after other components of the group than we do."""
        said = (state.groups.get(group) for state in self._node.peers.said.values())
        return any(report is not None and report.names_hash != names_hash for report in said)
