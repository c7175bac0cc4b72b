"""Failsafe: what a node may rely on while it cannot renew its lease, and what those whom it asks owe it.

A node whose renewal is overdue asks every other member not to fence it. A member that may still be told of in time
promises so for ``failsafe`` seconds. While *every* one of them has promised, nobody can fence the asker, so it keeps
what it has although its lease has run out:

- the asker counts from the moment at which it *asked*, by its own clock; who promises counts from the later moment at
  which it heard the question, and for longer by the drift of the two clocks. So an asker's end is never after a
  promiser's (the argument of ``lease``, with the question in place of the renewal);
- a promise names the asker's incarnation and the number of the question, so that neither a delayed datagram nor a
  former life of the asker can prolong anything;
- only those whom the asker asks may ever fence it: its identity record lists them;
- a member that was restarted may have forgotten a promise, so it fences nobody before the longest promise of the one
  before it has run out. It finds that in its own lease record;
- a fencing that was begun may be carried out at any later time, as long as the lease record is what it was then. So
  whoever has begun one promises nothing until the record has changed.
"""

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from failoverd.domain.lease import DRIFT, LeaseSettings
from failoverd.domain.placement import LeaseState
from failoverd.domain.report import Promise

ASKS_MAX = 256
"""Questions that an answer may still refer to; one is asked each heartbeat."""


def needed_s(lease: LeaseSettings, *, interval_s: float, dead_after_s: float) -> float:
    """What a promise must outlast: a silence that does not yet count, a question and its answer, the way down."""
    return dead_after_s + 2 * interval_s + lease.self_stop_s


def failsafe_faults(lease: LeaseSettings, *, interval_s: float, dead_after_s: float) -> tuple[str, ...]:
    """The inequalities of failsafe that do not hold, each with its numbers; none where it is switched off (0)."""
    if lease.failsafe_s == 0:
        return ()
    found = []
    needed = needed_s(lease, interval_s=interval_s, dead_after_s=dead_after_s)
    if needed > lease.failsafe_s * (1 + 1e-9):
        found.append(
            "dead_after + 2*interval + self_stop <= failsafe does not hold: "
            f"{dead_after_s:g}s + 2*{interval_s:g}s + {lease.self_stop_s:g}s = {needed:g}s, "
            f"failsafe is {lease.failsafe_s:g}s"
        )
    early = asks_from(lease, 0.0) + 2 * interval_s + lease.self_stop_s
    if early > lease.ttl_s * (1 + 1e-9):
        found.append(
            "max(renew + request_timeout, (ttl - self_stop)/2) + 2*interval + self_stop <= ttl does not hold, so the "
            f"promises of failsafe would come too late: {asks_from(lease, 0.0):g}s + 2*{interval_s:g}s + "
            f"{lease.self_stop_s:g}s = {early:g}s, ttl is {lease.ttl_s:g}s"
        )
    return tuple(found)


def asks_from(lease: LeaseSettings, began: float) -> float:
    """When a renewal is overdue: the next one should have been answered, and half of the time has passed in which the
    lease may be used. Not earlier: a promise outlasts its reason, and who has promised cannot fence a node that dies a
    moment later. ``began``: of the last good one."""
    return began + max(lease.renew_s + lease.request_timeout_s, (lease.ttl_s - lease.self_stop_s) / 2)


# --- who asks -------------------------------------------------------------------------------------------------------


