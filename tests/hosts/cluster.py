"""failoverd and etcd on the hosts of a lab, and a group of components that keep their own records.

::

    with on_hosts(ttl="2s") as cluster:                # hosts a, b and w; the group is online on a or b
        source, target = cluster.owner(), cluster.other()
        cluster.lab.isolate(source.name)
        cluster.wait_online(target)
        assert cluster.moved(source, target).problems == ()
"""

import json
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from failoverd.control.client import NoDaemon, TimedOut, call
from tests.etcd_server import INSTALLED, REASON, EtcdMember, EtcdServers
from tests.hosts.commands import LabFailed, inside
from tests.hosts.host import Host, Running, boottime, environment
from tests.hosts.lab import Lab, missing
from tests.hosts.records import Moved, Records, moved, stints, untouched

GROUP = "trial"
CONFIG = "/etc/failoverd/failoverd.yaml"
RUN_DIR = "/run/failoverd"
POLL_S = 0.01
PATIENCE_S = 30.0
CLIENT_PORT, PEER_PORT = 2379, 2380
HERE = Path(__file__).parent
COMPONENTS = {"disk": (), "store": ("disk",), "site": ("store", "worker")}
"""``exec`` components, and what they depend on."""
PROCESSES = {"worker": ("disk",), "mailer": ()}

_PLAIN = frozenset({"event", "ts", "level", "cluster", "node"})

WHY_NOT = missing() or ("" if INSTALLED else REASON)
needs_cluster = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT or "-")


def until(what: str, true: Callable[[], Any], within_s: float = PATIENCE_S, why: Callable[[], Any] = str) -> Any:
    """What ``true`` returned once it was not false. Raises ``LabFailed``, with what ``why`` says then."""
    deadline = boottime() + within_s
    while not (found := true()):
        if boottime() > deadline:
            raise LabFailed(f"not within {within_s:g}s: {what}\n{why()}")
        time.sleep(POLL_S)
    return found


# --- etcd -------------------------------------------------------------------------------------------------------


@dataclass(kw_only=True)
class HostMember(EtcdMember):
    """A member on a host; it goes with the host's power, and its data stay."""

    host: Host
    server: Running | None = None

    def start(self) -> None:
        self.directory.mkdir(exist_ok=True)
        self.server = self.host.spawn(*self.argv, log=self.host.lab / f"{self.name}.etcd.log")

    def kill(self) -> None:
        if self.server is not None:
            self.server.kill()
        self.server = None

    @property
    def running(self) -> bool:
        return self.server is not None and self.server.alive

    @contextmanager
    def paused(self) -> Iterator[None]:
        assert self.server is not None
        self.server.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.server.signal(signal.SIGCONT)

    def ask(self, path: str, timeout_s: float = 1.0, **body: Any) -> dict[str, Any]:
        with inside(self.host.network.namespace(self.host.name)):
            return super().ask(path, timeout_s, **body)


def etcd_on(hosts: Sequence[Host], options: Sequence[str] = ()) -> EtcdServers:
    """One member on each; not running yet."""
    initial = ",".join(f"{host.name}=http://{host.address()}:{PEER_PORT}" for host in hosts)
    return EtcdServers(
        members=[
            HostMember(
                name=host.name,
                directory=host.disk / "etcd",
                client_url=f"http://{host.address()}:{CLIENT_PORT}",
                peer_url=f"http://{host.address()}:{PEER_PORT}",
                initial=initial,
                options=options,
                host=host,
            )
            for host in hosts
        ]
    )


# --- failoverd --------------------------------------------------------------------------------------------------


