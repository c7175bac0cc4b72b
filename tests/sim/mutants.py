"""Whether the simulator can find faults at all: the safety code is changed for the worse in one place at a time, in a
copy, and seeds are run until a checker objects.

``python -m tests.sim.mutants [SEEDS=1..600] [ONLY=name]`` prints, for each mutation, which checker caught it and with
which seed. It fails if one survives, or if a mutation does not fit the code any more.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Mutation:
    name: str
    path: str
    old: str
    new: str
    written: bool = False
    """By the scenarios that were written by hand: what it takes to show it comes together too seldom by chance."""


MUTATIONS = (
    Mutation(
        "online without what the group requires",
        "domain/machine.py",
        "s.dependencies_online and s.requirements_met and ",
        "s.dependencies_online and ",
    ),
    Mutation(
        "a group is taken from beneath another",
        "runtime/board.py",
        "return self.bond.unneeded and all(",
        "return all(",
    ),
    Mutation(
        "nothing follows what it requires",
        "runtime/bonds.py",
        "sustained = all(may_stay",
        "sustained = True or all(may_stay",
    ),
    Mutation(
        "online without asking the other holders",
        "runtime/board.py",
        "return all(self._released_by(holder, name) for holder in placement.others(self.authority.me))",
        "return True",
    ),
    Mutation(
        "a release of another generation counts",
        "runtime/board.py",
        "said.generation != self.placement.generation:\n            return False\n        return said.mark(name)",
        "False:\n            return False\n        return said.mark(name)",
    ),
    Mutation(
        "unknown counts as absent",
        "domain/report.py",
        "RELEASED_MARKS = frozenset({Mark.ABSENT, Mark.FAULTED_ABSENT})",
        "RELEASED_MARKS = frozenset({Mark.ABSENT, Mark.FAULTED_ABSENT, Mark.UNKNOWN})",
    ),
    Mutation("online without a good lease", "runtime/board.py", "usable = now < self.usable_until and ", "usable = "),
    Mutation(
        "the lease counts from the answer to a renewal",
        "runtime/lease_keeper.py",
        "commit.revision, began\n            self._contact",
        "commit.revision, self._clock.now()\n            self._contact",
    ),
    Mutation("no margin for clocks that drift", "domain/lease.py", "seen + ttl_s * (1 + drift)", "seen + ttl_s"),
    Mutation("no self-stop", "runtime/node.py", "self.authority.force = True", "self.authority.force = False"),
    Mutation(
        "acts on what it knew before it joined",
        "runtime/node.py",
        "self.mirror.revision >= held.member_revision",
        "True",
    ),
    Mutation("does not compare its own record", "runtime/actor.py", "[self._keeper.guard, *expects]", "[*expects]"),
    Mutation(
        "a silent peer is a dead one",
        "domain/decide.py",
        "is not None and view.now >= due",
        "is not None and (view.now >= due or not node.heard)",
    ),
    Mutation(
        "gives a group up before it is offline",
        "domain/decide.py",
        "view.me not in placement.holders or not group.all_absent",
        "view.me not in placement.holders",
    ),
    Mutation(
        "the former owner is no holder",
        "domain/placement.py",
        "holders=_with(old.holders, target),\n        wanted",
        "holders=(target,),\n        wanted",
    ),
    Mutation(
        "a move keeps the generation",
        "domain/placement.py",
        "generation=old.generation + 1",
        "generation=old.generation",
    ),
    Mutation(
        "a promise not to fence is forgotten",
        "domain/failsafe.py",
        "return self._until.get(node, 0.0)",
        "return 0.0",
    ),
    Mutation(
        "an unknown result of a fence device counts as off",
        "runtime/fencing.py",
        "return claim.last.off",
        "return True",
    ),
    Mutation(
        "failsafe counts from the answer",
        "domain/failsafe.py",
        "asked_at = self._asked.get(promise.asked)\n",
        "asked_at = max(self._asked.values(), default=None)\n",
        written=True,
    ),
    Mutation(
        "failsafe by the promise of some",
        "domain/failsafe.py",
        "return min(given) if given and len(given) == len(self._until) else None",
        "return max(given) if given else None",
    ),
    Mutation(
        "a restarted node forgets what was promised",
        "domain/failsafe.py",
        "return joined_at + promised_s * (1 + drift)",
        "return joined_at",
        written=True,
    ),
    Mutation("offline before its dependents", "domain/machine.py", "return s.dependents_absent and", "return"),
    Mutation(
        "online before its dependencies",
        "domain/machine.py",
        "s.may_act and s.dependencies_online and",
        "s.may_act and",
    ),
    Mutation(
        "offline is not proved",
        "runtime/component.py",
        "if found.presence is Presence.OFFLINE:\n            self._went",
        "if True:\n            self._went",
    ),
    Mutation("the guard is not told", "runtime/component.py", "await guard.arm(group, self.name, will)", "pass"),
    Mutation(
        "a freeze holds nobody's hands", "runtime/board.py", "bool(self.frozen) or self._unplaced", "self._unplaced"
    ),
    Mutation(
        "a frozen group is decided on",
        "domain/decide.py",
        "PHASES if view.freeze_of(group) is None else PHASES_FROZEN",
        "PHASES",
    ),
)


def run(mutation: Mutation, seeds: str) -> tuple[str, float]:
    """What caught it ('' if nothing did), and how long that took."""
    with tempfile.TemporaryDirectory(prefix="failoverd-mutant-") as directory:
        copy = Path(directory)
        for part in ("failoverd", "tests"):
            shutil.copytree(ROOT / part, copy / part, ignore=shutil.ignore_patterns("__pycache__"))
        path = copy / "failoverd" / mutation.path
        text = path.read_text(encoding="utf-8")
        if text.count(mutation.old) != 1:
            raise SystemExit(
                f"{mutation.name}: {mutation.path} has its text {text.count(mutation.old)} times, not once"
            )
        path.write_text(text.replace(mutation.old, mutation.new), encoding="utf-8")
        began = time.perf_counter()
        which = "written" if mutation.written else seeds
        command = [sys.executable, "-m", "tests.sim", f"SEEDS={which}", "STOP=1"]
        environment = os.environ | {"PYTHONPATH": directory}
        done = subprocess.run(
            command, cwd=copy, env=environment, capture_output=True, text=True, timeout=900, check=False
        )
        found = re.search(r"^(?:seed|scenario) (\w+): (.*?) at [\d.]+: ", done.stdout, re.MULTILINE)
        if found is None and done.returncode != 0:
            raise SystemExit(f"{mutation.name}: {done.stdout[-2000:]} {done.stderr[-2000:]}")
        return f"{found[2]} ({found[1]})" if found else "", time.perf_counter() - began


def main(arguments: list[str]) -> int:
    asked = dict(each.split("=", 1) for each in arguments)
    survived = 0
    for mutation in MUTATIONS:
        if asked.get("ONLY", "") not in mutation.name:
            continue
        caught, took_s = run(mutation, asked.get("SEEDS", "1..600"))
        survived += not caught
        print(f"{mutation.name:<50} {caught or 'SURVIVED'} in {took_s:.0f} s", flush=True)
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
