"""Makespan against the limit, on graphs of several forms."""

from tests.bench import shapes
from tests.bench.table import Row
from tests.harness import Move, Shape, end_of, limit, nominal, trial

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
    return against_nominal("40 + 1 wide, 0.5 s", shapes.wide(40, 0.5), moves=3)[0]


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
