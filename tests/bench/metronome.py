"""How late a process that does nothing else wakes up, with the daemons' priority: what the machine itself adds."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

NICE = -15
"""As the daemons (``failoverd.runtime.daemon``)."""
EVERY_S = 0.02


@contextmanager
def metronome() -> Iterator[Callable[[], float]]:
    """Beats until left; its value is then the worst lateness, in milliseconds."""
    process = subprocess.Popen([sys.executable, "-m", __name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    found: list[float] = []
    try:
        yield lambda: found[0]
    finally:
        told, _ = process.communicate(timeout=10)
        found.append(float(told))


def main() -> None:
    """Until standard input ends."""
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, NICE)
    os.set_blocking(0, False)
    worst = 0.0
    while True:
        due = time.monotonic() + EVERY_S
        time.sleep(EVERY_S)
        worst = max(worst, time.monotonic() - due)
        with suppress(BlockingIOError):
            if not os.read(0, 1):
                break
    sys.stdout.write(f"{worst * 1000:.1f}")


if __name__ == "__main__":
    main()
