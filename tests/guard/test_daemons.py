"""Real daemons on loopback that are killed, stopped, restarted: never two online, and nothing moves that need not.

What is checked is what the components themselves wrote down.
"""

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from failoverd import procfs
from failoverd.demo.local import LocalNode
from tests.events import read_events
from tests.harness import GROUP, Part, Trial, end_of, exec_component, trial

pytestmark = pytest.mark.processes

BEAT = Path(__file__).parent / "beat.sh"
COMMANDS = {"c0": Part(online_s=0.02, offline_s=0.02), "c1": Part(online_s=0.02, offline_s=0.02, needs=("c0",))}
PROCESSES = ("p0", "p1")
RESTARTS = int(os.environ.get("GUARD_RESTARTS", "10"))
TRIES = int(os.environ.get("GUARD_TRIES", "1"))


def components(root: Path) -> dict[str, Any]:
    made = {name: exec_component(root, part) for name, part in COMMANDS.items()}
    for name in PROCESSES:
        made[name] = {"type": "process", "command": ["/bin/bash", str(BEAT), str(root)]}
    made["p1"]["depends_on"] = ["p0", "c1"]
    return made


@dataclass(frozen=True)
class Pair:
    made: Trial
    source: LocalNode
    """Where the group is online."""
    target: LocalNode

    def wait_online(self, node: LocalNode, timeout_s: float = 20.0) -> None:
        """Only that node is asked: the other may be stopped."""
        what = f"the group is online on {node.name}"
        wait(what, lambda: self._is_online(node), timeout_s, lambda: f"{node.status()}\n{node.log_tail()}")

    def _is_online(self, node: LocalNode) -> bool:
        status = node.status()
        group = status["groups"][GROUP] if status else {}
        return bool(group) and group["state"] == "online" and group["owner"] == node.name


@contextlib.contextmanager
def guarded(ttl: str = "2s", **group: Any) -> Iterator[Pair]:
    """``exec`` and ``process`` components, online."""
    with trial(COMMANDS, components=components, settings={"lease": {"ttl": ttl}}, group=group) as made:
        source = made[made.owner()]
        yield Pair(made, source, next(node for node in made.cluster.nodes.values() if node is not source))


# --- what the components say ----------------------------------------------------------------------------------------


def beats(made: Trial) -> dict[tuple[str, str], list[float]]:
    """When each process was alive, by (component, node)."""
    found: dict[tuple[str, str], list[float]] = {}
    file = made.cluster.root / "beats"
    for line in file.read_text().splitlines() if file.exists() else []:
        with contextlib.suppress(ValueError):  # half a line: it was killed
            at, node, component = line.split(" ")
            found.setdefault((component, node), []).append(float(at))
    return found


def forget(made: Trial) -> None:
    """What was written so far is judged no more."""
    made.forget()
    (made.cluster.root / "beats").unlink()
    wait("every process writes on", lambda: len(beats(made)) == len(PROCESSES))


def overlaps(made: Trial, source: str, target: str) -> list[str]:
    """Where a component was online on the target before it was down on the source. Every component has to have been on
    both, or nothing was shown."""
    found = []
    operations = made.operations()
    for name in COMMANDS:
        down = [end_of(one) for one in operations if (one.component, one.node, one.action) == (name, source, "offline")]
        up = [one.begin for one in operations if (one.component, one.node, one.action) == (name, target, "online")]
        assert down, f"{name} never went offline on {source}"
        assert up, f"{name} never came online on {target}"
        if min(up) <= max(down):
            found.append(f"{name}: online on {target} {max(down) - min(up):.3f} s before it was down on {source}")
    wait("every process is there", lambda: {(name, target) for name in PROCESSES} <= beats(made).keys())
    signs = beats(made)
    for name in PROCESSES:
        last, first = max(signs[name, source]), min(signs[name, target])
        if first <= last:
            found.append(f"{name}: alive on {target} {last - first:.3f} s before its last sign on {source}")
    return found


def processes(node: LocalNode) -> dict[str, int]:
    """The pid of each ``process`` component."""
    return {
        path.name: json.loads(path.read_text())["pid"] for path in sorted((node.run_dir / "process").glob("*.json"))
    }


def events(node: LocalNode, name: str) -> list[dict[str, Any]]:
    return read_events(node.log_file, name)


def guard_pid(node: LocalNode) -> int:
    return int((node.run_dir / "guard.lock").read_text().split()[0])


def alive(pid: int) -> bool:
    there = procfs.stat(pid)
    return there is not None and there.alive


