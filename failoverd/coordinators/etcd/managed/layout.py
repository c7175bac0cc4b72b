"""Names, ports and paths of the members, and the configuration file of this node's. Pure."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from failoverd.config.machine import canonical
from failoverd.config.settings import Config, ManagedSettings
from failoverd.domain.voters import voters

QUOTA_BYTES = 256 << 20
"""A cluster's records are some kilobytes; with their history between compactions, a few megabytes."""
COMPACT_EVERY = "10m"
SNAPSHOT_COUNT = 10_000
"""Entries between two snapshots, held in memory; a tenth of the default, which is for larger stores."""

FIRST_START = ("initial-cluster", "initial-cluster-state")
"""Settings that count when a member is started, and not while it runs."""


class Start(Enum):
    """``initial-cluster-state`` of a member without data."""

    NEW = "new"
    EXISTING = "existing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    cluster: str
    node: str
    hosts: Mapping[str, str]
    """The first address of each voter, in the order of the configuration."""
    settings: ManagedSettings
    directory: Path
    """Below the state_dir: survives everything."""
    run_dir: Path
    """Below the run_dir: certificates and the configuration file, made anew by every daemon."""

    @classmethod
    def of(cls, config: Config, settings: ManagedSettings) -> "Layout":
        return cls(
            cluster=config.cluster,
            node=config.node,
            hosts={name: config.nodes[name].addresses[0][0] for name in voters(config.nodes)},
            settings=settings,
            directory=config.state_dir / "etcd",
            run_dir=config.run_dir / "etcd",
        )

    @property
    def votes(self) -> bool:
        return self.node in self.hosts

    @property
    def others(self) -> tuple[str, ...]:
        return tuple(name for name in self.hosts if name != self.node)

    def client_url(self, node: str) -> str:
        return url(self.hosts[node], self.settings.client_port)

    def peer_url(self, node: str) -> str:
        return url(self.hosts[node], self.settings.peer_port)

    @property
    def initial(self) -> dict[str, str]:
        """The members of a new cluster and their peer URLs."""
        return {name: self.peer_url(name) for name in self.hosts}

    @property
    def endpoints(self) -> tuple[str, ...]:
        """Where this node's coordinator client asks: its own member first."""
        own = (self.client_url(self.node),) if self.votes else ()
        return own + tuple(self.client_url(name) for name in self.others)

    @property
    def data_dir(self) -> Path:
        return self.directory / "data"

    @property
    def log_file(self) -> Path:
        return self.directory / "etcd.log"

    @property
    def force_file(self) -> Path:
        """An operator's word that the other members are lost for good: go on alone with the data that is here."""
        return self.directory / "force-new-cluster"

    @property
    def config_file(self) -> Path:
        return self.run_dir / "etcd.json"

    @property
    def ca_file(self) -> Path:
        return self.run_dir / "ca.pem"

    @property
    def pem_file(self) -> Path:
        """Certificate and private key in one file, so that both change at once."""
        return self.run_dir / "member.pem"


def url(host: str, port: int) -> str:
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


def member_config(layout: Layout, *, listen: str, initial: Mapping[str, str], start: Start) -> dict[str, Any]:
    """The configuration file of etcd (YAML, of which JSON is a part). ``listen``: this node's first address, numeric.

    With a file given, etcd takes neither flags nor its environment, and the gateway is off unless asked for.
    """
    settings = layout.settings
    tls = {
        "cert-file": str(layout.pem_file),
        "key-file": str(layout.pem_file),
        "trusted-ca-file": str(layout.ca_file),
        "client-cert-auth": True,
    }
    loopback = [] if is_loopback(listen) else [url("127.0.0.1", settings.client_port)]
    return {
        "name": layout.node,
        "data-dir": str(layout.data_dir),
        "listen-peer-urls": url(listen, settings.peer_port),
        "listen-client-urls": ",".join([url(listen, settings.client_port), *loopback]),
        "initial-advertise-peer-urls": layout.peer_url(layout.node),
        "advertise-client-urls": layout.client_url(layout.node),
        "initial-cluster": ",".join(f"{name}={peer}" for name, peer in initial.items()),
        "initial-cluster-token": f"failoverd/{layout.cluster}",
        "initial-cluster-state": start.value,
        "client-transport-security": tls,
        "peer-transport-security": tls,
        # A peer is known by its certificate; its packets may come from another address of its machine.
        "PeerTLSInfo": {"SkipClientSANVerify": True},
        "heartbeat-interval": max(1, round(settings.heartbeat_interval_s * 1000)),
        "election-timeout": round(settings.election_timeout_s * 1000),
        # A member that was cut off does not disturb the leader of the others when it is back.
        "pre-vote": True,
        "strict-reconfig-check": True,
        "quota-backend-bytes": QUOTA_BYTES,
        "auto-compaction-mode": "periodic",
        "auto-compaction-retention": COMPACT_EVERY,
        "snapshot-count": SNAPSHOT_COUNT,
        "enable-grpc-gateway": True,
        "logger": "zap",
        "log-outputs": ["stderr"],
        "log-level": "info",
    }


def is_loopback(address: str) -> bool:
    numeric = canonical(address)
    return numeric is not None and (numeric == "::1" or numeric.startswith("127."))


def fingerprint(document: Mapping[str, Any]) -> str:
    """Tells whether a member that runs was started as it would be now; what counts only at its very first start does
    not matter."""
    lasting = {key: value for key, value in document.items() if key not in FIRST_START}
    return hashlib.sha256(json.dumps(lasting, sort_keys=True).encode()).hexdigest()[:16]
