"""The keys of the file, piece by piece: what pydantic validates, and what the JSON Schema is made of.

The docstring below each key is its description in the schema.
"""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from failoverd.config.checks import CheckKeys
from failoverd.config.settings import FenceConfirm, OnMemberStop
from failoverd.config.types import Budget, Count, Duration, Keys, PerDuration, PositiveDuration
from failoverd.domain.lease import LeaseAction
from failoverd.domain.model import (
    GroupMode,
    HandoverMode,
    OnFault,
    OnOfflineFailure,
    OnStop,
    PlacementPolicy,
    RequiredFault,
    Role,
    Where,
)

Amount = Annotated[float, Field(gt=0, le=1_000_000)]
PathText = Annotated[str, Field(min_length=1, max_length=1000)]
Port = Annotated[int, Field(ge=1, le=65535)]
Lax = Field(strict=False)  # an enumeration's value is written as text


_ENDPOINT = r"^https?://[^\s/]+$"


def _endpoint(value: str) -> str:
    if not re.fullmatch(_ENDPOINT, value):
        raise ValueError(f"must be a URL such as https://10.0.0.1:2379, not {value[:60]!r}")
    return value


Endpoint = Annotated[str, AfterValidator(_endpoint), Field(json_schema_extra={"pattern": _ENDPOINT})]


class NodeKeys(Keys):
    """One node of the cluster."""

    address: str | Annotated[list[str], Field(min_length=1, max_length=8)]
    """host or host:port (default port 7800), one for each heartbeat link; IPv6 with a port as "[::1]:7800"."""
    role: Annotated[Role, Lax] = Role.MEMBER
    """A witness votes and runs no group."""
    max_parallel: Count | None = None
    """How many operations may run on the node at once (default: no limit)."""
    capacity: Amount | None = None
    """How much load its groups may make together (default: no limit). A group is not moved by itself to a node that
    has no room for it; an operator may."""


class HeartbeatKeys(Keys):
    """Datagrams to every peer over every link."""

    interval: PositiveDuration = 0.1
    """How often each peer is sent one (default 100ms)."""
    dead_after: PositiveDuration = 1.0
    """How long a peer is silent before it is suspected (default 1s); at least three intervals."""


class WatchdogKeys(Keys):
    """A device that resets the machine where the lease ends and something may still be online."""

    device: PathText = "/dev/watchdog"
    """(default /dev/watchdog)"""
    timeout: PositiveDuration | None = None
    """After which it resets the machine unless it is fed: whole seconds; renew + request_timeout + timeout <= ttl
    (default: the longest that fits)."""
    always: bool = False
    """Also while nothing is online here (default false)."""


class LeaseKeys(Keys):
    """A node's time-bounded right to have anything online. 2*renew + request_timeout + self_stop <= ttl."""

    ttl: PositiveDuration = 3.0
    """How long it is good for without being renewed (default 3s)."""
    renew: PositiveDuration | None = None
    """How often it is renewed (default: a sixth of ttl)."""
    request_timeout: PositiveDuration | None = None
    """How long one renewal may take (default: as renew)."""
    self_stop: PositiveDuration | None = None
    """How long a node that could not renew may take to get everything down (default: a third of ttl)."""
    failsafe: Duration | None = None
    """How long a promise not to fence a node that lost the coordinator lasts: dead_after + 2*interval + self_stop <=
    failsafe (default: as ttl, or longer where that needs it); 0s: none are asked for or given."""
    action: Annotated[LeaseAction, Lax] = LeaseAction.KILL
    """What is done to a node that could not renew: kill everything, or also reset the machine if anything is left."""
    watchdog: PathText | WatchdogKeys | None = None
    """The device, or the device and how it is used; fed by renewals alone (default: none)."""


class TlsKeys(Keys):
    """Files for TLS to etcd."""

    ca: PathText | None = None
    """Certificates of the authorities that are trusted."""
    cert: PathText | None = None
    """The client's certificate."""
    key: PathText | None = None
    """The client's private key."""

    @model_validator(mode="after")
    def _pair(self) -> "TlsKeys":
        if (self.cert is None) != (self.key is None):
            raise ValueError("cert and key belong together: give both or neither")
        return self


class SqliteKeys(Keys):
    """A file, for nodes that all run on this machine (demonstrations, trials, tests)."""

    type: Literal["sqlite"]
    path: PathText
    """The database file, the same for every node."""


