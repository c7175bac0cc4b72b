"""How soon the first step begins, and what passes between a release and the online that waited for it."""

import subprocess
import sys
import time
from datetime import datetime
from statistics import median
from typing import Any

from tests.bench import shapes
from tests.bench.table import Row
from tests.harness import Trial, trial

FIRST_BOUND_MS = 10.0
HOP_BOUND_MS = 5.0
STATUS_BOUND_MS = 250.0


def at(event: dict[str, Any]) -> float:
    return datetime.fromisoformat(event["ts"]).timestamp()


def latest(running: Trial, node: str, name: str) -> dict[str, Any]:
    events = running[node].ask("events", follow=False, limit=1000)["events"]
    return max((event for event in events if event["event"] == name), key=at)


def first_offline(switches: int = 6) -> list[Row]:
    """From the daemon's receipt of ``switch`` to the first offline: asked of the source, and of the target."""
    by_event: dict[str, list[float]] = {"source": [], "target": []}
    by_record: dict[str, list[float]] = {"source": [], "target": []}
    with trial(shapes.chain(3, 0.05)) as running:
        for number in range(switches):
            asked = "source" if number % 2 == 0 else "target"
            source = running.owner()
            target = "b" if source == "a" else "a"
            asked_node = source if asked == "source" else target
            move, _ = running.switch(by=asked_node)
            received = at(latest(running, asked_node, "operator.command"))
            first = min(
                at(event)
                for event in running[source].ask("events", follow=False, limit=1000)["events"]
                if event["event"] == "component.offlining" and at(event) >= received
            )
            by_event[asked].append((first - received) * 1000)
            begun = min(operation.begin for operation in move.offline.values())
            by_record[asked].append((begun - received) * 1000)
    rows = []
    for asked in ("source", "target"):
        case = f"switch asked of the {asked}"
        note = f"median {median(by_event[asked]):.1f}ms of {len(by_event[asked])}"
        worst = max(by_event[asked])
        recorded = max(by_record[asked])
        rows += [
            Row(
                case=case,
                what="receipt to component.offlining, worst",
                measured=worst,
                bound=FIRST_BOUND_MS,
                unit="ms",
                digits=1,
                note=note,
            ),
            Row(
                case=case, what="receipt to the command's own first line, worst", measured=recorded, unit="ms", digits=1
            ),
        ]
    return rows


def hops(switches: int = 3) -> list[Row]:
    """From the end of a component's offline on the source to the begin of its online on the target."""
    with trial(shapes.staggered(20, 0.05)) as running:
        waits = sorted(wait * 1000 for _ in range(switches) for wait in running.switch()[0].hops())
    worst = waits[-1]
    note = f"of {len(waits)}, p90 {waits[int(len(waits) * 0.9)]:.1f}ms, worst {worst:.1f}ms"
    return [
        Row(
            case="release to online",
            what="median",
            measured=median(waits),
            bound=HOP_BOUND_MS,
            unit="ms",
            digits=2,
            note=note,
        )
    ]


def status(runs: int = 15) -> list[Row]:
    """``failoverd status`` as a whole process, as monitoring calls it, with a group of 40 components."""
    walls = []
    with trial(shapes.wide(40, 0.0)) as running:
        command = [sys.executable, "-m", "failoverd", "status", "--config", str(running["a"].config_file)]
        for _ in range(runs):
            began = time.perf_counter()
            done = subprocess.run(command, capture_output=True, check=True, timeout=30)
            walls.append((time.perf_counter() - began) * 1000)
            assert b"part-039" in done.stdout or b"trial" in done.stdout
    note = f"median {median(walls):.0f}ms of {runs}"
    return [
        Row(
            case="failoverd status",
            what="whole process, worst",
            measured=max(walls),
            bound=STATUS_BOUND_MS,
            unit="ms",
            digits=0,
            note=note,
        )
    ]
