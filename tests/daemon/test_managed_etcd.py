"""The etcd members that daemons run themselves: two nodes and a witness, replaced nodes, other voters, bad places."""

import json
import os
import shutil
import socket
import stat
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from failoverd import procfs
from failoverd.links.key import generate
from tests.daemon.support import alive, command, log, logged, one, reconfigure, record, settled, touch, until
from tests.etcd_server import needs_etcd
from tests.managed import ManagedCluster, managed

pytestmark = [needs_etcd, pytest.mark.processes]


def group(root: Path) -> dict[str, Any]:
    return {"g": one({"web": touch(root, "web")})}


@pytest.fixture(scope="module")
def shared() -> Iterator[ManagedCluster]:
    # Time enough for a daemon that was killed to be back before its lease ends, also on a busy machine.
    with managed(group, lease={"ttl": "6s"}) as cluster:
        yield cluster


@pytest.fixture
def three(shared: ManagedCluster) -> ManagedCluster:
    """All run and the group is on a, whatever the test before did to them."""
    for node in shared.nodes.values():
        if not node.running:
            node.start()
    for node in shared.nodes.values():
        node.wait_ready(30)
    shared.wait_members("a", "b", "w")
    if settled_owner(shared) != "a":
        shared["a"].ask("switch", group="g", to="a", wait=True, timeout_s=15.0)
    settled(shared, "a")
    return shared


def settled_owner(cluster: ManagedCluster) -> str:
    return str(cluster.wait_group("g", state="online", owner=None, timeout_s=15.0)["owner"])


# --- it works ---------------------------------------------------------------------------------------------------


def test_two_nodes_and_a_witness_need_nothing_else(three: ManagedCluster) -> None:
    three["a"].ask("switch", group="g", to="b", wait=True, timeout_s=15.0)
    settled(three, "b")
    lines = [line.split() for line in record(three.root)]
    assert {node for node, _, _ in lines} == {"a", "b"}, "the witness runs nothing"
    status = three["w"].status()
    assert status is not None
    assert status["groups"]["g"]["owner"] == "b", "it knows of the group all the same"
    assert status["etcd"]["state"] == "running"
    member = status["etcd"]["members"]["a"]
    assert member["version"].startswith("3.")
    assert member["db_bytes"] > 0
    assert member["term"] > 0
    shown = command(three["a"], "status").stdout
    assert "etcd a " in shown
    assert " leader" in shown


def test_what_is_secret_is_the_owners_alone(three: ManagedCluster) -> None:
    def mode(path: Path) -> int:
        return stat.S_IMODE(path.stat().st_mode)

    node = three["a"]
    assert mode(node.directory / "state" / "etcd") == 0o700
    assert mode(node.run_dir / "etcd") == 0o700
    files = [path for path in (node.run_dir / "etcd").iterdir() if b"PRIVATE KEY" in path.read_bytes()]
    assert files
    assert {mode(path) for path in files} == {0o600}


def test_nobody_is_served_without_a_certificate(three: ManagedCluster) -> None:
    ca = three["a"].run_dir / "etcd" / "ca.pem"
    for port, path in (("client_port", "/v3/maintenance/status"), ("peer_port", "/members")):
        url = three.url("a", port)
        bare = ["curl", "-sS", "--http1.1", "--max-time", "3", "-d", "{}", "--cacert", str(ca), url + path]
        assert subprocess.run(bare, capture_output=True, check=False).returncode != 0
        plain = ["curl", "-sS", "--max-time", "3", "-d", "{}", url.replace("https", "http") + path]
        found = subprocess.run(plain, capture_output=True, text=True, check=False)
        assert "version" not in found.stdout
        assert "peerURLs" not in found.stdout


def test_restarted_daemon_adopts_its_member(three: ManagedCluster) -> None:
    before, members = three.etcd("a"), three.members("b")
    three["a"].kill_daemon()
    three["a"].start()
    three["a"].wait_ready(30)
    assert three.etcd("a") == before
    until(lambda: log(three["a"], "etcd.member_adopted"))
    assert three.members("b") == members
    three["a"].terminate()
    assert alive(before), "and it goes on voting while the daemon is stopped"
    three["a"].start()
    three["a"].wait_ready(30)
    assert three.etcd("a") == before