class EtcdKeys(Keys):
    """etcd v3: an existing cluster (endpoints), or one whose members failoverd runs itself (managed)."""

    type: Literal["etcd"]
    endpoints: Annotated[list[Endpoint], Field(min_length=1)] | None = None
    """As in https://10.0.0.1:2379."""
    managed: bool = False
    """Run the etcd member of this node."""
    tls: TlsKeys | None = None
    username: str | None = None
    password_file: PathText | None = None
    client_port: Port | None = None
    """Managed: where the members serve clients, TCP on each node's first address (default 7801)."""
    peer_port: Port | None = None
    """Managed: where the members talk to each other, likewise (default 7802)."""
    heartbeat_interval: PositiveDuration | None = None
    """Managed: of etcd's leader to its followers; at least the round trip between the nodes (default 30ms)."""
    election_timeout: PositiveDuration | None = None
    """Managed: silence after which a follower wants to be leader; writes wait for up to three times as long when the
    leader is lost (default 300ms; at least five heartbeat intervals)."""
    on_stop: Annotated[OnMemberStop, Lax] | None = None
    """Managed: whether the member goes on voting when the daemon is stopped (leave, the default) or stops too."""

    @model_validator(mode="after")
    def _one_kind(self) -> "EtcdKeys":
        if self.managed == (self.endpoints is not None):
            raise ValueError("an etcd coordinator needs either 'endpoints' or 'managed: true'")
        own = ("client_port", "peer_port", "heartbeat_interval", "election_timeout", "on_stop")
        foreign = ("tls", "username", "password_file")
        given = [key for key in (foreign if self.managed else own) if getattr(self, key) is not None]
        if given and self.managed:
            raise ValueError(f"'managed: true' makes its own certificates: {', '.join(given)} go with 'endpoints'")
        if given:
            raise ValueError(f"{', '.join(given)} go with 'managed: true', not with 'endpoints'")
        if (self.username is None) != (self.password_file is None):
            raise ValueError("username and password_file belong together: give both or neither")
        return self


_AGENT = r"^/?[A-Za-z0-9_./-]+$"
_PARAMETER = r"^[A-Za-z_][A-Za-z0-9_.-]*$"
FENCE_SECRETS = ("password", "passwd", "secret_key", "snmp_priv_passwd", "token")
"""Parameters of fence agents that may be given as NAME_file instead: the file's one line is the value."""


def _parameters(value: dict[str, str | int | bool]) -> dict[str, str | int | bool]:
    for name, given in value.items():
        if not re.fullmatch(_PARAMETER, name):
            raise ValueError(f"{name[:40]!r} cannot be the name of a parameter")
        if name in ("action", "option"):
            raise ValueError(f"{name} is what failoverd itself says to the agent: leave it out")
        if isinstance(given, str) and not given.isprintable():
            raise ValueError(f"{name} must be one line of text")
    for name in FENCE_SECRETS:
        if name in value and f"{name}_file" in value:
            raise ValueError(f"{name} and {name}_file are the same parameter: give one of them")
    return value


class FenceKeys(Keys):
    """A device that can make sure that a node has nothing online, used through a fence agent."""

    agent: Annotated[str, Field(min_length=1, pattern=_AGENT)]
    """A fence agent, as fence_ipmilan: a program in PATH, or its full path."""
    params: Annotated[dict[str, str | int | bool], AfterValidator(_parameters)] = Field(default_factory=dict)
    """What the agent is told, as its manual page names it; password_file names a file that holds the password."""
    timeout: PositiveDuration = 60.0
    """How long one call of the agent may take (default 60s)."""
    retries: Annotated[int, Field(ge=0, le=20)] = 1
    """How often it is tried again after it did not confirm (default 1)."""
    delay: Duration = 0.0
    """How long to wait before the first attempt (default 0s)."""
    confirm: Annotated[FenceConfirm, Lax] = FenceConfirm.AGENT
    """agent: its off confirms by itself, as fence agents must (default); status: ask its status after its off."""


class MonitorKeys(Keys):
    """How an online component is watched."""

    interval: PositiveDuration = 10.0
    """(default 10s)"""
    timeout: PositiveDuration | None = None
    """How long one probe may take (default 10s); the same as timeout.monitor."""
    fall: Count = 2
    """So many failed probes in a row make it faulted (default 2)."""
    rise: Count = 1
    """So many good probes in a row make it online again (default 1)."""


