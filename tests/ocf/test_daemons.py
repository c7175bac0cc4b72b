"""A resource agent with a health check in real daemons: faults, a handover, and the guard of a dead daemon."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from failoverd.agents.ocf.family import OcfFamily
from failoverd.demo.local import LocalCluster
from tests.daemon import support

pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif("ocf:heartbeat:Stateful" not in OcfFamily().names(), reason="needs the package resource-agents"),
]


def components(root: Path) -> dict[str, Any]:
    check = {"command": f"test ! -e {root}/sick", "interval": "500ms", "fall": 2}
    return {
        "it": {"type": "ocf:heartbeat:Dummy", "monitor": {"interval": "1s"}, "check": check},
        "db": {
            "type": "ocf:heartbeat:Stateful",
            "role": "promoted",
            "monitor": {"interval": "1s"},
            "depends_on": ["it"],
        },
    }


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with support.daemons(lambda root: {"g": support.one(components(root))}) as made:
        yield made


@pytest.fixture(autouse=True)
def _rested(cluster: LocalCluster) -> None:
    support.at_rest(cluster)


def state(cluster: LocalCluster, node: str, agent: str) -> Path:
    return cluster[node].run_dir / "ocf" / "state" / f"{agent}.state"


def test_a_failing_check_is_a_fault_that_names_it(cluster: LocalCluster) -> None:
    sick = cluster.root / "sick"
    sick.touch()
    try:
        (fault,) = support.until(lambda: support.log(cluster["a"], "component.faulted"), what="found sick")
        assert fault["component"] == "it"
        assert fault["check"] == f"check command test ! -e {sick}"
        assert fault["reason"].startswith(f"{fault['check']}: exit status 1 (2 times in a row)")
    finally:
        sick.unlink()
    support.settled(cluster, "a")


def test_a_promoted_one_moves_with_its_group(cluster: LocalCluster) -> None:
    assert state(cluster, "a", "Stateful-g.db").read_text() == "master\n"
    cluster["a"].ask("switch", group="g", to="b", wait=True, timeout_s=support.PATIENCE_S)
    support.settled(cluster, "b")
    assert state(cluster, "b", "Stateful-g.db").read_text() == "master\n"
    assert not state(cluster, "a", "Stateful-g.db").exists()
    assert not state(cluster, "a", "Dummy-g.it").exists()


def test_the_guard_of_a_dead_daemon_takes_it_down(cluster: LocalCluster) -> None:
    process = cluster["a"].process
    assert process is not None
    process.kill()
    process.wait(support.PATIENCE_S)
    support.settled(cluster, "b")
    assert not state(cluster, "a", "Stateful-g.db").exists(), "demoted and stopped"
    assert not state(cluster, "a", "Dummy-g.it").exists()
