"""Real etcd members on loopback for tests and benchmarks, killed with whoever started them.

``needs_etcd`` skips, and says so, where etcd is not installed.
"""

import base64
import json
import os
import shutil
import signal
import ssl
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from failoverd.demo.local import HOST, free_ports

INSTALLED = shutil.which("etcd") is not None
REASON = "etcd is not installed: apt-get install etcd-server"
needs_etcd = pytest.mark.skipif(not INSTALLED, reason=REASON)

HEARTBEAT_MS, ELECTION_MS = 20, 200
"""Fast enough that a test of a lost leader takes no second."""
READY_TIMEOUT_S = 20.0
POLL_S = 0.01


@dataclass(frozen=True, kw_only=True)
class ServerTls:
    """Clients must show a certificate of ``ca``."""

    ca: Path
    cert: Path
    key: Path
    client: ssl.SSLContext
    """For our own questions to it."""


@dataclass(kw_only=True)
class EtcdMember:
    name: str
    directory: Path
    client_url: str
    peer_url: str
    initial: str
    """All members, as ``--initial-cluster`` takes them; the same text is the cluster's token."""
    tls: ServerTls | None = None
    options: Sequence[str] = ()
    process: subprocess.Popen[bytes] | None = None

    @property
    def argv(self) -> list[str]:
        argv = [
            *("etcd", "--name", self.name, "--data-dir", str(self.directory / self.name)),
            *("--listen-client-urls", self.client_url, "--advertise-client-urls", self.client_url),
            *("--listen-peer-urls", self.peer_url, "--initial-advertise-peer-urls", self.peer_url),
            *("--initial-cluster", self.initial, "--initial-cluster-token", self.initial),
            *("--heartbeat-interval", str(HEARTBEAT_MS), "--election-timeout", str(ELECTION_MS)),
            *("--logger", "zap", "--log-outputs", "stderr", *self.options),
        ]
        if self.tls is not None:
            argv += ["--client-cert-auth", "--trusted-ca-file", str(self.tls.ca)]
            argv += ["--cert-file", str(self.tls.cert), "--key-file", str(self.tls.key)]
        return argv

    def start(self) -> None:
        """Returns at once; what it held before, it holds again."""
        # The kernel ends it with the thread that started it, not with the process.
        assert threading.current_thread() is threading.main_thread()
        argv = ["setpriv", "--pdeathsig", "KILL", *self.argv]
        with (self.directory / f"{self.name}.log").open("ab") as log:
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        self.process = None

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @contextmanager
    def paused(self) -> Iterator[None]:
        """SIGSTOP: connections are accepted by the kernel, and nobody answers."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.process.pid, signal.SIGCONT)

    def trust(self) -> ssl.SSLContext | None:
        """For our own questions."""
        return self.tls.client if self.tls is not None else None

    def ask(self, path: str, timeout_s: float = 1.0, **body: Any) -> dict[str, Any]:
        """Raises ``OSError``."""
        # The URL is our own member's.
        request = urllib.request.Request(self.client_url + path, json.dumps(body).encode())  # noqa: S310
        with urllib.request.urlopen(request, timeout=timeout_s, context=self.trust()) as answer:  # noqa: S310
            return dict(json.load(answer))

    def serves(self) -> bool:
        """Whether it answers a linearizable read (or would, were we known to it)."""
        try:
            self.ask("/v3/kv/range", key=base64.b64encode(b"up").decode())
        except urllib.error.HTTPError as error:
            return error.code < 500
        except OSError:
            return False
        return True

    def leads(self) -> bool:
        try:
            status = self.ask("/v3/maintenance/status")
        except OSError:
            return False
        return bool(status.get("leader")) and status["leader"] == status["header"]["member_id"]


@dataclass(kw_only=True)
class EtcdServers:
    members: list[EtcdMember] = field(default_factory=list)

    @property
    def endpoints(self) -> tuple[str, ...]:
        return tuple(member.client_url for member in self.members)

    def wait_serving(self, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Until every running member answers."""
        deadline = time.monotonic() + timeout_s
        waiting = [member for member in self.members if member.running]
        while waiting:
            assert time.monotonic() < deadline, f"{[member.name for member in waiting]} do not answer"
            waiting = [member for member in waiting if not member.serves()]
            if waiting:
                time.sleep(POLL_S)

    def leader(self, timeout_s: float = READY_TIMEOUT_S) -> EtcdMember:
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            for member in self.members:
                if member.running and member.leads():
                    return member
            time.sleep(POLL_S)
        raise AssertionError("no leader")

    def follower(self) -> EtcdMember:
        leader = self.leader()
        return next(member for member in self.members if member.running and member is not leader)

    def make_leader(self, member: EtcdMember, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Leadership goes there, without an election by time."""
        deadline = time.monotonic() + timeout_s
        while (leader := self.leader()) is not member:
            assert time.monotonic() < deadline, f"{member.name} does not become the leader"
            wanted = member.ask("/v3/maintenance/status")["header"]["member_id"]
            with suppress(OSError):
                leader.ask("/v3/maintenance/transfer-leadership", targetID=wanted)
            time.sleep(POLL_S)

    def first(self, member: EtcdMember) -> tuple[str, ...]:
        """The endpoints, beginning with this one."""
        return (member.client_url, *(url for url in self.endpoints if url != member.client_url))

    def compact(self, revision: int) -> None:
        """Forget what was before a revision."""
        self.members[0].ask("/v3/kv/compaction", revision=str(revision))

    def power_on(self) -> None:
        """Whoever does not run; ``wait_serving`` says when they answer."""
        for member in self.members:
            if not member.running:
                member.start()

    def start(self) -> None:
        self.power_on()
        self.wait_serving()

    def kill(self) -> None:
        for member in self.members:
            member.kill()


def made(directory: Path, count: int, *, tls: ServerTls | None = None, options: Sequence[str] = ()) -> EtcdServers:
    """Members that are not running yet."""
    ports = free_ports(2 * count)
    scheme = "http" if tls is None else "https"
    names = [f"m{number}" for number in range(count)]
    peers = [f"http://{HOST}:{port}" for port in ports[count:]]
    initial = ",".join(f"{name}={url}" for name, url in zip(names, peers, strict=True))
    return EtcdServers(
        members=[
            EtcdMember(
                name=name,
                directory=directory,
                client_url=f"{scheme}://{HOST}:{port}",
                peer_url=peer,
                initial=initial,
                tls=tls,
                options=options,
            )
            for name, port, peer in zip(names, ports, peers, strict=False)
        ]
    )


@contextmanager
def serving(
    directory: Path, count: int = 1, *, tls: ServerTls | None = None, options: Sequence[str] = ()
) -> Iterator[EtcdServers]:
    """Members that answer; their data go with ``directory``, which is the caller's."""
    servers = made(directory, count, tls=tls, options=options)
    try:
        servers.start()
        yield servers
    finally:
        servers.kill()
        for member in servers.members:  # 62 MB of log each, preallocated
            shutil.rmtree(directory / member.name, ignore_errors=True)
