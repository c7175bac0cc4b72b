"""Many seeds: run them, on one or more cores, and add up what came of them."""

import gc
import json
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from tests.sim.kinds import scenario_of
from tests.sim.run import Verdict, run

CHUNK = 250
COLLECT_EVERY = 25
"""Seeds between two collections of garbage: all that a run leaves behind is in cycles."""


@dataclass(slots=True)
class Share:
    """Of the seeds: those with one kind of times."""

    seeds: int = 0
    simulated_s: float = 0.0
    real_s: float = 0.0
    """Of processor time: other work on the machine does not count."""

    def add(self, other: "Share") -> None:
        self.seeds += other.seeds
        self.simulated_s += other.simulated_s
        self.real_s += other.real_s

    @property
    def speed(self) -> float:
        return self.simulated_s / self.real_s if self.real_s else 0.0


@dataclass(slots=True)
class Tally:
    first: int
    last: int
    shares: dict[str, Share] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    healed_s: float = 0.0
    """The longest time after the faults until everything was as wanted, in leases."""
    failed: dict[int, tuple[str, str]] = field(default_factory=dict)
    """By seed: the rule that was broken, and how."""

    def add(self, verdict: Verdict, real_s: float) -> None:
        share = self.shares.setdefault(verdict.scenario.profile, Share())
        share.add(Share(1, verdict.simulated_s, real_s))
        for name, count in verdict.counts.items():
            self.counts[name] = self.counts.get(name, 0) + count
        if verdict.healed_after_s is not None:
            self.healed_s = max(self.healed_s, verdict.healed_after_s / verdict.scenario.ttl_s)
        if verdict.violation is not None:
            self.failed[verdict.scenario.seed] = verdict.violation.rule, str(verdict.violation)

    def merge(self, other: "Tally") -> None:
        self.last = max(self.last, other.last)
        for name, share in other.shares.items():
            self.shares.setdefault(name, Share()).add(share)
        for name, count in other.counts.items():
            self.counts[name] = self.counts.get(name, 0) + count
        self.healed_s = max(self.healed_s, other.healed_s)
        self.failed |= other.failed

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Tally":
        found: dict[str, Any] = json.loads(text)
        shares = {name: Share(**each) for name, each in found.pop("shares").items()}
        failed = {int(seed): tuple(each) for seed, each in found.pop("failed").items()}
        return cls(**found, shares=shares, failed=failed)

    def told(self) -> str:
        whole = Share()
        for share in self.shares.values():
            whole.add(share)
        speed = f"{whole.real_s:.1f} s of one core: {whole.speed:.0f} simulated seconds a second"
        lines = [f"{whole.seeds} seeds, {len(self.failed)} failed; {whole.simulated_s:.0f} s simulated in {speed}"]
        lines += [
            f"  {name:<11} {each.seeds:6} seeds of {each.simulated_s / each.seeds:5.1f} s: {each.speed:6.0f} a second"
            for name, each in sorted(self.shares.items())
        ]
        lines += [f"  {count:10} {name} ({count / whole.real_s:.1f} a second)" for name, count in self.counts.items()]
        lines.append(f"  healed after {self.healed_s:.1f} leases at the most")
        return "\n".join(lines)


def run_seeds(seeds: range, *, stop: bool = False) -> Tally:
    """One after the other, in this process; ``stop``: up to the first that fails."""
    tally = Tally(seeds[0], seeds[-1])
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        for seed in seeds:
            began = time.process_time()
            verdict = run(scenario_of(seed))
            if seed % COLLECT_EVERY == 0:
                gc.collect()
            tally.add(verdict, time.process_time() - began)
            if verdict.violation is not None and stop:
                break
    finally:
        gc.enable()
    return tally


def run_many(seeds: range, jobs: int) -> Iterator[Tally]:
    """In chunks, each as it is done."""
    chunks = [seeds[at : at + CHUNK] for at in range(0, len(seeds), CHUNK)]
    if jobs == 1:
        yield from map(run_seeds, chunks)
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        yield from pool.map(run_seeds, chunks)


def run_kept(seeds: range, jobs: int, kept: Path) -> Iterator[Tally]:
    """Likewise; what is done is written down, and not done again when it is called again."""
    lines = kept.read_text(encoding="utf-8").splitlines() if kept.exists() else []
    before = [Tally.from_json(line) for line in lines if line]
    yield from before
    begins = max((each.last + 1 for each in before), default=seeds.start)
    with kept.open("a", encoding="utf-8") as file:
        for tally in run_many(range(max(begins, seeds.start), seeds.stop), jobs):
            file.write(tally.to_json() + "\n")
            file.flush()
            yield tally
