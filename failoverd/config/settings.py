"""The configuration as the program uses it: frozen, complete, every default filled in."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from failoverd.config.fault import Fault
from failoverd.domain.lease import LeaseSettings
from failoverd.domain.model import Group, NodeSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class HeartbeatSettings:
    interval_s: float = 0.1
    dead_after_s: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SqliteSettings:
    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsSettings:
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None


class OnMemberStop(StrEnum):
    """What becomes of a node's etcd member when the daemon is stopped in good order."""

    LEAVE = "leave"
    STOP = "stop"


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagedSettings:
    """Of the etcd member that failoverd runs itself."""

    client_port: int = 7801
    """TCP, of every member on its node's first address."""
    peer_port: int = 7802
    heartbeat_interval_s: float = 0.03
    election_timeout_s: float = 0.3
    on_stop: OnMemberStop = OnMemberStop.LEAVE


@dataclass(frozen=True, slots=True, kw_only=True)
class EtcdSettings:
    endpoints: tuple[str, ...] = ()
    """``http://`` or ``https://`` URLs; empty where managed."""
    managed: ManagedSettings | None = None
    tls: TlsSettings | None = None
    username: str | None = None
    password_file: Path | None = None


CoordinatorSettings = SqliteSettings | EtcdSettings


class FenceConfirm(StrEnum):
    """Whose word it is that a machine is off."""

    AGENT = "agent"
    """The agent's own: its ``off`` succeeds only once it has verified it, as the interface demands."""
    STATUS = "status"
    """The agent's ``status``, asked after its ``off``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FenceDevice:
    agent: str
    params: Mapping[str, str | int | bool] = field(default_factory=dict)
    secret_files: Mapping[str, Path] = field(default_factory=dict)
    """By parameter: the file whose content is its value."""
    timeout_s: float = 60.0
    """Of one call of the agent."""
    retries: int = 1
    delay_s: float = 0.0
    confirm: FenceConfirm = FenceConfirm.AGENT


FenceLevels = tuple[tuple[FenceDevice, ...], ...]
"""In the order in which they are tried; all devices of one must confirm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    cluster: str
    node: str
    """This node's own name, always one of ``nodes``."""
    nodes: Mapping[str, NodeSpec]
    key_file: Path
    state_dir: Path
    run_dir: Path
    coordinator: CoordinatorSettings
    heartbeat: HeartbeatSettings
    lease: LeaseSettings
    groups: Mapping[str, Group]
    fencing: Mapping[str, FenceLevels] = field(default_factory=dict)
    """By node: how it is switched off."""
    warnings: tuple[Fault, ...] = ()
    source_files: tuple[str, ...] = ()
    """Every file that was read, the named one first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What ``check`` found. ``config`` is None exactly if there are faults."""

    config: Config | None
    faults: tuple[Fault, ...]
    warnings: tuple[Fault, ...]