def wait(
    what: str, condition: Callable[[], bool], timeout_s: float = 15.0, why: Callable[[], str] = lambda: ""
) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {what}\n{why()}"
        time.sleep(0.02)


def signal_daemon(node: LocalNode, number: int) -> None:
    assert node.process is not None
    node.process.send_signal(number)


# --- never two --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
@pytest.mark.parametrize("ttl", ["1s", "2s"])
def test_all_is_down_here_before_it_comes_online_there(number: int, ttl: str) -> None:
    for _ in range(TRIES):
        with guarded(ttl) as pair:
            before = processes(pair.source)
            signal_daemon(pair.source, number)
            pair.wait_online(pair.target)
            assert overlaps(pair.made, pair.source.name, pair.target.name) == []
            assert not any(alive(pid) for pid in before.values())
            record = json.loads((pair.source.run_dir / "guard.json").read_text())
            assert record["in_time"]
            assert record["daemon"] == ("was gone" if number == signal.SIGKILL else "killed")
            assert len(record["results"]) == len(COMMANDS) + len(PROCESSES)


def test_the_next_daemon_tells_of_it_and_the_group_can_come_back() -> None:
    with guarded() as pair:
        signal_daemon(pair.source, signal.SIGSTOP)
        pair.wait_online(pair.target)
        assert pair.source.process is not None
        assert pair.source.process.wait(5) == -signal.SIGKILL
        pair.source.start()
        pair.source.wait_ready()
        (fired,) = events(pair.source, "guard.fired")
        assert fired["left"] == {}
        assert fired["daemon"] == "killed"
        forget(pair.made)
        pair.target.ask("switch", group=GROUP, to=pair.source.name, wait=True, timeout_s=20.0)
        pair.wait_online(pair.source)
        assert overlaps(pair.made, pair.target.name, pair.source.name) == []


def test_a_lost_guard_is_replaced_and_the_new_one_does_its_work() -> None:
    with guarded() as pair:
        before, sources = guard_pid(pair.source), processes(pair.source)
        os.kill(before, signal.SIGKILL)
        wait("another guard", lambda: guard_pid(pair.source) != before)
        wait("it is told", lambda: len(events(pair.source, "guard.lost")) == 1)
        time.sleep(0.5)
        assert processes(pair.source) == sources
        signal_daemon(pair.source, signal.SIGSTOP)
        pair.wait_online(pair.target)
        assert overlaps(pair.made, pair.source.name, pair.target.name) == []


# --- and nothing moves that need not ----------------------------------------------------------------------------------


def test_a_daemon_that_is_killed_and_restarted_at_once_moves_nothing() -> None:
    with guarded("6s") as pair:
        operations, running = pair.made.operations(), processes(pair.source)
        assert len(running) == len(PROCESSES)
        for _ in range(RESTARTS):
            guard = guard_pid(pair.source)
            pair.source.kill_daemon()
            pair.source.start()
            pair.source.wait_ready()
            wait("the new guard alone", lambda pid=guard: not alive(pid))  # type: ignore[misc]
            pair.wait_online(pair.source)
        time.sleep(6.5)  # longer than any lease of before
        assert pair.made.operations() == operations
        assert processes(pair.source) == running
        assert all(alive(pid) for pid in running.values())
        assert not events(pair.source, "guard.fired")
        assert pair.made.owner() == pair.source.name
        # What was adopted is guarded.
        pair.source.kill_daemon()
        pair.wait_online(pair.target)
        assert overlaps(pair.made, pair.source.name, pair.target.name) == []


def test_an_orderly_stop_hands_over_and_leaves_no_guard() -> None:
    with guarded() as pair:
        guard = guard_pid(pair.source)
        assert pair.source.terminate() == 0
        wait("the guard goes", lambda: not alive(guard), 2.0)
        pair.wait_online(pair.target)
        assert overlaps(pair.made, pair.source.name, pair.target.name) == []
        assert not (pair.source.run_dir / "guard.json").exists()


def test_what_is_left_running_on_purpose_runs_on_without_a_guard() -> None:
    with guarded("1s", on_stop="leave") as pair:
        guard, running, operations = guard_pid(pair.source), processes(pair.source), pair.made.operations()
        assert pair.source.terminate() == 0
        wait("the guard goes", lambda: not alive(guard), 2.0)
        time.sleep(2.0)  # longer than the lease
        assert all(alive(pid) for pid in running.values())
        pair.source.start()
        pair.source.wait_ready()
        pair.wait_online(pair.source)
        assert pair.made.operations() == operations
        assert processes(pair.source) == running
        pair.source.kill_daemon()
        pair.wait_online(pair.target)
        assert overlaps(pair.made, pair.source.name, pair.target.name) == []
