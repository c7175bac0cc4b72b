"""After any doubt about who owns what is online here, those who find it by what they remember are told again.

A network that was split may have learnt from both sides who has an address, and a node that was thought dead may have
been replaced and come back: nobody corrects that unless the owner says it once more.
"""

from collections.abc import Mapping

import anyio

from failoverd.bell import Bell
from failoverd.ports import Clock
from failoverd.runtime.board import Authority
from failoverd.runtime.group import GroupRunner

TOGETHER_S = 0.05
"""Doubts that come together (a link, the peer behind it, the coordinator) are one."""
PAUSE_S = 1.0
"""Between two rounds: a peer that comes and goes is no reason for a storm of announcements."""


class Reclaimer:
    def __init__(
        self, groups: Mapping[str, GroupRunner], authority: Authority, clock: Clock, *, late_after_s: float
    ) -> None:
        """``late_after_s``: a lease that was not renewed for so long was in doubt."""
        self._groups = groups
        self._authority = authority
        self._clock = clock
        self._late_after_s = late_after_s
        self._renewed_at: float | None = None
        self._doubts = Bell()

    def doubt(self) -> None:
        """A peer, a link or the coordinator is back; our own clock was seen to have stood still."""
        self._doubts.ring()

    def renewed(self) -> None:
        """The lease was renewed; a doubt where that was late."""
        now, before = self._clock.now(), self._renewed_at
        self._renewed_at = now
        if before is not None and now - before > self._late_after_s:
            self.doubt()

    async def run(self) -> None:
        seen = self._doubts.count
        while True:
            await self._doubts.beyond(seen)
            await self._clock.sleep_until(self._clock.now() + TOGETHER_S)
            if self._authority.may_act(self._clock.now()):
                seen = self._doubts.count
                await self._reclaim()
            await self._clock.sleep_until(self._clock.now() + PAUSE_S)

    async def _reclaim(self) -> None:
        async with anyio.create_task_group() as tasks:
            for group in self._groups.values():
                for runner in group.runners.values():
                    if runner.reclaims:
                        tasks.start_soon(runner.reclaim)