def test_killed_members_come_back_and_nothing_moves(three: ManagedCluster) -> None:
    placement = three["a"].status()
    assert placement is not None
    operations = len(record(three.root))
    for name in (three.leader().name, "w"):
        killed = three.kill_etcd(name)
        until(partial(came_back, three, name, killed))
        assert logged(three[name], "etcd.member_exited")
        three.wait_members("a", "b", "w")
    after = settled(three, "a")
    assert after["generation"] == placement["groups"]["g"]["generation"]
    assert len(record(three.root)) == operations


def came_back(cluster: ManagedCluster, node: str, killed: int) -> bool:
    return cluster.etcd(node) not in {0, killed}


def test_replaced_node_enters_as_a_new_member(three: ManagedCluster) -> None:
    before = {member.name: member.id for member in three.members("a").members}
    three["b"].cut_power()
    shutil.rmtree(three["b"].directory / "state")
    three["b"].start()
    three["b"].wait_ready(30)
    three.wait_members("a", "b", "w")
    after = {member.name: member.id for member in three.members("a").members}
    assert after["b"] != before["b"], "a member that has forgotten its votes must not vote as the one it was"
    assert {name: after[name] for name in "aw"} == {name: before[name] for name in "aw"}
    three["a"].ask("switch", group="g", to="b", wait=True, timeout_s=15.0)
    three["a"].cut_power()
    settled(three, "b")


def test_after_a_loss_of_all_power_a_node_without_data_forms_no_cluster_of_its_own(three: ManagedCluster) -> None:
    """Two have the data; the third, with an empty disk, is back first and must not begin anew with either of them."""
    generation = settled(three, "a")["generation"]
    members = {member.name: member.id for member in three.members("a").members}
    for node in three.nodes.values():
        node.cut_power()
    shutil.rmtree(three["b"].directory / "state")
    three["b"].start()
    waits = until(lambda: log(three["b"], "etcd.member_waiting"), within_s=30)
    assert "says that it has no data yet" in waits[-1]["reason"]
    three["a"].start()
    until(three["a"].status, within_s=30)
    status = three["b"].status()
    assert status is not None
    assert not status["nodes"]["b"]["ready"], "a alone is no majority of those who have the data"
    three["w"].start()
    three.wait_members("a", "b", "w")
    after = {member.name: member.id for member in three.members("a").members}
    assert {name for name in "abw" if after[name] == members[name]} == {"a", "w"}
    assert three.wait_group("g", state="online", owner=None, timeout_s=45)["generation"] >= generation


def test_what_is_left_goes_on_alone_by_an_operators_word(three: ManagedCluster) -> None:
    """As docs/etcd.md has it: two of three are lost for good."""
    generation = settled(three, "a")["generation"]
    for node in three.nodes.values():
        node.cut_power()
    for name in "ab":
        shutil.rmtree(three[name].directory / "state")
    (three["w"].directory / "state" / "etcd" / "force-new-cluster").touch()
    three["w"].start()
    until(lambda: log(three["w"], "etcd.cluster_forced"), within_s=30)
    assert [member.name for member in three.members("w").members] == ["w"]
    for name in "ab":
        three[name].start()
    three.wait_members("a", "b", "w")
    assert three.wait_group("g", state="online", owner=None, timeout_s=45)["generation"] >= generation
    assert (three["w"].directory / "state" / "etcd" / "data.before").exists()
    until(lambda: len(set(hashes(three, "a", "b", "w"))) == 1, within_s=10, what="the same data on every member")


def hashes(cluster: ManagedCluster, *nodes: str) -> list[int]:
    """Of what the members hold, up to a revision that all have: etcd's own check for data that differ."""
    found = [etcdctl(cluster, node, "status")["Status"]["header"]["revision"] for node in nodes]
    return [etcdctl(cluster, node, "hashkv", f"--rev={min(found)}")["HashKV"]["hash"] for node in nodes]


