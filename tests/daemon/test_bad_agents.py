"""Agents that misbehave: each is told of clearly, and no other group notices."""

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from failoverd.demo.local import LocalCluster
from tests.daemon.support import alive, argv, command, daemons, log, one, record, settled, touch, until

pytestmark = pytest.mark.processes
QUICK = {"critical": True, "restart": {"attempts": 0}}


def script(root: Path, name: str, text: str, *, mode: int = 0o755) -> list[str]:
    path = root / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(mode)
    return [str(path)]


def groups(root: Path) -> dict[str, Any]:
    """One group for each kind of trouble, all of it at online; and one that has none."""
    megabytes = "yes 0123456789012345678901234567890 | head -c 8000000; exit 1"
    deaf = 'trap "" TERM; while :; do sleep 1; done'
    forking = f"(setsid sleep 4321 >/dev/null 2>&1 &); touch {root}/forked; exit 0"
    plain = script(root, "plain", "exit 0", mode=stat.S_IRUSR | stat.S_IWUSR)
    return {
        "good": one({"x": touch(root, "good")}),
        "missing": one({"x": touch(root, "missing", online=["/nonexistent/start", "it"], **QUICK)}),
        "plain": one({"x": touch(root, "plain", online=plain, **QUICK)}),
        "loud": one({"x": touch(root, "loud", online=megabytes, **QUICK)}),
        "deaf": one({"x": touch(root, "deaf", online=deaf, timeout={"online": "500ms"}, **QUICK)}),
        "forking": one({"x": touch(root, "forking", online=forking, monitor=f"test -e {root}/forked || exit 7")}),
        "hanging": one({"x": touch(root, "hanging", monitor={"command": "sleep 999", "timeout": "2s"})}),
    }


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with daemons(groups, start=False) as made:
        for node in made.nodes.values():
            node.start()
        for node in made.nodes.values():
            node.wait_ready(20)
        yield made


def faults(cluster: LocalCluster, group: str) -> list[dict[str, Any]]:
    found = [entry for node in cluster.nodes.values() for entry in log(node, "component.faulted")]
    return [entry for entry in found if entry["group"] == group]


def test_other_groups_are_not_disturbed(cluster: LocalCluster) -> None:
    settled(cluster, "a", "good")
    assert command(cluster["a"], "switch", "good", "--to", "b").returncode == 0
    assert command(cluster["a"], "switch", "good", "--to", "a").returncode == 0
    assert [line for line in record(cluster.root) if line.startswith("a online good")]


@pytest.mark.parametrize(
    ("group", "words"),
    [("missing", "/nonexistent/start"), ("plain", "not executable")],
)
def test_a_command_that_cannot_be_run_is_named_with_the_reason(cluster: LocalCluster, group: str, words: str) -> None:
    (fault, *_) = until(lambda: faults(cluster, group))
    assert words in fault["reason"]
    assert "online unavailable" in fault["reason"]
    owner = cluster[cluster["a"].ask("status")["groups"][group]["owner"]]
    said = until(
        lambda: (found := owner.ask("status", group=group)["groups"][group])["state"] == "blocked" and found["reason"]
    )
    assert words in said
    assert words in command(owner, "status", group).stdout.replace("\n", " ")
    other = next(node for node in cluster.nodes.values() if node is not owner)
    shown = until(lambda: (found := other.ask("status")["groups"][group])["state"] == "blocked" and found)
    assert words in shown["reason"], "the owner's reason, as its heartbeats carry it"


def test_megabytes_of_output_are_bounded_and_their_end_is_kept(cluster: LocalCluster) -> None:
    (fault, *_) = until(lambda: faults(cluster, "loud"))
    assert "exit status 1" in fault["reason"]
    assert 100 < len(fault["output"]) < 100_000
    assert "0123456789" in fault["output"]


def test_an_agent_that_ignores_sigterm_is_killed_after_its_time(cluster: LocalCluster) -> None:
    (fault, *_) = until(lambda: faults(cluster, "deaf"))
    assert "timed" in fault["reason"]
    until(
        lambda: not [pid for node in cluster.nodes.values() for pid in node.pids() if 'trap "" TERM' in str(argv(pid))],
        10,
        "the deaf agent gone",
    )


def test_an_agent_that_forks_away_ends_as_its_own_exit_status_says(cluster: LocalCluster) -> None:
    settled(cluster, "a", "forking")
    assert faults(cluster, "forking") == []
    escaped = [pid for pid in cluster["a"].pids() if argv(pid) == ["sleep", "4321"]]
    assert len(escaped) == 1
    assert alive(escaped[0])


def test_a_hanging_probe_is_told_of_and_its_group_is_brought_online_nowhere(cluster: LocalCluster) -> None:
    status = until(
        lambda: (found := cluster["a"].ask("status")["groups"]["hanging"]["components"]["x"]["a"])["reason"] and found
    )
    assert status["state"] == "unknown"
    assert "timed out" in status["reason"] or "timed_out" in status["reason"]
    assert [line for line in record(cluster.root) if "online hanging" in line] == []
