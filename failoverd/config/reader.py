"""``check`` and ``load``: from a path to a ``Config``, or to everything that is wrong with it.

Neither has a side effect. They read files and parse for some milliseconds per hundred components without yielding: in
an event loop, call them in a thread.
"""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from failoverd.config.coordinator import read_coordinator
from failoverd.config.document import HeartbeatKeys, LeaseKeys, TopKeys, WatchdogKeys
from failoverd.config.examination import Examination, examine
from failoverd.config.fault import ConfigError, Mark
from failoverd.config.fencing import Inspect, read_fencing
from failoverd.config.findings import Findings
from failoverd.config.groups import Context, Groups, read_groups
from failoverd.config.machine import Machine, ThisMachine
from failoverd.config.managed import check_members, warn_of_program
from failoverd.config.nodes import check_on_this_machine, check_unique, read_nodes, this_node
from failoverd.config.peek import DEFAULT_KEY_FILE, DEFAULT_RUN_DIR, DEFAULT_STATE_DIR, beside
from failoverd.config.settings import (
    Config,
    CoordinatorSettings,
    HeartbeatSettings,
    Report,
    SqliteSettings,
)
from failoverd.config.source import Source, read
from failoverd.config.tree import Map, Scalar, is_null, mappings
from failoverd.domain.failsafe import failsafe_faults, needed_s
from failoverd.domain.lease import LeaseSettings, WatchdogSettings, heartbeat_faults
from failoverd.domain.model import NodeSpec
from failoverd.domain.voters import voters
from failoverd.ports import AgentType

_MAPPINGS = ("nodes", "coordinator", "heartbeat", "lease", "fencing", "groups")
_REQUIRED = ("cluster", "nodes", "coordinator")
_SOCKET = "control.sock"
_SOCKET_PATH_MAX = 107
"""Bytes of the path of a socket (unix(7): sun_path, less its final NUL)."""


def load(
    path: str | os.PathLike[str],
    agent_types: Mapping[str, AgentType],
    *,
    node: str | None = None,
    machine: Machine | None = None,
) -> Config:
    """The configuration. ``node`` overrides the file's. Raises ``ConfigError`` with every fault of every file."""
    report = check(path, agent_types, node=node, machine=machine)
    if report.config is None:
        raise ConfigError(report.faults)
    return report.config


def check(
    path: str | os.PathLike[str],
    agent_types: Mapping[str, AgentType],
    *,
    node: str | None = None,
    machine: Machine | None = None,
    closely: bool = False,
    inspect: Inspect | None = None,
) -> Report:
    """Read, and report all faults and warnings. ``machine``: to judge addresses by, this one unless given.
    ``closely``: where nothing else is wrong, also ask the agents that can tell more, for up to a minute.
    ``inspect`` asks the fence agents what parameters they have; without it that is not judged."""
    source = read(path)
    findings = Findings(source.faults, incomplete=source.incomplete)
    config = None
    if source.root.entries or not source.incomplete:
        whole = _Check(source, agent_types, machine or ThisMachine(), findings, inspect)
        config = whole.config(node)
        if closely and not findings.faults:
            examine(whole.examinations, findings)
    if findings.faults:
        config = None
    return Report(config=config, faults=findings.faults, warnings=findings.warnings)


