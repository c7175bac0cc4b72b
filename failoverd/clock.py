"""The real clock: the only place that reads time."""

import time
from datetime import UTC, datetime

import anyio


class BootClock:
    """``ports.Clock`` on CLOCK_BOOTTIME (clock_gettime(2)): monotonic, and a suspended machine's time counts."""

    def now(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    async def sleep_until(self, at: float) -> None:
        # The event loop's timers run on CLOCK_MONOTONIC, which may be slower but never faster: hence the loop.
        while (left := at - self.now()) > 0:  # noqa: ASYNC110 (a sleep, not a poll)
            await anyio.sleep(left)

    def wall(self) -> str:
        return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
