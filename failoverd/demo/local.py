"""Whole nodes on this machine, for demonstrations and trials: daemons with a directory each, their power, their end.

What belongs to a node is known by its environment: the daemon and its helpers carry ``FAILOVERD_TRIAL``, agents and
components the cluster's (unique) and the node's names, which failoverd gives every command. So a power cut can end
all of a node and nothing else, and nothing is left behind.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from socket import AF_INET, SOCK_DGRAM, SOCK_STREAM, socket
from typing import Any

import yaml

from failoverd import procfs
from failoverd.agents.process.place import groups_of
from failoverd.control.client import NoDaemon, OnUpdate, TimedOut, call
from failoverd.kernel import cgroups

HOST = "127.0.0.1"
MARK = "FAILOVERD_TRIAL"
POLL_S = 0.02
SWEEPS_MAX = 100
FIRST_PORT = 10_000
PORTS_TRIED_MAX = 2_000


class TrialFailed(Exception):  # noqa: N818 (its own name)
    """Something that was to happen did not; the text says what."""


def free_ports(count: int) -> list[int]:
    """Ports that nobody has, for TCP and UDP, and outside the range that outgoing connections take theirs from: a
    client that retries a port in that range connects to itself sooner or later (RFC 9293, section 3.5)."""
    low = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    found: list[int] = []
    for port in random.sample(range(FIRST_PORT, low), PORTS_TRIED_MAX):
        if len(found) == count:
            break
        if all(_is_free(port, kind) for kind in (SOCK_STREAM, SOCK_DGRAM)):
            found.append(port)
    if len(found) < count:
        raise TrialFailed(f"no {count} free ports on {HOST}")
    return found


def _is_free(port: int, kind: int) -> bool:
    with socket(AF_INET, kind) as probe, suppress(OSError):
        probe.bind((HOST, port))
        return True
    return False


@dataclass(kw_only=True)
class LocalNode:
    name: str
    cluster: str
    root: Path
    """The cluster's directory."""
    process: subprocess.Popen[bytes] | None = None

    @property
    def directory(self) -> Path:
        return self.root / self.name

    @property
    def volatile(self) -> Path:
        """What the machine loses with its power."""
        return self.directory / "volatile"

    @property
    def run_dir(self) -> Path:
        return self.volatile / "run"

    @property
    def config_file(self) -> Path:
        return self.directory / "failoverd.yaml"

    @property
    def log_file(self) -> Path:
        return self.directory / "failoverd.log"

    @property
    def environment(self) -> dict[str, str]:
        outside = {name: value for name, value in os.environ.items() if not name.startswith("FAILOVERD_")}
        return {**outside, MARK: f"{self.root}:{self.name}"}

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        """Power on. Returns at once; ``wait_ready`` says when it has joined."""
        self.volatile.mkdir(parents=True, exist_ok=True)
        argv = [sys.executable, "-m", "failoverd", "run", "--config", str(self.config_file)]
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603 (our own daemon)
                argv, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def ask(self, command: str, *, timeout_s: float = 5.0, on_update: OnUpdate | None = None, **params: Any) -> Any:
        """One command over the control socket. Raises what ``failoverd.control.client.call`` raises."""
        return call(self.run_dir, command, params, timeout_s=timeout_s, on_update=on_update)

    def status(self) -> dict[str, Any] | None:
        """The status document, or None while nobody answers."""
        try:
            return dict(self.ask("status"))
        except (NoDaemon, TimedOut):
            return None

    def wait_ready(self, timeout_s: float = 10.0) -> dict[str, Any]:
        """Until it has probed everything and joined. Raises ``TrialFailed``, with the end of its log."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            status = self.status()
            if status and status["nodes"][self.name].get("ready"):
                return status
            if not self.running:
                break
            time.sleep(POLL_S)
        what = "did not become ready" if self.running else "ended"
        raise TrialFailed(f"node {self.name} {what}:\n{self.log_tail()}")

    def log_tail(self, lines: int = 15) -> str:
        if not self.log_file.exists():
            return "(it wrote no log)"
        return "\n".join(self.log_file.read_text(errors="replace").splitlines()[-lines:])

    def terminate(self, timeout_s: float = 20.0) -> int:
        """An orderly stop of the daemon (SIGTERM); returns its exit status. Raises ``TrialFailed``."""
        if self.process is None:
            raise TrialFailed(f"node {self.name} was not started")
        self.process.terminate()
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired as error:
            raise TrialFailed(f"node {self.name} did not stop within {timeout_s:g}s:\n{self.log_tail()}") from error

    def kill_daemon(self) -> None:
        """SIGKILL of the daemon alone."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def cut_power(self) -> float:
        """SIGKILL of everything on the node at once, and its memory is lost; returns when (CLOCK_MONOTONIC)."""
        pids = list(self.pids())
        at = time.monotonic()
        if self.process is not None:
            self.process.kill()
        for _ in range(SWEEPS_MAX):
            for pid in pids:
                kill(pid, self.marks)
            if self.process is not None:
                self.process.poll()
            pids = list(self.pids())
            if not pids:
                break
            time.sleep(POLL_S / 4)
        else:
            raise TrialFailed(f"processes of node {self.name} cannot be killed: {pids}")
        if self.process is not None:
            self.process.wait()
        for group in map(str, groups_of(self.cluster, self.name, self.run_dir)):
            for _ in range(SWEEPS_MAX):
                cgroups.kill(group)  # whoever has cleared its environment
                if cgroups.remove(group):
                    break
                time.sleep(POLL_S / 4)
        shutil.rmtree(self.volatile, ignore_errors=True)
        return at

    @property
    def marks(self) -> tuple[frozenset[bytes], ...]:
        """Sets of environment entries: a process that has all of one set belongs to this node."""
        return (
            frozenset({f"{MARK}={self.root}:{self.name}".encode()}),
            frozenset({f"FAILOVERD_CLUSTER={self.cluster}".encode(), f"FAILOVERD_NODE={self.name}".encode()}),
        )

    def pids(self) -> Iterator[int]:
        """Every process of this node that is alive."""
        return (pid for pid in procfs.pids() if belongs(pid, self.marks))


