"""A ``process`` component in a control group, and a daemon that is killed or stopped: what the next one finds, and what
the guard leaves.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from failoverd import procfs
from failoverd.agents.process.place import Form, Machine, groups_of
from failoverd.demo.local import LocalCluster, LocalNode
from failoverd.kernel import cgroups
from tests.daemon.support import daemons, logged, one, settled, until

pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(
        Machine.here().form("auto") is not Form.CGROUP, reason="no control groups can be made here (needs root)"
    ),
]

ESCAPES = '(env -i setsid sh -c \'trap "" TERM; (setsid sh -c "trap : TERM; while :; do sleep 0.2; done" &)\' &)'
"""A child that left session, parent and environment behind, and hears no SIGTERM."""


def group(_root: Path) -> dict[str, Any]:
    worker = {"type": "process", "command": f"{ESCAPES}; exec sleep 1000", "stop_timeout": "300ms"}
    return {"g": one({"worker": worker})}


@contextmanager
def online(ttl: str) -> Iterator[tuple[LocalCluster, set[int]]]:
    """On node a; with the processes of its group, children that only sleep aside."""
    with daemons(group, lease={"ttl": ttl}) as cluster:
        settled(cluster, "a")
        yield cluster, until(lambda: len(found := inside(cluster["a"])) == 2 and found, what="both run")


def alive(pid: int) -> bool:
    there = procfs.stat(pid)
    return there is not None and there.alive


def inside(node: LocalNode) -> set[int]:
    (directory,) = groups_of(node.cluster, node.name, node.run_dir)
    return {pid for pid in cgroups.pids(str(directory)) if os.getsid(pid) == pid}


def test_the_next_daemon_adopts_the_very_same_processes() -> None:
    with online("30s") as (cluster, before):
        node = cluster["a"]
        for _ in range(2):
            node.kill_daemon()
            node.start()
            node.wait_ready()
            settled(cluster, "a")
            assert inside(node) == before
        cluster["a"].ask("switch", group="g", to="b", wait=True, timeout_s=20.0)
        assert not any(alive(pid) for pid in before), "also the one that ignores signals"
        assert groups_of(node.cluster, "a", node.run_dir) == [], "no empty control group is left"
        assert len(logged(node, "component.offline")) >= 1


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL], ids=["stopped", "killed"])
def test_the_guard_empties_the_control_group_before_it_comes_online_elsewhere(number: int) -> None:
    with online("2s") as (cluster, before):
        node = cluster["a"]
        assert node.process is not None
        node.process.send_signal(number)
        until(lambda: (cluster["b"].status() or {"groups": {"g": {"owner": ""}}})["groups"]["g"]["owner"] == "b")
        assert not any(alive(pid) for pid in before)
        assert groups_of(node.cluster, "a", node.run_dir) == []
        until(lambda: groups_of(node.cluster, "b", cluster["b"].run_dir))
