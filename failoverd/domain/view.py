"""The cluster as one node sees it: the whole input of ``decide``. Nobody changes a view once it is made (its parts are
not frozen only because that makes them three times as dear, and they are made at each look)."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from failoverd.domain.fence_record import FenceLevel, FenceRecord
from failoverd.domain.holds import Holds, Subject
from failoverd.domain.model import Group
from failoverd.domain.placement import LeaseState, Placement


@dataclass(slots=True, kw_only=True)
class NodeView:
    """What is known of a node, ourselves included."""

    name: str
    witness: bool = False
    heard: bool = False
    """Its heartbeats arrive (always true of ourselves)."""
    suspected: bool = False
    """It has been silent on every link for ``dead_after``. (Neither, for a while: it was never heard.)"""
    ready: bool = False
    """It says that it has probed everything and acts."""
    stopping: bool = False
    draining: bool = False
    frozen: bool = False
    """Nothing is to be done on it."""
    capacity: float | None = None
    """How much load it may carry (None: no limit)."""
    member: LeaseState | None = None
    """Of its identity record; None: it never joined this cluster."""
    member_revision: int = 0
    lease_revision: int = 0
    incarnation: str = ""
    lease_expires_at: float | None = None
    """When we, as observers, may hold its lease for expired (our clock)."""
    promised_until: float = 0.0
    """Until when we have promised not to fence it (failsafe; our clock)."""
    fencers: tuple[str, ...] | None = None
    """Who may fence it because its lease has run out; None: any node."""
    lease_seen_at: float | None = None
    """When we last saw its lease change (our clock)."""
    renew_s: float = 0.0
    """How often it renews, as its lease says; 0: it does not."""
    fence_levels: tuple[FenceLevel, ...] = ()
    """How it can be switched off from here; empty: not at all."""
    fence: FenceRecord | None = None
    fence_revision: int = 0
    fence_seen_at: float = 0.0
    config_hashes: Mapping[str, str] = field(default_factory=dict)
    online: Mapping[str, int] = field(default_factory=dict)
    """By group: how many of its components are not known to be absent there, as the node itself says."""
    unprobed: frozenset[str] = frozenset()
    """Groups of which it does not know yet what runs there."""


@dataclass(slots=True, kw_only=True)
class GroupView:
    group: Group
    placement: Placement | None = None
    revision: int = 0
    """The placement's revision in the coordinator (0: there is none)."""
    all_absent: bool = False
    """On this node: nothing online, nothing in flight."""
    given_up: str | None = None
    """Name of a critical component that this node has given up on."""
    given_up_reason: str = ""
    faults: Mapping[str, str] = field(default_factory=dict)
    """Unexpired faults by node: the reason."""
    stuck_here: str = ""
    """A component that this node cannot take offline, and for which the policy is to fence; else empty."""
    stuck_on: Mapping[str, str] = field(default_factory=dict)
    """Likewise by holder that we wait for, as it says itself at the present generation."""
    recent_moves: int = 0
    """Automatic moves within the group's window, as this node has counted them."""
    all_online: bool = False
    """On this node: everything that can be. Only filled in where a policy asks for it (``failback``)."""
    well_since: Mapping[str, float] = field(default_factory=dict)
    """Of the nodes that it prefers to its owner: since when each could have taken it without a break. Only kept by the
    owner, of groups with ``failback``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    me: str
    now: float
    nodes: Mapping[str, NodeView]
    groups: Mapping[str, GroupView]
    ready: bool
    """This node has joined and probed everything."""
    lease_usable: bool
    coordinator_ok: bool
    trusted: bool = True
    """False after a stall of our own, until peers have been heard anew."""
    stopping: bool = False
    fences_from: float = 0.0
    """When this node, which may have forgotten what it had promised, may fence others."""
    renew_s: float = 0.5
    """How often leases are renewed, as configured here."""
    shooting: frozenset[str] = frozenset()
    """At whom this very daemon shoots now."""
    settle_until: float = 0.0
    """Until when nodes that were not heard of yet are given time to show up."""
    holds: Holds = field(default_factory=Holds)
    expected: Mapping[str, str] = field(default_factory=dict)
    """Groups that are about to be on another node than their placement says, by a decision of the same round."""

    @property
    def myself(self) -> NodeView:
        return self.nodes[self.me]

    def freeze_of(self, group: GroupView) -> Subject | None:
        """What keeps everybody's hands off the group; None where nothing does."""
        return self.holds.freeze_of(group.group.name, group.placement.owner if group.placement else None)
