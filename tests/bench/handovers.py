"""Makespan against the limit, on graphs of several forms."""

import time
from dataclasses import replace
from typing import Any

from tests.bench import shapes
from tests.bench.table import Row
from tests.harness import GROUP, Move, Part, Shape, Trial, end_of, limit, nominal, trial

NOMINAL_BOUND = 1.05
MEASURED_BOUND = 1.10


def against_nominal(case: str, shape: Shape, *, moves: int = 1, bound: float = NOMINAL_BOUND) -> tuple[list[Row], Move]:
    """The slowest of some moves against the declared durations' limit: every overhead counts as ours."""
    best = limit(shape, nominal(shape))
    with trial(shape) as running:
        made = [running.switch()[0] for _ in range(moves)]
    violations = [text for move in made for text in move.violations()]
    slowest = max(made, key=lambda move: move.makespan_s)
    rows = [
        Row(
            case=case,
            what="makespan / limit",
            measured=slowest.makespan_s / best,
            bound=bound,
            note=f"{slowest.makespan_s:.3f}s, limit {best:g}s, slowest of {moves}",
        ),
        broken_order(case, violations),
    ]
    return rows, slowest


def broken_order(case: str, violations: list[str]) -> Row:
    note = violations[0] if violations else "by the components' own records"
    return Row(case=case, what="order rules broken", measured=len(violations), bound=0, digits=0, note=note)


def triangle() -> list[Row]:
    rows, move = against_nominal("triangle", shapes.triangle(), moves=3)
    begin = max(move.offline["C"].begin, move.online["B"].begin)
    overlap = min(end_of(move.offline["C"]), end_of(move.online["B"])) - begin
    missing = Row(
        case="triangle",
        what="overlap that is missing: C offline on source, B online on target",
        measured=max(0.0, 0.7 - overlap),
        bound=0,
        unit="s",
        note=f"they overlap for {overlap:.3f}s of 0.8s",
    )
    return [*rows, missing]


def wide_40() -> list[Row]:
    """Twice: 40 at once show what each command costs as well, and a shell that keeps a record costs twice what
    ``sleep`` does, of which 40 at once are a tenth of a second on two cores. So the bound is for plain ``sleep``, timed
    by whoever asked for the switch, from the request to the answer; with records it is shown beside it."""
    case, shape = "40 + 1 wide, 0.5 s", shapes.wide(40, 0.5)
    best = limit(shape, nominal(shape))
    with trial(shape, components=lambda _: {name: sleeper(part) for name, part in shape.items()}) as running:
        took = [asked(running) for _ in range(3)]
    note = f"{max(took):.3f}s from the request to the answer, limit {best:g}s, slowest of 3"
    recorded, order = against_nominal(case, shape, moves=3, bound=NOMINAL_BOUND)[0]
    return [
        Row(case=case, what="makespan / limit", measured=max(took) / best, bound=NOMINAL_BOUND, note=note),
        replace(recorded, what="with shells that keep records", bound=None),
        order,
    ]


def sleeper(part: Part) -> dict[str, Any]:
    """Offline when it is first asked, and not asked again: the first round is spread over the whole interval."""
    return {
        "type": "exec",
        "online": ["/bin/sleep", f"{part.online_s:g}"],
        "offline": ["/bin/sleep", f"{part.offline_s:g}"],
        "monitor": {"command": ["/bin/sh", "-c", "exit 7"], "interval": "720h"},
        "depends_on": list(part.needs),
    }


def asked(running: Trial) -> float:
    """Seconds that a switch takes for whoever waits for it."""
    source = running.owner()
    target = next(name for name in running.cluster.nodes if name != source)
    began = time.monotonic()
    running[source].ask("switch", group=GROUP, to=target, wait=True, updates=False, timeout_s=60.0)
    took = time.monotonic() - began
    running.settle(target)
    return took


def wide_26() -> list[Row]:
    rows, move = against_nominal("26 + 1 wide, 2 s", shapes.wide(26, 2.0))
    return [*rows, Row(case="26 + 1 wide, 2 s", what="makespan", measured=move.makespan_s, bound=8.4, unit="s")]


def chain_20() -> list[Row]:
    rows, move = against_nominal("chain of 20, 0.2 s", shapes.chain(20, 0.2))
    lost = (move.makespan_s - 8.0) / 40 * 1000
    return [*rows, Row(case="chain of 20, 0.2 s", what="lost per hop", measured=lost, unit="ms", digits=2)]


def random_100(seeds: tuple[int, ...] = (1, 2, 3)) -> list[Row]:
    rows = []
    for seed in seeds:
        case = f"random graph of 100, seed {seed}"
        with trial(shapes.tangled(seed, 100, longest_s=0.5)) as running:
            move, _ = running.switch()
        rows += [
            Row(
                case=case,
                what="makespan / limit of measured durations",
                measured=move.makespan_s / move.limit_s,
                bound=MEASURED_BOUND,
                note=f"{move.makespan_s:.3f}s, limit {move.limit_s:.3f}s",
            ),
            broken_order(case, move.violations()),
        ]
    return rows
