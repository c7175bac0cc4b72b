"""Carries shots out: claims one, goes through the levels of the node's devices, and writes down what came of it.

What is confirmed is written by compare-and-swap on the very identity record that the shot was meant for: a node that
came back meanwhile has another one, and an old confirmation never counts for it.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from failoverd.domain.confirm_off import ConfirmOff
from failoverd.domain.fence_record import FencedHow, FenceEntry, FenceLevel, FenceRecord, FenceState
from failoverd.domain.fencing import Shoot, ShotCause, still_called_for
from failoverd.errors import CoordinatorUnavailable
from failoverd.log.catalogue import Event
from failoverd.ports import Change, Expect, Fencer, Put, Shot
from failoverd.records import decode, encode, fence_key, hold_key, lease_key, node_key
from failoverd.runtime.actor import subject_of

if TYPE_CHECKING:  # the node is made of this, so the import would be a cycle
    from failoverd.runtime.node import Node

WRITE_RETRY_S = 0.05
WRITE_FOR_S = 30.0
"""For how long what was confirmed is tried to be written while the coordinator does not answer."""
SLACK_S = 1.0
"""Beyond the agents' own deadlines, what the writes around them may take."""


@dataclass(slots=True)
class _Claim:
    """A shot that is ours alone."""

    shoot: Shoot
    record: FenceRecord
    revision: int
    began: float
    last: Shot | None = None
    level: int = 0
    """Of the last attempt, from 1."""


