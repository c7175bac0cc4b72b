"""Builds the view that ``decide`` judges from what the parts of the node know."""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from failoverd.domain.failsafe import Promiser
from failoverd.domain.lease import expires
from failoverd.domain.model import NodeSpec, Role
from failoverd.domain.placement import Cause, Placement
from failoverd.domain.preferences import Preferences
from failoverd.domain.report import RELEASED_MARKS, GroupReport, Mark, PeerState
from failoverd.domain.view import GroupView, NodeView, View
from failoverd.runtime.board import Authority
from failoverd.runtime.fencing import Fencing
from failoverd.runtime.group import GroupRunner
from failoverd.runtime.mirror import Contact, Mirror
from failoverd.runtime.peers import Peers

MOVES_MAX = 64
_NOT_THERE = RELEASED_MARKS | {Mark.UNKNOWN}


@dataclass(frozen=True, slots=True)
class _Told:
    """What follows from the groups that a peer tells of, which are mostly the very same as before."""

    groups: Mapping[str, GroupReport]
    config_hashes: dict[str, str]
    online: dict[str, int]
    unprobed: frozenset[str]

    @classmethod
    def of(cls, groups: Mapping[str, GroupReport]) -> "_Told":
        return cls(
            groups=groups,
            config_hashes={name: report.config_hash for name, report in groups.items()},
            online={name: _online(report.marks) for name, report in groups.items()},
            unprobed=frozenset([name for name, report in groups.items() if Mark.UNKNOWN in report.marks]),
        )


_NOTHING = _Told.of({})