class RestartKeys(Keys):
    """How often a faulted component is restarted in place before the group moves."""

    attempts: Annotated[int, Field(ge=0, le=1000)] = 1
    """(default 1)"""
    window: PositiveDuration = 600.0
    """Within which the attempts count (default 10m)."""
    backoff: Duration = 0.0
    """The pause before an attempt (default 0s)."""


class TimeoutKeys(Keys):
    """How long each operation may take; it is ended by force afterwards."""

    online: PositiveDuration = 60.0
    """(default 60s)"""
    offline: PositiveDuration = 60.0
    """(default 60s)"""
    monitor: PositiveDuration | None = None
    """One probe (default 10s)."""
    clean: PositiveDuration = 30.0
    """(default 30s)"""
    prepare: PositiveDuration = 60.0
    """(default 60s)"""


class ExpectKeys(Keys):
    """How long operations are expected to take: for plans, until there are learned durations."""

    online: Duration | None = None
    offline: Duration | None = None
    prepare: Duration | None = None


class ComponentKeys(Keys):
    """The keys that every component has, whatever its type."""

    type: str
    """The agent that knows how to bring it online and take it offline."""
    depends_on: list[str] = Field(default_factory=list)
    """Components of the same group that must be online before it, and offline after it."""
    monitor: MonitorKeys = MonitorKeys()
    check: CheckKeys | None = None
    """Whether the service answers, asked beside the agent's own probe (default: nothing is asked)."""
    on_fault: Annotated[OnFault, Lax] = OnFault.RESTART
    """What a fault of it leads to (default restart)."""
    restart: RestartKeys = RestartKeys()
    critical: bool = True
    """Whether the group moves when restarting has not helped (default), or runs on degraded."""
    handover: Annotated[HandoverMode, Lax] = HandoverMode.BREAK_FIRST
    """make_first: it may be online on two nodes at once: up on the target first, down on the source after."""
    expect: ExpectKeys = ExpectKeys()
    timeout: TimeoutKeys = TimeoutKeys()
    on_offline_failure: Annotated[OnOfflineFailure, Lax] = OnOfflineFailure.BLOCK
    """What to do when it cannot be taken offline (default block)."""


class RequireKeys(Keys):
    """Another group that this one needs."""

    group: str
    where: Annotated[Where, Lax] = Where.ANYWHERE
    """(default anywhere)"""
    on_fault: Annotated[RequiredFault, Lax] = RequiredFault.FOLLOW
    """(default follow)"""


class FailbackKeys(Keys):
    """When a group moves back to a more preferred node by itself (default: never)."""

    after: PositiveDuration
    """How long that node must have been well."""


class GroupKeys(Keys):
    """A service group; its components are checked one by one."""

    nodes: Annotated[list[str], Field(min_length=1)] | None = None
    """Where it may run, most preferred first (default: every node that is no witness, in the order of the file)."""
    mode: Annotated[GroupMode, Lax] = GroupMode.FAILOVER
    """failover: on one node; parallel: on all of them (default failover)."""
    on_stop: Annotated[OnStop, Lax] = OnStop.HANDOVER
    """What a stop of the daemon does with it: hand it over (default) or leave it running."""
    fault_expiry: PositiveDuration = 3600.0
    """How long a node on which it faulted is not eligible (default 1h)."""
    max_moves: PerDuration = Budget(5, 3600.0)
    """How often it may move by itself before it is blocked (default 5 per 1h)."""
    failback: FailbackKeys | None = None
    placement: Annotated[PlacementPolicy, Lax] = PlacementPolicy.ORDER
    """How the next node is chosen: order, that of nodes (default); spread, the one with the fewest groups; load, the
    one with the least load (as a share of its capacity, where all of them have one). Ties by the order of nodes."""
    load: Amount = 1.0
    """What it takes of its node's capacity (default 1)."""
    requires: list[RequireKeys] = Field(default_factory=list)


class TopKeys(Keys):
    """The settings at the top level that need no checking beyond themselves."""

    cluster: str = ""
    """The cluster's name, the same on every node."""
    node: str | None = None
    """This node's name, one of nodes (default: the host name)."""
    key_file: PathText | None = None
    """The cluster key, as written by failoverd keygen (default /etc/failoverd/cluster.key)."""
    state_dir: PathText | None = None
    """Learned durations and incident records; never needed for safety (default /var/lib/failoverd)."""
    run_dir: PathText | None = None
    """The control socket and what must survive a restart of the daemon (default /run/failoverd)."""
