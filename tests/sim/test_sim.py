"""The cluster under seeded faults: hundreds of seeds in an ordinary test run, ``FAILOVERD_SIM_SEEDS`` in a thorough one
(``make sim SEEDS=…`` for many more), and what the simulator itself must be able to do."""

import os
from pathlib import Path

import pytest

from tests.sim.kinds import scenario_of
from tests.sim.run import Verdict, run
from tests.sim.tally import run_many
from tests.sim.written import Written, all_written, read, written_down

SEEDS = int(os.environ.get("FAILOVERD_SIM_SEEDS", "300"))
JOBS = 2


def told(verdict: Verdict) -> str:
    last = "\n".join(str(entry) for entry in verdict.trace[-60:])
    return f"{verdict.violation}\nlook at it with: make sim SEEDS={verdict.scenario.seed}\n{last}"


def test_no_rule_is_broken_under_any_seed() -> None:
    failed = {seed: said for tally in run_many(range(1, SEEDS + 1), JOBS) for seed, said in tally.failed.items()}
    assert not failed, told(run(scenario_of(min(failed))))


@pytest.mark.parametrize("written", all_written(), ids=lambda written: written.scenario.name)
def test_what_once_went_wrong(written: Written) -> None:
    verdict = run(written.scenario)
    assert not written.faults(verdict), "\n".join([written.title, *written.faults(verdict), told(verdict)])


def test_a_seed_runs_alike_each_time() -> None:
    for seed in (3, 8):
        assert run(scenario_of(seed)).digest == run(scenario_of(seed)).digest


def test_a_scenario_is_kept_as_it_was(tmp_path: Path) -> None:
    for seed in (3, 8, 16):
        scenario = scenario_of(seed)
        (tmp_path / "kept.yaml").write_text(written_down(scenario, "Kept."), encoding="utf-8")
        assert run(read(tmp_path / "kept.yaml").scenario).digest == run(scenario).digest


def test_seeds_differ() -> None:
    assert len({run(scenario_of(seed)).digest for seed in range(1, 5)}) == 4
