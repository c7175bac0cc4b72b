"""Which peers are silent, which links work, and whether we may trust our own eyes.

Rules (design, sections 3 and 5):

- A peer from which nothing came over any link for ``dead_after`` is *suspected*; one datagram lifts the suspicion.
  Suspicion is never proof of death.
- A link over which nothing came for ``dead_after`` is *down*; unless the peer says, over another link, that it hears
  us there: then it is *one_way*. It is *one_way* too where we hear the peer and the peer keeps saying that it does
  not hear us.
- What was never heard is *unknown* until it has been silent for ``dead_after``.
- After a *stall* of our own (two ticks further apart than half of ``dead_after``) silence is counted anew from its
  end for whatever was not silent before it, and the view is not trusted until every unsuspected peer has been heard
  from again, or ``dead_after`` has passed. A datagram counts for that only if it arrived after the stall: the
  socket's buffer is full of old ones.

Silence is judged at ticks alone, so that a datagram which is read right after a stall, before the tick that notices
it, cannot condemn anything; hearing takes effect at once.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from math import inf


class Liveness(StrEnum):
    UNKNOWN = "unknown"
    """Never heard, and not yet waited for long enough."""
    UP = "up"
    SUSPECTED = "suspected"


class LinkState(StrEnum):
    UNKNOWN = "unknown"
    UP = "up"
    ONE_WAY = "one_way"
    DOWN = "down"


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerChange:
    peer: str
    state: Liveness
    was: Liveness
    silent_s: float
    """How long nothing had come from it, at the change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkChange:
    peer: str
    link: int
    state: LinkState
    was: LinkState
    silent_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Stall:
    """We did not run for ``gap_s``."""

    gap_s: float
    until: float
    """When we trust our view again at the latest."""


