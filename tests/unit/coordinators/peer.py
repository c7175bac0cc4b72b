"""A process of its own on one sqlite file: ``python -m tests.unit.coordinators.peer count|write PATH NUMBER``."""

import sys
import time
from pathlib import Path

import anyio

from failoverd.clock import BootClock
from failoverd.coordinators.sqlite import SqliteCoordinator
from failoverd.ports import Coordinator, Expect, Put

TIMEOUT_S = 10.0
WRITE_PAUSE_S = 0.02


async def count(coordinator: Coordinator, number: int) -> None:
    """Increment a counter that many times by compare-and-swap, starting over where another was faster."""
    done = 0
    while done < number:
        entry = await coordinator.read("n")
        expect = Expect("n", entry.revision if entry else 0)
        value = int(entry.value) + 1 if entry else 1
        done += (await coordinator.commit([expect], [Put("n", b"%d" % value)])).ok


async def write(coordinator: Coordinator, number: int) -> None:
    """Write the time, now and then."""
    clock = BootClock()
    for _ in range(number):
        await anyio.sleep(WRITE_PAUSE_S)
        await coordinator.commit([], [Put("time", b"%.6f" % clock.now())])


async def main(what: str, path: Path, number: int) -> None:
    coordinator = await SqliteCoordinator.open(path, request_timeout_s=TIMEOUT_S, clock=BootClock())
    try:
        await (count if what == "count" else write)(coordinator, number)
    finally:
        await coordinator.aclose()


if __name__ == "__main__":
    began = time.monotonic()
    anyio.run(main, sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), backend_options={"use_uvloop": True})
    print(f"{time.monotonic() - began:.3f}")
