"""Looks after the members while they run: asks each how it is, and does what is to be done.

Of a change of members only what this node itself is sure of: its own vote and address, and the removal of voters that
its own earlier configuration had and the present one has not. Data files are tidied by the leader's node alone, one
member after another, the leader last, and not before it has led for longer than a tidying may take: so never two at
once, also while the leader changes.
"""

from collections.abc import Awaitable, Callable

import anyio

from failoverd.coordinators.etcd.managed.asking import DEFRAGMENT_TIMEOUT_S, Unanswered
from failoverd.coordinators.etcd.managed.health import Health
from failoverd.coordinators.etcd.managed.layout import Layout
from failoverd.coordinators.etcd.managed.messages import Cluster, Member
from failoverd.coordinators.etcd.managed.owner import Owner
from failoverd.coordinators.etcd.managed.ports import Members
from failoverd.domain.voters import majority
from failoverd.log.catalogue import Event
from failoverd.ports import Clock, EventLog

LOOK_S = 2.0
LOOK_SOON_S = 0.3
"""While something is under way: members begin, no leader is known, or this node has no vote yet."""
MEMBERS_S = 10.0
TIDY_S = 60.0
LED_S = 2 * DEFRAGMENT_TIMEOUT_S
FRAGMENTED_BYTES = 16 << 20
"""Below this, a data file is not worth a moment without an answer."""

Keep = Callable[[Owner], Awaitable[None]]
"""Writes down which voters may still have to go."""