@dataclass(kw_only=True)
class Node:
    """A daemon on a host."""

    host: Host
    daemon: Running | None = None

    @property
    def name(self) -> str:
        return self.host.name

    @property
    def log_file(self) -> Path:
        return self.host.lab / f"{self.name}.failoverd.log"

    @property
    def running(self) -> bool:
        return self.daemon is not None and self.daemon.alive

    def configure(self, document: Mapping[str, Any]) -> None:
        self.host.path(CONFIG).write_text(yaml.safe_dump(dict(document), sort_keys=False, width=100))

    def start(self) -> None:
        """Returns at once; ``wait_ready`` says when it has joined."""
        self.daemon = self.host.spawn(sys.executable, "-m", "failoverd", "run", "--config", CONFIG, log=self.log_file)

    def kill(self) -> None:
        """SIGKILL of the daemon alone."""
        assert self.daemon is not None
        self.daemon.kill()

    def ask(self, command: str, *, timeout_s: float = 5.0, **params: Any) -> dict[str, Any]:
        """One command over the control socket. Raises what ``failoverd.control.client.call`` raises, or ``LabFailed``
        where the host is off."""
        return call(self.host.path(RUN_DIR), command, params, timeout_s=timeout_s)

    def status(self) -> dict[str, Any] | None:
        """None while nobody answers."""
        try:
            return self.ask("status", timeout_s=2.0)
        except (NoDaemon, TimedOut, LabFailed):
            return None

    def command(self, *words: str, within_s: float = 30.0) -> subprocess.CompletedProcess[str]:
        """The command line, as an operator types it on that host."""
        argv = [sys.executable, "-m", "failoverd", *words, "--config", CONFIG]
        return self.host.run(*argv, timeout_s=within_s)

    def is_ready(self) -> bool:
        status = self.status()
        return status is not None and bool(status["nodes"][self.name]["ready"])

    def wait_ready(self, within_s: float = PATIENCE_S) -> None:
        until(f"node {self.name} is ready", self.is_ready, within_s, self.log_tail)

    def log(self) -> list[dict[str, Any]]:
        """The events that its daemons have written, oldest first."""
        lines = self.log_file.read_text(errors="replace").splitlines() if self.log_file.exists() else []
        return [json.loads(line) for line in lines if line.startswith("{")]

    def log_tail(self, lines: int = 15) -> str:
        if not self.log_file.exists():
            return "(it wrote no log)"
        return "\n".join(self.log_file.read_text(errors="replace").splitlines()[-lines:])


@dataclass(kw_only=True)
class Cluster:
    lab: Lab
    name: str
    nodes: dict[str, Node]
    etcd: EtcdServers
    records: Records = field(init=False)
    began: float = 0.0
    """Wall clock, of ``forget``."""

    def __post_init__(self) -> None:
        self.records = Records(directory=self.lab.directory)

    def __getitem__(self, name: str) -> Node:
        return self.nodes[name]

    @property
    def members(self) -> list[Node]:
        """Where the group may be."""
        return [self["a"], self["b"]]

    def start(self) -> None:
        for node in self.nodes.values():
            node.start()
        for node in self.nodes.values():
            node.wait_ready()

    # --- where the group is -------------------------------------------------------------------------------------

    def group(self, node: Node) -> dict[str, Any]:
        """As a node shows it; empty while it does not answer."""
        status = node.status()
        return dict(status["groups"].get(GROUP, {})) if status else {}

    def is_online(self, node: Node) -> bool:
        """As that node says itself: the others may be anything."""
        group = self.group(node)
        return bool(group) and group["state"] == "online" and group["owner"] == node.name

    def wait_online(self, node: Node, within_s: float = PATIENCE_S) -> None:
        until(
            f"the group is online on {node.name}",
            lambda: self.is_online(node),
            within_s,
            lambda: f"{self.group(node)}\n{node.log_tail()}",
        )

    def owner(self) -> Node:
        return next(node for node in self.members if self.is_online(node))

    def other(self) -> Node:
        owner = self.owner()
        return next(node for node in self.members if node is not owner)

    def settle(self) -> tuple[Node, Node]:
        """Mend what is broken, and wait until everything is as it should be: (where the group is online, the other
        node). What a test broke is healed, powered on, and started again."""
        self.lab.heal()
        for node in self.nodes.values():
            if not node.host.on:
                self.power_on(node)
            elif not node.running:
                node.start()
        self.etcd.start()
        for node in self.nodes.values():
            node.wait_ready()
        until("the group is online", lambda: any(self.is_online(node) for node in self.members), why=self._shown)
        until("everybody is up", self._all_up, why=self._shown)
        return self.owner(), self.other()

    def _all_up(self) -> bool:
        for node in self.nodes.values():
            status = node.status()
            if not status or any(each["state"] != "up" or each["reason"] for each in status["nodes"].values()):
                return False
        return self.group(self.members[0]).get("holders") == [self.owner().name]

    def _shown(self) -> str:
        shown = {name: node.status() for name, node in self.nodes.items()}
        return "\n".join(f"{name}: {status and (status['nodes'], status['groups'])}" for name, status in shown.items())

    # --- what the components say --------------------------------------------------------------------------------

    def processes(self) -> dict[str, int]:
        """The pid of each ``process`` component where the group is online, as it says itself."""
        found: dict[str, int] = {}

        def heard() -> bool:
            found.update({component: lived[-1][1] for component, lived in stints(self.records.beats()).items()})
            return found.keys() == PROCESSES.keys()

        until("every process beats", heard)
        return found

    def forget(self) -> dict[str, int]:
        """Begin the records anew; returns ``processes()``."""
        self.records.forget()
        self.began = time.time()
        return self.processes()

    def story(self) -> str:
        """What all daemons logged since ``forget``, and what the components wrote down, in order."""
        told = []
        for node in self.nodes.values():
            for event in node.log():
                fields = {name: value for name, value in event.items() if name not in _PLAIN}
                at = datetime.fromisoformat(event["ts"]).timestamp()
                told.append((at, f"{node.name}: {event['event']} {fields}"))
        told += [(one.wall, f"   {one.node}: {one.what} {one.action} {one.component}") for one in self.records.lines()]
        return "\n".join(f"{at - self.began:8.3f}  {text}" for at, text in sorted(told) if at >= self.began)

    def moved(self, source: Node, target: Node) -> Moved:
        until("every process beats there", lambda: self._beat_on(target.name) == PROCESSES.keys())
        return moved(self.records, source.name, target.name, COMPONENTS, PROCESSES)

    def _beat_on(self, node: str) -> set[str]:
        return {beat.component for beat in self.records.beats() if beat.node == node}

    def untouched(self, node: Node, processes: dict[str, int]) -> list[str]:
        return untouched(self.records, node.name, processes)

    def cut_power(self, node: Node) -> float:
        """Of its host; returns when (wall clock, before anything was done)."""
        at = time.time()
        node.host.cut_power()
        self.records.dead(node.name, boottime(), time.time())
        return at

    def power_on(self, node: Node) -> None:
        """The host boots and starts what it starts at boot."""
        node.host.power_on()
        self.etcd.power_on()
        node.start()


