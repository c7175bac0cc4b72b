"""A power cut of the source: how soon the first component begins to come online on the target."""

import random
import time
from statistics import median
from typing import NamedTuple

from tests.bench import shapes
from tests.bench.table import Row
from tests.harness import GROUP, Trial, trial, wall

TTL_S = 1.0
MARGIN_MS = 250.0
CUTS = 6
READY_S = 60.0
"""On a machine that does other things too."""


class Cut(NamedTuple):
    at: float
    """Wall clock."""
    wait_s: float
    """From the cut to the first online that begins."""


def cut_once(running: Trial, pause_s: float) -> Cut:
    """Cut the owner's power and bring it back after the take-over."""
    source = running.owner()
    target = next(name for name in running.cluster.nodes if name != source)
    running.forget()
    time.sleep(pause_s)
    at = running[source].cut_power()
    cut_at = wall() - (time.monotonic() - at)
    running.settle(target)
    begun = min(operation.begin for operation in running.operations() if operation.node == target)
    running[source].start()
    running[source].wait_ready(READY_S)
    running.cluster.wait_group(GROUP, state="online", owner=target, timeout_s=10)
    return Cut(cut_at, begun - cut_at)


def power_cut(cuts: int = CUTS) -> list[Row]:
    rng = random.Random(5)
    settings = {"lease": {"ttl": f"{TTL_S:g}s"}, "heartbeat": {"interval": "100ms", "dead_after": "300ms"}}
    with trial(shapes.chain(3, 0.05), settings=settings) as running:
        waits = [cut_once(running, rng.uniform(0.2, 0.8)).wait_s for _ in range(cuts)]
    return [
        Row(
            case=f"power cut, ttl {TTL_S:g}s",
            what="cut to first online, worst",
            measured=max(waits) * 1000,
            bound=TTL_S * 1000 + MARGIN_MS,
            unit="ms",
            digits=0,
            note=f"median {median(waits) * 1000:.0f}ms of {cuts}",
        )
    ]
