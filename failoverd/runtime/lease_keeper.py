"""Keeps this node's own lease: joins, renews by compare-and-swap, notices that it was fenced, leaves."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import anyio

from failoverd.bell import Bell
from failoverd.domain.failsafe import fences_from
from failoverd.domain.lease import LeaseSettings, expires
from failoverd.domain.placement import Lease, LeaseState, Member
from failoverd.errors import CoordinatorCorrupt, CoordinatorUnavailable, StartupError
from failoverd.log.catalogue import Event
from failoverd.ports import Change, Clock, Coordinator, Entry, EventLog, Expect, Put
from failoverd.records import decode, encode, lease_key, node_key
from failoverd.runtime.mirror import Contact, Mirror

JOIN_RETRY_S = 0.2
LATE_RENEWALS_MAX = 2
"""So many renewals of a daemon that is dead may still come to the coordinator: one at a time is on its way, and the
read that follows a conflict may be followed by another."""


@dataclass(slots=True)
class Held:
    """The lease as this node holds it."""

    incarnation: str
    member_revision: int
    lease: Lease
    lease_revision: int
    began: float
    """When the last successful renewal was begun: the owner's time counts from here."""


class LeaseKeeper:
    def __init__(
        self,
        *,
        node: str,
        host: str,
        settings: LeaseSettings,
        coordinator: Coordinator,
        mirror: Mirror,
        contact: Contact,
        clock: Clock,
        log: EventLog,
        new_incarnation: Callable[[], str],
        alive: Callable[[float], bool],
        others: tuple[str, ...] = (),
    ) -> None:
        """``host`` identifies this machine and run_dir (a predecessor there is surely dead: we hold its lock).
        ``alive(now)`` says whether the decision loop makes progress; without it nothing is renewed. ``others``: every
        other member of the cluster, whom this node asks for failsafe.
        """
        self._node, self._host = node, host
        self.settings = settings
        self._coordinator, self._mirror, self._contact = coordinator, mirror, contact
        self._clock, self._log = clock, log
        self._new_incarnation = new_incarnation
        self._alive = alive
        self._fencers = others if others and settings.failsafe_s > 0 else None
        self.held: Held | None = None
        self.joined = False
        """At least once: what is online here is ours to take down when the lease ends."""
        self.fences_from = 0.0
        """Others may be fenced: what the daemon before us may have promised them has run out."""
        self.acts_from = 0.0
        """What our record says is ours may be acted on: whoever bears our name elsewhere may be in failsafe before."""
        self._inherited_s = 0.0
        self._hurried = Bell()
        self.on_lost: list[Callable[[str], None]] = []
        self.on_renewed: list[Callable[[], None]] = []

    @property
    def usable_until(self) -> float:
        return self.settings.usable_until(self.held.began) if self.held else 0.0

    @property
    def guard(self) -> Expect:
        """What every transaction of this node compares: its own identity record, unchanged since it joined."""
        return Expect(node_key(self._node), self.held.member_revision if self.held else -1)

    # --- joining ------------------------------------------------------------------------------------------------

    async def join(self) -> None:
        """Become a member with a new incarnation. Raises ``StartupError`` when the node's name is in use."""
        while self.held is None:
            try:
                await self._try_to_join()
            except CoordinatorUnavailable as error:
                self._contact.failed(str(error))
                await self._pause(JOIN_RETRY_S)
            except CoordinatorCorrupt:  # the mirror has told of it; nothing is guessed, and nothing overwritten
                await self._pause(JOIN_RETRY_S)

    async def _try_to_join(self) -> None:
        member, lease = await self._read()
        self._contact.answered()
        elsewhere = await self._outwait_namesake(member, lease)
        began = self._clock.now()
        incarnation = self._new_incarnation()
        mine = Member(
            incarnation=incarnation,
            state=LeaseState.LIVE,
            host=self._host,
            by=self._node,
            at=self._clock.wall(),
            fencers=self._fencers,
        )
        inherited_s = decode(Lease, lease.key, lease.value).promises_s if lease and not self.joined else 0.0
        promises_s = max(inherited_s, self._promises_s)
        fresh = Lease(
            incarnation=incarnation,
            renewal=0,
            ttl_s=self.settings.ttl_s,
            promises_s=promises_s,
            renew_s=self.settings.renew_s,
        )
        expects = [
            Expect(node_key(self._node), member.revision if member else 0),
            Expect(lease_key(self._node), lease.revision if lease else 0),
        ]
        values = {node_key(self._node): encode(mine), lease_key(self._node): encode(fresh)}
        commit = await self._coordinator.commit(expects, [Put(key, value) for key, value in values.items()])
        if not commit.ok:
            return  # something changed since it was read: look again
        self.held = Held(incarnation, commit.revision, fresh, commit.revision, began)
        self._honour(inherited_s, elsewhere=elsewhere)
        self.joined = True
        for key, value in values.items():
            self._mirror.absorb(Change(key, value, commit.revision))
        self._log.emit(Event.LEASE_ACQUIRED, incarnation=incarnation, ttl_s=self.settings.ttl_s)
        self._renewed()

    @property
    def _promises_s(self) -> float:
        """The longest promise that may be out: ours, and the predecessor's until it has run out."""
        inherited_s = self._inherited_s if self._clock.now() < self.fences_from else 0.0
        return max(self.settings.failsafe_s, inherited_s)

    def _honour(self, inherited_s: float, *, elsewhere: bool) -> None:
        """The promises of the daemon before us, which we do not know; and those that were given to one of our name on
        another host: others see that it is not us any more, but one that was promised something counts on it."""
        now = self._clock.now()
        if not self.joined:
            self._inherited_s, self.fences_from = inherited_s, fences_from(now, inherited_s)
        if elsewhere:
            longest = max((kept.record.promises_s for kept in self._mirror.leases.values()), default=0.0)
            self.acts_from = fences_from(now, longest)

    async def _read(self) -> tuple[Entry | None, Entry | None]:
        return await self._coordinator.read(node_key(self._node)), await self._coordinator.read(lease_key(self._node))

    async def _outwait_namesake(self, member: Entry | None, lease: Entry | None) -> bool:
        """A live record of another machine or run_dir is either a namesake's, who renews it, or will run out. True:
        it has run out, and nobody has taken it away."""
        if member is None or lease is None:
            return False
        said = decode(Member, member.key, member.value)
        if said.state is not LeaseState.LIVE or said.host == self._host:
            return False
        ttl_s = decode(Lease, lease.key, lease.value).ttl_s
        end, renewals, revision = expires(self._clock.now(), ttl_s), 0, lease.revision
        while self._clock.now() < end:
            await self._pause(min(ttl_s / 10, max(0.001, end - self._clock.now())))
            now = await self._coordinator.read(lease_key(self._node))
            if now is None or decode(Lease, now.key, now.value).state is not LeaseState.LIVE:
                return False  # another node fenced it meanwhile: nobody renews it any more
            if now.revision == revision:
                continue
            revision, renewals, end = now.revision, renewals + 1, expires(self._clock.now(), ttl_s)
            if renewals > LATE_RENEWALS_MAX:
                raise StartupError(
                    f"node name {self._node!r} is in use by another running daemon (host {said.host}); "
                    "give this one a name of its own (node: …) or stop the other"
                )
        return True

    # --- renewing -----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Renew until cancelled; needs ``join`` first. Ends its round (and tells) when the lease was taken away."""
        due, hurried = self._clock.now() + self.settings.renew_s, self._hurried.count
        while True:
            await self._hurried.beyond(hurried, due - self._clock.now())
            hurried = self._hurried.count
            due = max(due + self.settings.renew_s, self._clock.now())
            if self.held is None or not self._alive(self._clock.now()):
                continue
            try:
                await self._renew(self.held)
            except (CoordinatorUnavailable, TimeoutError) as error:
                self._contact.failed(str(error) or "no answer within lease.request_timeout")
            except CoordinatorCorrupt as error:
                self.lost(str(error))

    def hurry(self) -> None:
        """Renew now: somebody takes us for dead."""
        self._hurried.ring()

    async def _renew(self, held: Held) -> None:
        if not await self._written(held):
            with anyio.fail_after(self.settings.request_timeout_s):  # as long as one request, though it takes two
                await self._explain_conflict(held)

    async def _written(self, held: Held) -> bool:
        """One renewal by compare-and-swap; False where the record is not as we hold it."""
        began = self._clock.now()
        lease = replace(
            held.lease, renewal=held.lease.renewal + 1, ttl_s=self.settings.ttl_s, promises_s=self._promises_s
        )
        key, value = lease_key(self._node), encode(lease)
        commit = await self._coordinator.commit([Expect(key, held.lease_revision)], [Put(key, value)])
        if commit.ok:
            held.lease, held.lease_revision, held.began = lease, commit.revision, began
            self._contact.answered()
            self._mirror.absorb(Change(key, value, commit.revision))
            self._renewed()
        return commit.ok

    async def _explain_conflict(self, held: Held) -> None:
        """Either an earlier renewal was applied though its answer was lost, or the lease is not ours any more."""
        entry = await self._coordinator.read(lease_key(self._node))
        self._contact.answered()
        found = decode(Lease, entry.key, entry.value) if entry else None
        ours = found is not None and found.incarnation == held.incarnation and found.state is LeaseState.LIVE
        if entry is not None and found is not None and ours:
            # It may have been applied long ago, so it does not count as a renewal; this one does.
            held.lease, held.lease_revision = found, entry.revision
            await self._written(held)
            return
        if self.held is held:  # else it is known already, and another incarnation may have joined meanwhile
            self.lost("fenced by another node" if found is not None else "the lease record is gone")

    def _renewed(self) -> None:
        for callback in self.on_renewed:
            callback()

    def lost(self, why: str) -> None:
        """The lease is not ours any more; nothing may be written until a new incarnation has joined."""
        if self.held is None:
            return
        self._log.emit(Event.LEASE_LOST, reason=why, incarnation=self.held.incarnation)
        self.held = None
        for callback in self.on_lost:
            callback(why)

    # --- leaving ------------------------------------------------------------------------------------------------

    async def leave(self, state: LeaseState, reason: str) -> bool:
        """Give the lease back: LEFT when nothing is online here, AWAY when groups were left running. False: it was not
        ours any more, so others may take over whatever was left running."""
        if self.held is None:
            return False
        held, self.held = self.held, None
        member = Member(
            incarnation=held.incarnation,
            state=state,
            host=self._host,
            by=self._node,
            reason=reason,
            at=self._clock.wall(),
        )
        lease = replace(held.lease, state=state)
        expects = [Expect(node_key(self._node), held.member_revision)]
        writes = [Put(node_key(self._node), encode(member)), Put(lease_key(self._node), encode(lease))]
        return (await self._coordinator.commit(expects, writes)).ok

    async def _pause(self, seconds: float) -> None:
        await self._clock.sleep_until(self._clock.now() + seconds)
