"""A power cut of the source where it has a fence device: how soon the first component begins to come online on the
target, and where the time goes."""

import random
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench import shapes
from tests.bench.power import cut_once
from tests.bench.table import Row
from tests.daemon.support import log
from tests.harness import Trial, trial

AGENT = Path(__file__).parent / "fence.sh"
ANSWERS_AFTER_S = 0.1
BOUND_MS = 350.0
CUTS = 20
MEMBER_FOR_S = 3.5
"""One that has just been restarted fences nobody: it may have forgotten a promise of failsafe (3 s, and the drift)."""
STEPS = ("peer.suspected", "fence.begun", "peer.fenced", "placement.changed", "component.onlining")
PACE: dict[str, Any] = {"heartbeat": {"interval": "20ms", "dead_after": "100ms"}, "lease": {"renew": "50ms"}}


def device(root: Path, node: str) -> dict[str, Any]:
    return {"agent": str(AGENT), "params": {"root": str(root), "plug": node, "takes": str(ANSWERS_AFTER_S)}}


def fencing(root: Path) -> dict[str, Any]:
    return {**PACE, "fencing": {node: [device(root, node)] for node in ("a", "b")}}


def steps(running: Trial, node: str, cut_at: float) -> dict[str, float]:
    """When the target told of each step first, seconds after the cut."""
    found: dict[str, float] = {}
    for event in log(running[node]):
        after = datetime.fromisoformat(event["ts"]).timestamp() - cut_at
        if after >= 0 and event["event"] in STEPS:
            found.setdefault(event["event"], after)
    return found


def power_cut(cuts: int = CUTS) -> list[Row]:
    rng = random.Random(7)
    waits: list[float] = []
    when: dict[str, list[float]] = {step: [] for step in STEPS}
    with trial(shapes.chain(3, 0.05), settings=fencing) as running:
        for _ in range(cuts):
            source = running.owner()
            target = next(name for name in running.cluster.nodes if name != source)
            cut = cut_once(running, MEMBER_FOR_S + rng.uniform(0.0, 0.5))
            waits.append(cut.wait_s)
            for step, after in steps(running, target, cut.at).items():
                when[step].append(after)
    return [
        Row(
            case="power cut, fence agent of 100ms",
            what="cut to first online, median",
            measured=median(waits) * 1000,
            bound=BOUND_MS,
            unit="ms",
            digits=0,
            note=f"worst {max(waits) * 1000:.0f}ms of {cuts}; {_story(when)}",
        )
    ]


def _story(when: dict[str, list[float]]) -> str:
    return ", ".join(f"{step} {median(times) * 1000:.0f}" for step, times in when.items() if times)
