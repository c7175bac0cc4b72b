"""The coordinator's settings, by its type."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from failoverd.config.document import EtcdKeys, SqliteKeys, TlsKeys
from failoverd.config.findings import Findings
from failoverd.config.managed import check_times
from failoverd.config.messages import listed, suggest
from failoverd.config.peek import beside
from failoverd.config.settings import CoordinatorSettings, EtcdSettings, ManagedSettings, SqliteSettings, TlsSettings
from failoverd.config.tree import Map, Scalar, locate

TYPES = ("sqlite", "etcd")


def read_coordinator(root: Map, findings: Findings) -> CoordinatorSettings | None:
    tree = root.get("coordinator")
    if not isinstance(tree, Map):
        return None  # missing or no mapping: told already
    written = tree.get("type")
    if written is None:
        findings.fault(tree.mark, "'coordinator' lacks the key 'type'")
        return None
    kind = written.value if isinstance(written, Scalar) else None
    if kind == "sqlite":
        return _sqlite(tree, findings)
    if kind == "etcd":
        return _etcd(tree, findings)
    hint = suggest(str(kind), TYPES)
    findings.fault(written.mark, f"the coordinator's type must be {listed(list(TYPES))}, not '{str(kind)[:40]}'{hint}")
    return None


def _sqlite(tree: Map, findings: Findings) -> SqliteSettings | None:
    keys = findings.validate(SqliteKeys, tree, within="'coordinator'")
    return SqliteSettings(path=beside(tree.value_mark("path"), keys.path)) if keys else None


def _etcd(tree: Map, findings: Findings) -> EtcdSettings | None:
    keys = findings.validate(EtcdKeys, tree, within="'coordinator'")
    if keys is None:
        return None
    return EtcdSettings(
        endpoints=tuple(keys.endpoints or ()),
        managed=_managed(tree, keys, findings) if keys.managed else None,
        tls=_tls(tree, keys.tls) if keys.tls else None,
        username=keys.username,
        password_file=_file(tree, "password_file", keys.password_file),
    )


def _managed(tree: Map, keys: EtcdKeys, findings: Findings) -> ManagedSettings:
    given: dict[str, Any] = {
        "client_port": keys.client_port,
        "peer_port": keys.peer_port,
        "heartbeat_interval_s": keys.heartbeat_interval,
        "election_timeout_s": keys.election_timeout,
        "on_stop": keys.on_stop,
    }
    settings = replace(ManagedSettings(), **{name: value for name, value in given.items() if value is not None})
    check_times(settings, tree.mark, findings)
    return settings


def _tls(tree: Map, keys: TlsKeys) -> TlsSettings:
    tls = tree.get("tls")
    inner = tls if isinstance(tls, Map) else tree
    return TlsSettings(
        ca=_file(inner, "ca", keys.ca), cert=_file(inner, "cert", keys.cert), key=_file(inner, "key", keys.key)
    )


def _file(tree: Map, key: str, written: str | None) -> Path | None:
    return None if written is None else beside(locate(tree, (key,)).mark, written)