def etcdctl(cluster: ManagedCluster, node: str, *what: str) -> dict[str, Any]:
    directory = cluster[node].run_dir / "etcd"
    pem = str(directory / "member.pem")
    tls = ["--cacert", str(directory / "ca.pem"), "--cert", pem, "--key", pem]
    argv = ["etcdctl", *tls, "--endpoints", cluster.url(node, "client_port"), "-w", "json", "endpoint", *what]
    done = subprocess.run(
        argv, env={**os.environ, "ETCDCTL_API": "3"}, capture_output=True, text=True, check=True, timeout=30
    )
    return dict(json.loads(done.stdout)[0])


# --- another configuration --------------------------------------------------------------------------------------


def test_voters_follow_the_configuration() -> None:
    """From one to three and back, one daemon after another."""
    three = ("a", "b", "c")
    with managed(group, three, start=False) as cluster:
        documents = {name: cluster[name].config_file.read_text() for name in three}

        def write(*names: str) -> None:
            def change(document: dict[str, Any]) -> None:
                document["nodes"] = {name: spec for name, spec in document["nodes"].items() if name in names}
                document["groups"]["g"]["nodes"] = list(names)

            for name in names:
                cluster[name].config_file.write_text(documents[name])
                reconfigure(cluster[name], change)

        def restart(*names: str) -> None:
            for name in names:
                if cluster[name].running:
                    cluster[name].terminate()
                cluster[name].start()
            for name in names:
                cluster[name].wait_ready(60)

        def removed() -> set[str]:
            return {event["member"] for event in log(cluster["a"], "etcd.member_removed")}

        write("a")
        restart("a")
        assert [member.name for member in cluster.members("a").members] == ["a"]
        write(*three)
        restart(*three)
        cluster.wait_members(*three)
        assert not any(member.learner for member in cluster.members("a").members)
        for name in ("b", "c"):
            cluster[name].terminate()
        write("a")
        restart("a")
        until(lambda: removed() == {"b", "c"}, within_s=60)
        assert [member.name for member in cluster.members("a").members] == ["a"]
        assert settled(cluster, "a")["generation"] >= 1


# --- bad places -------------------------------------------------------------------------------------------------


def failed(cluster: ManagedCluster, node: str = "a") -> str:
    return str(until(lambda: log(cluster[node], "etcd.member_failed"), within_s=30)[-1]["reason"])


def test_port_in_use_is_named_and_tried_again() -> None:
    with managed(lambda _: {}, ("a",), start=False, coordinator={"on_stop": "stop"}) as cluster:
        port = int(cluster.url("a", "client_port").rpartition(":")[2])
        with socket.create_server(("127.0.0.1", port)):
            cluster["a"].start()
            assert f"port {port} is in use by another program" in failed(cluster)
        cluster["a"].wait_ready(30)
        member = cluster.etcd("a")
        assert cluster["a"].terminate() == 0
        left = procfs.stat(member)
        assert left is None or not left.alive, "on_stop: stop"


def test_missing_etcd_and_foreign_data_are_told_with_what_to_do() -> None:
    with managed(lambda _: {}, ("a",), start=False) as cluster:
        directory = cluster["a"].directory / "state" / "etcd"
        directory.mkdir(parents=True)
        foreign = {"version": 1, "cluster": "other", "node": "x", "voters": {}, "departing": {}}
        (directory / "owner.json").write_text(json.dumps(foreign))
        cluster["a"].start()
        assert "holds the etcd data of node x of cluster other" in failed(cluster)
        (directory / "owner.json").unlink()
        cluster["a"].wait_ready(30)


def test_other_key_does_not_get_in(three: ManagedCluster) -> None:
    key = three.root / "other.key"
    generate(key)
    three["w"].cut_power()
    shutil.rmtree(three["w"].directory / "state")
    text = three["w"].config_file.read_text()
    try:
        reconfigure(three["w"], lambda document: document.update(key_file=str(key)))
        three["w"].start()
        waits = until(lambda: log(three["w"], "etcd.member_waiting"), within_s=30)
        assert "key_file and the cluster's name must be the same on every node" in waits[-1]["reason"]
    finally:
        three["w"].cut_power()
        three["w"].config_file.write_text(text)
