"""What this machine is: its name and addresses, as far as they can be told without asking the network."""

import ipaddress
import shutil
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

_HOSTS = Path("/etc/hosts")
_HOSTS_BYTES_MAX = 1 << 20


class Machine(Protocol):
    @property
    def hostname(self) -> str: ...

    def resolve(self, host: str) -> str | None:
        """The numeric address (canonical) of a numeric or well-known host; None where only DNS could tell."""

    def is_here(self, host: str) -> bool:
        """Whether datagrams to ``host`` reach this machine, as far as can be known without DNS."""

    def finds(self, program: str) -> bool:
        """Whether a program is installed, on PATH."""


@dataclass(frozen=True, slots=True)
class ThisMachine:
    """The machine that the program runs on."""

    hostname: str = field(default_factory=socket.gethostname)
    hosts: Mapping[str, str] = field(default_factory=lambda: read_hosts(_HOSTS))

    def resolve(self, host: str) -> str | None:
        numeric = canonical(host)
        if numeric is not None:
            return numeric
        name = host.lower().rstrip(".")
        return "127.0.0.1" if name == "localhost" else self.hosts.get(name)

    def is_here(self, host: str) -> bool:
        address = self.resolve(host)
        if address is not None:
            return _is_local(address)
        return host.lower() in {self.hostname.lower(), self.hostname.lower().partition(".")[0]}

    def finds(self, program: str) -> bool:
        return shutil.which(program) is not None


def canonical(host: str) -> str | None:
    """A numeric address in its one canonical form; None where it is a name."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return None


def read_hosts(path: Path) -> dict[str, str]:
    """Names and their first numeric address (hosts(5)); empty where the file cannot be read."""
    found: dict[str, str] = {}
    try:
        with path.open(encoding="utf-8", errors="replace") as stream:
            lines = stream.read(_HOSTS_BYTES_MAX).splitlines()
    except OSError:
        return {}
    for line in lines:
        address, *names = line.partition("#")[0].split() or [""]
        numeric = canonical(address)
        for name in names if numeric else ():
            found.setdefault(name.lower(), str(numeric))
    return found


def _is_local(address: str) -> bool:
    """A local destination is the only one for which the kernel chooses the destination itself as the source
    (ip(7), connect on a datagram socket sends nothing). Unlike a bind it is not fooled by ip_nonlocal_bind."""
    if ipaddress.ip_address(address).is_loopback:
        return True
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((address, 9))  # any port will do
            return canonical(str(probe.getsockname()[0])) == address
    except OSError:
        return False