class _Check:
    def __init__(
        self,
        source: Source,
        agent_types: Mapping[str, AgentType],
        machine: Machine,
        findings: Findings,
        inspect: Inspect | None,
    ) -> None:
        self.source = source
        self.root = source.root
        self.agent_types = agent_types
        self.machine = machine
        self.findings = findings
        self.examinations: list[Examination] = []
        self.inspect = inspect

    def config(self, node: str | None) -> Config | None:
        """Every part is checked, whatever is wrong with the others."""
        self._shape()
        top = self.findings.validate(TopKeys, self.root.without(_MAPPINGS), known={*_MAPPINGS, "include"})
        name = self._this_node(node)
        coordinator = read_coordinator(self.root, self.findings)
        nodes = self._nodes(coordinator, name)
        heartbeat = self._heartbeat()
        lease = self._lease(heartbeat)
        fencing = read_fencing(self.root, self.findings, here=name, inspect=self.inspect)
        groups = self._groups(name, nodes, lease)
        self.examinations = groups.examinations
        run_dir = self._run_dir()
        if top is None or name is None or coordinator is None or heartbeat is None or lease is None:
            return None
        return Config(
            cluster=top.cluster,
            node=name,
            nodes=nodes,
            key_file=self._key_file(),
            state_dir=self._path("state_dir", DEFAULT_STATE_DIR),
            run_dir=run_dir,
            coordinator=coordinator,
            heartbeat=heartbeat,
            lease=lease,
            groups=groups.groups,
            fencing=fencing,
            warnings=self.findings.warnings,
            source_files=tuple(self.source.files),
        )

    def _shape(self) -> None:
        for key in _REQUIRED:
            if key not in self.root.entries:
                self.findings.lacking(self.root.mark, f"the configuration lacks the key '{key}'")
        for key in _MAPPINGS:
            value = self.root.get(key)
            optional = key in ("groups", "fencing")
            if value is not None and not (optional and is_null(value)):
                self.findings.mapping(key, value)
        cluster = self.root.get("cluster")
        if isinstance(cluster, Scalar) and isinstance(cluster.value, str):
            self.findings.name("cluster", cluster.value, cluster.mark)

    def _part(self, key: str) -> Map | None:
        value = self.root.get(key)
        if value is None:
            return Map(self.root.mark)
        return value if isinstance(value, Map) else None

    def _this_node(self, wanted: str | None) -> str | None:
        nodes = self.root.get("nodes")
        mark = self.root.key_mark("nodes")
        written = self.root.get("node")
        if wanted is None and written is not None and not is_null(written):
            if not isinstance(written, Scalar) or not isinstance(written.value, str):
                return None  # told already
            wanted, mark = written.value, written.mark
        if not isinstance(nodes, Map):
            return wanted
        return this_node(wanted, mark, nodes, self.machine, self.findings)

    def _nodes(self, coordinator: CoordinatorSettings | None, me: str | None) -> dict[str, NodeSpec]:
        nodes, links = read_nodes(self.root.get("nodes"), self.findings)
        check_unique(links, self.machine, self.findings)
        if isinstance(coordinator, SqliteSettings):
            check_on_this_machine(links, self.machine, self.findings)
        elif coordinator is not None and coordinator.managed is not None and nodes:
            mark = self.root.value_mark("coordinator")
            check_members(
                coordinator.managed, mark, nodes=nodes, links=links, machine=self.machine, findings=self.findings
            )
            if me in voters(nodes):
                warn_of_program(self.machine, mark, self.findings)
        return nodes

    def _heartbeat(self) -> HeartbeatSettings | None:
        part = self._part("heartbeat")
        keys = self.findings.validate(HeartbeatKeys, part) if part else None
        if keys is None:
            return None
        for message in heartbeat_faults(keys.interval, keys.dead_after):
            self.findings.fault(self.root.key_mark("heartbeat"), message)
        return HeartbeatSettings(interval_s=keys.interval, dead_after_s=keys.dead_after)

    def _lease(self, heartbeat: HeartbeatSettings | None) -> LeaseSettings | None:
        part = self._part("lease")
        keys = self.findings.validate(LeaseKeys, part) if part else None
        if part is None or keys is None:
            return None
        settings = LeaseSettings.of(
            ttl_s=keys.ttl,
            renew_s=keys.renew,
            request_timeout_s=keys.request_timeout,
            self_stop_s=keys.self_stop,
            action=keys.action,
            failsafe_s=keys.failsafe,
        )
        for message in settings.faults():
            self.findings.fault(self.root.key_mark("lease"), message)
        if heartbeat is not None:
            settings = self._failsafe(settings, heartbeat, given=keys.failsafe is not None)
        if keys.watchdog is not None:
            settings = self._watchdog(settings, keys.watchdog, part.value_mark("watchdog"))
        return settings

    def _failsafe(self, lease: LeaseSettings, heartbeat: HeartbeatSettings, *, given: bool) -> LeaseSettings:
        """Where it is not given, it is made to fit, or switched off with a warning where the lease leaves no time."""
        pace = {"interval_s": heartbeat.interval_s, "dead_after_s": heartbeat.dead_after_s}
        if not given:
            lease = replace(lease, failsafe_s=max(lease.failsafe_s, needed_s(lease, **pace)))
        found = failsafe_faults(lease, **pace)
        for message in found:
            if given:
                self.findings.fault(self.root.key_mark("lease"), message)
            else:
                self.findings.warn(self.root.key_mark("lease"), f"failsafe is switched off: {message}")
        return lease if given or not found else replace(lease, failsafe_s=0.0)

    def _watchdog(self, lease: LeaseSettings, keys: str | WatchdogKeys, mark: Mark) -> LeaseSettings:
        keys = WatchdogKeys(device=keys) if isinstance(keys, str) else keys
        timeout_s = lease.watchdog_timeout_s() if keys.timeout is None else int(keys.timeout)
        if keys.timeout is not None and keys.timeout != timeout_s:
            self.findings.fault(mark, f"watchdog.timeout must be whole seconds, it is {keys.timeout:g}s")
        lease = replace(lease, watchdog=WatchdogSettings(device=keys.device, timeout_s=timeout_s, always=keys.always))
        for message in lease.watchdog_faults():
            self.findings.fault(mark, message)
        if (warning := lease.watchdog_warning()) and not lease.watchdog_faults():
            self.findings.warn(mark, warning)
        if not Path(keys.device).exists():
            self.findings.warn(mark, f"the watchdog {keys.device} does not exist: nothing comes online without it")
        return lease

    def _groups(self, node: str | None, nodes: Mapping[str, NodeSpec], lease: LeaseSettings | None) -> Groups:
        context = Context(
            agent_types=self.agent_types,
            node=node,
            node_names=[name for name, _ in mappings(self.root.get("nodes"))],
            nodes=nodes,
            self_stop_s=lease.self_stop_s if lease else None,
            fenced=frozenset(name for name, _ in mappings(self.root.get("fencing"))),
        )
        return read_groups(self.root.get("groups"), context, self.findings)

    def _path(self, key: str, default: Path) -> Path:
        value = self.root.get(key)
        return (
            beside(value.mark, value.value) if isinstance(value, Scalar) and isinstance(value.value, str) else default
        )

    def _key_file(self) -> Path:
        path = self._path("key_file", DEFAULT_KEY_FILE)
        if not path.exists():
            mark = self.root.value_mark("key_file")
            self.findings.warn(mark, f"the key file {path} does not exist: 'failoverd keygen {path}' makes one")
        return path

    def _run_dir(self) -> Path:
        path = self._path("run_dir", DEFAULT_RUN_DIR)
        length = len(os.fsencode(path / _SOCKET))
        if length > _SOCKET_PATH_MAX:
            self.findings.fault(
                self.root.value_mark("run_dir"),
                f"the control socket's path in it would have {length} bytes: at most {_SOCKET_PATH_MAX} are possible",
            )
        return path
