"""The whole demonstration, as a user runs it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from failoverd import procfs

pytestmark = pytest.mark.processes

DEMO = [sys.executable, "-m", "failoverd", "demo", "--fast"]
LIMIT_S = 60.0


def environment(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "TMPDIR": str(tmp_path)}


def left_behind(tmp_path: Path) -> list[str]:
    """Processes that name the demonstration's directory, and what is in it."""
    mark = str(tmp_path).encode()
    ours = [pid for pid in procfs.pids() if pid != os.getpid() and names(pid, mark)]
    return [*map(str, ours), *(str(path) for path in tmp_path.iterdir())]


def names(pid: int, mark: bytes) -> bool:
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
    return mark in arguments or mark in procfs.environ(pid)


def test_all_of_it_happens(tmp_path: Path) -> None:
    began = time.monotonic()
    done = subprocess.run(
        [*DEMO, "--json"], env=environment(tmp_path), capture_output=True, text=True, timeout=LIMIT_S + 10, check=False
    )

    assert done.returncode == 0, done.stderr + done.stdout[-4000:]
    assert time.monotonic() - began < LIMIT_S
    document = json.loads(done.stdout)
    assert document["ok"]
    assert len(document["checks"]) >= 14
    switch, cut = document["handovers"]
    assert switch["makespan_s"] < switch["phased_s"] < switch["serial_s"]
    assert cut["detect_s"] is None or cut["detect_s"] > 0
    assert 0 < switch["silence_s"] < switch["makespan_s"] + 1
    assert not left_behind(tmp_path)


def test_it_is_readable_without_a_terminal(tmp_path: Path) -> None:
    done = subprocess.run(
        DEMO, env=environment(tmp_path), capture_output=True, text=True, timeout=LIMIT_S + 10, check=False
    )

    assert done.returncode == 0, done.stderr + done.stdout[-4000:]
    assert "\x1b" not in done.stdout
    for word in ("limit", "phased", "serial", "did not answer for", "checks hold"):
        assert word in done.stdout


@pytest.mark.parametrize(("after_s", "number"), [(0.6, signal.SIGINT), (3.0, signal.SIGINT), (5.0, signal.SIGTERM)])
def test_it_can_be_interrupted_at_any_time(tmp_path: Path, after_s: float, number: signal.Signals) -> None:
    demo = subprocess.Popen(
        DEMO, env=environment(tmp_path), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )
    time.sleep(after_s)
    demo.send_signal(number)
    _, errors = demo.communicate(timeout=15)

    assert demo.returncode == 130, errors.decode()
    assert not left_behind(tmp_path)