class Caretaker:
    def __init__(
        self, layout: Layout, asker: Members, owner: Owner, health: Health, *, keep: Keep, clock: Clock, log: EventLog
    ) -> None:
        self._layout, self._asker, self._health = layout, asker, health
        self._clock, self._log = clock, log
        self.owner, self._keep = owner, keep
        self._members_at = self._tidy_at = 0.0
        self._led_since: float | None = None
        self._asked: set[str] = set()
        """Members whose removal was asked for and not heard of yet."""
        self._alarmed: frozenset[str] = frozenset()

    async def run(self) -> None:
        while True:
            await self.look()
            try:
                await self._attend()
            except Unanswered:
                self._members_at = self._clock.now() + LOOK_S  # whoever does not answer shows in the health
            await self._clock.sleep_until(self._clock.now() + (LOOK_SOON_S if self._pending else LOOK_S))

    async def look(self) -> None:
        """Ask every member how it is."""
        async with anyio.create_task_group() as tasks:
            for name in self._layout.hosts:
                tasks.start_soon(self._ask, name)
        self._health.judge_leader()
        leads = self._layout.votes and self._health.leader == self._layout.node
        self._led_since = (self._led_since or self._clock.now()) if leads else None

    async def _ask(self, name: str) -> None:
        try:
            status = await self._asker.status(self._layout.client_url(name))
        except Unanswered as error:
            self._health.failed(name, str(error))
        else:
            self._health.answered(name, status)

    @property
    def _pending(self) -> bool:
        own = self._health.members.get(self._layout.node)
        learning = own is not None and own.status is not None and own.status.learner
        return learning or not self._health.leader or self._health.beginning

    async def _attend(self) -> None:
        """Raises ``Unanswered``."""
        now = self._clock.now()
        if self._pending or now >= self._members_at:
            await self._attend_members()
            self._members_at = now + (LOOK_S if self.owner.departing else MEMBERS_S)
        if self._led_since is not None and now - self._led_since >= LED_S and now >= self._tidy_at:
            self._tidy_at = now + TIDY_S
            await self._tidy()

    # --- members ----------------------------------------------------------------------------------------------

    async def _attend_members(self) -> None:
        urls = self._urls
        if not urls:
            return
        cluster = await self._asker.members(urls[0])
        own = cluster.find(self._layout.node, self._layout.peer_url(self._layout.node)) if self._layout.votes else None
        if own is not None and own.started:
            await self._attend_own(own)
        for name in self.owner.departing:
            member = next((each for each in cluster.members if each.name == name), None)
            if member is None:
                await self._departed(name)
            else:
                await self._remove(cluster, member)
            return  # one at a time

    async def _attend_own(self, own: Member) -> None:
        if own.learner:
            await self._asker.promote(self._urls, own)
            self._log.emit(Event.ETCD_MEMBER_ADDED, member=self._layout.node, voting=True)
        elif own.peer_urls != (self._layout.peer_url(self._layout.node),):
            await self._asker.move(self._urls, own, self._layout.peer_url(self._layout.node))

    async def _remove(self, cluster: Cluster, member: Member) -> None:
        """Unless those who stay would be without a majority."""
        staying = [each for each in cluster.members if each.id != member.id and not each.learner]
        well = [each for each in staying if await self._is_well(each)]
        if len(well) < majority(len(staying)):
            return
        self._asked.add(member.name)
        await self._asker.remove(self._urls, member)
        self._tell_removed(member.name)

    def _tell_removed(self, name: str) -> None:
        if name in self._asked:
            self._asked.discard(name)
            self._log.emit(
                Event.ETCD_MEMBER_REMOVED, member=name, reason="the configuration does not make it vote any more"
            )

    async def _is_well(self, member: Member) -> bool:
        known = self._health.members.get(member.name)
        if known is not None:
            return known.well
        try:  # one that is to go as well, but counts until then
            return member.started and (await self._asker.status(member.client_urls[0])).leader != 0
        except Unanswered:
            return False

    async def _departed(self, name: str) -> None:
        self._tell_removed(name)  # where the answer to our request was lost
        left = {other: peer for other, peer in self.owner.departing.items() if other != name}
        self.owner = Owner(cluster=self.owner.cluster, node=self.owner.node, voters=self.owner.voters, departing=left)
        await self._keep(self.owner)

    @property
    def _urls(self) -> tuple[str, ...]:
        """Those that answer such questions, the leader first: it is asked for everything in the end."""
        well = [name for name, known in self._health.members.items() if known.serves]
        well.sort(key=lambda name: name != self._health.leader)
        return tuple(self._layout.client_url(name) for name in well)

    # --- data files -------------------------------------------------------------------------------------------

    async def _tidy(self) -> None:
        own_url = self._layout.client_url(self._layout.node)
        alarms = await self._asker.alarms(own_url)
        self._tell_alarms(alarms)
        full = alarms.get("NOSPACE", ())
        if full:
            own = self._health.members[self._layout.node].status
            await self._asker.compact(own_url, own.revision if own is not None else 0)
        order = sorted(self._health.members, key=lambda name: name == self._layout.node)
        for name in order:
            if not await self._tidy_one(name, needed=bool(full)):
                return
        for member in full:
            await self._asker.disarm(own_url, member, "NOSPACE")

    async def _tidy_one(self, name: str, *, needed: bool) -> bool:
        """Whether the next one may be tidied: everybody is well, and we still lead."""
        await self.look()
        known = self._health.members[name].status
        if self._led_since is None or known is None or not all(each.well for each in self._health.members.values()):
            return False
        if needed or is_fragmented(known.db_bytes, known.db_used_bytes):
            began = self._clock.now()
            await self._asker.defragment(self._layout.client_url(name))
            took_s = round(self._clock.now() - began, 3)
            self._log.emit(Event.ETCD_MEMBER_DEFRAGMENTED, member=name, duration_s=took_s, bytes=known.db_bytes)
        return True

    def _tell_alarms(self, alarms: dict[str, tuple[int, ...]]) -> None:
        for kind in sorted(set(alarms) - self._alarmed):
            self._log.emit(Event.ETCD_ALARM, alarm=kind, members=[f"{member:x}" for member in alarms[kind]])
        self._alarmed = frozenset(alarms)


def is_fragmented(size: int, used: int) -> bool:
    return size >= FRAGMENTED_BYTES and used < size / 2
