"""Every log event, in one place: its name, its level and what it means to the person on call.

``docs/events.md`` is held against this list by a test, and so is every use of an event in the code.
Levels: *info* is a transition that was wanted, *warning* one that was not but is being dealt with, *error* something
that failed and needs a look, *critical* something that needs a person now.
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
    DAEMON_INTERNAL_ERROR = "daemon.internal_error"
    DAEMON_LIBRARY_MESSAGE = "daemon.library_message"
    CONFIG_MISMATCH = "config.mismatch"
    CONFIG_WARNING = "config.warning"
    PEER_UP = "peer.up"
    PEER_SUSPECTED = "peer.suspected"
    PEER_DOWN = "peer.down"
    PEER_FENCED = "peer.fenced"
    PEER_LEFT = "peer.left"
    LINK_UP = "link.up"
    LINK_DOWN = "link.down"
    PARTITION_FOUND = "partition.found"
    PARTITION_HEALED = "partition.healed"
    LEASE_ACQUIRED = "lease.acquired"
    LEASE_LOST = "lease.lost"
    LEASE_SELF_STOP = "lease.self_stop"
    LOOP_STALLED = "loop.stalled"
    COORDINATOR_LOST = "coordinator.lost"
    COORDINATOR_BACK = "coordinator.back"
    COORDINATOR_CORRUPT = "coordinator.corrupt"
    ETCD_MEMBER_STARTED = "etcd.member_started"
    ETCD_MEMBER_ADOPTED = "etcd.member_adopted"
    ETCD_MEMBER_EXITED = "etcd.member_exited"
    ETCD_MEMBER_FAILED = "etcd.member_failed"
    ETCD_MEMBER_WAITING = "etcd.member_waiting"
    ETCD_MEMBER_ADDED = "etcd.member_added"
    ETCD_MEMBER_REMOVED = "etcd.member_removed"
    ETCD_MEMBER_UNHEALTHY = "etcd.member_unhealthy"
    ETCD_MEMBER_HEALTHY = "etcd.member_healthy"
    ETCD_MEMBER_DEFRAGMENTED = "etcd.member_defragmented"
    ETCD_LEADER_CHANGED = "etcd.leader_changed"
    ETCD_CLUSTER_FORCED = "etcd.cluster_forced"
    ETCD_ALARM = "etcd.alarm"
    ETCD_CERTIFICATE_RENEWED = "etcd.certificate_renewed"
    FAILSAFE_ENTERED = "failsafe.entered"
    FAILSAFE_LEFT = "failsafe.left"
    FENCE_BEGUN = "fence.begun"
    FENCE_DONE = "fence.done"
    FENCE_FAILED = "fence.failed"
    GUARD_FIRED = "guard.fired"
    GUARD_LOST = "guard.lost"
    GUARD_POWERLESS = "guard.powerless"
    SPAWNER_LOST = "spawner.lost"
    STATE_UNWRITABLE = "state.unwritable"
    STATE_WRITABLE = "state.writable"
    EVENTS_LOST = "events.lost"
    CONTROL_CLIENT_DROPPED = "control.client_dropped"
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
    GROUP_FROZEN = "group.frozen"
    GROUP_THAWED = "group.thawed"
    GROUP_ONLINE = "group.online"
    GROUP_WAITING = "group.waiting"
    GROUP_OFFLINE = "group.offline"
    GROUP_CLEARED = "group.cleared"
    NODE_DRAINING = "node.draining"
    NODE_DRAIN_BLOCKED = "node.drain_blocked"
    NODE_DRAINED = "node.drained"
    NODE_RESUMED = "node.resumed"
    OPERATOR_COMMAND = "operator.command"


@dataclass(frozen=True, slots=True)
class Entry:
    level: Level
    meaning: str
    """What happened; what failoverd does now; what to look at."""


def _info(meaning: str) -> Entry:
    return Entry(Level.INFO, meaning)


def _warning(meaning: str) -> Entry:
    return Entry(Level.WARNING, meaning)


def _error(meaning: str) -> Entry:
    return Entry(Level.ERROR, meaning)


def _critical(meaning: str) -> Entry:
    return Entry(Level.CRITICAL, meaning)


CATALOGUE: dict[Event, Entry] = {
    Event.DAEMON_STARTED: _info(
        "The daemon was started and read its configuration. It now probes what is really online on this node and acts "
        "on nothing before it has done so. If `daemon.ready` does not follow, look for a probe that hangs or a "
        "coordinator that does not answer."
    ),
    Event.DAEMON_READY: _info(
        "Everything was probed, the node has joined the cluster and holds its lease. From now on it takes part in "
        "decisions. Nothing to do."
    ),
    Event.DAEMON_RELOADED: _info(
        "The configuration was read again and the difference is in force. Components that did not change saw no "
        "action. The fields say what was added, changed and removed."
    ),
    Event.DAEMON_RELOAD_REFUSED: _error(
        "The configuration was read again and has faults. It is refused as a whole; the daemon goes on with what it "
        "had. Run `failoverd check`, correct the file, reload again; a restart with this file would fail."
    ),
    Event.DAEMON_STOPPING: _info(
        "The daemon was told to stop. It hands its groups over to other nodes first, or leaves them running where "
        "`on_stop: leave` says so. If `daemon.stopped` does not follow, see which component does not go offline."
    ),
    Event.DAEMON_STOPPED: _info(
        "The daemon has stopped in good order and given its lease back. Nothing is online here, but for groups with "
        "`on_stop: leave`."
    ),
    Event.DAEMON_INTERNAL_ERROR: _error(
        "A defect of failoverd itself showed: something failed in a way that is not foreseen. Only the request or task "
        "named in the fields ended. Keep the event with its `traceback` and report it."
    ),
    Event.DAEMON_LIBRARY_MESSAGE: _warning(
        "A library that failoverd uses complained (`logger` says which). Nothing is done about it. Worth a look if it "
        "repeats or comes together with other trouble."
    ),
    Event.CONFIG_MISMATCH: _warning(
        "Another node has a different configuration of this group. The group keeps running but is not moved to or from "
        "that node automatically until both agree. Bring the same file to both nodes and reload."
    ),
    Event.CONFIG_WARNING: _warning(
        "The configuration is valid, but something in it looks wrong on this machine, such as a command that does not "
        "exist. Nothing is refused; the component may fail once it is needed here. Correct it before that."
    ),
    Event.PEER_UP: _info(
        "Heartbeats of another node arrive and it is ready. It counts as a possible target from now on. Nothing to do."
    ),
    Event.PEER_SUSPECTED: _warning(
        "Another node has been silent on every link for `dead_after`. Silence is no proof: nothing exclusive is "
        "touched, only `prepare` steps begin here. If its lease ends too, `peer.down` follows; if not, look at the "
        "heartbeat networks."
    ),
    Event.PEER_DOWN: _error(
        "Another node is silent and its lease was not renewed in time. Its groups are being taken over where the rules "
        "allow it. Find out what happened to that machine."
    ),
    Event.PEER_FENCED: _error(
        "A node's lease was taken away: that incarnation of it can never renew it and must have stopped everything "
        "by now. What it held counts as released. Find out why it stopped renewing before you bring it back."
    ),
    Event.PEER_LEFT: _info(
        "Another node stopped its daemon in good order and gave its lease back, or is away on purpose with its groups "
        "left running. Nothing is taken over that it left running."
    ),
    Event.LINK_UP: _info("Heartbeats of the peer arrive over this link (again). Redundancy is restored."),
    Event.LINK_DOWN: _warning(
        "No heartbeat of the peer has arrived over this link for `dead_after`, or only one direction works. The other "
        "links carry on, with less redundancy. Look at cable, switch, address and firewall of this link."
    ),
    Event.PARTITION_FOUND: _warning(
        "Another member lives but cannot be reached as it should (`state`, `reason`): `one_way` (it does not hear us), "
        "`cut` (nothing is heard of it, but it renews its lease), `partial` (some members hear it, others do not), "
        "`lost_coordinator` (it answers, but cannot reach the coordinator) or `reduced` (some of its links are dead). "
        "Nobody is touched for that. Look at the network between the nodes that are named."
    ),
    Event.PARTITION_HEALED: _info(
        "The member can be reached as it should again (`state: full`), or it is now silent altogether "
        "(`state: silent`), and its lease decides."
    ),
    Event.LEASE_ACQUIRED: _info("This node holds its lease: it may have components online. Nothing to do."),
    Event.LEASE_LOST: _error(
        "This node's lease ended or was taken away, so it may not have anything exclusive online. Everything exclusive "
        "is down or going down, and other nodes may take over. Look at the path to the coordinator and at "
        "`loop.stalled`."
    ),
    Event.LEASE_SELF_STOP: _critical(
        "The lease could not be renewed in time: this node now takes everything exclusive down by force within "
        "`self_stop`, so that another node may take over safely. Look at the coordinator and the network to it."
    ),
    Event.LOOP_STALLED: _warning(
        "This daemon stood still for `duration_s` (paused or overloaded machine). It distrusts what it knew of others "
        "and declares nobody dead until it has heard anew. If it repeats: too little processor time, swapping, or a "
        "virtual machine that is being paused for snapshots or migration."
    ),
    Event.COORDINATOR_LOST: _error(
        "The coordinator does not answer this node. What is online stays online as long as the lease lasts; nothing "
        "can be moved meanwhile. Look at the coordinator and the network to it."
    ),
    Event.COORDINATOR_BACK: _info("The coordinator answers again. The lease is renewed and decisions go on."),
    Event.COORDINATOR_CORRUPT: _critical(
        "A record in the coordinator was not written by failoverd or cannot be read. Nothing is decided on it and "
        "nothing was changed. Look at the key in the fields and at who else writes there."
    ),
    Event.ETCD_MEMBER_STARTED: _info(
        "This node's etcd member was started (`coordinator: {managed: true}`). It takes up its vote by itself. If "
        "`etcd.member_exited` follows, see its reason and the file `etcd/etcd.log` in the state_dir."
    ),
    Event.ETCD_MEMBER_ADOPTED: _info(
        "This node's etcd member was found running when the daemon started, and goes on undisturbed. Nothing to do."
    ),
    Event.ETCD_MEMBER_EXITED: _error(
        "This node's etcd member ended (`reason` has its last complaint). It is started again, with pauses that grow "
        "to 5 s. The others carry on while a majority runs. If it repeats, look at `etcd/etcd.log` in the state_dir."
    ),
    Event.ETCD_MEMBER_FAILED: _error(
        "This node's etcd member cannot be started; `reason` says why and what to do. It is tried again and again. The "
        "node uses the other members meanwhile. Said once for each reason."
    ),
    Event.ETCD_MEMBER_WAITING: _warning(
        "This node's etcd member has no data yet and waits for other voters: for all of them where no etcd cluster "
        "exists yet, for a majority of it where one does. `reason` says what is missing."
    ),
    Event.ETCD_MEMBER_ADDED: _info(
        "A node's etcd member was added to the cluster: at first without a vote (`voting: false`) until it has all "
        "data, then with one."
    ),
    Event.ETCD_MEMBER_REMOVED: _warning(
        "A node's etcd member was removed from the cluster (`reason`): it had lost its data and comes back as a new "
        "one, or the configuration does not name it as a voter any more. Nothing to do if that was meant."
    ),
    Event.ETCD_MEMBER_UNHEALTHY: _error(
        "An etcd member does not answer this node, or knows of no leader (`reason`). While a majority works, nothing "
        "else is disturbed; one loss more may stop all handovers. Look at that machine and the network to it."
    ),
    Event.ETCD_MEMBER_HEALTHY: _info("An etcd member that was told of as unhealthy answers again. Nothing to do."),
    Event.ETCD_MEMBER_DEFRAGMENTED: _info(
        "The data file of an etcd member was made smaller, which kept it busy for `duration_s`. One member at a time, "
        "the leader last. Nothing to do."
    ),
    Event.ETCD_LEADER_CHANGED: _info(
        "The etcd members have another leader. Writes waited for the election, a few tenths of a second. If it "
        "repeats: too little processor time, a slow disk, or a network slower than `heartbeat_interval`."
    ),
    Event.ETCD_CLUSTER_FORCED: _critical(
        "By an operator's word (the file `etcd/force-new-cluster` in the state_dir) this node's etcd member goes on "
        "alone with the data that it has. The former members must never come back with theirs: their nodes enter as "
        "new members, with an empty directory."
    ),
    Event.ETCD_ALARM: _critical(
        "etcd raised an alarm. NOSPACE: its data has outgrown the quota and it takes no writes; failoverd compacts and "
        "defragments the members and takes the alarm back; find out who writes so much. CORRUPT: the members' data "
        "differ; stop the one that is wrong, move its directory away, start it again."
    ),
    Event.ETCD_CERTIFICATE_RENEWED: _info(
        "This node's certificate for etcd was made anew before its end. etcd takes it with the next connection. "
        "Nothing to do."
    ),
    Event.FAILSAFE_ENTERED: _warning(
        "This node cannot renew its lease, but every other member answers and promises, again and again, not to fence "
        "it for a stated time. It keeps what it has meanwhile and nothing is taken over. Look at the coordinator and "
        "the way to it; as soon as any member is silent for longer than its promise, self-stop follows."
    ),
    Event.FAILSAFE_LEFT: _info(
        "The promises of the other members are no longer needed or no longer given (`reason`). In the latter case "
        "self-stop follows."
    ),
    Event.FENCE_BEGUN: _error(
        "A node is dead by every rule, or has a stuck component whose policy is to fence (`reason`), and its fence "
        "`agent` was started, of level `device` in the configuration. Its groups wait for the result or for the end of "
        "its lease, whichever comes first."
    ),
    Event.FENCE_DONE: _warning(
        "The fence `agent` confirmed that the node is off, `duration_s` after it was decided. What it held counts as "
        "released and is being taken over. Find out why it died before you switch it on."
    ),
    Event.FENCE_FAILED: _critical(
        "The fence `agent` could not confirm that the node is off, or its word came too late (`reason`): nothing is "
        "concluded from it. It is tried again, then the next level; failing all, the groups wait for the end of the "
        "node's lease or for `failoverd confirm-off`. Look at the agent's output, the fence device and its network."
    ),
    Event.GUARD_FIRED: _critical(
        "An earlier daemon on this node did not renew its lease in time (hung, stopped or dead), so the guard killed "
        "it and took everything that was online down. Said by the next daemon, `ago_s` after it happened. `left` names "
        "what may not have gone down: make sure by hand. Find out why the daemon stood still or died."
    ),
    Event.GUARD_LOST: _error(
        "The guard process ended or does not answer (`reason`). Another is started and told everything; no component "
        "is brought online before that. Look for a killed process (out of memory?) in the system log."
    ),
    Event.GUARD_POWERLESS: _warning(
        "The guard cannot take this component down if the daemon hangs or dies: its agent leaves no last will, or it "
        "cannot be used (`reason`). With `lease: {action: reboot}` the machine is reset in that case. Said once for "
        "each component."
    ),
    Event.SPAWNER_LOST: _error(
        "The helper process that starts commands ended unexpectedly. It is started again; the operations that it ran "
        "have an unknown result and are probed. Look for a killed process (out of memory?) in the system log."
    ),
    Event.STATE_UNWRITABLE: _warning(
        "A file in `state_dir` cannot be written (full or read-only). Decisions go on unharmed; learned durations and "
        "the event file are not kept meanwhile. Said once; make room or repair the file system."
    ),
    Event.STATE_WRITABLE: _info(
        "`state_dir` can be written again. `lost` says how many events the event file lacks; the journal has them."
    ),
    Event.EVENTS_LOST: _warning(
        "Events came faster than the log could take them, or the log stood still, and `lost` of them were not written "
        "to `output`. The daemon itself was not disturbed. Look at what reads the daemon's stderr, or at the disk."
    ),
    Event.CONTROL_CLIENT_DROPPED: _warning(
        "A client of the control socket was cut off (`reason`: sent no valid request in time, did not read its "
        "answers, too many clients). Nothing was changed. `caller` says which process it was."
    ),
    Event.DATAGRAMS_DROPPED: _warning(
        "Heartbeat datagrams were dropped, counted by reason: forged, replayed, stale, malformed, too large. Said at "
        "most once a minute. A wrong key on a node, another cluster on the same port, or an attack."
    ),
    Event.PLACEMENT_CHANGED: _info(
        "The record of who owns the group was changed (owner, generation, cause). All nodes act on it from here on."
    ),
    Event.COMPONENT_FAULTED: _error(
        "A component that should be online is not, or an operation on it failed. It is restarted, the group is moved, "
        "or it is left as it is, as `on_fault` says. `reason` and `output` hold what its agent said; `check` names the "
        "health check that failed, where it was that."
    ),
    Event.COMPONENT_RESTARTING: _warning(
        "A faulted component is being restarted in place; what depends on it goes offline first and comes back after. "
        "`attempt` counts within the restart window."
    ),
    Event.COMPONENT_PREPARING: _info(
        "The component's `prepare` step began on the target. It touches nothing exclusive and nothing waits for it but "
        "the component's own online."
    ),
    Event.COMPONENT_PREPARED: _info(
        "The component's `prepare` step ended. Where it failed, `reason` says how; online is tried all the same."
    ),
    Event.COMPONENT_ONLINING: _info("The component's online operation began: nothing it waits for is in its way."),
    Event.COMPONENT_ONLINE: _info("The component is online; `duration_s` says how long it took."),
    Event.COMPONENT_OFFLINING: _info(
        "The component's offline operation began: everything that depends on it is offline on this node."
    ),
    Event.COMPONENT_OFFLINE: _info("The component is offline, and so released; `duration_s` says how long it took."),
    Event.COMPONENT_CLEANING: _warning(
        "Taking the component offline did not succeed, so it is being taken down by force and probed again. If that "
        "does not help, `component.stuck` follows."
    ),
    Event.COMPONENT_STUCK: _critical(
        "The component cannot be taken offline here, not even by force. What depends on its release stays blocked, "
        "because it must never run twice. Take it down by hand; failoverd notices and goes on."
    ),
    Event.COMPONENT_ADOPTED: _info(
        "The component was found online when the daemon started, belongs here, and goes on running untouched."
    ),
    Event.COMPONENT_CHANGED_EXTERNALLY: _warning(
        "The component was brought up or taken down behind failoverd's back. It is put back to what is wanted, by the "
        "same rules as a fault. Find out who did it; use `failoverd online`, `offline` or `switch` instead."
    ),
    Event.HANDOVER_BEGUN: _info(
        "A group began to move (`source`, `target`, `cause`). Every component moves as soon as its own gates allow. "
        "`predicted_s` says how long it should take."
    ),
    Event.HANDOVER_REDIRECTED: _warning(
        "A handover under way got another target or was reversed. Operations in flight are let finish, all others "
        "follow the new direction. `reason` says why."
    ),
    Event.HANDOVER_DONE: _info(
        "The group is online on its target. Compare `makespan_s` with `limit_s`; `phased_s` and `serial_s` say what "
        "other ways of moving would have taken."
    ),
    Event.HANDOVER_FAILED: _error(
        "The handover ended without the group online on its target (`reason`). What comes next is said by the group's "
        "state: another node, `group.degraded` or `group.blocked`. See `failoverd status GROUP`."
    ),
    Event.GROUP_BLOCKED: _critical(
        "The group cannot be brought online anywhere, or not safely (`reason`). It stays as it is until a person "
        "decides: repair what `failoverd status GROUP` names, then bring it online."
    ),
    Event.GROUP_DEGRADED: _error(
        "The group runs, but without a component that is not critical. The rest is left alone. Repair the component "
        "named."
    ),
    Event.GROUP_FROZEN: _warning(
        "An operator froze the group, its owner or everything (`reason`): failoverd watches the group but takes no "
        "action on it, not even on a fault, until it is thawed. What stays in force is self-stop at the loss of the "
        "lease."
    ),
    Event.GROUP_THAWED: _info("The group is no longer frozen; faults found meanwhile are acted on now."),
    Event.GROUP_ONLINE: _info("Every component of the group is online on its owner. Nothing to do."),
    Event.GROUP_WAITING: _info(
        "A group that is to be online here waits for one that it requires (`requires`): that is not online, or is not "
        "where this group needs it (`reason`). It comes online by itself as soon as it may. See `failoverd status` of "
        "the group that is named."
    ),
    Event.GROUP_OFFLINE: _info("Every component of the group is offline, as wanted. Nothing to do."),
    Event.GROUP_CLEARED: _info(
        "An operator said that earlier faults of the group (or of the one `component`) do not count any more: what was "
        "given up here is tried again, and this node may take the group again."
    ),
    Event.NODE_DRAINING: _info(
        "An operator drains a node (`peer`; `reason` says who and why): its groups move away, and it gets nothing new "
        "until it is resumed, not even when it is the last one. `node.drained` follows on that node."
    ),
    Event.NODE_DRAIN_BLOCKED: _warning(
        "This node is being drained, but no other node can take the group (`reason`). It stays online here, and moves "
        "as soon as another node can take it. Repair the other node, or resume this one."
    ),
    Event.NODE_DRAINED: _info("This node has nothing online any more and gets nothing until it is resumed."),
    Event.NODE_RESUMED: _info(
        "A node (`peer`) may take groups again. Nothing moves back by itself, unless a group says so (`failback`)."
    ),
    Event.OPERATOR_COMMAND: _info(
        "A person or script gave a command that changes something; `caller` says who (peer credentials of the socket)."
    ),
}

RESERVED: dict[Event, str] = {}
"""Events that nothing emits yet, with the reason: their names are settled, so that alerts can be written for them."""
