"""Incident records: what happened to a group, why, what was seen before, and what it cost.

One for each handover, each restart of a component in place and each self-stop, on every node that took notice of it.
For people alone; no decision depends on them.
"""

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from failoverd.domain.model import Action
from failoverd.domain.placement import Cause
from failoverd.log.catalogue import Event
from failoverd.runtime.evidence import EvidenceLog, document
from failoverd.runtime.handover_document import steps_of
from failoverd.runtime.handovers import Handover, HandoverBook, rounded

if TYPE_CHECKING:  # the node is made of this recorder, so the import would be a cycle
    from failoverd.runtime.node import Node

IN_MEMORY = 100
EVIDENCE_S = 120.0
"""How far back, before an incident began, what was seen is taken for its evidence."""
EVIDENCE_MAX = 50
_UP_AGAIN = frozenset({Event.COMPONENT_ONLINE, Event.COMPONENT_ADOPTED})


class Archive(Protocol):
    """Where records outlive the daemon. Blocking; called in another thread."""

    def read(self, group: str | None, limit: int) -> tuple[list[dict[str, Any]], list[str]]:
        """The newest records, newest first, and what could not be read."""


class IncidentRecorder:
    def __init__(self, node: "Node", log: EvidenceLog) -> None:
        self._node = node
        self._log = log
        self._newest: deque[dict[str, Any]] = deque(maxlen=IN_MEMORY)
        self._faults: dict[tuple[str, str], tuple[float, dict[str, Any]]] = {}
        self.archive: Archive | None = None
        self.on_record: list[Callable[[dict[str, Any]], None]] = []
        log.on_event.append(self._on_event)

    async def history(self, group: str | None, limit: int) -> tuple[list[dict[str, Any]], list[str]]:
        """The newest first, and warnings about what could not be read."""
        archived: list[dict[str, Any]] = []
        warnings: list[str] = []
        if self.archive is not None:
            read = self.archive.read
            archived, warnings = await self._node.ports.offload(lambda: read(group, limit))
        known = {each["id"] for each in archived}
        new = [each for each in self._newest if group in {None, each["group"]} and each["id"] not in known]
        merged = sorted([*archived, *new], key=lambda each: str(each["id"]), reverse=True)
        return merged[:limit], warnings

    # --- handovers ----------------------------------------------------------------------------------------------

    def handover_over(self, book: HandoverBook, handover: Handover) -> None:
        """It was done, has failed, or was redirected. One that was merely found when the daemon came up is none."""
        for key in [key for key in self._faults if key[0] == book.group]:
            del self._faults[key]  # told by this record's evidence
        if handover.found or not handover.steps:
            return
        numbers = handover.measured
        self._record(
            "handover",
            book.group,
            handover.began,
            {
                "generation": handover.generation,
                "source": handover.source,
                "target": handover.target,
                "cause": handover.cause.value,
                "reason": handover.reason,
                "state": handover.state,
                "failure": handover.failure,
                "detect_s": rounded(handover.detect_s),
                "makespan_s": rounded(handover.makespan_s),
                "limit_s": None if numbers is None else rounded(numbers.limit_s),
                "phased_s": None if numbers is None else rounded(numbers.phased_s),
                "serial_s": None if numbers is None else rounded(numbers.serial_s),
                "downtime_s": downtimes(handover),
                "steps": steps_of(handover),
            },
        )

    # --- what happens without a handover --------------------------------------------------------------------------

    def _on_event(self, event: Event, fields: dict[str, Any]) -> None:
        key = (str(fields.get("group")), str(fields.get("component")))
        if event is Event.COMPONENT_FAULTED and not self._moving(key[0]):
            self._faults.setdefault(key, (self._node.clock.now(), fields))
        elif event in _UP_AGAIN and key in self._faults:
            began, fault = self._faults.pop(key)
            self._restarted(*key, began, fault)
        elif event is Event.LEASE_SELF_STOP:
            for name, runner in self._node.groups.items():
                present = [each for each, local in runner.board.locals.items() if not local.absent]
                if present:
                    taken = {"reason": fields.get("reason", ""), "components": present}
                    self._record("self_stop", name, self._node.clock.now(), taken)

    def _moving(self, group: str) -> bool:
        book = self._node.books.get(group)
        return book is not None and book.current is not None and book.current.running

    def _restarted(self, group: str, component: str, began: float, fault: dict[str, Any]) -> None:
        down_s = round(self._node.clock.now() - began, 4)
        self._record(
            "restart",
            group,
            began,
            {
                "component": component,
                "reason": str(fault.get("reason", "")),
                "makespan_s": down_s,
                "downtime_s": {component: down_s},
            },
        )

    # --- writing --------------------------------------------------------------------------------------------------

    def _record(self, kind: str, group: str, began: float, fields: dict[str, Any]) -> None:
        now, wall = self._node.clock.now(), self._node.clock.wall()
        record = {
            "version": 1,
            "id": f"{wall.replace(':', '').replace('-', '')}-{group}-{kind}",
            "kind": kind,
            "group": group,
            "ended_at": wall,
            "began_ago_s": round(now - began, 4),
            "recorded_by": self._node.me,
            **fields,
            "evidence": self._evidence(group, began, now),
        }
        self._newest.append(record)
        for callback in self.on_record:
            callback(record)

    def _evidence(self, group: str, began: float, now: float) -> list[dict[str, Any]]:
        nodes = self._node.groups[group].board.group.nodes if group in self._node.groups else ()
        seen = [
            each
            for each in self._log.between(began - EVIDENCE_S, now)
            if each.fields.get("group") in {None, group} and each.fields.get("peer") in {None, *nodes}
        ]
        return [document(each, began) for each in seen[-EVIDENCE_MAX:]]


def downtimes(handover: Handover) -> dict[str, float | None]:
    """How long each component that came online again was not: from the begin of its offline on the source, or, where
    that had died, from when it was last heard of, to the end of its online. None: it did not come back.

    A component that was nowhere online before (it was down already) is not in it.
    """
    began: dict[str, float] = {}
    ended: dict[str, float] = {}
    for step, runs in handover.steps.items():
        for timed in runs:
            if step.action is Action.OFFLINE:
                at = timed.begin - handover.began
                began[step.component] = min(at, began.get(step.component, at))
            elif step.action is Action.ONLINE and timed.ok and timed.end is not None:
                at = timed.end - handover.began
                ended[step.component] = max(at, ended.get(step.component, at))
    if handover.cause is Cause.NODE_LOST:
        for component in ended:
            began.setdefault(component, -(handover.detect_s or 0.0))
    if handover.target is None:
        return {}
    found: dict[str, float | None] = {}
    for component, at in sorted(began.items()):
        end = ended.get(component)
        found[component] = None if end is None else round(max(0.0, end - at), 4)
    return found
