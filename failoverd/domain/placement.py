"""The records that the coordinator keeps, and the only transitions that may be made between them.

Safety rests on four things that hold for every chain of these transitions (design rule "an exclusive component is
online on at most one node"):

- a placement's generation grows with every change of owner, and never otherwise changes;
- the former owner stays among the holders until it has released everything, or was fenced;
- only the owner may bring a component online, and only what every *other* holder has released;
- a release counts only if it was said at the placement's present generation.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from failoverd.domain.fence_record import FencedHow


class Wanted(StrEnum):
    ONLINE = "online"
    OFFLINE = "offline"


class Cause(StrEnum):
    """Why a placement was changed: the typed form of its ``reason``."""

    INITIAL = "initial"
    OPERATOR = "operator"
    NODE_LOST = "node_lost"
    FAULT = "fault"
    SHUTDOWN = "shutdown"
    DRAIN = "drain"
    FAILBACK = "failback"
    REQUIRED = "required"
    """A group that it requires was moved on purpose."""
    RELEASED = "released"


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Who owns a group. Changed only by compare-and-swap (key ``placement/<group>``)."""

    owner: str
    generation: int
    holders: tuple[str, ...]
    """Every node that may still have a component online, the owner included once it may bring something online."""
    wanted: Wanted = Wanted.ONLINE
    cause: Cause = Cause.INITIAL
    reason: str = ""
    by: str = ""
    """The node, and where there was one the operator, who made the change."""
    at: str = ""
    """Wall-clock time of the change (RFC 3339): for people, never for a decision."""
    source: str | None = None
    """The node that the latest change of owner moved it away from; None when it came from nowhere."""

    def others(self, node: str) -> tuple[str, ...]:
        """The holders that must have released a component before ``node`` may bring it online."""
        return tuple(holder for holder in self.holders if holder != node)


def first(owner: str, possible_holders: tuple[str, ...], *, by: str, at: str) -> Placement:
    """The first placement of a group. Whoever might have something online is a holder until it says otherwise."""
    return Placement(
        owner=owner, generation=1, holders=_with(possible_holders, owner), cause=Cause.INITIAL, by=by, at=at
    )


def moved(old: Placement, target: str, *, cause: Cause, reason: str, by: str, at: str) -> Placement:
    """A change of owner. The old owner is a holder already and stays one."""
    return replace(
        old,
        owner=target,
        generation=old.generation + 1,
        holders=_with(old.holders, target),
        wanted=Wanted.ONLINE,
        cause=cause,
        reason=reason,
        by=by,
        at=at,
        source=old.owner,
    )


def wanted_online(old: Placement, *, by: str, at: str, reason: str) -> Placement:
    return replace(
        old,
        wanted=Wanted.ONLINE,
        holders=_with(old.holders, old.owner),
        cause=Cause.OPERATOR,
        reason=reason,
        by=by,
        at=at,
    )


def wanted_offline(old: Placement, *, by: str, at: str, reason: str) -> Placement:
    return replace(old, wanted=Wanted.OFFLINE, cause=Cause.OPERATOR, reason=reason, by=by, at=at)


def without_holder(old: Placement, node: str) -> Placement:
    """``node`` has released everything, by its own word or because it was fenced."""
    return replace(old, holders=tuple(holder for holder in old.holders if holder != node))


def _with(holders: tuple[str, ...], node: str) -> tuple[str, ...]:
    return holders if node in holders else (*holders, node)


class LeaseState(StrEnum):
    LIVE = "live"
    """Renewed, or overdue: the observer's clock tells."""
    FENCED = "fenced"
    """Taken away by an observer: this incarnation can never renew it."""
    LEFT = "left"
    """Given back in an orderly stop: nothing is online there."""
    AWAY = "away"
    """The daemon was stopped and left its groups running (``on_stop: leave``): hands off until it is back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A node's identity (key ``node/<node>``): changes only when it joins, leaves or is fenced.

    Every other transaction of that node compares this record's revision, so that a fenced incarnation can change
    nothing any more. Renewals go to ``lease/<node>`` instead, so that they do not disturb those comparisons.
    """

    incarnation: str
    state: LeaseState
    host: str = ""
    """Identifies the daemon's machine and run_dir: a successor on the same one need not wait for the lease to end."""
    by: str = ""
    reason: str = ""
    at: str = ""
    fencers: tuple[str, ...] | None = None
    """Who alone may fence it because its lease has run out: those whom it asks for failsafe. None: any node."""
    how: FencedHow | None = None
    """Of a fenced one: how it is known that it has nothing online."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """A node's renewable right to have anything online (key ``lease/<node>``)."""

    incarnation: str
    renewal: int
    ttl_s: float
    state: LeaseState = LeaseState.LIVE
    promises_s: float = 0.0
    """The longest promise of failsafe that the node, or the incarnation before it, may have given and not outlived."""
    renew_s: float = 0.0
    """How often its owner renews it (0: it does not say): what makes it overdue, though not expired."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A node gave up on a group (key ``fault/<group>/<node>``): it is not eligible for it until this has expired."""

    component: str
    reason: str
    incarnation: str | None = None
    """Whose fault it was: the node's incarnation at the time, where known."""
    at: str = ""
    """Wall-clock time (RFC 3339): for people. An observer counts ``fault_expiry`` from when it first saw the record."""
