"""``python -m tests.hosts [--tries N] [--labs K] [CASE ...]``: each case many times over on real hosts, in several labs
at once, with its figures. Fails where one try was not as it must be, or a bound is broken."""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median

from tests.bench.table import Row, machine, show
from tests.hosts.cases import STEPS, Try
from tests.hosts.cluster import WHY_NOT
from tests.hosts.commands import LabFailed
from tests.hosts.suite import STACKS, SUITE, Case

WORKER_TIMEOUT_S = 3 * 3600.0
TOLD_MAX = 3
"""Stories of bad tries that are printed."""


@dataclass(frozen=True, kw_only=True)
class Told:
    """One try, as a worker tells it."""

    done: Try
    story: str


def work(case: Case, tries: int) -> None:
    """In a process of its own: one lab, one line for each try."""
    with case.cluster() as cluster:
        for _ in range(tries):
            try:
                done = case.once(cluster)
            except LabFailed as error:
                done = Try(problems=(str(error),))
            story = cluster.story() if done.problems else ""
            print(json.dumps({**asdict(done), "story": story}), flush=True)


def run(case: Case, tries: int, labs: int) -> list[Told]:
    """Spread over so many labs at once."""
    shares = [share for lab in range(labs) if (share := tries // labs + (lab < tries % labs))]
    workers = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.hosts", "--tries", str(share), "--worker", case.name],
            stdout=subprocess.PIPE,
            text=True,
        )
        for share in shares
    ]
    found = []
    for worker, share in zip(workers, shares, strict=True):
        try:
            output, _ = worker.communicate(timeout=WORKER_TIMEOUT_S)
        finally:
            worker.kill()  # nothing where it has ended
        lines = [json.loads(line) for line in output.splitlines()]
        missing = share - len(lines)
        lines += [{"problems": ["it was not tried: the lab ended"], "story": ""} for _ in range(missing)]
        found += [Told(story=line.pop("story"), done=Try(**line)) for line in lines]
    return found


def row(case: Case, told: Sequence[Told]) -> Row:
    bad = sum(bool(one.done.problems) for one in told)
    notes = []
    took = [one.done.took_s for one in told if one.done.took_s]
    if took:
        notes.append(f"{case.took}: median {median(took):.3f}s, worst {max(took):.3f}s")
    margins = [one.done.margin_s for one in told if one.done.margin_s]
    if margins:
        notes.append(f"least margin {min(margins) * 1000:.0f}ms")
    moved = [one.done for one in told if one.done.limit_s]
    if moved:
        shares = [done.makespan_s / done.limit_s for done in moved]
        notes.append(f"handover: median {median(done.makespan_s for done in moved):.3f}s")
        notes.append(f"makespan/limit: median {median(shares):.2f}, worst {max(shares):.2f}")
    return Row(case=case.name, what=f"bad of {len(told)} tries", measured=bad, bound=0, digits=0, note="; ".join(notes))


def bounded(case: Case, told: Sequence[Told]) -> list[Row]:
    """What a case measures beside whether it is good."""
    took = [one.done.took_s for one in told if one.done.took_s]
    if not case.measured or not took:
        return []
    bound = None if case.bound_s is None else case.bound_s * 1000
    what = f"{case.took}, median of {len(took)}"
    times = {step: [one.done.steps[step] for one in told if step in one.done.steps] for step in STEPS}
    note = ", ".join(f"{step} {median(after) * 1000:.0f}" for step, after in times.items() if after)
    return [Row(case=case.name, what=what, measured=median(took) * 1000, bound=bound, unit="ms", digits=0, note=note)]


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.hosts", description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of: {', '.join(SUITE)} (default: all)")
    parser.add_argument("--tries", type=int, default=50, help="of each case; slow ones do a part of it (default 50)")
    parser.add_argument("--labs", type=int, default=2, help="at once (default 2); measurements are made in one")
    parser.add_argument("--stacks", action="store_true", help="only the examples of configs/ (see docs/stacks.md)")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if WHY_NOT:
        parser.exit(1, f"{WHY_NOT}\n")
    unknown = set(options.cases) - set(SUITE)
    if unknown:
        parser.error(f"no case called {', '.join(sorted(unknown))}")
    if options.worker:
        work(SUITE[options.cases[0]], options.tries)
        return 0
    print(machine(), flush=True)
    rows: list[Row] = []
    for name in options.cases or ([case.name for case in STACKS] if options.stacks else SUITE):
        case, began = SUITE[name], time.monotonic()
        told = run(case, case.tries(options.tries), 1 if case.measured else options.labs)
        rows += [row(case, told), *bounded(case, told)]
        print(f"{name}: {'ok' if rows[-1].ok else 'NOT OK'}, {time.monotonic() - began:.0f}s", flush=True)
        for one in [one for one in told if one.done.problems][:TOLD_MAX]:
            print("\n".join([*one.done.problems, one.story]), flush=True)
    print()
    show(rows)
    return 0 if all(one.ok for one in rows) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
