"""Finds out that an online component is not online any more: by events where its agent has them, else by polling.

One coroutine per component, so that monitors of one component never overlap. Each polls at a phase of the interval of
its own, so that those of many components are spread over it, whenever they came online.
"""

import anyio

from failoverd.domain.model import ComponentState
from failoverd.ports import Clock, Presence, Probe
from failoverd.runtime.component import ComponentRunner
from failoverd.runtime.spread import next_turn

SELDOM = 6
"""Intervals between two polls of a component whose agent has events."""
RECHECK_S = 1.0
"""After a failed poll that does not count yet (``fall``), the next comes this much later, or an interval if shorter."""


class Monitor:
    def __init__(self, runner: ComponentRunner, clock: Clock, phase: float) -> None:
        """``phase``: where in the interval this component's polls lie, 0 to 1."""
        self._runner = runner
        self._clock = clock
        self._phase = phase
        self._misses = 0
        self._hits = 0
        self._has_events = True
        """Until its agent says otherwise."""

    async def run(self) -> None:
        own = self._runner.local.own
        while not self._runner.done:
            seen = own.count
            if self._runner.watched:
                await self._term(seen)
            await own.beyond(seen)

    async def _term(self, seen: int) -> None:
        """From the moment that the component is online until its state changes (its bell is rung beyond ``seen``)."""
        self._misses = self._hits = 0
        if not self._has_events:
            await self._poll(seen)
            return
        async with anyio.create_task_group() as group:
            group.start_soon(self._follow)
            await anyio.lowlevel.checkpoint()  # an agent without events says so at once
            await self._poll(seen)
            group.cancel_scope.cancel()

    async def _poll(self, seen: int) -> None:
        at = self._next_turn()
        while not await self._changed_before(at, seen):
            probe = await self._probe(seen)
            if probe is None:
                return
            counted = self._judge(probe)
            at = self._next_turn() if counted else self._clock.now() + min(self._interval_s(), RECHECK_S)

    def _next_turn(self) -> float:
        return next_turn(self._clock.now(), self._interval_s(), self._phase)

    def _interval_s(self) -> float:
        """Where events tell, polling only makes sure of them."""
        interval = self._runner.component.monitor.interval_s
        return interval * SELDOM if self._has_events and self._runner.local.state is ComponentState.ONLINE else interval

    async def _changed_before(self, at: float, seen: int) -> bool:
        own = self._runner.local.own
        return await own.beyond(seen, at - self._clock.now())

    async def _probe(self, seen: int) -> Probe | None:
        """None where the component's state changed meanwhile: what was found may be of before or after."""
        probe = await self._runner.probe()
        return probe if self._runner.local.own.count == seen else None

    async def _follow(self) -> None:
        while (probe := await self._runner.watch()) is not None:
            if probe.presence is not Presence.ONLINE:
                self._runner.found(probe)
                return
            await self._clock.sleep_until(self._clock.now() + RECHECK_S)
        self._has_events = False

    def _judge(self, probe: Probe) -> bool:
        """Count one poll; False where a failed one does not count yet and wants to be looked at again soon."""
        policy = self._runner.component.monitor
        if probe.presence is Presence.ONLINE:
            self._misses, self._hits = 0, self._hits + 1
            if self._hits >= policy.rise:
                self._runner.recovered()
            return True
        self._misses, self._hits = self._misses + 1, 0
        # That it is not there is a fact and needs no second look; that a check failed may be the check's fault.
        definite = probe.presence is Presence.OFFLINE
        if definite or self._misses >= policy.fall:
            self._runner.found(probe, definite=definite)
            return True
        return False
