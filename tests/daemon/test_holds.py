"""Freezing and draining real daemons with real commands."""

import json
from pathlib import Path

import pytest

from tests.daemon.support import at_rest, command, daemons, log, one, record, settled, touch, until

pytestmark = pytest.mark.processes


def test_a_frozen_group_is_left_alone_by_faults_and_restarts_and_a_drained_node_is_empty() -> None:
    with daemons(lambda root: {"g": one({"x": touch(root, "x")})}) as cluster:
        at_rest(cluster)
        a, b = cluster["a"], cluster["b"]
        frozen = command(b, "freeze", "g", "--reason", "storage work")
        assert (frozen.returncode, frozen.stdout, frozen.stderr) == (0, "group g is frozen\n", "")
        before = record(cluster.root)

        # A fault, and a restart of the daemon: nothing is done, and both say why.
        file = Path(f"{cluster.root}/a.x")
        file.unlink()
        until(lambda: log(a, "component.faulted"), 5)
        file.touch()
        a.terminate()
        a.start()
        a.wait_ready()
        status = until(lambda: (found := b.status()) and found["nodes"]["a"]["state"] == "up" and found)
        assert status["groups"]["g"]["frozen"]
        assert "storage work" in status["groups"]["g"]["reason"]
        refused = command(a, "switch", "g")
        assert refused.returncode == 1
        assert "first: failoverd thaw g" in refused.stderr
        assert record(cluster.root) == before

        assert command(a, "thaw", "g").returncode == 0
        settled(cluster, "a")
        assert record(cluster.root) == before

        drained = command(a, "drain", "a", "--json")
        assert drained.returncode == 0, drained.stderr
        assert json.loads(drained.stdout)["groups"]["g"]["to"] == "b"
        assert record(cluster.root)[len(before) :] == ["a offline x", "b online x"]
        assert command(b, "switch", "g", "--to", "a").returncode == 1
        until(lambda: [*cluster.root.glob("*/state/incidents/*.json")], 5)
        told = command(a, "history", "g", "--id", "last")
        assert (told.returncode, told.stderr) == (0, "")
        assert "a -> b" in told.stdout
        assert "drain" in told.stdout
        assert "the node that had it was drained" in command(b, "why", "g").stdout
        assert command(b, "resume", "a").returncode == 0
        assert command(b, "switch", "g", "--to", "a").returncode == 0
