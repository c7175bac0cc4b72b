"""etcd on the hosts of a lab: members of our own, or those that failoverd runs; both are broken in the same ways."""

import signal
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.etcd_server import READY_TIMEOUT_S, EtcdMember, EtcdServers
from tests.hosts.commands import LabFailed, inside
from tests.hosts.host import Host, Running, until

CLIENT_PORT, PEER_PORT = 2379, 2380
MANAGED_PORT = 7801
"""Where the members that failoverd runs serve clients, unless told otherwise."""
TLS_FILES = "/run/failoverd/etcd"
"""Of those: ``ca.pem``, and ``member.pem`` with certificate and key."""


@dataclass(kw_only=True)
class HostMember(EtcdMember):
    """A member on a host; it goes with the host's power, and its data stay."""

    host: Host
    server: Running | None = None

    def start(self) -> None:
        self.directory.mkdir(exist_ok=True)
        self.server = self.host.spawn(*self.argv, log=self.host.lab / f"{self.name}.etcd.log")

    def kill(self) -> None:
        """It stays down until it is started."""
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
        try:
            with inside(self.host.network.namespace(self.host.name)):
                return super().ask(path, timeout_s, **body)
        except LabFailed as error:
            raise OSError(f"host {self.host.name} is off") from error


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


# --- members that failoverd runs ------------------------------------------------------------------------------------


@dataclass(kw_only=True)
class ManagedMember(HostMember):
    """Found and killed; started by its node's daemon, which is kept from it while the member is to be down."""

    def find(self) -> Running | None:
        if not self.host.on:
            return None
        for pid in self.host.pids():
            with suppress(OSError):
                if Path(f"/proc/{pid}/comm").read_text() == "etcd\n":
                    return self.host.held(pid)
        return None

    @property
    def running(self) -> bool:
        self.server = self.find()
        return self.server is not None

    def start(self) -> None:
        """Let the daemon do so."""
        if self.host.on:
            self.host.sh('etcd=$(command -v etcd); while umount "$etcd" 2>/dev/null; do :; done')

    def kill(self) -> None:
        self.host.sh('mount --bind /bin/false "$(command -v etcd)"')
        until(f"no etcd runs on {self.name}", self._killed)

    def _killed(self) -> bool:
        if self.running:
            super().kill()
            return False
        return True

    def trust(self) -> ssl.SSLContext:
        """Raises ``OSError`` where its files are not there."""
        files = self.host.path(TLS_FILES)
        context = ssl.create_default_context(cafile=str(files / "ca.pem"))
        context.load_cert_chain(str(files / "member.pem"))
        return context


@dataclass(kw_only=True)
class ManagedServers(EtcdServers):
    members: list[EtcdMember] = field(default_factory=list)

    def start(self) -> None:
        """Those whose daemon runs; until all serve."""
        self.power_on()
        until("every member of etcd runs", lambda: all(member.running for member in self.members), READY_TIMEOUT_S)
        self.wait_serving()

    def power_on(self) -> None:
        for member in self.members:
            member.start()


def managed_on(hosts: Sequence[Host]) -> EtcdServers:
    """Those that the daemons of these hosts will run."""
    return ManagedServers(
        members=[
            ManagedMember(
                name=host.name,
                directory=host.disk,
                client_url=f"https://{host.address()}:{MANAGED_PORT}",
                peer_url="",
                initial="",
                host=host,
            )
            for host in hosts
        ]
    )
