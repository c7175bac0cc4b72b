"""The network between a lab's hosts: a switch in a namespace of its own, with one bridge for each link.

Host number n (from 1) has 10.L.0.n/24 on link L, as ``ethL``. Its port of the switch is called ``NAME-L``. What is cut
is dropped in the switch, silently, as a broken switch does it; an unplugged port takes the carrier away too.
"""

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.hosts.commands import ip, run, within
from tests.hosts.leftovers import remove_namespace

NAME_MAX = 10
"""Of a host's name: a network interface's has up to 15 characters (IFNAMSIZ), and ``-L`` follows."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Frames that the switch drops. None: any; ``source`` or ``target`` must be given."""

    source: str | None = None
    target: str | None = None
    link: int | None = None
    port: int | None = None
    """The destination port, of UDP and TCP alike."""
    percent: int = 100

    def written(self) -> str:
        """For nft(8)."""
        words = []
        for which, name in (("iifname", self.source), ("oifname", self.target)):
            if name is not None:
                words.append(f'{which} "{name}-{"*" if self.link is None else self.link}"')
        if self.port is not None:
            words.append(f"meta l4proto {{ tcp, udp }} th dport {self.port}")
        if self.percent < 100:
            words.append(f"numgen random mod 100 < {self.percent}")
        return " ".join([*words, "drop"])


@dataclass(kw_only=True)
class Network:
    prefix: str
    hosts: tuple[str, ...]
    links: int = 1
    rules: set[Rule] = field(default_factory=set)
    unplugged: set[tuple[str, int]] = field(default_factory=set)
    _lock: threading.RLock = field(default_factory=threading.RLock)
    """A power switch works in a thread of its own."""

    @property
    def switch(self) -> str:
        return f"{self.prefix}.switch"

    def namespace(self, host: str) -> str:
        return f"{self.prefix}.{host}"

    def address(self, host: str, link: int = 0) -> str:
        return f"10.{link}.0.{self.hosts.index(host) + 1}"

    def start(self) -> None:
        run(["ip", "netns", "add", self.switch])
        lines = ["link set lo up"]
        for link in range(self.links):
            lines += [f"link add br{link} type bridge forward_delay 0 mcast_snooping 0", f"link set br{link} up"]
        ip(self.switch, *lines)

    def end(self) -> None:
        """For any state that it may be in."""
        for name in (*(self.namespace(host) for host in self.hosts), self.switch):
            remove_namespace(name)

    # --- cables -------------------------------------------------------------------------------------------------

    def connect(self, host: str) -> None:
        """A namespace for a host that is being powered on, with its cables. The hardware addresses are always the same,
        as those of real machines are."""
        namespace, number = self.namespace(host), self.hosts.index(host) + 1
        run(["ip", "netns", "add", namespace])
        ip(
            self.switch,
            *(
                f"link add {host}-{link} type veth peer name eth{link} address 02:00:00:00:{link:02x}:{number:02x} "
                f"netns {namespace}"
                for link in range(self.links)
            ),
            *(f"link set {host}-{link} master br{link}" for link in range(self.links)),
            *(
                f"link set {host}-{link} {'down' if (host, link) in self.unplugged else 'up'}"
                for link in range(self.links)
            ),
        )
        lines = ["link set lo up"]
        for link in range(self.links):
            lines += [f"addr add {self.address(host, link)}/24 dev eth{link}", f"link set eth{link} up"]
        ip(namespace, *lines)

    def disconnect(self, host: str) -> None:
        """Nothing comes from that host from now on, whatever its kernel still sends."""
        ip(self.switch, *(f"link set {host}-{link} down" for link in range(self.links)))

    def remove(self, host: str) -> None:
        """A host that is off: its namespace with all that the kernel still held for it."""
        ip(self.switch, *(f"link del {host}-{link}" for link in range(self.links)))
        remove_namespace(self.namespace(host))

    def plug(self, host: str, link: int, *, on: bool) -> None:
        with self._lock:
            (self.unplugged.discard if on else self.unplugged.add)((host, link))
            ip(self.switch, f"link set {host}-{link} {'up' if on else 'down'}")

    # --- what is dropped ----------------------------------------------------------------------------------------

    def drop(self, rules: Iterable[Rule]) -> None:
        with self._lock:
            self.rules |= set(rules)
            self._apply()

    def pass_on(self, rules: Iterable[Rule]) -> None:
        """No longer drop."""
        with self._lock:
            self.rules -= set(rules)
            self._apply()

    def pass_everything(self) -> None:
        with self._lock:
            self.rules.clear()
            self._apply()

    def _apply(self) -> None:
        """All rules at once, in one transaction."""
        lines = [
            "table bridge lab",
            "delete table bridge lab",
            "table bridge lab {",
            "  chain forward {",
            "    type filter hook forward priority 0;",
            *(f"    {rule.written()}" for rule in sorted(self.rules, key=repr)),
            "  }",
            "}",
        ]
        run(within(self.switch, "nft", "-f", "-"), text="\n".join(lines) + "\n")
