"""Health checks beside the agents' own probes: part of coming online, and then asked at an interval of their own.

One coroutine per component, so that checks of one component never overlap; a check that hangs delays nothing else.
"""

import anyio

from failoverd.domain.model import ComponentState, HealthCheck
from failoverd.ports import Clock, Health, Presence, Probe
from failoverd.runtime.component import ComponentRunner
from failoverd.runtime.spread import next_turn


class HealthMonitor:
    def __init__(self, runner: ComponentRunner, clock: Clock, phase: float) -> None:
        """``phase``: where in the interval this component's checks lie, 0 to 1."""
        self._runner = runner
        self._clock = clock
        self._phase = phase
        self._failures = 0
        self._successes = 0

    async def run(self) -> None:
        own = self._runner.local.own
        while not self._runner.done:
            seen = own.count
            check = self._runner.component.check
            if check is not None and self._runner.watched:
                await self._term(check, seen)
            elif check is None:
                self._runner.unhealthy = ""
            await own.beyond(seen)

    async def _term(self, check: HealthCheck, seen: int) -> None:
        """From the moment that the component is online until its state changes (its bell is rung beyond ``seen``)."""
        own = self._runner.local.own
        self._failures = self._successes = 0
        if self._runner.local.state is ComponentState.ONLINE:
            self._runner.unhealthy = ""
        while own.count == seen:
            at = next_turn(self._clock.now(), check.interval_s, self._phase)
            with anyio.move_on_after(max(0.0, at - self._clock.now())):
                await own.beyond(seen)
            if own.count > seen:
                return
            health = await self._runner.ask_health(check)
            if own.count == seen:
                self._judge(check, health)

    def _judge(self, check: HealthCheck, health: Health) -> None:
        if health.healthy is None:
            return
        if health.healthy:
            self._failures, self._successes = 0, self._successes + 1
            if self._successes >= check.rise and self._runner.unhealthy:
                self._runner.unhealthy = ""
                self._runner.recovered()
            return
        self._failures, self._successes = self._failures + 1, 0
        if self._failures >= check.fall:
            self._runner.unhealthy = f"{check.name}: {health.detail}"
            times = f" ({self._failures} times in a row)" if check.fall > 1 else ""
            detail = f"{self._runner.unhealthy}{times}"
            self._runner.found(Probe(presence=Presence.FAILED, detail=detail), check=check.name)
