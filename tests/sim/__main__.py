"""``python -m tests.sim SEEDS=1..2000``: run seeds. ``SEEDS=7``: one of them, with its log. ``JOBS=2``: on two cores.
``SEEDS=written``: the scenarios written by hand.
``STOP=1``: up to the first that fails. ``KEEP=FILE``: write down what is done, and go on from there another time.
``SEEDS=7 SCENARIO=FILE``: write its scenario down, for ``tests/scenarios``."""

import sys
from collections.abc import Iterable
from pathlib import Path

from tests.sim.kinds import scenario_of
from tests.sim.run import run
from tests.sim.tally import Tally, run_kept, run_many, run_seeds
from tests.sim.written import all_written, written_down


def main(arguments: list[str]) -> int:
    asked = dict(each.split("=", 1) for each in arguments)
    if asked.get("SEEDS") == "written":
        return by_hand()
    first, _, last = asked.get("SEEDS", "1..1000").partition("..")
    if not last:
        return one(int(first), asked.get("SCENARIO"))
    seeds, jobs = range(int(first), int(last) + 1), int(asked.get("JOBS", "1"))
    if asked.get("STOP") == "1":
        return many([run_seeds(seeds, stop=True)])
    return many(run_kept(seeds, jobs, Path(asked["KEEP"])) if "KEEP" in asked else run_many(seeds, jobs))


def one(seed: int, file: str | None) -> int:
    scenario = scenario_of(seed)
    verdict = run(scenario)
    if file is not None:
        Path(file).write_text(written_down(scenario, str(verdict.violation or f"Seed {seed}.")), encoding="utf-8")
    for entry in verdict.trace:
        print(entry)
    print(f"seed {seed}: {verdict.violation or 'no violation'}; digest {verdict.digest}; {verdict.resigned}")
    return 1 if verdict.violation else 0


def by_hand() -> int:
    """The scenarios that are files: up to the first that breaks a rule."""
    for written in all_written():
        verdict = run(written.scenario)
        if verdict.violation is not None:
            print(f"scenario {written.scenario.name}: {verdict.violation}")
            return 1
    return 0


def many(tallies: Iterable[Tally]) -> int:
    whole: Tally | None = None
    for tally in tallies:
        for seed, (_, text) in tally.failed.items():
            print(f"seed {seed}: {text}", flush=True)
        if whole is None:
            whole = tally
        else:
            whole.merge(tally)
    if whole is None:
        return 0
    print(whole.told())
    return 1 if whole.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
