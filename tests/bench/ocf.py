"""200 resource agents under monitoring: what the daemon itself spends on it, and when it starts them.

Each component is the `Dummy` agent behind a wrapper that writes down when a monitor begins and ends. The agents' own
shells are not counted: they cost what they cost under any cluster manager.
"""

import os
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.bench.idle import components_online, cpu_s, own_pids
from tests.bench.table import Row
from tests.harness import Part, trial

COMPONENTS = 200
INTERVAL_S = 10.0
SECONDS = 60.0
CPU_BOUND_PERCENT = 8.0
CROWD_BOUND = 2.0
"""The fullest second against an even spread."""
DUMMY = Path("/usr/lib/ocf/resource.d/heartbeat/Dummy")
WRAPPER = f"""#!/bin/bash
[ "$1" = monitor ] || exec {DUMMY} "$@"
begin=$EPOCHREALTIME
{DUMMY} "$@"
status=$?
echo "$begin $EPOCHREALTIME $OCF_RESOURCE_INSTANCE" >> "$MONITORS"
exit $status
"""

Monitor = tuple[float, float, str]
"""Begin and end (seconds of the wall clock: the shell has no other), instance."""


@contextmanager
def ocf_root() -> Iterator[Path]:
    """An OCF_ROOT with the wrapper, for the daemons that are started within."""
    before = os.environ.get("OCF_ROOT")
    with TemporaryDirectory(prefix="failoverd-ocf-root-") as directory:
        root = Path(directory)
        (root / "lib").symlink_to("/usr/lib/ocf/lib")
        agent = root / "resource.d" / "bench" / "Dummy"
        agent.parent.mkdir(parents=True)
        agent.write_text(WRAPPER)
        agent.chmod(0o755)
        os.environ["OCF_ROOT"] = str(root)
        try:
            yield root
        finally:
            del os.environ["OCF_ROOT"]
            if before is not None:
                os.environ["OCF_ROOT"] = before


def ocf_200(components: int = COMPONENTS, seconds: float = SECONDS) -> list[Row]:
    if not DUMMY.exists():
        print(f"{DUMMY} is not there: install resource-agents", flush=True)
        return []
    names = [f"agent-{number:03}" for number in range(components)]

    def make(root: Path) -> dict[str, Any]:
        monitor = {"interval": f"{INTERVAL_S:g}s"}
        environment = {"MONITORS": str(root / "monitors")}
        return {name: {"type": "ocf:bench:Dummy", "monitor": monitor, "env": environment} for name in names}

    with ocf_root(), trial({name: Part() for name in names}, components=make) as running:
        assert components_online(running) == components
        time.sleep(INTERVAL_S / 2)
        owner = running[running.owner()]
        file = running.cluster.root / "monitors"
        file.write_text("")
        before, began = cpu_s(own_pids(owner)), time.monotonic()
        time.sleep(seconds)
        spent, passed = cpu_s(own_pids(owner)) - before, time.monotonic() - began
        found = read_monitors(file)
        assert components_online(running) == components
    return judge(found, components, 100 * spent / passed)


def read_monitors(file: Path) -> list[Monitor]:
    lines = (line.split() for line in file.read_text().splitlines())
    return sorted((float(begin), float(end), name) for begin, end, name in lines)


def judge(found: list[Monitor], components: int, share: float) -> list[Row]:
    case = f"{components} ocf components, every {INTERVAL_S:g}s"
    mean_ms = 1000 * sum(end - begin for begin, end, _ in found) / max(len(found), 1)
    return [
        Row(
            case=case,
            what="the owner's daemon and its helpers, share of a core",
            measured=share,
            bound=CPU_BOUND_PERCENT,
            unit="%",
            digits=2,
            note=f"{len(found)} monitors, each of which took {mean_ms:.0f}ms",
        ),
        Row(case=case, what="monitors of one component at once", measured=overlaps(found), bound=0, digits=0),
        Row(
            case=case,
            what="fullest second / even spread",
            measured=crowding(found),
            bound=CROWD_BOUND,
            digits=2,
        ),
        Row(
            case=case,
            what="components that were not monitored in time",
            measured=components - punctual(found),
            bound=0,
            digits=0,
        ),
    ]


def overlaps(found: list[Monitor]) -> int:
    mine: dict[str, list[Monitor]] = defaultdict(list)
    for each in found:
        mine[each[2]].append(each)
    return sum(later[0] < earlier[1] for one in mine.values() for earlier, later in pairwise(one))


def crowding(found: list[Monitor]) -> float:
    """Starts in the fullest whole second, against the mean of them all."""
    starts = Counter(int(begin) for begin, _, _ in found)
    whole = sorted(starts)[1:-1]
    return max(starts[second] for second in whole) / (sum(starts[second] for second in whole) / len(whole))


def punctual(found: list[Monitor]) -> int:
    """Components that were monitored again and again, never later than an interval and a second after the last time."""
    times: dict[str, list[float]] = defaultdict(list)
    for begin, _, name in found:
        times[name].append(begin)
    late = INTERVAL_S + 1.0
    return sum(len(one) > 1 and all(b - a <= late for a, b in pairwise(one)) for one in times.values())
