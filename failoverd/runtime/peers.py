"""What our peers last said of themselves, and whether we hear them."""

from collections.abc import Callable, Mapping
from math import inf

from failoverd.domain.detector import Change, Detector, LinkChange, LinkState, Liveness, PeerChange, PeerView, Stall
from failoverd.domain.model import NodeSpec
from failoverd.domain.report import PeerState
from failoverd.log.catalogue import Event
from failoverd.ports import Clock, EventLog, Received


class Peers:
    def __init__(self, me: str, dead_after_s: float, clock: Clock, log: EventLog) -> None:
        self._me = me
        self._clock = clock
        self._log = log
        self._detector = Detector(dead_after_s=dead_after_s, now=clock.now())
        self.said: dict[str, PeerState] = {}
        self.incarnations: dict[str, str] = {}
        self._named: dict[str, tuple[tuple[str, int], ...]] = {}
        self._hashes: dict[str, dict[str, str]] = {}
        """Of the configuration of each group, as each peer says."""
        self.views: dict[str, PeerView] = {}
        self.on_doubt: list[Callable[[], None]] = []
        """Called where a peer or a link is back, or we ourselves stood still."""

    def configure(self, nodes: Mapping[str, NodeSpec]) -> None:
        self._named = {name: node.addresses for name, node in nodes.items() if name != self._me}
        own = len(nodes[self._me].addresses)
        links = {name: min(own, len(addresses)) for name, addresses in self._named.items()}
        self._detector.watch(links, self._clock.now())
        for name in [n for n in self.said if n not in self._named]:
            del self.said[name], self.incarnations[name], self._hashes[name]
        self.views = self._detector.view()

    def addresses(self, peer: str) -> tuple[tuple[str, int], ...]:
        return self._named.get(peer, ())

    def hear(self, received: Received) -> bool:
        """Take in a datagram; True where something is different from before."""
        if received.peer not in self._named:
            return False
        changed = False
        if received.fresh:
            changed = self._says_otherwise(received)
            self.said[received.peer] = received.state
            self.incarnations[received.peer] = received.incarnation
        told = received.state.heard.get(self._me, ()) if received.fresh else ()
        changes = self._detector.heard(
            received.peer, received.link, received.at, arrived_after=received.arrived_after, told=told
        )
        return (bool(changes) and self._tell(changes)) or changed

    def _says_otherwise(self, received: Received) -> bool:
        """Whether the peer says something of itself that a decision may rest on, and did not say so before."""
        before, now = self.said.get(received.peer), received.state
        hashes = self._hashes.get(received.peer)
        if before is None or before.groups is not now.groups:
            self._hashes[received.peer] = {name: report.config_hash for name, report in now.groups.items()}
        if before is None or self.incarnations.get(received.peer) != received.incarnation:
            return True
        if (before.ready, before.stopping, before.coordinator_ok) != (now.ready, now.stopping, now.coordinator_ok):
            return True
        return before.groups is not now.groups and hashes != self._hashes[received.peer]

    def tick(self, now: float) -> bool:
        """Judge silence, and our own stalls; True where something changed."""
        return self._tell(self._detector.tick(now))

    def due(self, now: float) -> bool:
        """Whether a tick at ``now`` may find something out that the last one could not."""
        return now >= self._detector.look_at

    def trusts(self, now: float) -> bool:
        return self._detector.trusts(now)

    def look_at(self, now: float) -> float:
        """When a peer may be found silent: each of its heartbeats puts that off, so it is no reason to decide."""
        at = self._detector.look_at
        return at if at > now else inf

    def ages(self, now: float) -> dict[str, tuple[float | None, ...]]:
        return self._detector.ages(now)

    def heard(self, peer: str) -> bool:
        view = self.views.get(peer)
        return view is not None and view.state is Liveness.UP

    def suspected(self, peer: str) -> bool:
        view = self.views.get(peer)
        return view is not None and view.state is Liveness.SUSPECTED

    def heard_at(self, peer: str) -> float | None:
        return self._detector.heard_at(peer)

    def current_views(self) -> dict[str, PeerView]:
        """With the newest times (``views`` has the newest states)."""
        return self._detector.view()

    def _tell(self, changes: tuple[Change, ...]) -> bool:
        if not changes:
            return False
        for change in changes:
            match change:
                case Stall():
                    self._log.emit(Event.LOOP_STALLED, duration_s=round(change.gap_s, 3))
                case PeerChange():
                    self._tell_peer(change)
                case LinkChange():
                    self._tell_link(change)
        self.views = self._detector.view()
        if any(map(_doubtful, changes)):
            for callback in self.on_doubt:
                callback()
        return True

    def _tell_peer(self, change: PeerChange) -> None:
        if change.state is Liveness.UP:
            self._log.emit(Event.PEER_UP, peer=change.peer)
        elif change.state is Liveness.SUSPECTED:
            reason = f"nothing heard for {change.silent_s:.3g}s over any link"
            self._log.emit(Event.PEER_SUSPECTED, peer=change.peer, reason=reason)

    def _tell_link(self, change: LinkChange) -> None:
        addresses = self._named.get(change.peer, ())
        host, port = addresses[change.link] if change.link < len(addresses) else ("?", 0)
        fields = {"peer": change.peer, "link": f"{host}:{port}"}
        if change.state is LinkState.UP:
            self._log.emit(Event.LINK_UP, **fields)
        elif change.state in {LinkState.DOWN, LinkState.ONE_WAY}:
            self._log.emit(Event.LINK_DOWN, state=change.state.value, **fields)


def _doubtful(change: Change) -> bool:
    """Whether others may have thought otherwise of who owns what until now."""
    match change:
        case PeerChange():
            return change.state is Liveness.UP
        case LinkChange():
            return change.state is LinkState.UP
        case Stall():
            return True
