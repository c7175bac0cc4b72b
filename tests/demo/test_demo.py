"""The whole demonstration, as a user runs it."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from failoverd import procfs
from failoverd.demo.main import short_enough

pytestmark = pytest.mark.processes


@pytest.fixture
def directory() -> Iterator[Path]:
    """Short, as the demonstration puts a socket into it."""
    with tempfile.TemporaryDirectory(prefix="fd-", dir="/tmp") as path:
        yield Path(path)


DEMO = [sys.executable, "-m", "failoverd", "demo", "--fast"]
LIMIT_S = 60.0


def environment(directory: Path) -> dict[str, str]:
    return {**os.environ, "TMPDIR": str(directory)}


def left_behind(directory: Path) -> list[str]:
    """Processes that name the demonstration's directory, and what is in it."""
    mark = str(directory).encode()
    ours = [pid for pid in procfs.pids() if pid != os.getpid() and names(pid, mark)]
    return [*map(str, ours), *(str(path) for path in directory.iterdir())]


def names(pid: int, mark: bytes) -> bool:
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
    return mark in arguments or mark in procfs.environ(pid)


def test_all_of_it_happens(directory: Path) -> None:
    began = time.monotonic()
    done = subprocess.run(
        [*DEMO, "--json"], env=environment(directory), capture_output=True, text=True, timeout=LIMIT_S + 10, check=False
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
    assert not left_behind(directory)


def test_it_is_readable_without_a_terminal(directory: Path) -> None:
    done = subprocess.run(
        DEMO, env=environment(directory), capture_output=True, text=True, timeout=LIMIT_S + 10, check=False
    )

    assert done.returncode == 0, done.stderr + done.stdout[-4000:]
    assert "\x1b" not in done.stdout
    for word in ("limit", "phased", "serial", "did not answer for", "checks hold"):
        assert word in done.stdout


@pytest.mark.parametrize(("after_s", "number"), [(0.6, signal.SIGINT), (3.0, signal.SIGINT), (5.0, signal.SIGTERM)])
def test_it_can_be_interrupted_at_any_time(directory: Path, after_s: float, number: signal.Signals) -> None:
    demo = subprocess.Popen(
        DEMO, env=environment(directory), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )
    time.sleep(after_s)
    demo.send_signal(number)
    _, errors = demo.communicate(timeout=15)

    assert demo.returncode == 130, errors.decode()
    assert not left_behind(directory)


def test_a_long_directory_for_temporary_files_is_avoided() -> None:
    assert short_enough("/var/tmp") == "/var/tmp"
    assert short_enough("/home/somebody/" + "x" * 60) == "/tmp"
