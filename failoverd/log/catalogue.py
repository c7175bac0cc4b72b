"""Every log event, in one place: its name, its level and what it means to the person on call.

``docs/events.md`` is held against this list by a test, and so is every use of an event in the code.
"""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"


class Event(StrEnum):
    DAEMON_STARTED = "daemon.started"
    DAEMON_READY = "daemon.ready"
    DAEMON_RELOADED = "daemon.reloaded"
    DAEMON_RELOAD_REFUSED = "daemon.reload_refused"
    DAEMON_STOPPING = "daemon.stopping"
    DAEMON_STOPPED = "daemon.stopped"
    CONFIG_MISMATCH = "config.mismatch"
    CONFIG_WARNING = "config.warning"
    PEER_UP = "peer.up"
    PEER_SUSPECTED = "peer.suspected"
    PEER_DOWN = "peer.down"
    PEER_FENCED = "peer.fenced"
    PEER_LEFT = "peer.left"
    LINK_UP = "link.up"
    LINK_DOWN = "link.down"
    LEASE_ACQUIRED = "lease.acquired"
    LEASE_LOST = "lease.lost"
    LEASE_SELF_STOP = "lease.self_stop"
    LOOP_STALLED = "loop.stalled"
    COORDINATOR_LOST = "coordinator.lost"
    COORDINATOR_BACK = "coordinator.back"
    COORDINATOR_CORRUPT = "coordinator.corrupt"
    SPAWNER_LOST = "spawner.lost"
    STATE_UNWRITABLE = "state.unwritable"
    STATE_WRITABLE = "state.writable"
    DATAGRAMS_DROPPED = "datagrams.dropped"
    PLACEMENT_CHANGED = "placement.changed"
    COMPONENT_FAULTED = "component.faulted"
    COMPONENT_RESTARTING = "component.restarting"
    COMPONENT_PREPARING = "component.preparing"
    COMPONENT_PREPARED = "component.prepared"
    COMPONENT_ONLINING = "component.onlining"
    COMPONENT_ONLINE = "component.online"
    COMPONENT_OFFLINING = "component.offlining"
    COMPONENT_OFFLINE = "component.offline"
    COMPONENT_CLEANING = "component.cleaning"
    COMPONENT_STUCK = "component.stuck"
    COMPONENT_ADOPTED = "component.adopted"
    COMPONENT_CHANGED_EXTERNALLY = "component.changed_externally"
    HANDOVER_BEGUN = "handover.begun"
    HANDOVER_REDIRECTED = "handover.redirected"
    HANDOVER_DONE = "handover.done"
    HANDOVER_FAILED = "handover.failed"
    GROUP_BLOCKED = "group.blocked"
    GROUP_DEGRADED = "group.degraded"
    GROUP_ONLINE = "group.online"
    GROUP_OFFLINE = "group.offline"
    OPERATOR_COMMAND = "operator.command"


@dataclass(frozen=True, slots=True)
class Entry:
    level: Level
    meaning: str


CATALOGUE: dict[Event, Entry] = {}
"""Filled below."""
