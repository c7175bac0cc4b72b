"""When this node tells its peers of itself: with each heartbeat, and as soon as one of them may wait for it."""

from collections.abc import Callable

from failoverd.bell import Bell
from failoverd.domain.report import PeerState
from failoverd.ports import Clock

TOGETHER_S = 0.004
PAUSES = 15
BURST_S = 0.012
"""Releases are sent at once, but in a storm of them no more often than every ``TOGETHER_S``, or so many times what it
takes to tell of a large cluster (in the long run: what was not used of ``BURST_S`` may be): to say and to hear each
alone would delay them all."""
SEND_PAUSE_S = 0.03
"""So long after a datagram, changes that no peer waits for are left to the next one."""


class Teller:
    def __init__(self, clock: Clock, tell: Callable[[PeerState], None], state: Callable[[float], PeerState]) -> None:
        self._clock, self._tell, self._state = clock, tell, state
        self._pressing = Bell()
        self._unsent = False
        self._sent_at = 0.0
        self._next = 0.0

    def changed(self, now: float, *, pressing: bool) -> None:
        """``pressing``: a peer may wait for it, and it goes at once, or in a storm with what follows soon. The rest
        goes with the next datagram, or round of decisions: peers only show it."""
        self._unsent = True
        if pressing and now >= self._next - BURST_S:
            self.send(now)
        elif pressing:
            self._pressing.ring()

    def decided(self, now: float) -> None:
        """A round of decisions is over."""
        if self._unsent and now - self._sent_at >= SEND_PAUSE_S:
            self.send(now)

    def send(self, now: float) -> None:
        self._unsent, self._sent_at = False, now
        self._tell(self._state(now))
        self._next = max(self._next, now) + max(TOGETHER_S, PAUSES * (self._clock.now() - now))

    async def run(self) -> None:
        """Until cancelled: what had to wait for others."""
        while True:
            seen = self._pressing.count
            if self._unsent:
                self.send(self._clock.now())
            await self._pressing.beyond(seen)
            await self._clock.sleep_until(self._next - BURST_S)
