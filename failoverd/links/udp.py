"""Heartbeats over UDP: ``ports.Transport`` over one socket for each link.

Link i of a cluster is made of every node's i-th address; what goes out over link i goes from our i-th address to the
peers' i-th. Peers are known from the configuration alone: no address is learned from the network. A host name is
looked up in a thread, again and again, so that a peer whose name cannot be resolved yet delays nothing.
"""

import asyncio
import errno
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import anyio
import anyio.lowlevel
import anyio.to_thread

from failoverd.bell import Bell
from failoverd.domain.model import NodeSpec
from failoverd.domain.report import PeerState
from failoverd.errors import StartupError
from failoverd.links.receiver import Receiver
from failoverd.links.sockets import SockAddr, lookup, numeric, open_socket
from failoverd.ports import Clock, LinkCounters, Received
from failoverd.wire import DATAGRAM_BYTES_MAX, Drop, Sealer, Shed, encode

BATCH = 8
"""Datagrams read before the rest of the daemon gets its turn: some milliseconds at the most."""
LOOKUP_EVERY_S = 30.0
LOOKUP_TIMEOUT_S = 5.0
LOOKUPS_MAX = 2
"""Threads: a look-up that is given up goes on in its thread for as long as the resolver likes."""
UNRESOLVED = "unsent_unresolved"

Address = tuple[str, int]


@dataclass(slots=True)
class _Link:
    index: int
    address: Address
    socket: socket.socket
    emptied_at: float
    """When the socket was last seen empty."""
    targets: dict[Address, SockAddr | None] = field(default_factory=dict)
    """Each peer's address on this link, and what it resolves to (None: a name not looked up yet)."""


