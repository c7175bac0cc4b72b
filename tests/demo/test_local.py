"""Nodes on this machine: what belongs to one is ended with it, and nothing else."""

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from failoverd.demo.local import LocalNode, free_ports

pytestmark = pytest.mark.processes


@pytest.fixture
def sleepers() -> Iterator[list[subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for process in started:
        process.kill()
        process.wait()


def sleeper(started: list[subprocess.Popen[bytes]], **environment: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(["/bin/sleep", "60"], env=environment)
    started.append(process)
    while b"sleep" not in Path(f"/proc/{process.pid}/cmdline").read_bytes():
        time.sleep(0.001)
    return process


def test_ports_are_free_and_none_that_a_client_might_be_given() -> None:
    low = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])

    ports = free_ports(5)

    assert len(set(ports)) == 5
    assert all(port < low for port in ports)


def test_a_power_cut_ends_all_of_one_node_and_nothing_else(
    tmp_path: Path, sleepers: list[subprocess.Popen[bytes]]
) -> None:
    node = LocalNode(name="a", cluster="c1", root=tmp_path)
    node.volatile.mkdir(parents=True)
    helper = sleeper(sleepers, FAILOVERD_TRIAL=f"{tmp_path}:a")
    component = sleeper(sleepers, FAILOVERD_CLUSTER="c1", FAILOVERD_NODE="a", FAILOVERD_COMPONENT="web")
    others = [
        sleeper(sleepers, FAILOVERD_CLUSTER="c1", FAILOVERD_NODE="b"),
        sleeper(sleepers, FAILOVERD_CLUSTER="c2", FAILOVERD_NODE="a"),
        sleeper(sleepers, FAILOVERD_TRIAL=f"{tmp_path}:b"),
    ]

    node.cut_power()

    assert helper.wait(5) == component.wait(5) == -9
    assert [other.poll() for other in others] == [None, None, None]
    assert not node.volatile.exists()


def test_the_outside_names_no_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAILOVERD_RUN_DIR", "/elsewhere")

    environment = LocalNode(name="a", cluster="c1", root=tmp_path).environment

    assert "FAILOVERD_RUN_DIR" not in environment
    assert environment["PATH"] == os.environ["PATH"]
