"""What starting a command costs: bare, and through the helper. Run as ``python -m tests.bench.spawn [COMMANDS]``.

Wall-clock time and CPU time per command (ours, the helper's and the commands' own, all together), for commands one
after the other and many at once; and how late a 20 ms timer of the event loop is meanwhile.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio

from failoverd.log.catalogue import Event
from failoverd.ports import RunRequest
from failoverd.spawner.client import HelperSpawner

COMMAND = ("/bin/true",)
ENV = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", **{f"FAILOVERD_{name}": "some value" for name in "ABCDEF"}}
PARALLEL = 64
MANY = 400
TICK_S = 0.02


@dataclass(frozen=True)
class Cost:
    what: str
    wall_ms: float
    cpu_ms: float
    late_ms: float = 0.0
    """The worst lateness of the event loop's timer."""

    def __str__(self) -> str:
        late = f"{self.late_ms:8.1f}" if self.late_ms else "       -"
        return f"{self.what:<34}{self.wall_ms:8.3f}{self.cpu_ms:8.3f}{late}"


class Silent:
    def emit(self, event: Event, **fields: Any) -> None:
        print(event, fields)


def cpu_s(helper: int | None = None) -> float:
    """Of this process, of the helper, and of all children that either has waited for (seconds)."""
    used = sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    if helper is not None:
        fields = Path(f"/proc/{helper}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        used += sum(int(field) for field in fields[11:15]) / os.sysconf("SC_CLK_TCK")
    return used


def popen() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        COMMAND,
        env=ENV,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def bare(count: int, parallel: int) -> Cost:
    """The cheapest honest loop: start up to ``parallel``, then wait for the oldest."""
    begun, used = time.monotonic(), cpu_s()
    running: list[subprocess.Popen[bytes]] = []
    for _ in range(count):
        if len(running) >= parallel:
            running.pop(0).communicate()
        running.append(popen())
    for process in running:
        process.communicate()
    wall, cpu = time.monotonic() - begun, cpu_s() - used
    return Cost(f"subprocess.Popen, {parallel} at once", wall * 1e3 / count, cpu * 1e3 / count)


async def helped(count: int, parallel: int, spawner: HelperSpawner) -> Cost:
    request = RunRequest(argv=COMMAND, env=ENV, timeout_s=60)
    left = iter(range(count))
    late = 0.0

    async def worker() -> None:
        for _ in left:
            result = await spawner.run(request)
            assert result.exit_status == 0

    async def ticks() -> None:
        nonlocal late
        while True:
            before = time.monotonic()
            await anyio.sleep(TICK_S)
            late = max(late, time.monotonic() - before - TICK_S)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ticks)
        await anyio.sleep(0.1)
        begun, used = time.monotonic(), cpu_s(spawner.helper_pid)
        await together(worker, parallel)
        wall, cpu = time.monotonic() - begun, cpu_s(spawner.helper_pid) - used
        tasks.cancel_scope.cancel()
    return Cost(f"helper, {parallel} at once", wall * 1e3 / count, cpu * 1e3 / count, late * 1e3)


async def together(worker: Callable[[], Coroutine[Any, Any, None]], parallel: int) -> None:
    async with anyio.create_task_group() as tasks:
        for _ in range(parallel):
            tasks.start_soon(worker)


async def measure(count: int) -> list[Cost]:
    costs: list[Cost] = []
    with tempfile.TemporaryDirectory() as run_dir:
        async with HelperSpawner(Path(run_dir), Silent()) as spawner:
            for parallel in (1, PARALLEL, MANY):
                costs += [bare(count, parallel), await helped(count, parallel, spawner)]
    return costs


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 800
    costs = anyio.run(measure, count, backend_options={"use_uvloop": True})
    print(f"{count} x {' '.join(COMMAND)}, ms per command     wall     cpu    late")
    for cost in costs:
        print(cost)
    for plain, through in zip(costs[::2], costs[1::2], strict=True):
        ratio = f"{through.wall_ms / plain.wall_ms:.2f} of wall, {through.cpu_ms / plain.cpu_ms:.2f} of CPU"
        print(f"{through.what} against {plain.what}: {ratio}")


if __name__ == "__main__":
    main()
