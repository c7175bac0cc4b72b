"""Follows what becomes of the groups of a node that is being drained."""

from collections.abc import Mapping
from typing import Any

import anyio

from failoverd.domain.eligibility import choose, explain, refusals
from failoverd.domain.placement import LeaseState, Placement, Wanted
from failoverd.domain.view import GroupView, View
from failoverd.errors import UsageError
from failoverd.ports import Emit
from failoverd.runtime.node import Node

POLL_S = 0.05
WAIT_S_DEFAULT = 600.0
UNDER_WAY = frozenset({"waiting", "moving"})


class Draining:
    def __init__(self, node: Node, name: str, began: float) -> None:
        """``name``: the node that is drained. To be made before the record of it is written."""
        self._node = node
        self._name = name
        self._began = began
        placements = {each: runner.board.placement for each, runner in node.groups.items()}
        self._groups = [each for each, placement in placements.items() if placement and self._concerns(placement)]

    def _concerns(self, placement: Placement) -> bool:
        return self._name in placement.holders or (placement.owner == self._name and placement.wanted is Wanted.ONLINE)

    async def follow(self, params: Mapping[str, Any], emit: Emit) -> dict[str, Any]:
        """Until everything has moved that can; an update at each change. Raises ``TimeoutError``."""
        timeout_s = params.get("timeout_s", WAIT_S_DEFAULT)
        if isinstance(timeout_s, bool) or not isinstance(timeout_s, (int, float)) or timeout_s < 0:
            raise UsageError(f"timeout_s must be a number of seconds, it is {timeout_s!r}")
        found = self._states()
        if not params.get("wait", True):
            return self._document(found)
        try:
            with anyio.fail_after(timeout_s):
                found = await self._until_over(emit)
        except TimeoutError:
            left = ", ".join(name for name, each in self._states().items() if each["state"] in UNDER_WAY)
            raise TimeoutError(f"{self._name} is not drained after {timeout_s:g}s; it goes on: {left}") from None
        for name, each in found.items():
            current = self._node.books[name].current if name in self._node.books else None
            if each["state"] in {"moved", "failed"} and current is not None:
                each["handover"] = await self._node.handover_document(name, current)
        return self._document(found)

    async def _until_over(self, emit: Emit) -> dict[str, dict[str, Any]]:
        clock, told = self._node.clock, None
        while True:
            found = self._states()
            if found != told:
                emit(self._document(found))
                told = found
            if not any(each["state"] in UNDER_WAY for each in found.values()):
                return found
            await clock.sleep_until(clock.now() + POLL_S)

    def _document(self, groups: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
        states = {each["state"] for each in groups.values()}
        state = "running" if states & UNDER_WAY else "incomplete" if states & {"refused", "failed"} else "done"
        elapsed = round(self._node.clock.now() - self._began, 4)
        return {"node": self._name, "state": state, "elapsed_s": elapsed, "groups": dict(groups)}

    def _states(self) -> dict[str, dict[str, Any]]:
        view = self._node.view_builder.build(self._node.clock.now())
        return {name: self._state(view, view.groups[name]) for name in self._groups if name in view.groups}

    def _state(self, view: View, group: GroupView) -> dict[str, Any]:
        placement = group.placement
        if placement is None:
            return _told("moved", None)
        to = placement.owner if placement.owner != self._name else None
        if to is None and placement.wanted is Wanted.ONLINE:
            return self._staying(view, group)
        if self._name in placement.holders:
            return _told("moving", to)
        if placement.wanted is Wanted.OFFLINE:
            return _told("offline", None)
        current = self._node.books[group.group.name].current
        if current is not None and current.running and current.generation == placement.generation:
            return _told("moving", to)
        if current is not None and current.state == "failed" and current.generation == placement.generation:
            return _told("failed", to, current.failure)
        return _told("moved", to)

    def _staying(self, view: View, group: GroupView) -> dict[str, Any]:
        """Still owned by the node: on its way, or not going anywhere."""
        frozen = view.freeze_of(group)
        if frozen is not None:
            return _told("refused", None, view.holds.text(frozen))
        if view.nodes[self._name].member is LeaseState.AWAY:
            return _told("refused", None, f"{self._name} was stopped and left it running")
        mine = frozenset({self._name})
        if choose(view, group, without=mine) is not None:
            return _told("waiting", None)
        others = {name: why for name, why in refusals(view, group).items() if name not in mine}
        return _told("refused", None, explain(view, group, others))


def _told(state: str, to: str | None, reason: str = "") -> dict[str, Any]:
    return {"state": state, "to": to, "reason": reason}
