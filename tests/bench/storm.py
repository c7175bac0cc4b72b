"""400 components that take no time: what is left is the cost of spawning 800 commands, and what we add to it.

The bare twin runs the same 800 commands under the same order rules in one process, with nothing but ``subprocess`` and
pidfds: no daemons, no records, no coordinator. It starts each command the moment its gates open, so its parallelism
is that of the graph, as ours is.
"""

import os
import selectors
import subprocess
import tempfile
import time
from pathlib import Path
from statistics import median

from tests.bench import shapes
from tests.bench.handovers import broken_order
from tests.bench.metronome import metronome
from tests.bench.table import Row
from tests.harness import AGENT, Shape, Trial, dependents, trial

COMPONENTS = 400
BOUND = 1.5
LATE_BOUND_MS = 50.0
ROUNDS = 3

Step = tuple[str, str]
"""(component, action)"""


def gates(shape: Shape) -> dict[Step, set[Step]]:
    """What must be over before a step begins."""
    found: dict[Step, set[Step]] = {}
    for name, part in shape.items():
        found[name, "offline"] = {(other, "offline") for other in dependents(shape, name)}
        found[name, "online"] = {(name, "offline"), *((other, "online") for other in part.needs)}
    return found


def bare(shape: Shape, root: Path) -> float:
    """Seconds that the commands alone take."""
    for node in ("a", "b"):
        (root / node / "volatile").mkdir(parents=True, exist_ok=True)
    waiting = gates(shape)
    opens: dict[Step, list[Step]] = {step: [] for step in waiting}
    for step, needed in waiting.items():
        for other in needed:
            opens[other].append(step)
    selector = selectors.DefaultSelector()

    def begin(step: Step) -> None:
        name, action = step
        environment = {
            "PATH": os.environ["PATH"],
            "FAILOVERD_NODE": "a" if action == "offline" else "b",
            "FAILOVERD_COMPONENT": name,
        }
        process = subprocess.Popen(
            ["/bin/bash", str(AGENT), str(root), action, "0"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            close_fds=False,
        )
        descriptor = os.pidfd_open(process.pid)
        selector.register(descriptor, selectors.EVENT_READ, (step, process))

    began = time.perf_counter()
    for step in [step for step, needed in waiting.items() if not needed]:
        begin(step)
    while selector.get_map():
        for key, _ in selector.select():
            step, process = key.data
            selector.unregister(key.fd)
            os.close(key.fd)
            assert process.wait() == 0
            for other in opens[step]:
                waiting[other].discard(step)
                if not waiting[other]:
                    begin(other)
    return time.perf_counter() - began


def late_ms(running: Trial) -> float:
    """The worst lateness of a heartbeat since the daemons were started, by the senders' own count."""
    worst = 0.0
    for name, node in running.cluster.nodes.items():
        status = node.status()
        assert status is not None
        worst = max(worst, float(status["nodes"][name]["heartbeat_late_ms_max"]))
    return worst


def storm(components: int = COMPONENTS, rounds: int = ROUNDS) -> list[Row]:
    shape = shapes.tangled(7, components, longest_s=0.0)
    ours, theirs, violations = [], [], []
    with trial(shape) as running, tempfile.TemporaryDirectory() as directory:
        before = late_ms(running)
        with metronome() as machine_ms:
            for _ in range(rounds):
                theirs.append(bare(shape, Path(directory)))
                move, _ = running.switch()
                ours.append(move.makespan_s)
                violations += move.violations()
        late = late_ms(running)
    case = f"{components} components, no sleep"
    return [
        Row(
            case=case,
            what="makespan / the bare commands",
            measured=median(ours) / median(theirs),
            bound=BOUND,
            note=f"{median(ours):.2f}s against {median(theirs):.2f}s, medians of {rounds}",
        ),
        Row(
            case=case,
            what="latest heartbeat",
            measured=late,
            bound=LATE_BOUND_MS,
            unit="ms",
            digits=1,
            note=f"{before:.1f}ms by the start, with 400 probes and 400 onlines; a process of the same priority that "
            f"does nothing: {machine_ms():.1f}ms",
        ),
        broken_order(case, violations),
    ]