class Fencing:
    def __init__(self, node: "Node", fencer: Fencer) -> None:
        self._node, self._me, self.fencer = node, node.me, fencer
        self._coordinator, self._mirror, self._actor = node.ports.coordinator, node.mirror, node.actor
        self._contact, self._clock, self._log = node.contact, node.clock, node.log
        self.shooting: set[str] = set()

    def levels(self, node: str) -> tuple[FenceLevel, ...]:
        return self.fencer.levels(node)

    @property
    def _incarnation(self) -> str:
        held = self._node.keeper.held
        return held.incarnation if held else ""

    def _called_for(self, shoot: Shoot) -> bool:
        return still_called_for(self._node.view_builder.build(self._clock.now()), shoot)

    # --- a shot -------------------------------------------------------------------------------------------------

    async def carry_out(self, shoot: Shoot) -> None:
        """A claimed decision of ``decide``."""
        self.shooting.add(shoot.node)
        try:
            claim = await self._claim(shoot)
            if claim is None:
                return
            # Counted from the begin of the claim; where the coordinator is slow for us, it may be so for the other too.
            fires_at = max(claim.began + shoot.grace_s, self._clock.now() + shoot.grace_s / 2)
            await self._clock.sleep_until(fires_at)
            await self._fire(claim)
        except CoordinatorUnavailable as error:
            self._contact.failed(str(error))
        finally:
            self.shooting.discard(shoot.node)
            self._actor.release(subject_of(shoot))

    async def _claim(self, shoot: Shoot) -> _Claim | None:
        """One compare-and-swap that makes the shot ours: None where somebody was quicker, or something has changed."""
        began = self._clock.now()
        if not self._node.failsafe.promiser.begin_fencing(shoot.node, shoot.lease_revision, began):
            return None  # it was promised failsafe since this was decided
        kept = self._mirror.fences.get(shoot.node)
        record = FenceRecord(
            incarnation=shoot.incarnation,
            state=FenceState.SHOOTING,
            by=self._me,
            by_incarnation=self._incarnation,
            attempt=shoot.attempt,
            deadline_s=shoot.deadline_s + SLACK_S,
            reason=shoot.reason,
            at=self._clock.wall(),
            history=kept.record.history if kept else (),
        )
        expects = [
            Expect(fence_key(shoot.node), shoot.fence_revision),
            Expect(fence_key(self._me), shoot.own_fence_revision),
            Expect(node_key(shoot.node), shoot.member_revision),
        ]
        if shoot.cause is ShotCause.SILENT:
            expects.append(Expect(lease_key(shoot.node), shoot.lease_revision))
        expects += [Expect(hold_key(subject), revision) for subject, revision in shoot.holds]
        revision = await self._actor.commit(expects, [Put(fence_key(shoot.node), encode(record))])
        return _Claim(shoot, record, revision, began) if revision else None

    async def _fire(self, claim: _Claim) -> None:
        for number, level in enumerate(self.fencer.levels(claim.shoot.node)):
            if level.delay_s:
                await self._clock.sleep_until(self._clock.now() + level.delay_s)
            for _ in range(level.attempts):
                if not self._called_for(claim.shoot):
                    await self._give_up(claim, FenceState.WITHDRAWN, "it is not called for any more")
                    return
                if await self._attempt(claim, number, level):
                    await self._confirmed(claim)
                    return
        last = claim.last.detail if claim.last else "it has no fence device any more"
        await self._give_up(claim, FenceState.FAILED, last)

    async def _attempt(self, claim: _Claim, number: int, level: FenceLevel) -> bool:
        node = claim.shoot.node
        fields = {"peer": node, "agent": ", ".join(level.agents), "device": number + 1}
        self._log.emit(Event.FENCE_BEGUN, attempt=claim.shoot.attempt, reason=claim.shoot.reason, **fields)
        began = self._clock.now()
        claim.level, claim.last = number + 1, await self.fencer.off(node, number)
        if not claim.last.off:
            duration = round(self._clock.now() - began, 4)
            output = {"output": claim.last.output} if claim.last.output else {}
            self._log.emit(Event.FENCE_FAILED, duration_s=duration, reason=claim.last.detail, **fields, **output)
        return claim.last.off

    # --- what came of it ----------------------------------------------------------------------------------------

    async def _confirmed(self, claim: _Claim) -> None:
        """The node is off: its lease is taken away, which releases everything that it held, at once."""
        node = claim.shoot.node
        record = self._concluded(claim, FenceState.OFF, claim.last.detail if claim.last else "")
        agent, duration = record.history[0].agent, record.history[0].duration_s
        fields = {"peer": node, "agent": agent, "device": claim.level, "duration_s": duration}
        expects = [Expect(fence_key(node), claim.revision), Expect(node_key(node), claim.shoot.member_revision)]
        fenced = self._actor.marked_fenced(
            node, FencedHow.FENCE_AGENT, by=self._me, reason=f"{agent} confirmed that it is off"
        )
        if await self._write(claim, record, expects, fenced):
            self._log.emit(Event.FENCE_DONE, **fields)
            return
        late = "confirmed, but not needed any more: its lease had ended meanwhile, or it is another incarnation by now"
        self._log.emit(Event.FENCE_FAILED, reason=late, **fields)
        await self._note(claim, self._concluded(claim, FenceState.OFF, late))

    async def _give_up(self, claim: _Claim, state: FenceState, why: str) -> None:
        if state is FenceState.WITHDRAWN:
            self._log.emit(Event.FENCE_FAILED, peer=claim.shoot.node, device=claim.level, reason=why)
        await self._note(claim, self._concluded(claim, state, why))

    async def _note(self, claim: _Claim, record: FenceRecord) -> None:
        await self._write(claim, record, [Expect(fence_key(claim.shoot.node), claim.revision)], [])

    def _concluded(self, claim: _Claim, state: FenceState, why: str) -> FenceRecord:
        entry = FenceEntry(
            incarnation=claim.shoot.incarnation,
            result=state,
            how=FencedHow.FENCE_AGENT,
            by=self._me,
            level=claim.level,
            agent=claim.last.agent if claim.last else "",
            reason=why,
            at=self._clock.wall(),
            duration_s=round(self._clock.now() - claim.began, 4),
        )
        return claim.record.concluded(state, entry)

    async def _write(self, claim: _Claim, record: FenceRecord, expects: list[Expect], more: list[Put]) -> bool:
        """Until it is known whether it was written: an answer that was lost is found out by reading the record."""
        key, until = fence_key(claim.shoot.node), self._clock.now() + WRITE_FOR_S
        unknown = False
        while True:
            try:
                if await self._actor.commit(expects, [*more, Put(key, encode(record))]):
                    return True
                return unknown and await self._reads(key, record)
            except CoordinatorUnavailable as error:
                self._contact.failed(str(error))
                unknown = True
                if self._clock.now() >= until:
                    raise
            await self._clock.sleep_until(self._clock.now() + WRITE_RETRY_S)

    async def _reads(self, key: str, record: FenceRecord) -> bool:
        entry = await self._coordinator.read(key)
        if entry is None:
            return False
        self._mirror.absorb(Change(key, entry.value, entry.revision))
        return decode(FenceRecord, key, entry.value) == record

    # --- an operator's word -------------------------------------------------------------------------------------

    async def confirm_off(self, asked: ConfirmOff, *, by: str) -> bool:
        """Mark a node fenced on an operator's word. False: something had changed. Raises ``CoordinatorUnavailable``:
        whether it was written is then unknown, and the watch will tell."""
        kept = self._mirror.fences.get(asked.node)
        reason = "an operator has confirmed that it is off"
        entry = FenceEntry(
            incarnation=asked.incarnation,
            result=FenceState.OFF,
            how=FencedHow.OPERATOR,
            by=by,
            reason=reason,
            at=self._clock.wall(),
        )
        record = FenceRecord(
            incarnation=asked.incarnation,
            state=FenceState.OFF,
            by=by,
            history=kept.record.history if kept else (),
        ).concluded(FenceState.OFF, entry)
        expects = [
            Expect(node_key(asked.node), asked.member_revision),
            Expect(lease_key(asked.node), asked.lease_revision),
            Expect(fence_key(asked.node), asked.fence_revision),
        ]
        fenced = self._actor.marked_fenced(asked.node, FencedHow.OPERATOR, by=by, reason=reason)
        return bool(await self._actor.commit(expects, [*fenced, Put(fence_key(asked.node), encode(record))]))
