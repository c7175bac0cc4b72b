"""failoverd and etcd on the hosts of a lab, and a group of components that keep their own records.

::

    with on_hosts(ttl="2s") as cluster:                # hosts a, b and w; the group is online on a or b
        source, target = cluster.owner(), cluster.other()
        cluster.lab.isolate(source.name)
        cluster.wait_online(target)
        assert cluster.moved(source, target).problems == ()
"""

import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from failoverd.control.client import NoDaemon, TimedOut, call
from tests.etcd_server import INSTALLED, REASON, EtcdServers
from tests.events import read_events
from tests.hosts.commands import LabFailed
from tests.hosts.etcd import ManagedServers, etcd_on, managed_on
from tests.hosts.host import PATIENCE_S, Host, Running, boottime, environment, until
from tests.hosts.lab import Lab, missing
from tests.hosts.power import AGENT, PowerSwitch
from tests.hosts.records import Moved, Records, moved, stints, untouched

GROUP = "trial"
CONFIG = "/etc/failoverd/failoverd.yaml"
RUN_DIR = "/run/failoverd"
HERE = Path(__file__).parent
COMPONENTS = {"disk": (), "store": ("disk",), "site": ("store", "worker")}
"""``exec`` components, and what they depend on."""
PROCESSES = {"worker": ("disk",), "mailer": ()}

_PLAIN = frozenset({"event", "ts", "level", "cluster", "node"})

WHY_NOT = missing() or ("" if INSTALLED else REASON)
needs_cluster = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT or "-")


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
        return read_events(self.log_file)

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
    group_name: str = GROUP
    at_boot: Callable[[Host], None] = lambda _host: None
    """What a host needs beside failoverd, each time that it has been powered on."""
    switch: PowerSwitch | None = None
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
        """Everything, from nothing."""
        if not isinstance(self.etcd, ManagedServers):
            self.etcd.power_on()
        for node in self.nodes.values():
            node.start()
        self.etcd.start()
        for node in self.nodes.values():
            node.wait_ready()

    # --- where the group is -------------------------------------------------------------------------------------

    def group(self, node: Node) -> dict[str, Any]:
        """As a node shows it; empty while it does not answer."""
        status = node.status()
        return dict(status["groups"].get(self.group_name, {})) if status else {}

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
        self.dead(node.name)
        return at

    def dead(self, name: str) -> None:
        """Put on record that nothing runs on a host any more."""
        self.records.dead(name, boottime(), time.time())

    def power_on(self, node: Node) -> None:
        """The host boots and starts what it starts at boot."""
        node.host.power_on()
        self.at_boot(node.host)
        if not isinstance(self.etcd, ManagedServers):
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


def nodes_of(lab: Lab) -> dict[str, Any]:
    """As the configuration has them; w is a witness."""
    return {
        host.name: {
            "address": [host.address(link) for link in range(lab.network.links)],
            **({"role": "witness"} if host.name == "w" else {}),
        }
        for host in lab
    }


def endpoints(etcd: EtcdServers, node: str) -> list[str]:
    """A node's own member first."""
    return [member.client_url for member in sorted(etcd.members, key=lambda member: member.name != node)]


@contextmanager
def on_hosts(
    *,
    ttl: str = "3s",
    links: int = 1,
    managed: bool = True,
    fencing: bool = False,
    settings: Mapping[str, Any] | None = None,
    group: Mapping[str, Any] | None = None,
) -> Iterator[Cluster]:
    """Hosts a, b and w (a witness) with etcd and failoverd, and a group that is online on a or b.

    ``managed``: failoverd runs the etcd members itself; else they are an existing cluster of ours. ``fencing``: a and b
    can cut each other's power, by ``Cluster.switch``. ``settings`` go beside ``groups`` in the configuration, ``group``
    into its group.
    """
    with ExitStack() as stack:
        lab = stack.enter_context(Lab("a", "b", "w", links=links))
        subprocess.run(["mkfifo", str(lab.directory / "pipe")], check=True, timeout=10)
        key = lab.directory / "cluster.key"
        make_key(key)
        cluster = Cluster(
            lab=lab,
            name=f"lab-{secrets.token_hex(4)}",
            nodes={host.name: Node(host=host) for host in lab},
            etcd=managed_on(list(lab)) if managed else etcd_on(list(lab)),
        )
        if fencing:
            cluster.switch = stack.enter_context(PowerSwitch(lab=lab, on_off=cluster.dead))
        own_group = {"nodes": ["a", "b"], "max_moves": "1000 per 1h", **(group or {})}
        for node in cluster.nodes.values():
            own = {"managed": True} if managed else {"endpoints": endpoints(cluster.etcd, node.name)}
            node.configure(
                {
                    "cluster": cluster.name,
                    "nodes": nodes_of(lab),
                    "key_file": str(key),
                    "coordinator": {"type": "etcd", **own},
                    "heartbeat": {"interval": "100ms", "dead_after": "300ms"},
                    "lease": {"ttl": ttl},
                    **({"fencing": fenced_by_switch(lab)} if fencing else {}),
                    **(settings or {}),
                    "groups": {GROUP: {**own_group, "components": components(lab.directory)}},
                }
            )
        begin(cluster)
        yield cluster


def make_key(key: Path) -> None:
    keygen = [sys.executable, "-m", "failoverd", "keygen", str(key)]
    subprocess.run(keygen, check=True, capture_output=True, timeout=30, env=environment())


def fenced_by_switch(lab: Lab) -> dict[str, Any]:
    """As the configuration has it: a and b can cut each other's power."""
    device = {"agent": str(AGENT), "params": {"directory": str(lab.directory / "power")}}
    return {name: [device] for name in ("a", "b")}


def begin(cluster: Cluster) -> None:
    """Until the group is online. Raises ``LabFailed``, with the logs."""
    try:
        cluster.start()
        cluster.settle()
    except (LabFailed, AssertionError) as error:
        tails = (f"{node.name}:\n{node.log_tail(40)}" for node in cluster.nodes.values())
        raise LabFailed("\n".join([f"the cluster does not begin: {error}", *tails])) from error
