"""Datagrams between daemons: lost, late, doubled, out of order, in one direction only, over several links.

What a transport does with them follows ``failoverd.links.receiver``: one incarnation at a time, no replay, and a
message counts once, whichever link brings it first. Encryption and the wire format are not simulated.
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from failoverd.domain.model import NodeSpec
from failoverd.domain.report import PeerState
from failoverd.ports import LinkCounters, Received
from tests.sim.loop import SimLoop
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


class Datagram(NamedTuple):
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
        self.sent = 0

    def send(self, receivers: list[str], datagram: Datagram) -> None:
        now, world = self.conditions, self._world
        chance, (soonest, latest) = world.random.random, now.delay_s
        self.sent += len(receivers)
        if not (now.cut or now.loss or now.duplicate or now.slow):  # as it mostly is
            for receiver in receivers:
                world.after(soonest + (latest - soonest) * chance(), self._arrive, receiver, datagram)
            return
        for receiver in receivers:
            if now.cut and (datagram.sender, receiver, datagram.link) in now.cut:
                continue
            if now.loss and chance() < now.loss:
                continue
            for _ in range(2 if now.duplicate and chance() < now.duplicate else 1):
                slow = now.slow and chance() < now.slow
                delay = now.slow_s * chance() if slow else soonest + (latest - soonest) * chance()
                world.after(delay, self._arrive, receiver, datagram)

    def _arrive(self, receiver: str, datagram: Datagram) -> None:
        socket = self.sockets.get(receiver)
        if socket is not None:
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
        loop: SimLoop,
        *,
        peers: list[str],
        incarnation: str,
        now: Callable[[], float],
        patience_s: float,
    ) -> None:
        self._network, self._node, self._peer_names = network, node, peers
        self.incarnation, self._now, self._patience_s = incarnation, now, patience_s
        self._loop = loop
        self._sequence = 0
        self._peers: dict[str, _Peer] = {}
        self._inbox: deque[Datagram] = deque(maxlen=INBOX_MAX)
        self._woken = False
        self._empty_at = now()
        self._deliver: Callable[[Received], None] | None = None
        self.counters = LinkCounters()
        self.dead = False
        self.on_send: Callable[[PeerState], None] | None = None
        self.on_hear: Callable[[str, PeerState], None] | None = None

    # --- the port -----------------------------------------------------------------------------------------------

    def send(self, state: PeerState) -> None:
        if self.dead:
            return
        if self.on_send is not None:
            self.on_send(state)
        self._sequence += 1
        for link in range(self._network.links):
            datagram = Datagram(self._node, self.incarnation, self._sequence, link, state)
            self._network.send(self._peer_names, datagram)

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
            self._loop.call_now(self._read)

    def _read(self) -> None:
        self._woken = False
        if self._deliver is None:
            return
        at, inbox = self._now(), self._inbox
        while inbox:
            received = self._admit(inbox.popleft(), at)
            if received is not None:
                if self.on_hear is not None and received.fresh:
                    self.on_hear(received.peer, received.state)
                self._deliver(received)
        self._empty_at = at

    def _admit(self, datagram: Datagram, at: float) -> Received | None:
        sender, incarnation, sequence, link, state = datagram
        peer = self._peers.get(sender) or self._peers.setdefault(sender, _Peer())
        stream = peer.streams.get(incarnation)
        if incarnation != peer.present and not self._admits(peer, incarnation, stream, at):
            return None
        stream = stream or peer.streams.setdefault(incarnation, _Stream())
        if sequence <= stream.on_link.get(link, 0):
            return None  # replayed, or late
        stream.on_link[link] = sequence
        if incarnation != peer.present:
            former = peer.streams.get(peer.present or "")
            if former is not None:
                former.superseded = peer.present != peer.expected
            peer.present = incarnation
        peer.quiet_since = at
        fresh = sequence > stream.newest
        if fresh:
            stream.newest, stream.state = sequence, state
        if stream.state is None:
            return None
        return Received(
            peer=sender,
            incarnation=incarnation,
            link=link,
            at=at,
            state=stream.state,
            fresh=fresh,
            arrived_after=self._empty_at,
        )

    def _admits(self, peer: _Peer, incarnation: str, stream: _Stream | None, at: float) -> bool:
        if peer.present is None or incarnation == peer.expected:
            return True
        if stream is not None and stream.superseded:
            return False
        return at - peer.quiet_since > self._patience_s
