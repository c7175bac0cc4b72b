"""Failsafe on this node: asks the others while its own lease cannot be renewed, and promises them the same.

The rules are those of ``domain.failsafe``; here they meet heartbeats, the lease and the log.
"""

from dataclasses import dataclass
from enum import StrEnum

from failoverd.domain.failsafe import Asked, Asker, Promiser, asks_from
from failoverd.log.catalogue import Event
from failoverd.ports import Clock, EventLog, Received
from failoverd.runtime.lease_keeper import LeaseKeeper
from failoverd.runtime.mirror import Mirror


class Standing(StrEnum):
    """What a node has beside its lease."""

    OFF = "off"
    """Its lease is renewed in time: it asks nobody."""
    ASKING = "asking"
    """A renewal is overdue."""
    HELD = "held"
    """The lease can no longer be used; everybody's promise is what keeps things online."""


@dataclass(kw_only=True)
class Failsafe:
    me: str
    others: tuple[str, ...]
    keeper: LeaseKeeper
    mirror: Mirror
    promiser: Promiser
    clock: Clock
    log: EventLog
    standing: Standing = Standing.OFF
    _asker: Asker | None = None
    _incarnation: str = ""

    @property
    def until(self) -> float | None:
        """Until when everybody has promised not to fence this incarnation (None: somebody has not)."""
        held = self.keeper.held
        if self._asker is None or held is None or held.incarnation != self._incarnation:
            return None
        return self._asker.until

    @property
    def usable_until(self) -> float:
        """As the lease's: self-stop begins then."""
        until = self.until
        return 0.0 if until is None else until - self.keeper.settings.self_stop_s

    @property
    def asks(self) -> int:
        """For our heartbeats."""
        asking = self._asker is not None and self.standing is not Standing.OFF
        return self._asker.number if asking and self._asker is not None else 0

    def lacking(self, now: float) -> tuple[str, ...]:
        """Who does not promise at present."""
        return () if self._asker is None else self._asker.lacking(now + self.keeper.settings.self_stop_s)

    # --- each heartbeat -----------------------------------------------------------------------------------------

    def beat(self, now: float) -> None:
        """Ask, where a renewal is overdue; by the loop that decides, so that one that hangs asks for nothing."""
        held, settings = self.keeper.held, self.keeper.settings
        if held is None or settings.failsafe_s <= 0 or not self.others:
            self._leave("the lease was lost")
            self._asker = None
            return
        if self._asker is None or self._incarnation != held.incarnation:
            self._asker, self._incarnation = Asker(held.incarnation, self.others), held.incarnation
        if now < asks_from(settings, held.began):
            self._leave("the lease is renewed again")
            return
        self._asker.ask(now)
        if now < self.keeper.usable_until:
            self.standing = Standing.ASKING if self.standing is Standing.OFF else self.standing
        elif now < self.usable_until:
            self._enter(now)
        else:
            self._leave(self._why_not(now), to=Standing.ASKING)

    def _enter(self, now: float) -> None:
        if self.standing is not Standing.HELD:
            self.standing = Standing.HELD
            until = self.until
            self.log.emit(
                Event.FAILSAFE_ENTERED,
                reason="the lease cannot be renewed, and every other member promises not to fence this node",
                promised_by=list(self.others),
                for_s=None if until is None else round(until - now, 3),
            )

    def _leave(self, reason: str, to: Standing = Standing.OFF) -> None:
        if self.standing is Standing.HELD:
            self.log.emit(Event.FAILSAFE_LEFT, reason=reason)
        self.standing = to

    def _why_not(self, now: float) -> str:
        lacking = self.lacking(now)
        return f"no promise any more from {', '.join(lacking)}" if lacking else "the promises have run out"

    # --- heartbeats of others -----------------------------------------------------------------------------------

    def hear(self, received: Received, *, informed: bool) -> bool:
        """Take in what a peer asks and promises; True where that prolongs what we were promised. ``informed``: all is
        known that was written before this node joined."""
        self._answer(received, informed=informed)
        promise = received.state.promises.get(self.me)
        if promise is None or self._asker is None:
            return False
        before = self.until
        self._asker.promised(received.peer, promise)
        return self.until != before

    def _answer(self, received: Received, *, informed: bool) -> None:
        peer = received.peer
        if not received.state.asks:
            self.promiser.asks_no_more(peer)
            return
        member, lease = self.mirror.members.get(peer), self.mirror.leases.get(peer)
        asked = Asked(
            incarnation=received.incarnation,
            number=received.state.asks,
            member=member.record.state if member else None,
            known_incarnation=member.record.incarnation if member else "",
            lease_revision=lease.revision if lease else 0,
        )
        self.promiser.ask(peer, asked, self.clock.now(), informed=informed)
