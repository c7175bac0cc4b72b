"""An example configuration of ``configs/`` on the hosts of a lab: what is in the file runs, but for the devices.

The lab's hosts have the very addresses of the examples. What is put in place of the examples' own is the disk (an image
that both hosts reach) and the fence device (the lab's power switch); the configuration files of the servers are copied
to where the example says that they are.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from tests.hosts.cluster import Cluster, Node, begin, fenced_by_switch, make_key
from tests.hosts.commands import LabFailed
from tests.hosts.etcd import managed_on
from tests.hosts.host import Host, Running, until
from tests.hosts.lab import Lab
from tests.hosts.power import PowerSwitch
from tests.hosts.records import never_two
from tests.stacks.ledger import Ledger

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / "configs"
CLIENT = (sys.executable, "-m", "tests.stacks.client")
IMPORTS = {"PYTHONPATH": str(ROOT)}
KEY = "/etc/failoverd/cluster.key"
WITNESS = "w"
PREPARE_TIMEOUT_S = 120.0


@dataclass(frozen=True, kw_only=True)
class Example:
    """What a test knows of an example beside its files."""

    name: str
    """Of its directory in ``configs/``."""
    programs: tuple[str, ...] = ()
    """Without which it cannot be run."""
    files: Mapping[str, str] = field(default_factory=dict)
    """On each node: where each file of that directory belongs."""
    fill: str = ""
    """A shell script that fills the disk before the first start: it is mounted on ``$1``."""
    boot: str = ""
    """A shell script for each host, each time that it has booted: what systemd-tmpfiles does, for one."""
    client: tuple[str, str]
    """Kind and address of ``tests.stacks.client``."""
    group: str = ""
    """The group that moves, where there are several."""
    keeps: bool = True
    """What is written to it is there afterwards."""
    disk_mib: int = 512

    @property
    def directory(self) -> Path:
        return CONFIGS / self.name

    def document(self) -> dict[str, Any]:
        return dict(yaml.safe_load((self.directory / "failoverd.yaml").read_text()))


@dataclass(kw_only=True)
class Stack:
    example: Example
    cluster: Cluster
    client: Running | None = None
    offset: int = 0
    """Of the ledger, at ``forget``."""

    @property
    def ledger(self) -> Ledger:
        """What the client wrote down."""
        return Ledger(self.cluster.lab.directory / "ledger")

    def start_client(self, kind: str | None = None) -> None:
        """On the witness, whose power nobody cuts. Its numbers go on where they were."""
        host = self.cluster.lab[WITNESS]
        own_kind, address = self.example.client
        argv = [*CLIENT, kind or own_kind, address, str(self.ledger.path)]
        self.client = host.spawn(*argv, log=self.cluster.lab.directory / "client.log", env=IMPORTS)
        self.wait_answers()

    def restart_client(self, kind: str | None = None) -> None:
        """Of another kind, or again of the example's."""
        assert self.client is not None
        self.client.kill()
        self.start_client(kind)

    def wait_answers(self, node: Node | None = None) -> None:
        """Until the client is answered anew, by ``node``."""
        offset = self.ledger.size()
        until(
            "the client is answered",
            lambda: any(node is None or one.node == node.name for one in self.ledger.answered(offset)),
            why=self.ledger.tail,
        )

    def content(self) -> list[tuple[int, str, str]]:
        """All that the server has now, read by the witness: (number, value, node)."""
        done = self.cluster.lab[WITNESS].run(*CLIENT, "--content", *self.example.client, env=IMPORTS)
        if done.returncode:
            raise LabFailed(f"the content cannot be read: {done.stderr}")
        rows = (line.split(" ") for line in done.stdout.splitlines())
        return [(int(number), value, node) for number, value, node in rows]

    def story(self) -> str:
        return f"{self.cluster.story()}\n{self.ledger.tail()}"

    def forget(self) -> None:
        """Begin the records anew."""
        self.cluster.records.forget()
        self.cluster.began = time.time()
        self.offset = self.ledger.size()

    def judged(self, *nodes: Node) -> list[str]:
        """What is wrong with what was written down, of the server by the client, of the disk by the programs that mount
        it. ``nodes``: where everything was since ``forget``, one after another."""
        names = [node.name for node in nodes]
        acknowledged = list(self.ledger.acknowledged())
        problems = self.ledger.judge(acknowledged, self.content()) if self.example.keeps else []
        if (servers := self.ledger.servers(self.offset)) != names:
            problems.append(f"answered by {servers}, not by {names}")
        return problems + never_two(self.cluster.records.lines(), online_on=names[0]) + self.mounted_twice()

    def logged(self, node: Node, event: str, component: str | None = None) -> dict[str, Any]:
        """The last such event of a node since ``forget``; waited for."""
        return dict(until(f"{event} on {node.name}", lambda: self._last(node, event, component), why=node.log_tail))

    def _last(self, node: Node, event: str, component: str | None) -> dict[str, Any] | None:
        told = [one for one in node.log() if one["event"] == event and component in (None, one.get("component"))]
        since = [one for one in told if wall(one) >= self.cluster.began]
        return since[-1] if since else None

    def at(self, node: Node, event: str, component: str) -> float:
        """When that was, by the clock that all hosts share."""
        return wall(self.logged(node, event, component))

    def mounted_twice(self) -> list[str]:
        """As the kernel has it now: how many hosts have the disk mounted."""
        there = [node.name for node in self.cluster.members if node.host.on and self._has_disk(node.host)]
        return [f"the disk is mounted on {there}"] if len(there) != 1 and self.disks() else []

    def disks(self) -> list[str]:
        """Directories of the example's ``mount`` components."""
        groups = self.example.document()["groups"].values()
        parts = [part for group in groups for part in group["components"].values()]
        return [part["directory"] for part in parts if part["type"] == "mount"]

    def _has_disk(self, host: Host) -> bool:
        table = host.sh("cat /proc/self/mountinfo")
        return any(f" {directory} " in table for directory in self.disks())


