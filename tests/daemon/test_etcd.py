"""Two daemons whose placement is decided by compare-and-swap in a real etcd of three members."""

import base64
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.bench import shapes
from tests.daemon.support import until
from tests.etcd_server import EtcdServers, needs_etcd, serving
from tests.harness import GROUP, Trial, trial

pytestmark = [needs_etcd, pytest.mark.processes]

TTL_S = 1.5
OUTAGE_S = float(os.environ.get("OUTAGE_S", "4"))


@contextmanager
def on_etcd(directory: Path) -> Iterator[tuple[Trial, EtcdServers]]:
    with serving(directory, 3) as servers:
        settings = {
            "coordinator": {"type": "etcd", "endpoints": list(servers.endpoints)},
            "lease": {"ttl": f"{TTL_S:g}s"},
        }
        with trial(shapes.chain(3, 0.05), settings=settings) as running:
            yield running, servers


def placement(servers: EtcdServers, cluster: str) -> dict[str, Any]:
    """As etcd itself holds it."""
    key = base64.b64encode(f"/failoverd/{cluster}/placement/{GROUP}".encode()).decode()
    member = next(member for member in servers.members if member.running)
    (kv,) = member.ask("/v3/kv/range", key=key)["kvs"]
    return dict(json.loads(base64.b64decode(kv["value"])))


def test_switch_is_a_compare_and_swap_in_etcd(tmp_path: Path) -> None:
    with on_etcd(tmp_path) as (running, servers):
        before = placement(servers, running.cluster.name)
        assert before["owner"] == "a"
        move, document = running.switch()
        assert document["state"] == "done"
        assert move.violations() == []
        after = placement(servers, running.cluster.name)
        assert (after["owner"], after["generation"] > before["generation"]) == ("b", True)
        assert running["a"].ask("status")["coordinator"] == {"type": "etcd", "state": "ok"}


def test_power_cut_is_taken_over_once_the_lease_has_run_out(tmp_path: Path) -> None:
    with on_etcd(tmp_path) as (running, servers):
        if running.owner() != "a":  # it came up late, and b was given the group
            running.switch()
        before = placement(servers, running.cluster.name)
        running.forget()
        running["a"].cut_power()
        running.settle("b", timeout_s=TTL_S + 10)
        assert {operation.node for operation in running.operations()} == {"b"}
        after = placement(servers, running.cluster.name)
        assert after["owner"] == "b"
        assert after["generation"] > before["generation"]
        running["a"].start()
        running["a"].wait_ready()
        running.settle("b")
        assert {operation.node for operation in running.operations() if operation.action == "online"} == {"b"}


def test_lost_etcd_leader_moves_nothing(tmp_path: Path) -> None:
    with on_etcd(tmp_path) as (running, servers):
        before = placement(servers, running.cluster.name)
        running.forget()
        for _ in range(2):
            servers.leader().kill()
            servers.leader()
            servers.start()
        running.settle("a")
        assert running.operations() == []
        after = placement(servers, running.cluster.name)
        assert (after["owner"], after["generation"]) == ("a", before["generation"])
        move, _ = running.switch()
        assert move.violations() == []


def test_all_members_stopped_for_longer_than_the_lease_and_started_again_move_nothing(tmp_path: Path) -> None:
    """Failsafe: both daemons are there, and promise each other not to fence."""
    with on_etcd(tmp_path) as (running, servers):
        before = placement(servers, running.cluster.name)
        running.forget()
        for member in servers.members:
            member.kill()
        until(lambda: failsafe(running, "a") == "held", what="failsafe")
        time.sleep(OUTAGE_S)
        assert failsafe(running, "a") == failsafe(running, "b") == "held"
        servers.start()
        until(lambda: failsafe(running, "a") == failsafe(running, "b") == "off", what="the lease renewed")
        running.settle("a")
        time.sleep(TTL_S)
        assert running.operations() == []
        after = placement(servers, running.cluster.name)
        assert (after["owner"], after["generation"]) == ("a", before["generation"])


def failsafe(running: Trial, node: str) -> str:
    return str(running[node].ask("status")["nodes"][node]["failsafe"]["state"])
