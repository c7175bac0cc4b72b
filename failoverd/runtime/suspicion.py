"""What is begun on mere suspicion: only what touches nothing exclusive and costs nothing if the suspicion passes."""

from typing import TYPE_CHECKING

from anyio import create_task_group

from failoverd.bell import Bell
from failoverd.domain.eligibility import choose
from failoverd.domain.view import View

if TYPE_CHECKING:  # the node is made of this, so the import would be a cycle
    from failoverd.runtime.node import Node


class Suspicion:
    def __init__(self, node: "Node") -> None:
        self._node = node
        self._suspected: frozenset[str] = frozenset()
        self._bell = Bell()

    def look(self, view: View) -> None:
        """At each round of decisions."""
        self._prepare_components(view)
        suspected = frozenset(node.name for node in view.nodes.values() if node.suspected)
        if suspected != self._suspected:
            self._suspected = suspected
            self._bell.ring()

    def _prepare_components(self, view: View) -> None:
        """Where the owner is suspected and we are the likely successor."""
        node = self._node
        for name, group in view.groups.items():
            placement = group.placement
            suspected = placement is not None and node.peers.suspected(placement.owner)
            if suspected and placement is not None and view.freeze_of(group) is None:
                suspected = choose(view, group, without=frozenset({placement.owner})) == node.me
            node.groups[name].board.suspect(suspected)

    async def run(self) -> None:
        """Until cancelled: have the fence devices of whoever becomes suspected made ready."""
        known: frozenset[str] = frozenset()
        while True:
            seen = self._bell.count
            async with create_task_group() as tasks:
                for name in sorted(self._suspected - known):
                    tasks.start_soon(self._node.fencing.fencer.prepare, name)
                known = self._suspected
            await self._bell.beyond(seen)
