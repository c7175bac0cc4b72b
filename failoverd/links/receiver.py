"""What is done with a datagram that arrived: from bytes to ``Received`` or the reason why not (no input or output).

Protection against replay is by incarnation, link and sequence number:

- Only one incarnation of a peer is listened to. Clocks cannot say which of two is the newer, so the coordinator does
  (``expect``). Before it has spoken, the incarnation that is heard first counts; and once the present one has been
  silent for ``switch_after_s``, another one may take its place, unless it is known to have been superseded.
- Within an incarnation, each link has a window of the sequence numbers seen on it (as in RFC 6479).
- A message counts once, whichever link brings it first; its copies on other links prove only that those links work.

What is authenticated is always checked before anything is remembered, so forged datagrams change nothing. An
incarnation is no more than what the datagram says: a *release* counts only if it is the one that the peer's record
in the coordinator names, which is for the decision to compare.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from failoverd.domain.report import PeerState
from failoverd.ports import Received
from failoverd.wire import Drop, Header, cipher_of, cluster_tag, decode, parse, unseal

WINDOW = 64
STREAMS_MAX = 64
"""Incarnations of one peer that are remembered, so that they cannot be replayed."""


class Window:
    """The sequence numbers that were seen on one link: the newest, and which of the ``WINDOW`` before it."""

    __slots__ = ("_newest", "_seen")

    def __init__(self) -> None:
        self._newest = 0
        self._seen = 0

    def fault(self, sequence: int) -> Drop | None:
        """Why the number may not be accepted now (late ones tell a reordering network from an attack)."""
        if sequence > self._newest:
            return None
        behind = self._newest - sequence
        return Drop.LATE if behind < WINDOW and not self._seen >> behind & 1 else Drop.REPLAYED

    def mark(self, sequence: int) -> None:
        """Take a number as seen (one that has no ``fault``, or a late one)."""
        ahead = sequence - self._newest
        if ahead > 0:
            # Nothing of the window is left after a jump beyond it (and no shift by 2**64 is ever made).
            self._seen = self._seen << ahead & (1 << WINDOW) - 1 if ahead < WINDOW else 0
            self._newest = sequence
            ahead = 0
        self._seen |= 1 << -ahead


@dataclass(slots=True)
class _Stream:
    """One incarnation of one peer."""

    cipher: AESGCM
    windows: dict[int, Window] = field(default_factory=dict)
    heard_at: float = 0.0
    newest: int = 0
    """The sequence number of ``state``, and of the newest message on any link."""
    state: PeerState | None = None
    superseded: bool = False

    def window(self, link: int) -> Window:
        return self.windows.setdefault(link, Window())


@dataclass(slots=True)
class _Peer:
    present: str | None = None
    """The incarnation that is listened to."""
    expected: str | None = None
    """The incarnation that the coordinator named."""
    quiet_since: float = 0.0
    """Since when the present incarnation has not been heard."""
    streams: dict[str, _Stream] = field(default_factory=dict)


class Receiver:
    def __init__(self, *, cluster: str, node: str, key: bytes, switch_after_s: float) -> None:
        self._cluster = cluster
        self._node = node
        self._key = key
        self._switch_after_s = switch_after_s
        self._tag = cluster_tag(cluster)
        self._peers: dict[str, _Peer] = {}
        """Kept also for peers that left the configuration: should they come back, nothing old is accepted."""
        self._configured: frozenset[str] = frozenset()

    def configure(self, peers: Iterable[str]) -> None:
        self._configured = frozenset(peers) - {self._node}

    def expect(self, peer: str, incarnation: str, at: float) -> None:
        """From now on this is the peer's incarnation, whatever was heard before."""
        known = self._peers.setdefault(peer, _Peer())
        if known.expected == incarnation:
            return
        known.expected = incarnation
        for name, stream in known.streams.items():
            stream.superseded = name != incarnation
        if known.present != incarnation:
            known.present = incarnation
            known.quiet_since = at

    def receive(self, data: bytes, *, link: int, at: float, arrived_after: float) -> Received | Drop:
        header = parse(data, self._tag)
        if isinstance(header, Drop):
            return header
        if header.link != link:
            return Drop.WRONG_LINK
        if header.sender not in self._configured:
            return Drop.OWN if header.sender == self._node else Drop.UNKNOWN_PEER
        peer = self._peers.setdefault(header.sender, _Peer())
        stream = peer.streams.get(header.incarnation)
        if not self._admits(peer, header.incarnation, stream, at):
            return Drop.STALE
        fault = stream.window(link).fault(header.sequence) if stream else None
        if fault is Drop.REPLAYED:
            return fault
        stream = stream or self._new_stream(header)
        body = unseal(stream.cipher, header, data)
        if isinstance(body, Drop):
            return body
        stream.window(link).mark(header.sequence)
        if fault is not None:
            return fault
        _listen(peer, header.incarnation, stream, at)
        return _deliver(header, stream, body, at=at, arrived_after=arrived_after)

    def _admits(self, peer: _Peer, incarnation: str, stream: _Stream | None, at: float) -> bool:
        if peer.present is None or incarnation in {peer.present, peer.expected}:
            return True
        if stream is not None and stream.superseded:
            return False
        return at - peer.quiet_since > self._switch_after_s

    def _new_stream(self, header: Header) -> _Stream:
        cipher = cipher_of(self._key, cluster=self._cluster, sender=header.sender, incarnation=header.incarnation)
        return _Stream(cipher)


def _listen(peer: _Peer, incarnation: str, stream: _Stream, at: float) -> None:
    """An authentic datagram of an admitted incarnation: it is the present one from now on."""
    if incarnation != peer.present:
        former = peer.streams.get(peer.present or "")
        if former is not None:
            former.superseded = peer.present != peer.expected
        peer.present = incarnation
    if incarnation not in peer.streams:
        peer.streams[incarnation] = stream
        _forget(peer)
    peer.quiet_since = stream.heard_at = at


def _forget(peer: _Peer) -> None:
    """Bound the memory: the incarnation known for longest goes first."""
    if len(peer.streams) > STREAMS_MAX:
        oldest = next(name for name in peer.streams if name not in {peer.present, peer.expected})
        del peer.streams[oldest]


def _deliver(header: Header, stream: _Stream, body: bytes, *, at: float, arrived_after: float) -> Received | Drop:
    fresh = header.sequence > stream.newest
    if fresh:
        state = decode(body)
        if isinstance(state, Drop):
            return state
        if stream.state is not None and state.groups == stream.state.groups:
            state = replace(state, groups=stream.state.groups)  # whoever looked at them need not do so again
        stream.newest, stream.state = header.sequence, state
    if stream.state is None:
        return Drop.MALFORMED
    return Received(
        peer=header.sender,
        incarnation=header.incarnation,
        link=header.link,
        at=at,
        state=stream.state,
        fresh=fresh,
        arrived_after=arrived_after,
    )