Change = PeerChange | LinkChange | Stall


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkView:
    state: LinkState
    heard_at: float | None
    """None: never."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerView:
    state: Liveness
    heard_at: float | None
    silent_since: float
    """``heard_at``, or since when silence has been counted."""
    links: tuple[LinkView, ...]


class StallGuard:
    """Measures our own ticks, and says whether what we believe of others is to be trusted."""

    def __init__(self, *, dead_after_s: float, now: float) -> None:
        self._dead_after_s = dead_after_s
        self._ticked = now
        self._resumed = now
        self._until: float | None = None
        self._missing: set[str] = set()

    def tick(self, now: float, unsuspected: Iterable[str]) -> Stall | None:
        """To be called often (each heartbeat's interval). ``unsuspected``: who must be heard again after a stall; where
        there is nobody, only time confirms the view."""
        gap, self._ticked = now - self._ticked, now
        if self._until is not None and now >= self._until:
            self._until = None
        if gap <= self._dead_after_s / 2:
            return None
        self._resumed, self._until = now, now + self._dead_after_s
        self._missing = set(unsuspected)
        return Stall(gap_s=gap, until=self._until)

    def heard(self, peer: str, arrived_after: float) -> None:
        """A datagram of ``peer`` that arrived after the given time."""
        if self._until is not None and arrived_after >= self._resumed and peer in self._missing:
            self._missing.discard(peer)
            if not self._missing:
                self._until = None

    def trusts(self, now: float) -> bool:
        return now - self._ticked <= self._dead_after_s / 2 and (self._until is None or now >= self._until)

    @property
    def distrusts_until(self) -> float | None:
        """At the latest; None: it trusts."""
        return self._until


@dataclass(slots=True)
class _Link:
    since: float
    """Where never heard, or forgiven after a stall: from when silence is counted."""
    heard_at: float | None = None
    told_at: float | None = None
    """When the peer last said what it hears of us on this link."""
    deaf_since: float | None = None
    """Since when it has kept saying that it hears nothing."""
    silent: bool = False
    """At the latest tick, and not heard since."""
    state: LinkState = LinkState.UNKNOWN

    @property
    def silent_since(self) -> float:
        return self.since if self.heard_at is None else max(self.since, self.heard_at)


@dataclass(slots=True)
class _Peer:
    links: list[_Link]
    state: Liveness = Liveness.UNKNOWN

    @property
    def heard_at(self) -> float | None:
        return max((link.heard_at for link in self.links if link.heard_at is not None), default=None)

    @property
    def silent_since(self) -> float:
        return max(link.silent_since for link in self.links)

    def is_well(self) -> bool:
        """Heard, on every link and in both directions: then hearing it once more changes nothing."""
        if self.state is not Liveness.UP:
            return False
        for link in self.links:  # noqa: SIM110 (asked of each datagram, and ``all`` costs twice as much)
            if link.state is not LinkState.UP or link.deaf_since is not None:
                return False
        return True


@dataclass(slots=True)
class Detector:
    """What we believe of our peers. Fed with datagrams and ticks, it returns what changed."""

    dead_after_s: float
    now: float
    """Of the latest tick."""
    _peers: dict[str, _Peer] = field(default_factory=dict, init=False)
    _guard: StallGuard = field(init=False)
    _judge_at: float = field(default=-inf, init=False)
    """No tick before this time changes anything, unless a stall is noticed."""

    def __post_init__(self) -> None:
        self._guard = StallGuard(dead_after_s=self.dead_after_s, now=self.now)

    def watch(self, links: Mapping[str, int], now: float) -> None:
        """The peers, each with its number of links (above 0). What is known of those that stay is kept."""
        if any(count < 1 for count in links.values()):
            raise ValueError(f"a peer without links can never be heard: {dict(links)}")
        peers = {name: self._peers.get(name, _Peer([])) for name in links}
        for name, count in links.items():
            kept = peers[name].links[:count]
            peers[name].links = kept + [_Link(since=now) for _ in range(count - len(kept))]
        self._peers = peers
        self._judge_at = -inf

    def heard(
        self, peer: str, link: int, at: float, *, arrived_after: float, told: Sequence[float | None] = ()
    ) -> tuple[Change, ...]:
        """A datagram came in. ``told``: for how long the peer had not heard us on each link when it sent it (None:
        never heard; empty: it does not say, or said it before)."""
        known = self._peers.get(peer)
        if known is None or link >= len(known.links):
            return ()
        well = known.is_well()
        known.links[link].heard_at = at
        known.links[link].silent = False
        for each, age in zip(known.links, told, strict=False):
            deaf = age is None or age >= self.dead_after_s
            if deaf or each.told_at is None or self.now >= each.told_at + self.dead_after_s:
                well = False
            each.told_at = at
            each.deaf_since = (at if each.deaf_since is None else each.deaf_since) if deaf else None
        self._guard.heard(peer, arrived_after)
        if well:
            return ()
        self._judge_at = -inf  # when it matters by time alone is for the next tick to find out
        return tuple(self._judge(peer, known, at))

    def tick(self, now: float) -> tuple[Change, ...]:
        """Judge silence. To be called often, whatever ``next_deadline`` says: it is how a stall is noticed."""
        stall = self._guard.tick(now, (name for name, peer in self._peers.items() if not _all_silent(peer)))
        changes: list[Change] = []
        if stall is not None:
            changes.append(stall)
            self._forgive(now)
        self.now = now
        if stall is None and now < self._judge_at:
            return ()
        for name, peer in self._peers.items():
            for link in peer.links:
                link.silent = now >= link.silent_since + self.dead_after_s
            changes += self._judge(name, peer, now)
        self._judge_at = self._next_moment()
        return tuple(changes)

    def _forgive(self, now: float) -> None:
        """Nothing that happened, or did not, while we did not run is held against anybody."""
        for peer in self._peers.values():
            for link in peer.links:
                if not link.silent:
                    link.since = now
                if link.told_at is not None and link.told_at + self.dead_after_s > self.now:
                    link.told_at = now
                    if link.state is not LinkState.ONE_WAY and link.deaf_since is not None:
                        link.deaf_since = now

    # --- what is believed -----------------------------------------------------------------------------------------

    def trusts(self, now: float) -> bool:
        """Whether the view may be acted on (see ``StallGuard``)."""
        return self._guard.trusts(now)

    def view(self) -> dict[str, PeerView]:
        return {
            name: PeerView(
                state=peer.state,
                heard_at=peer.heard_at,
                silent_since=peer.silent_since,
                links=tuple(LinkView(state=link.state, heard_at=link.heard_at) for link in peer.links),
            )
            for name, peer in self._peers.items()
        }

    def ages(self, now: float) -> dict[str, tuple[float | None, ...]]:
        """For our own heartbeats (``PeerState.heard``): seconds since each peer was heard on each link, to the ms."""
        return {name: tuple([_age(link.heard_at, now) for link in peer.links]) for name, peer in self._peers.items()}

    def next_deadline(self) -> float | None:
        """When a tick may next change something if nothing is heard (None: not by time alone)."""
        moments = [moment for moment in (self._next_moment(), self._guard.distrusts_until) if moment is not None]
        return min((moment for moment in moments if self.now < moment < inf), default=None)

    @property
    def look_at(self) -> float:
        """No later than ``next_deadline``, and for next to nothing: before it a tick changes nothing, if nothing but
        plain heartbeats is heard meanwhile; at it, or soon after, a tick is due (inf: not by time alone)."""
        judge_at = self._next_moment() if self._judge_at == -inf else self._judge_at
        until = self._guard.distrusts_until
        return judge_at if until is None or until <= self.now else min(judge_at, until)

    def heard_at(self, peer: str) -> float | None:
        """When it was last heard on any link; None: never, or unknown."""
        known = self._peers.get(peer)
        return None if known is None else known.heard_at

    def _next_moment(self) -> float:
        """When some link may be judged differently at the earliest: hearing of it only puts that off."""
        moments: list[float] = []
        for peer in self._peers.values():
            for link in peer.links:
                if not link.silent:
                    moments.append(link.silent_since + self.dead_after_s)
                if link.told_at is not None:
                    moments.append(link.told_at + self.dead_after_s)
                if link.deaf_since is not None:
                    moments.append(link.deaf_since + self._deaf_grace_s)
        return min([moment for moment in moments if moment > self.now], default=inf)

    # --- judgement ------------------------------------------------------------------------------------------------

    @property
    def _deaf_grace_s(self) -> float:
        """For so long a peer may say that it does not hear us: it, or we, may just have begun."""
        return self.dead_after_s / 2

    def _judge(self, name: str, peer: _Peer, at: float) -> Iterable[Change]:
        silent_s = max(0.0, at - peer.silent_since)
        for index, link in enumerate(peer.links):
            was, link.state = link.state, self._link_state(link)
            if link.state is not was:
                age = max(0.0, at - link.silent_since)
                yield LinkChange(peer=name, link=index, state=link.state, was=was, silent_s=age)
        before, peer.state = peer.state, _liveness(peer)
        if peer.state is not before:
            yield PeerChange(peer=name, state=peer.state, was=before, silent_s=silent_s)

    def _link_state(self, link: _Link) -> LinkState:
        told = link.told_at is not None and self.now < link.told_at + self.dead_after_s
        if link.silent:
            return LinkState.ONE_WAY if told and link.deaf_since is None else LinkState.DOWN
        if link.heard_at is None:
            return LinkState.UNKNOWN
        deaf = told and link.deaf_since is not None and self.now >= link.deaf_since + self._deaf_grace_s
        return LinkState.ONE_WAY if deaf else LinkState.UP


def _age(heard_at: float | None, now: float) -> float | None:
    if heard_at is None:
        return None
    return round(now - heard_at, 3) if now > heard_at else 0.0


def _all_silent(peer: _Peer) -> bool:
    for link in peer.links:  # noqa: SIM110 (asked in each tick, and ``all`` costs twice as much)
        if not link.silent:
            return False
    return True


def _liveness(peer: _Peer) -> Liveness:
    if _all_silent(peer):
        return Liveness.SUSPECTED
    return Liveness.UNKNOWN if peer.heard_at is None else Liveness.UP