def components(directory: Path, seconds: float = 0.02) -> dict[str, Any]:
    """``exec`` and ``process`` components that depend on each other."""
    part = ["/bin/bash", str(HERE / "part.sh"), str(directory)]
    made: dict[str, Any] = {
        name: {
            "type": "exec",
            "online": [*part, "online", f"{seconds:g}"],
            "offline": [*part, "offline", f"{seconds:g}"],
            "monitor": [*part, "monitor", "0"],
            "depends_on": list(needs),
            "expect": {"online": "30ms", "offline": "30ms"},
        }
        for name, needs in COMPONENTS.items()
    }
    beat = ["/bin/bash", str(HERE / "beat.sh"), str(directory)]
    return made | {
        name: {"type": "process", "command": beat, "depends_on": list(needs)} for name, needs in PROCESSES.items()
    }


@contextmanager
def on_hosts(
    *,
    ttl: str = "3s",
    links: int = 1,
    settings: Mapping[str, Any] | None = None,
    group: Mapping[str, Any] | None = None,
) -> Iterator[Cluster]:
    """Hosts a, b and w (a witness) with etcd and failoverd, and a group that is online on a or b. ``settings`` go
    beside ``groups`` in the configuration, ``group`` into its group."""
    with Lab("a", "b", "w", links=links) as lab:
        hosts = list(lab)
        subprocess.run(["mkfifo", str(lab.directory / "pipe")], check=True, timeout=10)
        key = lab.directory / "cluster.key"
        keygen = [sys.executable, "-m", "failoverd", "keygen", str(key)]
        subprocess.run(keygen, check=True, capture_output=True, timeout=30, env=environment())
        cluster = Cluster(
            lab=lab,
            name=f"lab-{secrets.token_hex(4)}",
            nodes={host.name: Node(host=host) for host in hosts},
            etcd=etcd_on(hosts),
        )
        for node in cluster.nodes.values():
            node.configure(
                {
                    "cluster": cluster.name,
                    "nodes": {
                        host.name: {
                            "address": [host.address(link) for link in range(links)],
                            **({"role": "witness"} if host.name == "w" else {}),
                        }
                        for host in hosts
                    },
                    "key_file": str(key),
                    "coordinator": {"type": "etcd", "endpoints": endpoints(cluster, node)},
                    "heartbeat": {"interval": "100ms", "dead_after": "300ms"},
                    "lease": {"ttl": ttl},
                    **(settings or {}),
                    "groups": {
                        GROUP: {
                            "nodes": ["a", "b"],
                            "max_moves": "1000 per 1h",
                            **(group or {}),
                            "components": components(lab.directory),
                        }
                    },
                }
            )
        cluster.etcd.start()
        cluster.start()
        cluster.settle()
        yield cluster


def endpoints(cluster: Cluster, node: Node) -> list[str]:
    """A node's own member first."""
    urls = [member.client_url for member in cluster.etcd.members]
    mine = next(member.client_url for member in cluster.etcd.members if member.name == node.name)
    return [mine, *(url for url in urls if url != mine)]
