"""The vocabulary: what a group is made of and what may be true of it (pure values, no behaviour).

Durations are seconds (float) and carry ``_s`` in their names; names of nodes, groups and components are plain
strings, unique in their own scope.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Action(StrEnum):
    """What an agent can be asked to do with a component."""

    PROBE = "probe"
    PREPARE = "prepare"
    ONLINE = "online"
    OFFLINE = "offline"
    CLEAN = "clean"


class ComponentState(StrEnum):
    UNKNOWN = "unknown"
    OFFLINE = "offline"
    ONLINING = "onlining"
    ONLINE = "online"
    OFFLINING = "offlining"
    FAULTED = "faulted"
    STUCK = "stuck"


class GroupState(StrEnum):
    """From plain to worst; the worst that applies is the group's state."""

    OFFLINE = "offline"
    ONLINE = "online"
    PARTIAL = "partial"
    ONLINING = "onlining"
    HANDOVER = "handover"
    FROZEN = "frozen"
    DEGRADED = "degraded"
    FAULTED = "faulted"
    BLOCKED = "blocked"


class HandoverMode(StrEnum):
    """Whether a component must be released before it may be brought online elsewhere."""

    BREAK_FIRST = "break_first"
    MAKE_FIRST = "make_first"


class OnFault(StrEnum):
    RESTART = "restart"
    FAILOVER = "failover"
    IGNORE = "ignore"


class OnOfflineFailure(StrEnum):
    BLOCK = "block"
    FENCE = "fence"


class OnStop(StrEnum):
    HANDOVER = "handover"
    LEAVE = "leave"


class Role(StrEnum):
    MEMBER = "member"
    WITNESS = "witness"


class GroupMode(StrEnum):
    FAILOVER = "failover"
    PARALLEL = "parallel"


class PlacementPolicy(StrEnum):
    """How one of several nodes that could take a group is chosen."""

    ORDER = "order"
    """The first in the group's own order."""
    SPREAD = "spread"
    """The one that has the fewest groups."""
    LOAD = "load"
    """The one with the least load, as a share of its capacity where every candidate has one."""


class Where(StrEnum):
    """Where a required group must be, as seen from the group that requires it."""

    SAME_NODE = "same_node"
    OTHER_NODE = "other_node"
    ANYWHERE = "anywhere"


class RequiredFault(StrEnum):
    """What becomes of a group while one that it requires is not online."""

    FOLLOW = "follow"
    STAY = "stay"


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    group: str
    where: Where = Where.ANYWHERE
    on_fault: RequiredFault = RequiredFault.FOLLOW


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitorPolicy:
    interval_s: float = 10.0
    fall: int = 2
    rise: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthCheck:
    """What is asked beside the agent's own probe; one of ``tcp``, ``http`` and ``command`` is given."""

    tcp: str | None = None
    """host:port"""
    http: str | None = None
    """A URL."""
    command: tuple[str, ...] | str | None = None
    """Words, or a line for a shell."""
    interval_s: float = 5.0
    timeout_s: float = 3.0
    fall: int = 3
    rise: int = 1

    @property
    def name(self) -> str:
        """As it is called in messages."""
        if self.command is not None:
            return f"check command {self.command if isinstance(self.command, str) else ' '.join(self.command)}"[:100]
        return f"check tcp {self.tcp}" if self.tcp is not None else f"check http {self.http}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartPolicy:
    attempts: int = 1
    window_s: float = 600.0
    backoff_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """The longest time that each agent operation may take; it is ended by force afterwards."""

    probe_s: float = 10.0
    prepare_s: float = 60.0
    online_s: float = 60.0
    offline_s: float = 60.0
    clean_s: float = 30.0

    def of(self, action: Action) -> float:
        """The limit of one action, in seconds."""
        limits = {
            Action.PROBE: self.probe_s,
            Action.PREPARE: self.prepare_s,
            Action.ONLINE: self.online_s,
            Action.OFFLINE: self.offline_s,
            Action.CLEAN: self.clean_s,
        }
        return limits[action]


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """Durations that the administrator declares, until learned ones take their place (None: not declared)."""

    prepare_s: float | None = None
    online_s: float | None = None
    offline_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    name: str
    type: str
    depends_on: tuple[str, ...] = ()
    params: Mapping[str, Any] = field(default_factory=dict)
    """The agent's own parameters, already validated by its type; opaque to everything but the agent."""
    handover: HandoverMode = HandoverMode.BREAK_FIRST
    has_prepare: bool = False
    critical: bool = True
    on_fault: OnFault = OnFault.RESTART
    restart: RestartPolicy = RestartPolicy()
    on_offline_failure: OnOfflineFailure = OnOfflineFailure.BLOCK
    monitor: MonitorPolicy = MonitorPolicy()
    check: HealthCheck | None = None
    timeouts: Timeouts = Timeouts()
    expect: Expected = Expected()


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    name: str
    nodes: tuple[str, ...]
    """Where it may run, most preferred first."""
    components: Mapping[str, Component]
    mode: GroupMode = GroupMode.FAILOVER
    on_stop: OnStop = OnStop.HANDOVER
    fault_expiry_s: float = 3600.0
    max_moves: int = 5
    move_window_s: float = 3600.0
    failback_after_s: float | None = None
    placement: PlacementPolicy = PlacementPolicy.ORDER
    load: float = 1.0
    """What it takes of its node's ``capacity``."""
    requires: tuple[Requirement, ...] = ()
    config_hash: str = ""
    """Of everything above, so that two nodes can tell whether they mean the same group."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSpec:
    name: str
    addresses: tuple[tuple[str, int], ...]
    """One (host, UDP port) for each heartbeat link."""
    role: Role = Role.MEMBER
    max_parallel: int | None = None
    """How many operations may run on it at once (None: no limit)."""
    capacity: float | None = None
    """How much load its groups may make together (None: no limit)."""


def limits_of(nodes: Mapping[str, NodeSpec]) -> dict[str, int]:
    """``max_parallel`` of the nodes that have one."""
    return {name: spec.max_parallel for name, spec in nodes.items() if spec.max_parallel}