def wall(event: Mapping[str, Any]) -> float:
    return datetime.fromisoformat(event["ts"]).timestamp()


@contextmanager
def on_stack(example: Example, change: Callable[[dict[str, Any]], None] = lambda _document: None) -> Iterator[Stack]:
    """Hosts a, b and w with the example, online on a or b, and a client that has been answered. ``change``: of the
    configuration, beyond its devices."""
    with ExitStack() as stack:
        lab = stack.enter_context(Lab("a", "b", WITNESS, links=2))
        document = example.document()
        group_name = example.group or next(iter(document["groups"]))
        cluster = Cluster(
            lab=lab,
            name=document["cluster"],
            nodes={host.name: Node(host=host) for host in lab},
            etcd=managed_on(list(lab)),
            group_name=group_name,
            at_boot=lambda host: _at_boot(host, example),
        )
        if "fencing" in document:
            cluster.switch = stack.enter_context(PowerSwitch(lab=lab, on_off=cluster.dead))
            document["fencing"] = fenced_by_switch(lab)
        _prepare_disk(example, document["groups"][group_name], lab)
        document["groups"][group_name]["max_moves"] = "1000 per 1h"
        change(document)
        make_key(lab.directory / "cluster.key")
        for node in cluster.nodes.values():
            for name, path in {"cluster.key": KEY, **example.files}.items():
                there = lab.directory / name if name == "cluster.key" else example.directory / name
                node.host.sh(f"install -D -m 700 {there} {path}")
            _at_boot(node.host, example)
            node.configure({**document, "node": node.name})
        begin(cluster)
        made = Stack(example=example, cluster=cluster)
        made.start_client()
        yield made


def _prepare_disk(example: Example, group: dict[str, Any], lab: Lab) -> None:
    """Make the image, fill it as an administrator does before the first start, and name it as the device."""
    image = lab.san / f"{lab.network.prefix}.img"
    for component in group["components"].values():
        if component["type"] == "mount":
            component["device"] = f"/srv/san/{image.name}"
            with image.open("wb") as file:
                file.truncate(example.disk_mib << 20)
            script = f'mkfs.ext4 -q -F {image}; mount -o loop {image} "$1"; {example.fill}\numount "$1"'
            # In a mount table of its own: whatever becomes of it, nothing stays mounted.
            argv = ["unshare", "--mount", "/bin/sh", "-euc", script, "fill", "/mnt"]
            done = subprocess.run(argv, capture_output=True, text=True, timeout=PREPARE_TIMEOUT_S, check=False)
            assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"


# The programs that mount and unmount, on hosts: the first thing that the one does is to write its line, the last thing
# that the other does is to write its own. As part.sh, so that the same checker judges them.
_RECORDED = """#!/bin/bash
directory={directory}
line() {{
    read -r up _ </proc/uptime
    echo "$up $EPOCHREALTIME $1 $HOSTNAME $2 disk 0" >>"$directory/records"
}}
case "{program} $*" in
mount*/srv/san/*)
    line begin online
    "$directory/mount.real" "$@"
    status=$?
    line end online
    ;;
umount*)
    "$directory/umount.real" "$@"
    status=$?
    [[ $status == 0 ]] && line end offline
    ;;
*)
    exec "$directory/{program}.real" "$@"
    ;;
esac
exit $status
"""


def _at_boot(host: Host, example: Example) -> None:
    directory = host.lab
    for program in ("mount", "umount"):
        script, real = directory / f"{program}.recorded", directory / f"{program}.real"
        if not real.exists():
            subprocess.run(["cp", "-p", f"/usr/bin/{program}", str(real)], check=True, timeout=10)
            script.write_text(_RECORDED.format(directory=directory, program=program))
            script.chmod(0o755)
    host.sh(
        f"{directory}/mount.real --bind {directory}/mount.recorded /usr/bin/mount;"
        f"{directory}/mount.real --bind {directory}/umount.recorded /usr/bin/umount;"
        f"{example.boot}"
    )
