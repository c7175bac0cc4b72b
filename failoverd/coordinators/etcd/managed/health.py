"""What is known of every member, for ``status`` and the log."""

from dataclasses import dataclass
from typing import Any

from failoverd.coordinators.etcd.managed.layout import Layout
from failoverd.coordinators.etcd.managed.messages import Status
from failoverd.log.catalogue import Event
from failoverd.ports import Clock, EventLog

LOST_AFTER_S = 5.0
"""A member that does not answer for so long is told about; a restart of its machine's etcd takes less."""
NEVER_AFTER_S = 15.0
"""One that has not answered since this daemon began: the others may begin later than this one."""


@dataclass(slots=True, kw_only=True)
class Known:
    """One member."""

    status: Status | None = None
    """Its latest answer; None where the latest question had none."""
    why: str = "not asked yet"
    well_at: float = 0.0
    """When it last answered and had a leader."""
    told: bool = False
    ever: bool = False

    @property
    def well(self) -> bool:
        return self.status is not None and self.status.leader != 0

    @property
    def serves(self) -> bool:
        """A learner answers next to nothing (isRPCSupportedForLearner of etcd 3.4)."""
        return self.status is not None and self.well and not self.status.learner

    @property
    def leads(self) -> bool:
        return self.status is not None and self.status.leader == self.status.id


class Health:
    def __init__(self, layout: Layout, clock: Clock, log: EventLog) -> None:
        self._clock, self._log = clock, log
        self.members = {name: Known(well_at=clock.now()) for name in layout.hosts}
        self._began = clock.now()
        self.leader = ""
        """Its node; empty where none is known."""
        self._led_by = ""
        """The latest one that was told."""
        self._names: dict[int, str] = {}
        self.condition = "starting"
        """Of this node's own process."""
        self.reason = ""

    @property
    def beginning(self) -> bool:
        """Some member has not answered yet, and may still be starting."""
        soon = self._clock.now() < self._began + NEVER_AFTER_S
        return soon and not all(known.ever for known in self.members.values())

    def answered(self, node: str, status: Status) -> None:
        known = self.members[node]
        known.status = status
        known.why = "" if status.leader else "it knows of no leader: a majority of the members is not reached"
        self._judge(node, known)

    def failed(self, node: str, why: str) -> None:
        known = self.members[node]
        known.status, known.why = None, why
        self._judge(node, known)

    def _judge(self, node: str, known: Known) -> None:
        now = self._clock.now()
        if known.well:
            if known.told:
                self._log.emit(Event.ETCD_MEMBER_HEALTHY, member=node)
            known.told, known.ever, known.well_at = False, True, now
        elif not known.told and now - known.well_at >= (LOST_AFTER_S if known.ever else NEVER_AFTER_S):
            known.told = True
            self._log.emit(Event.ETCD_MEMBER_UNHEALTHY, member=node, reason=known.why)

    def judge_leader(self) -> None:
        """After a round of questions. A change is told; that there is none shows in the members."""
        answers = [known.status for known in self.members.values() if known.status is not None]
        self._names.update({known.status.id: name for name, known in self.members.items() if known.status is not None})
        newest = max((status for status in answers if status.leader), key=lambda status: status.term, default=None)
        leader = "" if newest is None else self._names.get(newest.leader, f"{newest.leader:x}")
        if newest is not None and leader != self._led_by:
            self._log.emit(Event.ETCD_LEADER_CHANGED, member=leader, former=self._led_by or None, term=newest.term)
            self._led_by = leader
        self.leader = leader

    def document(self) -> dict[str, Any]:
        return {
            "managed": True,
            "state": self.condition,
            "reason": self.reason,
            "leader": self.leader or None,
            "members": {name: _member(known) for name, known in self.members.items()},
        }


def _member(known: Known) -> dict[str, Any]:
    status = known.status
    if status is None:
        return {"state": "unreachable", "reason": known.why}
    return {
        "state": _state(known, status),
        "reason": "; ".join(filter(None, [known.why, *status.errors])),
        "version": status.version,
        "term": status.term,
        "index": status.index,
        "db_bytes": status.db_bytes,
        "db_used_bytes": status.db_used_bytes,
    }


def _state(known: Known, status: Status) -> str:
    if known.leads:
        return "leader"
    if not known.well:
        return "no_leader"
    return "learner" if status.learner else "follower"
