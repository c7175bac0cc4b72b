"""How long ``failoverd status`` takes as a whole process, against a fake daemon.

``python -m tests.bench.status_latency``. The bound is 250 ms for the median; the slowest says how busy the machine was.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.unit.cli.documents import Daemon
from tests.unit.control.fakes import serving_in_thread

RUNS = 15
LIMIT_MS = 250.0


def measure(arguments: list[str], run_dir: Path) -> list[float]:
    """Milliseconds of each run, sorted."""
    environ = os.environ | {"FAILOVERD_RUN_DIR": str(run_dir)}
    taken = []
    for _ in range(RUNS):
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "failoverd", *arguments],
            check=True,
            stdout=subprocess.DEVNULL,
            env=environ,
            timeout=30,
        )
        taken.append((time.perf_counter() - began) * 1000)
    return sorted(taken)


def main() -> int:
    worst = 0.0
    with tempfile.TemporaryDirectory(prefix="failoverd-bench-") as directory:
        run_dir = Path(directory)
        with serving_in_thread(run_dir, Daemon()):
            for arguments in (["status"], ["status", "shop"], ["status", "--json"]):
                taken = measure(arguments, run_dir)
                median = statistics.median(taken)
                print(f"failoverd {' '.join(arguments):<14} median {median:5.0f} ms, slowest {taken[-1]:5.0f} ms")
                worst = max(worst, median)
    print(f"limit {LIMIT_MS:.0f} ms: {'kept' if worst <= LIMIT_MS else 'EXCEEDED'}")
    return 0 if worst <= LIMIT_MS else 1


if __name__ == "__main__":
    sys.exit(main())
