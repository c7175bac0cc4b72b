"""``python -m tests.sim SEEDS=1..200``: run seeds; ``SEEDS=7``: one of them, with its log; ``STOP=1``: up to the first
that fails."""

import sys
import time
from collections import Counter

from tests.sim.kinds import scenario_of
from tests.sim.run import Verdict, run


def main(arguments: list[str]) -> int:
    asked = dict(each.split("=", 1) for each in arguments)
    first, _, last = asked.get("SEEDS", "1..200").partition("..")
    if not last:
        return one(int(first))
    return many(range(int(first), int(last) + 1), stop=asked.get("STOP") == "1")


def one(seed: int) -> int:
    verdict = run(scenario_of(seed))
    for entry in verdict.trace:
        print(entry)
    print(f"seed {seed}: {verdict.violation or 'no violation'}; digest {verdict.digest}; {verdict.resigned}")
    return 1 if verdict.violation else 0


def many(seeds: range, *, stop: bool) -> int:
    began, simulated, failed, steps, guarded, resigned = time.perf_counter(), 0.0, [], 0, 0, 0
    healed: list[float] = []
    for seed in seeds:
        verdict = run(scenario_of(seed))
        simulated, steps, guarded = simulated + verdict.simulated_s, steps + verdict.steps, guarded + verdict.guarded
        resigned += bool(verdict.resigned)
        if verdict.healed_after_s is not None:
            healed.append(verdict.healed_after_s)
        if verdict.violation is not None:
            failed.append(verdict)
            print(f"seed {seed}: {verdict.violation}", flush=True)
            if stop:
                break
    report(failed, began, simulated, steps, len(seeds))
    if healed:
        healed.sort()
        print(f"healed after: median {healed[len(healed) // 2]:.1f}s, most {healed[-1]:.1f}s; "
              f"guard acted {guarded} times; {resigned} runs end with a group blocked or degraded")  # fmt: skip
    return 1 if failed else 0


def report(failed: list[Verdict], began: float, simulated: float, steps: int, count: int) -> None:
    real = time.perf_counter() - began
    speed = f"{simulated / real:.0f} simulated seconds a second, {steps / real:.0f} steps a second"
    print(f"{count} seeds, {len(failed)} failed; {simulated:.0f} s simulated in {real:.1f} s: {speed}")
    for rule, times in Counter(v.violation.rule for v in failed if v.violation).most_common():
        print(f"  {times:5} {rule}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
