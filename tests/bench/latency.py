"""How soon the first step begins, and what passes between a release and the online that waited for it."""

import os
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench import shapes
from tests.bench.table import Row
from tests.harness import AGENT, Trial, trial

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
    """From a component's release on the source to the begin of its online on the target: as the two daemons tell it,
    and from the last line of the one command to the first line of the other. That longer way ends one shell and starts
    another, which the last row shows without any daemon."""
    told: list[float] = []
    recorded: list[float] = []
    with trial(shapes.staggered(20, 0.05)) as running:
        for _ in range(switches):
            move, _ = running.switch()
            recorded += [wait * 1000 for wait in move.hops()]
            released = moments(running, move.source, "component.offline", since=move.asked_at)
            begun = moments(running, move.target, "component.onlining", since=move.asked_at)
            told += [(begun[name] - released[name]) * 1000 for name in move.hopping()]
    shells = sorted(bare_hops())
    return [
        Row(
            case="release to online",
            what="as the daemons tell it, median",
            measured=median(told),
            bound=HOP_BOUND_MS,
            unit="ms",
            digits=2,
            note=spread(told),
        ),
        Row(
            case="release to online",
            what="line to line of the commands, median",
            measured=median(recorded),
            unit="ms",
            digits=2,
            note=spread(recorded),
        ),
        Row(
            case="release to online",
            what="the same commands, one after the other, no daemon",
            measured=median(shells),
            unit="ms",
            digits=2,
        ),
    ]


def spread(waits: list[float]) -> str:
    ordered = sorted(waits)
    return f"of {len(ordered)}, p90 {ordered[int(len(ordered) * 0.9)]:.1f}ms, worst {ordered[-1]:.1f}ms"


def moments(running: Trial, node: str, name: str, *, since: float) -> dict[str, float]:
    """When an event was logged for each component."""
    events = running[node].ask("events", follow=False, limit=2000)["events"]
    return {event["component"]: at(event) for event in events if event["event"] == name and at(event) >= since}


def bare_hops(runs: int = 40) -> list[float]:
    """From the end that one command writes down to the begin that the next does, milliseconds."""
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "a" / "volatile").mkdir(parents=True)
        environment = {"PATH": os.environ["PATH"], "FAILOVERD_NODE": "a", "FAILOVERD_COMPONENT": "x"}
        for _ in range(runs):
            subprocess.run(["/bin/bash", str(AGENT), directory, "online", "0"], env=environment, check=True)
        times = [float(line.split()[0]) for line in (Path(directory) / "records").read_text().splitlines()]
    return [(begin - end) * 1000 for end, begin in zip(times[1::2], times[2::2], strict=False)]


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
