"""Clusters whose etcd members failoverd runs itself: real daemons and real etcd on 127.0.0.1, 127.0.0.2 …"""

import os
import secrets
import shutil
import signal
import ssl
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import yaml

from failoverd.coordinators.etcd.managed.asking import Asker, Unanswered
from failoverd.coordinators.etcd.managed.messages import Cluster
from failoverd.demo.local import LocalCluster, LocalNode, free_ports

WITNESS = "w"
PATIENCE_S = 120.0


class ManagedCluster(LocalCluster):
    """Nodes of whom the last is a witness where it is called ``w``."""

    @property
    def state(self) -> dict[str, Any]:
        """The etcd part of some node's status."""
        for node in self.nodes.values():
            status = node.status() if node.running else None
            if status is not None:
                return dict(status["etcd"])
        return {}

    def states(self) -> dict[str, str]:
        return {name: member["state"] for name, member in self.state.get("members", {}).items()}

    def leader(self) -> LocalNode:
        found: LocalNode = until(lambda: self.nodes.get(str(self.state.get("leader"))), what="a leader")
        return found

    def wait_members(self, *names: str) -> None:
        """Until exactly these vote, one of them leads and all are well."""

        def so() -> bool:
            states = self.states()
            return set(states) == set(names) and sorted(states.values()) == sorted(
                ["leader", *["follower"] * (len(names) - 1)]
            )

        deadline = time.monotonic() + PATIENCE_S
        while not so():
            if time.monotonic() >= deadline:
                logs = "".join(f"\n{name}:\n{node.log_tail(8)}" for name, node in self.nodes.items())
                raise AssertionError(f"the members are not {names} within {PATIENCE_S:g}s but {self.state}{logs}")
            time.sleep(0.05)

    def url(self, node: str, port: str) -> str:
        document = config_of(self[node])
        host = str(document["nodes"][node]["address"]).partition(":")[0]
        return f"https://{host}:{document['coordinator'][port]}"

    def context(self, node: str) -> ssl.SSLContext:
        directory = self[node].run_dir / "etcd"
        context = ssl.create_default_context(cafile=str(directory / "ca.pem"))
        context.load_cert_chain(directory / "member.pem")
        return context

    def members(self, node: str) -> Cluster:
        """The cluster as etcd on that node has it."""

        async def ask() -> Cluster:
            asker = Asker(self.context(node))
            try:
                return await asker.members(self.url(node, "client_port"))
            finally:
                await asker.aclose()

        def once() -> Cluster | None:
            try:
                return anyio.run(ask)
            except Unanswered:
                return None

        found: Cluster = until(once, what=f"an answer of the member on {node}")
        return found

    def etcd(self, node: str) -> int:
        """The member's process there; 0 where none runs."""
        for pid in self[node].pids():
            if "--config-file" in argv(pid) and argv(pid)[0].endswith("etcd"):
                return pid
        return 0

    def kill_etcd(self, node: str) -> int:
        """SIGKILL; which process it was."""
        pid = int(until(lambda: self.etcd(node), what=f"a member on {node}"))
        os.kill(pid, signal.SIGKILL)
        return pid


def argv(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return [""]


def config_of(node: LocalNode) -> dict[str, Any]:
    return dict(yaml.safe_load(node.config_file.read_text()))


def until(true: Callable[[], Any], within_s: float = PATIENCE_S, what: str = "it") -> Any:
    deadline = time.monotonic() + within_s
    while not (found := true()):
        assert time.monotonic() < deadline, f"{what} was not so within {within_s:g}s"
        time.sleep(0.05)
    return found


def nodes_of(names: tuple[str, ...], port: int) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for number, name in enumerate(names, 1):
        found[name] = {"address": f"127.0.0.{number}:{port}"}
        if name == WITNESS:
            found[name]["role"] = "witness"
    return found


@contextmanager
def managed(
    groups: Callable[[Path], Mapping[str, Any]],
    names: tuple[str, ...] = ("a", "b", WITNESS),
    *,
    start: bool = True,
    **settings: Any,
) -> Iterator[ManagedCluster]:
    """Everything is ended and removed afterwards."""
    root = Path(tempfile.mkdtemp(prefix="failoverd-managed-"))
    cluster = ManagedCluster(root=root, name=f"test-{secrets.token_hex(4)}")
    heartbeat, client, peer = free_ports(3)
    etcd = {"type": "etcd", "managed": True, "client_port": client, "peer_port": peer}
    coordinator = {**etcd, **settings.pop("coordinator", {})}
    try:
        cluster.configure(
            names,
            {"nodes": nodes_of(names, heartbeat), "coordinator": coordinator, **settings, "groups": dict(groups(root))},
        )
        if start:
            cluster.start(timeout_s=PATIENCE_S)
            cluster.wait_members(*names)
        yield cluster
    finally:
        cluster.end()
        shutil.rmtree(root, ignore_errors=True)