def belongs(pid: int, marks: tuple[frozenset[bytes], ...]) -> bool:
    """False too for a process that is gone, is a zombie, or is not ours to look at."""
    environment = frozenset(procfs.environ(pid).split(b"\0"))
    return any(mark <= environment for mark in marks)


def kill(pid: int, marks: tuple[frozenset[bytes], ...]) -> None:
    """SIGKILL, if the process still is what it was: held by a pidfd, so that a number used anew hits nobody."""
    with suppress(ProcessLookupError):
        descriptor = os.pidfd_open(pid)
        try:
            if belongs(pid, marks):
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        finally:
            os.close(descriptor)


@dataclass(kw_only=True)
class LocalCluster:
    """Nodes on loopback with a common sqlite coordinator and a generated key, in a directory of their own."""

    root: Path
    name: str
    nodes: dict[str, LocalNode] = field(default_factory=dict)

    def __getitem__(self, node: str) -> LocalNode:
        return self.nodes[node]

    def configure(self, names: tuple[str, ...], settings: Mapping[str, Any]) -> None:
        """Write a configuration for each node. ``settings``: groups, lease, heartbeat and what else is wanted."""
        self.root.mkdir(parents=True, exist_ok=True)
        key = self.root / "cluster.key"
        if not key.exists():
            keygen = [sys.executable, "-m", "failoverd", "keygen", str(key)]
            subprocess.run(keygen, check=True, capture_output=True, timeout=30)  # noqa: S603 (our own command)
        ports = dict(zip(names, free_ports(len(names)), strict=True))
        for name in names:
            node = LocalNode(name=name, cluster=self.name, root=self.root)
            node.volatile.mkdir(parents=True, exist_ok=True)
            document = {
                "cluster": self.name,
                "node": name,
                "nodes": {other: {"address": f"{HOST}:{port}"} for other, port in ports.items()},
                "key_file": str(key),
                "state_dir": str(node.directory / "state"),
                "run_dir": str(node.run_dir),
                "coordinator": {"type": "sqlite", "path": str(self.root / "coordinator.sqlite")},
                **settings,
            }
            node.config_file.write_text(yaml.safe_dump(document, sort_keys=False, width=100), encoding="utf-8")
            self.nodes[name] = node

    def start(self, timeout_s: float = 15.0) -> None:
        for node in self.nodes.values():
            node.start()
        for node in self.nodes.values():
            node.wait_ready(timeout_s)

    def wait_group(self, group: str, *, state: str, owner: str | None, timeout_s: float) -> dict[str, Any]:
        """Until every running node shows a group in one state with one owner (None: whichever). Raises
        ``TrialFailed``."""
        deadline = time.monotonic() + timeout_s
        seen: list[Any] = []
        while time.monotonic() < deadline:
            shown = [node.status() for node in self.nodes.values() if node.running]
            groups = [status["groups"][group] for status in shown if status]
            seen = [(entry["state"], entry["owner"], entry.get("reason", "")) for entry in groups]
            agreed = {(entry["state"], entry["owner"]) for entry in groups}
            if len(agreed) == 1 and agreed <= {(state, name) for name in (self.nodes if owner is None else [owner])}:
                return dict(groups[0])
            time.sleep(POLL_S)
        raise TrialFailed(
            f"group {group} was not {state} on {owner or 'any node'} within {timeout_s:g}s; the nodes say {seen}"
        )

    def end(self) -> None:
        """End everything that belongs to the cluster, by force; for any state that it may be in."""
        for node in self.nodes.values():
            node.cut_power()
