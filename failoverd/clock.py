"""The real clock: the only place that reads time."""

import time

import anyio


class BootClock:
    """``ports.Clock`` on CLOCK_BOOTTIME (clock_gettime(2)): monotonic, and a suspended machine's time counts."""

    def now(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def __init__(self) -> None:
        self._second = (0, "")
        """The latest second of the wall clock that was asked for, and how it is written."""

    async def sleep_until(self, at: float) -> None:
        # The event loop's timers run on CLOCK_MONOTONIC, which may be slower but never faster: hence the loop.
        while (left := at - self.now()) > 0:  # noqa: ASYNC110 (a sleep, not a poll)
            await anyio.sleep(left)

    def wall(self) -> str:
        second, micros = divmod(time.time_ns() // 1000, 1_000_000)
        known, written = self._second
        if second != known:
            written = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self._second = (second, written)  # one assignment: other threads ask too
        return f"{written}.{micros:06d}Z"