class Asker:
    """What one incarnation has asked, and what it was promised. Times are its own clock's."""

    def __init__(self, incarnation: str, others: Collection[str]) -> None:
        """``others``: every other member of the cluster; without any there is nobody to rely on."""
        self._incarnation = incarnation
        self._asked: dict[int, float] = {}
        self._order: deque[int] = deque(maxlen=ASKS_MAX)
        self._until: dict[str, float | None] = dict.fromkeys(others)
        self.number = 0

    def ask(self, now: float) -> int:
        """The number of a new question, to be sent at ``now`` or later."""
        self.number += 1
        if len(self._order) == ASKS_MAX:
            del self._asked[self._order[0]]
        self._order.append(self.number)
        self._asked[self.number] = now
        return self.number

    def promised(self, by: str, promise: Promise) -> None:
        """An answer has come in; when it did does not matter."""
        asked_at = self._asked.get(promise.asked)
        if by not in self._until or promise.incarnation != self._incarnation or asked_at is None:
            return
        before, until = self._until[by], asked_at + promise.for_s
        self._until[by] = until if before is None else max(before, until)

    @property
    def until(self) -> float | None:
        """Until when everybody has promised; None: somebody never has, or there is nobody."""
        given = [until for until in self._until.values() if until is not None]
        return min(given) if given and len(given) == len(self._until) else None

    def lacking(self, at: float) -> tuple[str, ...]:
        """Whose promise does not reach until then."""
        return tuple(name for name, until in self._until.items() if until is None or until < at)


# --- who promises ---------------------------------------------------------------------------------------------------


class Unwilling(StrEnum):
    """Why nothing is promised."""

    OFF = "off"
    NOT_INFORMED = "not_informed"
    """We may have fenced the asker ourselves, as an earlier incarnation, and not have read it yet."""
    OTHER_INCARNATION = "other_incarnation"
    NOT_LIVE = "not_live"
    FENCING = "fencing"
    """A fencing that we have begun may still be carried out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A question, and what the promiser knows of who asks."""

    incarnation: str
    """As which it asks."""
    number: int
    member: LeaseState | None
    """Of its identity record, as far as we know."""
    known_incarnation: str
    lease_revision: int


class Promiser:
    """What one node has promised, to whom, and whom it has begun to fence. Survives a new incarnation of the node
    within one process; what an earlier process has promised is not known here (see ``fences_from``)."""

    def __init__(self, for_s: float, *, drift: float = DRIFT) -> None:
        self._for_s, self._drift = for_s, drift
        self._until: dict[str, float] = {}
        self._begun: dict[str, int] = {}
        """By node: the lease revision at which a fencing of ours was begun last."""
        self.given: dict[str, Promise] = {}
        """To be said in each heartbeat."""

    def ask(self, by: str, asked: Asked, now: float, *, informed: bool) -> Unwilling | None:
        """Promise, or say why not."""
        why = self._unwilling(by, asked, informed=informed)
        if why is not None:
            self.given.pop(by, None)
            return why
        self._until[by] = max(self._until.get(by, now), now + self._for_s * (1 + self._drift))
        self.given[by] = Promise(incarnation=asked.incarnation, asked=asked.number, for_s=self._for_s)
        return None

    def _unwilling(self, by: str, asked: Asked, *, informed: bool) -> Unwilling | None:
        if self._for_s <= 0:
            return Unwilling.OFF
        if not informed:
            return Unwilling.NOT_INFORMED
        if asked.member is not LeaseState.LIVE:
            return Unwilling.NOT_LIVE
        if asked.known_incarnation != asked.incarnation:
            return Unwilling.OTHER_INCARNATION
        begun = self._begun.get(by)
        return Unwilling.FENCING if begun is not None and asked.lease_revision <= begun else None

    def asks_no_more(self, by: str) -> None:
        """What was promised still holds; it need not be said any more."""
        self.given.pop(by, None)

    def until(self, node: str) -> float:
        """Until when ``node`` may not be fenced (0.0: it was promised nothing)."""
        return self._until.get(node, 0.0)

    def begin_fencing(self, node: str, lease_revision: int, now: float) -> bool:
        """Right before a fencing is sent: whether it may be. From then on nothing is promised that it might break."""
        if now < self.until(node):
            return False
        self._begun[node] = max(lease_revision, self._begun.get(node, 0))
        return True


def fences_from(joined_at: float, promised_s: float, drift: float = DRIFT) -> float:
    """When a node that has just joined may fence: not before what the one before it may have promised has run out."""
    return joined_at + promised_s * (1 + drift)