@dataclass(slots=True)
class ViewBuilder:
    me: str
    nodes: Mapping[str, NodeSpec]
    mirror: Mirror
    peers: Peers
    contact: Contact
    authority: Authority
    groups: Mapping[str, GroupRunner]
    promiser: Promiser
    fences_from: Callable[[], float]
    renew_s: float
    fencing: Fencing
    settle_until: float = 0.0
    """Until when nodes that were not heard of yet are given time to show up: counted from our own readiness."""
    moves: dict[str, deque[float]] = field(default_factory=dict)
    preferences: Preferences = field(default_factory=Preferences)
    _told: dict[str, _Told] = field(default_factory=dict)
    latest: View | None = None

    def recent(self, now: float) -> View:
        """The latest, if it is of this very moment: for what is shown, not for decisions."""
        return self.latest if self.latest is not None and self.latest.now == now else self.build(now)

    def build(self, now: float) -> View:
        view = View(
            me=self.me,
            now=now,
            nodes={name: self._node(name) for name in self.nodes},
            groups={name: self._group(runner, now) for name, runner in self.groups.items()},
            ready=self.authority.ready,
            lease_usable=now < self.authority.usable_until,
            coordinator_ok=self.contact.ok and self.mirror.loaded,
            trusted=self.authority.trusted,
            stopping=self.authority.stopping,
            fences_from=self.fences_from(),
            renew_s=self.renew_s,
            shooting=frozenset(self.fencing.shooting),
            settle_until=self.settle_until,
            holds=self.mirror.holds,
        )
        self.latest = self.preferences.noted(view)
        return self.latest

    def next_deadline(self, now: float) -> float | None:
        """When the next fault or move ceases to count (``domain.decide.next_deadline`` knows the rest)."""
        times = [
            kept.seen_at + self.groups[group].board.group.fault_expiry_s
            for (group, _), kept in self.mirror.faults.items()
            if group in self.groups
        ]
        for group, moves in self.moves.items():
            if group in self.groups:
                times += [at + self.groups[group].board.group.move_window_s for at in moves]
        return min((at for at in times if at > now), default=None)

    def count_move(self, group: str, old: Placement | None, new: Placement, now: float) -> None:
        """Automatic changes of owner count against ``max_moves``; an operator's word starts the count anew."""
        if old is None or old.generation == new.generation:
            return
        times = self.moves.setdefault(group, deque(maxlen=MOVES_MAX))
        if new.cause in {Cause.FAULT, Cause.NODE_LOST, Cause.FAILBACK}:
            times.append(now)
        elif new.cause is Cause.OPERATOR:
            times.clear()

    def _node(self, name: str) -> NodeView:
        member, lease = self.mirror.members.get(name), self.mirror.leases.get(name)
        fence = self.mirror.fences.get(name)
        mine = name == self.me
        said = self.present(name)
        told = _NOTHING if said is None else self._told_by(name, said)
        return NodeView(
            name=name,
            witness=self.nodes[name].role is Role.WITNESS,
            heard=mine or self.peers.heard(name),
            suspected=self.peers.suspected(name),
            ready=self.authority.ready if mine else said is not None and said.ready,
            stopping=self.authority.stopping if mine else said is not None and said.stopping,
            draining=self.mirror.holds.draining(name),
            frozen=self.mirror.holds.node_frozen(name),
            capacity=self.nodes[name].capacity,
            member=member.record.state if member else None,
            member_revision=member.revision if member else 0,
            lease_revision=lease.revision if lease else 0,
            incarnation=member.record.incarnation if member else "",
            lease_expires_at=expires(lease.seen_at, lease.record.ttl_s) if lease else None,
            promised_until=self.promiser.until(name),
            fencers=member.record.fencers if member else None,
            lease_seen_at=lease.seen_at if lease else None,
            renew_s=lease.record.renew_s if lease else 0.0,
            fence_levels=self.fencing.levels(name),
            fence=fence.record if fence else None,
            fence_revision=fence.revision if fence else 0,
            fence_seen_at=fence.seen_at if fence else 0.0,
            config_hashes=told.config_hashes,
            online=self._online_here() if mine else told.online,
            unprobed=self._unprobed_here() if mine else told.unprobed,
        )

    def _told_by(self, peer: str, said: PeerState) -> _Told:
        known = self._told.get(peer)
        if known is None or known.groups is not said.groups:
            known = self._told[peer] = _Told.of(said.groups)
        return known

    def present(self, peer: str) -> PeerState | None:
        """What a peer last said, if it said so as the incarnation that its record names."""
        member = self.mirror.members.get(peer)
        if member is None or self.peers.incarnations.get(peer) != member.record.incarnation:
            return None
        return self.peers.said.get(peer)

    def _unprobed_here(self) -> frozenset[str]:
        return frozenset(name for name, runner in self.groups.items() if not runner.board.probed)

    def _online_here(self) -> dict[str, int]:
        return {name: runner.board.present_count for name, runner in self.groups.items()}

    def _group(self, runner: GroupRunner, now: float) -> GroupView:
        board, group = runner.board, runner.board.group
        kept = self.mirror.placements.get(group.name)
        given_up = board.given_up_critical()
        return GroupView(
            group=group,
            placement=kept.record if kept else None,
            revision=kept.revision if kept else 0,
            all_absent=board.all_absent,
            all_online=group.failback_after_s is not None and board.all_online,
            given_up=given_up,
            given_up_reason=board.locals[given_up].given_up if given_up else "",
            stuck_here=board.stuck_to_fence(),
            stuck_on=board.stuck_to_fence_elsewhere(),
            faults=self._faults(group.name, group.fault_expiry_s, now),
            recent_moves=self._recent_moves(group.name, group.move_window_s, now),
        )

    def _faults(self, group: str, expiry_s: float, now: float) -> dict[str, str]:
        return {
            node: kept.record.reason
            for (of_group, node), kept in self.mirror.faults.items()
            if of_group == group and now - kept.seen_at < expiry_s
        }

    def _recent_moves(self, group: str, window_s: float, now: float) -> int:
        return sum(now - at < window_s for at in self.moves.get(group, ()))


def _online(marks: str) -> int:
    return len(marks) - sum([marks.count(mark) for mark in _NOT_THERE])
