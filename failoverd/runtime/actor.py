"""Carries decisions out: each is one compare-and-swap that also compares this node's own identity record."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from failoverd.domain.decide import Fence, Place
from failoverd.domain.failsafe import Promiser
from failoverd.domain.fence_record import FencedHow
from failoverd.domain.fencing import Shoot
from failoverd.domain.placement import Fault, LeaseState
from failoverd.errors import CoordinatorUnavailable
from failoverd.log.catalogue import Event
from failoverd.ports import Change, Clock, Coordinator, Delete, EventLog, Expect, Put
from failoverd.records import encode, fault_key, hold_key, lease_key, node_key, placement_key
from failoverd.runtime.lease_keeper import LeaseKeeper
from failoverd.runtime.mirror import Contact, Mirror


class Actor:
    def __init__(
        self,
        *,
        me: str,
        coordinator: Coordinator,
        mirror: Mirror,
        keeper: LeaseKeeper,
        contact: Contact,
        clock: Clock,
        log: EventLog,
        promiser: Promiser,
    ) -> None:
        self._me = me
        self._promiser = promiser
        self._coordinator, self._mirror, self._keeper = coordinator, mirror, keeper
        self._contact, self._clock, self._log = contact, clock, log
        self._under_way: set[str] = set()
        self.on_written: list[Callable[[], None]] = []

    def claim(self, subject: str) -> bool:
        """One write at a time about one subject; False while one is under way."""
        if subject in self._under_way:
            return False
        self._under_way.add(subject)
        return True

    def release(self, subject: str) -> None:
        self._under_way.discard(subject)

    async def carry_out(self, decision: Fence | Place) -> None:
        """A claimed decision of ``decide``; what is lost in a race is decided anew from newer news."""
        try:
            if isinstance(decision, Fence):
                await self.fence(decision)
            else:
                await self.place(decision)
        except CoordinatorUnavailable as error:
            self._contact.failed(str(error))
        finally:
            self.release(subject_of(decision))

    async def place(self, decision: Place, *, forgiven: str | None = None) -> bool:
        """Write a placement; ``forgiven``: the node whose fault record goes with it. False: something had changed.

        Raises ``CoordinatorUnavailable``: whether it was written is then unknown, and the watch will tell.
        """
        placement = replace(decision.placement, at=self._clock.wall())
        writes: list[Put | Delete] = [Put(placement_key(decision.group), encode(placement))]
        if decision.fault is not None:
            fault = Fault(component=decision.fault, reason=placement.reason, at=self._clock.wall())
            writes.append(Put(fault_key(decision.group, self._me), encode(fault)))
        if forgiven is not None and (decision.group, forgiven) in self._mirror.faults:
            writes.append(Delete(fault_key(decision.group, forgiven)))
        expects = [Expect(placement_key(decision.group), decision.revision)]
        expects += [Expect(node_key(name), revision) for name, revision in decision.unchanged]
        expects += [Expect(hold_key(subject), revision) for subject, revision in decision.holds]
        return bool(await self.commit(expects, writes))

    async def fence(self, decision: Fence) -> bool:
        """Take an expired lease away from its node. Raises ``CoordinatorUnavailable``."""
        member = self._mirror.members.get(decision.node)
        lease = self._mirror.leases.get(decision.node)
        if member is None or lease is None:
            return False
        if not self._promiser.begin_fencing(decision.node, decision.lease_revision, self._clock.now()):
            return False  # it was promised failsafe since this was decided
        reason = f"its lease of {lease.record.ttl_s:g}s had run out"
        expects = [
            Expect(node_key(decision.node), decision.member_revision),
            Expect(lease_key(decision.node), decision.lease_revision),
        ]
        writes = self.marked_fenced(decision.node, FencedHow.LEASE_EXPIRED, by=self._me, reason=reason)
        done = bool(await self.commit(expects, writes))
        if done:
            unrenewed_s = round(self._clock.now() - lease.seen_at, 3)
            self._log.emit(Event.PEER_DOWN, peer=decision.node, reason="its lease has run out", unrenewed_s=unrenewed_s)
        return done

    def marked_fenced(self, node: str, how: FencedHow, *, by: str, reason: str) -> list[Put]:
        """What takes a node's lease away from its present incarnation: nothing that it writes is taken any more."""
        member, lease = self._mirror.members[node].record, self._mirror.leases[node].record
        fenced = replace(member, state=LeaseState.FENCED, how=how, by=by, reason=reason, at=self._clock.wall())
        return [
            Put(node_key(node), encode(fenced)),
            Put(lease_key(node), encode(replace(lease, state=LeaseState.FENCED))),
        ]

    async def commit(self, expects: list[Expect], writes: Sequence[Put | Delete]) -> int:
        """The revision of what was written; 0: something had changed, and nothing was. Raises as ``place``."""
        commit = await self._coordinator.commit([self._keeper.guard, *expects], writes)
        self._contact.answered()
        if commit.ok:
            for write in writes:
                value = write.value if isinstance(write, Put) else None
                self._mirror.absorb(Change(write.key, value, commit.revision))
            for callback in self.on_written:
                callback()
        return commit.revision if commit.ok else 0


def subject_of(decision: Fence | Place | Shoot) -> str:
    match decision:
        case Fence():
            return f"node {decision.node}"
        case Shoot():
            return f"fence {decision.node}"
        case Place():
            return f"group {decision.group}"
