"""Groups of real processes move: by command, by a stop, by a power cut; and stay where they are when a daemon dies."""

import os
import signal
import time
from collections.abc import Iterator

import pytest

from failoverd.demo.local import LocalCluster
from tests.daemon.support import argv, at_rest, chain, command, daemons, log, logged, one, record, settled, until

pytestmark = pytest.mark.processes


@pytest.fixture(scope="module")
def shared() -> Iterator[LocalCluster]:
    with daemons(lambda root: {"g": one(chain(root))}) as made:
        yield made


@pytest.fixture
def cluster(shared: LocalCluster) -> LocalCluster:
    at_rest(shared)
    return shared


def workers(cluster: LocalCluster, node: str) -> list[int]:
    return [pid for pid in cluster[node].pids() if argv(pid)[:2] == ["/bin/sleep", "1000"]]


def test_a_planned_switch_moves_files_and_processes_in_order(cluster: LocalCluster) -> None:
    (cluster.root / "record").unlink(missing_ok=True)
    done = command(cluster["a"], "switch", "g", "--to", "b")
    assert done.returncode == 0, done.stderr
    settled(cluster, "b")
    assert record(cluster.root) == ["a offline web", "a offline disk", "b online disk", "b online web"]
    assert workers(cluster, "a") == []
    assert len(workers(cluster, "b")) == 1
    assert sorted(path.name for path in cluster.root.glob("?.*") if path.name[0] in "ab") == ["b.disk", "b.web"]


def test_a_power_cut_is_survived_and_the_node_comes_back_empty(cluster: LocalCluster) -> None:
    cluster["a"].cut_power()
    settled(cluster, "b", within_s=3 * 1.05 + 3)
    cluster["a"].start()
    cluster["a"].wait_ready()
    settled(cluster, "b")
    assert workers(cluster, "a") == []
    assert logged(cluster["b"], "peer.fenced")


def test_a_killed_daemon_that_is_started_again_within_its_lease_adopts_what_runs() -> None:
    with daemons(lambda root: {"g": one(chain(root))}, lease={"ttl": "20s"}) as cluster:
        settled(cluster, "a")
        before, running = record(cluster.root), workers(cluster, "a")
        cluster["a"].kill_daemon()
        cluster["a"].start()
        cluster["a"].wait_ready()
        settled(cluster, "a")
        time.sleep(1.5)  # a monitor's interval: whatever it would do wrong it would do now
        assert record(cluster.root) == before
        assert workers(cluster, "a") == running
        assert cluster["a"].ask("status")["groups"]["g"]["generation"] == 1


def test_a_stopped_daemon_hands_its_groups_over(cluster: LocalCluster) -> None:
    assert cluster["a"].terminate() == 0
    settled(cluster, "b")
    assert workers(cluster, "a") == []
    until(lambda: log(cluster["b"], "placement.changed")[-1]["cause"] == "shutdown", what="the cause in the log")
    assert logged(cluster["a"], "daemon.stopped")
    status = cluster["b"].status()
    assert status is not None
    assert status["nodes"]["a"]["state"] == "down"


def test_a_process_that_is_killed_behind_our_back_is_back_at_once(cluster: LocalCluster) -> None:
    (old,) = workers(cluster, "a")
    os.kill(old, signal.SIGKILL)
    until(lambda: [pid for pid in workers(cluster, "a") if pid != old], 5, "the worker back")
    settled(cluster, "a")
    assert logged(cluster["a"], "component.changed_externally")