class UdpTransport:
    """Binds at once. Raises ``StartupError`` where an own address cannot be had, ``ValueError`` where the incarnation
    is too short to be unique (128 random bits)."""

    def __init__(
        self,
        *,
        cluster: str,
        node: str,
        incarnation: str,
        key: bytes,
        nodes: Mapping[str, NodeSpec],
        clock: Clock,
        switch_after_s: float = 3.0,
    ) -> None:
        """``switch_after_s``: so long must a peer's present incarnation be silent before another one is listened to
        that the coordinator has not named (see ``Receiver``)."""
        self._node = node
        self._clock = clock
        self._make_sealer = partial(Sealer, key, cluster=cluster, sender=node)
        self._sealer = self._make_sealer(incarnation=incarnation)
        self._incarnations = [incarnation]
        """All that we have been; the last is what we are."""
        self._receiver = Receiver(cluster=cluster, node=node, key=key, switch_after_s=switch_after_s)
        self._links: list[_Link] = []
        self._replaced: list[socket.socket] = []
        self._changed = anyio.Event()
        self._lookups = anyio.CapacityLimiter(LOOKUPS_MAX)
        self._counters = LinkCounters()
        self._drained: dict[str, int] = {}
        self.reconfigure(nodes)

    @property
    def counters(self) -> LinkCounters:
        return self._counters

    def drain_drops(self) -> dict[str, int]:
        """What was dropped since the last call, by reason: for a report now and then."""
        dropped = self._counters.dropped
        news = {reason: count - self._drained.get(reason, 0) for reason, count in dropped.items()}
        self._drained = dict(dropped)
        return {reason: count for reason, count in news.items() if count}

    def expect(self, peer: str, incarnation: str) -> None:
        """The coordinator names this as the peer's incarnation: no other is listened to while this one speaks."""
        self._receiver.expect(peer, incarnation, self._clock.now())

    def reincarnate(self, incarnation: str) -> None:
        """Speak as this incarnation of ourselves from now on. Raises ``ValueError`` for one that we have been before
        (its sequence numbers, and so its nonces, are used up) or that is too short to be unique."""
        if incarnation == self._incarnations[-1]:
            return
        if incarnation in self._incarnations:
            raise ValueError(f"incarnation {incarnation} is over: speaking as it again would use its nonces twice")
        self._sealer = self._make_sealer(incarnation=incarnation)
        self._incarnations.append(incarnation)

    # --- configuration ------------------------------------------------------------------------------------------

    def reconfigure(self, nodes: Mapping[str, NodeSpec]) -> None:
        """Take over other peers and addresses; links that stay keep their sockets. Raises ``StartupError`` where a new
        own address cannot be had: then nothing has changed."""
        if self._node not in nodes:
            raise StartupError(f"node {self._node} is not among the nodes of the cluster: {', '.join(sorted(nodes))}")
        old = {link.address: link for link in self._links}
        self._links = self._bind(nodes[self._node].addresses, old)
        kept = {link.address for link in self._links}
        self._replaced += [link.socket for link in old.values() if link.address not in kept]
        for link in self._links:
            link.targets = self._targets(link, nodes, old.get(link.address))
        self._receiver.configure(nodes)
        self._changed.set()

    def _bind(self, addresses: tuple[Address, ...], old: Mapping[Address, _Link]) -> list[_Link]:
        opened: list[socket.socket] = []
        links: list[_Link] = []
        try:
            for index, address in enumerate(addresses):
                former = old.get(address)
                emptied_at = former.emptied_at if former else self._clock.now()
                made = former.socket if former else open_socket(*address)
                if former is None:
                    opened.append(made)
                links.append(_Link(index, address, made, emptied_at))
        except StartupError:
            for made in opened:
                made.close()
            raise
        return links

    def _targets(
        self, link: _Link, nodes: Mapping[str, NodeSpec], former: _Link | None
    ) -> dict[Address, SockAddr | None]:
        known = former.targets if former else {}
        targets: dict[Address, SockAddr | None] = {}
        for name, node in nodes.items():
            if name != self._node and link.index < len(node.addresses):
                address = node.addresses[link.index]
                targets[address] = numeric(*address, link.socket.family) or known.get(address)
        return targets

    def close(self) -> None:
        """Give the addresses back. ``run`` must have ended; sending does nothing from now on."""
        for link in self._links:
            link.socket.close()
        self._links = []
        self._close_replaced()

    def _close_replaced(self) -> None:
        for former in self._replaced:
            former.close()
        self._replaced = []

    # --- sending ------------------------------------------------------------------------------------------------

    def send(self, state: PeerState) -> None:
        """To every peer over every link, at once; never blocks, never raises for a network's fault."""
        body, shed = encode(state)
        if shed is not Shed.NOTHING:
            self._count(shed)
        for link, datagram in zip(self._links, self._sealer.seal(body, len(self._links)), strict=True):
            for target in link.targets.values():
                self._send(link.socket, datagram, target)

    def _send(self, out: socket.socket, datagram: bytes, target: SockAddr | None) -> None:
        if target is None:
            self._count(UNRESOLVED)
            return
        try:
            out.sendto(datagram, target)
        except OSError as error:
            # A full buffer, no route, a firewall: as good as lost on the way, and the next heartbeat says it again.
            self._count(f"unsent_{errno.errorcode.get(error.errno or 0, 'unknown').lower()}")
        else:
            self._counters.sent += 1

    def _count(self, reason: str) -> None:
        self._counters.dropped[reason] = self._counters.dropped.get(reason, 0) + 1

    # --- receiving ----------------------------------------------------------------------------------------------

    async def run(self, deliver: Callable[[Received], None]) -> None:
        """Receive until cancelled. ``deliver`` is called in the event loop for each authentic datagram of a peer's
        present incarnation that was not seen before; what it raises comes out of here."""
        while True:
            self._changed = anyio.Event()
            async with anyio.create_task_group() as tasks:
                for link in self._links:
                    tasks.start_soon(self._receive, link, deliver)
                tasks.start_soon(self._keep_looking_up)
                await self._changed.wait()
                tasks.cancel_scope.cancel()
            self._close_replaced()

    async def _receive(self, link: _Link, deliver: Callable[[Received], None]) -> None:
        """One reader for as long as the link is there: to register it anew for each datagram would cost two calls of
        the kernel more than to read the datagram."""
        loop, readable = asyncio.get_running_loop(), Bell()
        loop.add_reader(link.socket, readable.ring)
        try:
            while True:
                seen = readable.count
                self._read_batch(link, deliver)
                await anyio.lowlevel.checkpoint()
                await readable.beyond(seen)
        finally:
            loop.remove_reader(link.socket)

    def _read_batch(self, link: _Link, deliver: Callable[[Received], None]) -> None:
        for _ in range(BATCH):
            at = self._clock.now()
            try:
                data = link.socket.recv(DATAGRAM_BYTES_MAX + 1)
            except BlockingIOError:
                link.emptied_at = at
                return
            except OSError as error:
                self._count(f"unreceived_{errno.errorcode.get(error.errno or 0, 'unknown').lower()}")
                return
            outcome = self._receiver.receive(data, link=link.index, at=at, arrived_after=link.emptied_at)
            if isinstance(outcome, Drop):
                self._count(outcome)
            else:
                self._counters.received += 1
                deliver(outcome)

    # --- names --------------------------------------------------------------------------------------------------

    async def _keep_looking_up(self) -> None:
        """Look up host names now and every ``LOOKUP_EVERY_S``: they may move, and may not be known yet."""
        while True:
            for link in self._links:
                for host, port in list(link.targets):
                    if numeric(host, port, link.socket.family) is None:
                        await self._look_up(link, host, port)
            await self._clock.sleep_until(self._clock.now() + LOOKUP_EVERY_S)

    async def _look_up(self, link: _Link, host: str, port: int) -> None:
        call = partial(lookup, host, port, link.socket.family)
        with anyio.move_on_after(LOOKUP_TIMEOUT_S):
            try:
                _, found = await anyio.to_thread.run_sync(call, abandon_on_cancel=True, limiter=self._lookups)
            except OSError:
                return  # what was known stays; where nothing was, each send counts it
            link.targets[host, port] = found
