"""Datagrams between daemons: lost, late, doubled, out of order, in one direction only, over several links.

What a transport does with them follows ``failoverd.links.receiver``: one incarnation at a time, no replay, and a
message counts once, whichever link brings it first. Encryption and the wire format are not simulated.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from failoverd.domain.model import NodeSpec
from failoverd.domain.report import PeerState
from failoverd.ports import LinkCounters, Received
from tests.sim.world import World

INBOX_MAX = 256
"""Datagrams that a socket keeps for a daemon that does not read."""


@dataclass(slots=True)
class Conditions:
    """Of the network at present."""

    loss: float = 0.0
    duplicate: float = 0.0
    delay_s: tuple[float, float] = (0.0002, 0.002)
    slow: float = 0.0
    """The share of datagrams that take up to ``slow_s`` instead."""
    slow_s: float = 0.5
    cut: set[tuple[str, str, int]] = field(default_factory=set)
    """(from, to, link): nothing passes."""


@dataclass(frozen=True, slots=True)
class Datagram:
    sender: str
    incarnation: str
    sequence: int
    link: int
    state: PeerState


class Network:
    def __init__(self, world: World, links: int) -> None:
        self._world = world
        self.links = links
        self.conditions = Conditions()
        self.sockets: dict[str, SimTransport] = {}
        self.delivered = 0

    def send(self, sender: str, receivers: list[str], datagram: Callable[[int], Datagram]) -> None:
        now, rng = self.conditions, self._world.random
        for receiver in receivers:
            for link in range(self.links):
                if (sender, receiver, link) in now.cut or (now.loss and rng.random() < now.loss):
                    continue
                made = datagram(link)
                for _ in range(2 if now.duplicate and rng.random() < now.duplicate else 1):
                    slow = now.slow and rng.random() < now.slow
                    delay = rng.uniform(0, now.slow_s) if slow else rng.uniform(*now.delay_s)
                    self._world.after(delay, lambda r=receiver, d=made: self._arrive(r, d))  # type: ignore[misc]

    def _arrive(self, receiver: str, datagram: Datagram) -> None:
        socket = self.sockets.get(receiver)
        if socket is not None:
            self.delivered += 1
            socket.arrive(datagram)


@dataclass(slots=True)
class _Stream:
    newest: int = 0
    state: PeerState | None = None
    superseded: bool = False
    on_link: dict[int, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Peer:
    present: str | None = None
    expected: str | None = None
    quiet_since: float = 0.0
    streams: dict[str, _Stream] = field(default_factory=dict)


class SimTransport:
    """``ports.Transport`` of one daemon."""

    def __init__(
        self,
        network: Network,
        node: str,
        *,
        peers: list[str],
        incarnation: str,
        now: Callable[[], float],
        patience_s: float,
    ) -> None:
        self._network, self._node, self._peer_names = network, node, peers
        self.incarnation, self._now, self._patience_s = incarnation, now, patience_s
        self._loop = asyncio.get_running_loop()
        self._sequence = 0
        self._peers: dict[str, _Peer] = {}
        self._inbox: deque[Datagram] = deque(maxlen=INBOX_MAX)
        self._woken = False
        self._empty_at = now()
        self._deliver: Callable[[Received], None] | None = None
        self.counters = LinkCounters()
        self.dead = False

    # --- the port -----------------------------------------------------------------------------------------------

    def send(self, state: PeerState) -> None:
        if self.dead:
            return
        self._sequence += 1
        sequence, incarnation = self._sequence, self.incarnation
        self._network.send(
            self._node, self._peer_names, lambda link: Datagram(self._node, incarnation, sequence, link, state)
        )

    async def run(self, deliver: Callable[[Received], None]) -> None:
        self._deliver = deliver
        self._read()
        await self._loop.create_future()

    def expect(self, peer: str, incarnation: str) -> None:
        known = self._peers.setdefault(peer, _Peer())
        if known.expected == incarnation:
            return
        known.expected = incarnation
        for name, stream in known.streams.items():
            stream.superseded = name != incarnation
        if known.present != incarnation:
            known.present, known.quiet_since = incarnation, self._now()

    def reincarnate(self, incarnation: str) -> None:
        self.incarnation = incarnation

    def reconfigure(self, nodes: Mapping[str, NodeSpec]) -> None:
        del nodes

    def drain_drops(self) -> dict[str, int]:
        return {}

    # --- the socket ---------------------------------------------------------------------------------------------

    def arrive(self, datagram: Datagram) -> None:
        self._inbox.append(datagram)
        if not self._woken:
            self._woken = True
            self._loop.call_soon(self._read)

    def _read(self) -> None:
        self._woken = False
        if self._deliver is None:
            return
        while self._inbox:
            received = self._admit(self._inbox.popleft())
            if received is not None:
                self._deliver(received)
        self._empty_at = self._now()

    def _admit(self, datagram: Datagram) -> Received | None:
        at = self._now()
        peer = self._peers.setdefault(datagram.sender, _Peer())
        stream = peer.streams.get(datagram.incarnation)
        if not self._admits(peer, datagram.incarnation, stream, at):
            return None
        stream = stream or _Stream()
        if datagram.sequence <= stream.on_link.get(datagram.link, 0):
            return None  # replayed, or late
        stream.on_link[datagram.link] = datagram.sequence
        if datagram.incarnation != peer.present:
            former = peer.streams.get(peer.present or "")
            if former is not None:
                former.superseded = peer.present != peer.expected
            peer.present = datagram.incarnation
        peer.streams[datagram.incarnation] = stream
        peer.quiet_since = at
        fresh = datagram.sequence > stream.newest
        if fresh:
            stream.newest, stream.state = datagram.sequence, datagram.state
        if stream.state is None:
            return None
        return Received(
            peer=datagram.sender,
            incarnation=datagram.incarnation,
            link=datagram.link,
            at=at,
            state=stream.state,
            fresh=fresh,
            arrived_after=self._empty_at,
        )

    def _admits(self, peer: _Peer, incarnation: str, stream: _Stream | None, at: float) -> bool:
        if peer.present is None or incarnation in {peer.present, peer.expected}:
            return True
        if stream is not None and stream.superseded:
            return False
        return at - peer.quiet_since > self._patience_s
