"""What the coordinator holds, mirrored in memory and kept true by a watch."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from failoverd.bell import Bell
from failoverd.domain.fence_record import FenceRecord
from failoverd.domain.holds import Clearance, Held, Hold, Holds, Subject
from failoverd.domain.placement import Fault, Lease, Member, Placement
from failoverd.errors import CoordinatorCorrupt, CoordinatorUnavailable
from failoverd.log.catalogue import Event
from failoverd.ports import Change, Clock, Coordinator, EventLog
from failoverd.records import Key, Kind, decode, parse_key

RETRY_S = 0.2

R = TypeVar("R", Placement, Member, Lease, Fault, Clearance, FenceRecord)
K = TypeVar("K", str, tuple[str, str])


@dataclass(frozen=True, slots=True)
class Kept(Generic[R]):
    """A record, its revision, and when this node saw that revision (own clock)."""

    record: R
    revision: int
    seen_at: float


@dataclass(frozen=True, slots=True)
class News:
    """Which record changed."""

    kind: Kind
    group: str = ""
    node: str = ""
    hold: Subject | None = None


class Contact:
    """Whether the coordinator answers: told by every call that is made anyway."""

    def __init__(self, log: EventLog) -> None:
        self.ok = False
        self._log = log
        self._ever = False
        self.on_lost: list[Callable[[], None]] = []
        self.on_back: list[Callable[[], None]] = []

    def answered(self) -> None:
        if self.ok:
            return
        self.ok = True
        if self._ever:
            self._log.emit(Event.COORDINATOR_BACK)
            for callback in self.on_back:
                callback()
        self._ever = True

    def failed(self, why: str) -> None:
        if self.ok or not self._ever:
            self._ever = True
            self.ok = False
            self._log.emit(Event.COORDINATOR_LOST, reason=why)
            for callback in self.on_lost:
                callback()


class Mirror:
    def __init__(self, coordinator: Coordinator, clock: Clock, log: EventLog, contact: Contact) -> None:
        self._coordinator = coordinator
        self._clock = clock
        self._log = log
        self._contact = contact
        self.placements: dict[str, Kept[Placement]] = {}
        self.members: dict[str, Kept[Member]] = {}
        self.leases: dict[str, Kept[Lease]] = {}
        self.faults: dict[tuple[str, str], Kept[Fault]] = {}
        self.clearances: dict[str, Kept[Clearance]] = {}
        self.holds = Holds()
        self.fences: dict[str, Kept[FenceRecord]] = {}
        self.corrupt: dict[str, str] = {}
        self.loaded = False
        self.revision = 0
        """Everything that was written up to this revision is known."""
        self.advanced = Bell()
        """Rung when more is known."""
        self._revisions: dict[str, int] = {}
        self._parsed: dict[str, Key] = {}
        """Keys that have been taken apart: they come again and again."""
        self.on_news: list[Callable[[News], None]] = []
        self._told_at = self._out_since = clock.now()
        contact.on_lost.append(self._begin_outage)
        contact.on_back.append(self._forgive_outage)

    async def run(self) -> None:
        """Keep the mirror true until cancelled."""
        while True:
            try:
                await self._follow()
            except CoordinatorUnavailable as error:
                self._contact.failed(str(error))
                await self._clock.sleep_until(self._clock.now() + RETRY_S)

    async def _follow(self) -> None:
        listing = await self._coordinator.list("")
        self._contact.answered()
        present = {entry.key for entry in listing.entries}
        gone = [key for key in self._revisions if key not in present]
        for key in gone:
            self.absorb(Change(key, None, listing.revision))
        for entry in listing.entries:
            self.absorb(Change(entry.key, entry.value, entry.revision))
        self.loaded, self.revision = True, max(self.revision, listing.revision)
        self.advanced.ring()
        async with self._coordinator.watch("", listing.revision) as batches:
            async for batch in batches:
                for change in batch:
                    self.absorb(change)
                    self.revision = max(self.revision, change.revision)
                self.advanced.ring()

    def absorb(self, change: Change) -> None:
        """Take over one change; an older one than what is known is ignored. Also called with our own commits."""
        if self._revisions.get(change.key, 0) >= change.revision:
            return
        self._told_at = self._clock.now()
        self._revisions[change.key] = change.revision
        try:
            key = self._parsed.get(change.key) or parse_key(change.key)
            if key is None:
                return
            self._parsed[change.key] = key
            self._store(key, change)
        except CoordinatorCorrupt as error:
            self.corrupt[change.key] = str(error)
            self._log.emit(Event.COORDINATOR_CORRUPT, reason=str(error))
            return
        self.corrupt.pop(change.key, None)
        for callback in self.on_news:
            callback(News(key.kind, key.group, key.node, key.hold))

    def _store(self, key: Key, change: Change) -> None:
        match key.kind:
            case Kind.PLACEMENT:
                self._keep(self.placements, key.group, Placement, change)
            case Kind.NODE:
                self._keep(self.members, key.node, Member, change)
            case Kind.LEASE:
                self._keep(self.leases, key.node, Lease, change)
            case Kind.FAULT:
                self._keep(self.faults, (key.group, key.node), Fault, change)
            case Kind.CLEAR:
                self._keep(self.clearances, key.group, Clearance, change)
            case Kind.FENCE:
                self._keep(self.fences, key.node, FenceRecord, change)
            case Kind.FREEZE | Kind.DRAIN if key.hold is not None:
                self._hold(key.hold, change)

    def _hold(self, subject: Subject, change: Change) -> None:
        """A record that cannot be read keeps hands off like any other: that it is there is what counts."""
        held = {each: kept for each, kept in self.holds.held.items() if each != subject}
        if change.value is not None:
            try:
                hold = decode(Hold, change.key, change.value)
            except CoordinatorCorrupt as error:
                hold = Hold(reason=f"(its record cannot be read: {error})")
            held[subject] = Held(hold, change.revision)
        self.holds = Holds(held)

    def _keep(self, where: dict[K, Kept[R]], name: K, kind: type[R], change: Change) -> None:
        if change.value is None:
            where.pop(name, None)
        else:
            where[name] = Kept(decode(kind, change.key, change.value), change.revision, self._clock.now())

    def _begin_outage(self) -> None:
        self._out_since = self._told_at

    def _forgive_outage(self) -> None:
        """Nobody could renew while the coordinator was gone, as far as we know: that time counts for no lease. It began
        when we last learnt anything from it, and not only when we found out that it was gone."""
        now = self._clock.now()
        lasted_s = now - self._out_since
        for node, kept in self.leases.items():
            self.leases[node] = replace(kept, seen_at=min(now, kept.seen_at + lasted_s))
