"""Real daemons with real fence agents: processes that switch off the nodes of a trial."""

import json
import os
import signal
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from failoverd import procfs
from failoverd.demo.local import LocalCluster, LocalNode, free_ports
from tests.daemon.support import PACE, at_rest, command, daemons, log, logged, one, record, settled, touch, until
from tests.fence_agent import calls, install

pytestmark = pytest.mark.processes
TTL_S = 20.0
SECRET = "correct horse battery"
PATIENT: dict[str, Any] = {**PACE, "lease": {"ttl": f"{TTL_S:g}s", "renew": "200ms", "request_timeout": "3s"}}


def device(root: Path, plug: str, agent: str = "fence_trial", **more: Any) -> dict[str, Any]:
    params = {
        "root": str(root),
        "plug": plug,
        "password_file": str(root / "secret"),
        "mood": str(root / agent) + ".mood",
    }
    return {"agent": str(root / agent), "params": params, "timeout": "5s", "retries": 0, **more}


@contextmanager
def fenced(*agents: str, levels: Mapping[str, Any] | None = None, **settings: Any) -> Iterator[LocalCluster]:
    """Two daemons that can shoot each other, with a level for each agent; a group that is online on a."""
    with daemons(lambda root: {"g": one({"disk": touch(root, "disk")})}, start=False, **PATIENT) as cluster:
        root = cluster.root
        (root / "secret").write_text(f"{SECRET}\n")
        (root / "secret").chmod(0o600)
        for agent in agents or ("fence_trial",):
            install(root, agent)
        made = {n: [device(root, n, agent, **(levels or {})) for agent in agents or ("fence_trial",)] for n in "ab"}
        reconfigure(cluster, {"fencing": made, **settings})
        cluster.start()
        at_rest(cluster)
        (root / "record").write_text("")
        yield cluster


def reconfigure(cluster: LocalCluster, more: Mapping[str, Any]) -> None:
    for node in cluster.nodes.values():
        document = yaml.safe_load(node.config_file.read_text())
        node.config_file.write_text(yaml.safe_dump({**document, **more}, sort_keys=False))


def shots(cluster: LocalCluster) -> list[str]:
    return [call["plug"] for call in calls(cluster.root) if call["action"] == "off"]


def mood(cluster: LocalCluster, agent: str, text: str) -> None:
    (cluster.root / f"{agent}.mood").write_text(text)


def powerless(node: LocalNode) -> bool:
    return not list(node.pids())


def test_a_dead_node_is_confirmed_off_and_taken_over_long_before_its_lease_ends() -> None:
    with fenced() as cluster:
        began = cluster["a"].cut_power()
        settled(cluster, "b")
        assert time.monotonic() - began < TTL_S / 2
        (call,) = calls(cluster.root)
        assert (call["action"], call["plug"], call["nodename"]) == ("off", "a", "a")
        assert (call["password_given"], call["argv"]) == ("True", "")
        assert SECRET not in cluster["b"].log_file.read_text()
        shown = command(cluster["b"], "status").stdout
        assert "fence_trial (level 1)" in shown
        (entry,) = until(cluster["b"].status)["nodes"]["a"]["fencing"]["history"]
        assert (entry["by"], entry["result"], entry["how"], entry["level"]) == ("b", "off", "fence_agent", 1)
        (begun,), (done,) = logged(cluster["b"], "fence.begun"), logged(cluster["b"], "fence.done")
        assert (begun["peer"], begun["agent"], begun["device"]) == ("a", "fence_trial", 1)
        assert done["duration_s"] > 0
        # Switched on again, it joins as another incarnation and takes nothing that is not its own.
        cluster["a"].start()
        cluster["a"].wait_ready(60)
        settled(cluster, "b")
        assert record(cluster.root)[0] == "b online disk"
        assert "a online disk" not in record(cluster.root)


def test_a_stopped_daemon_is_shot_with_everything_that_it_had_online() -> None:
    """It neither beats nor renews, and its components run on: before another one takes over, they are gone."""
    with fenced() as cluster:
        assert cluster["a"].process is not None
        os.kill(cluster["a"].process.pid, signal.SIGSTOP)
        until(lambda: log(cluster["b"], "fence.done"))
        assert powerless(cluster["a"])
        settled(cluster, "b")


def test_levels_are_tried_in_order_and_a_hanging_agent_leaves_nothing_behind() -> None:
    with fenced("fence_one", "fence_two", "fence_three", levels={"timeout": "1s"}) as cluster:
        mood(cluster, "fence_one", "fail")
        mood(cluster, "fence_two", "hang")
        cluster["a"].cut_power()
        settled(cluster, "b")
        failed = logged(cluster["b"], "fence.failed", 2)
        assert [(each["device"], each["agent"]) for each in failed] == [(1, "fence_one"), (2, "fence_two")]
        assert "the device says no, ***" in failed[0]["output"]
        assert "timed out" in failed[1]["reason"]
        assert SECRET not in cluster["b"].log_file.read_text()
        assert logged(cluster["b"], "fence.done")[0]["device"] == 3
        assert not [pid for pid in procfs.pids() if b"/bin/sleep\x00301" in _argv(pid)]


def _argv(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


@pytest.mark.parametrize("how", ["fail", "lost"])
def test_what_is_not_confirmed_moves_nothing_until_an_operator_says_so(how: str) -> None:
    """Also where the machine is off in truth: nobody knows it."""
    with fenced() as cluster:
        mood(cluster, "fence_trial", how)
        refused = command(cluster["b"], "confirm-off", "a", "--yes")
        assert (refused.returncode, refused.stderr) == (1, "failoverd: a is not off: its heartbeats arrive\n")
        cluster["a"].cut_power()
        until(lambda: len(shots(cluster)) >= 2)
        status = until(cluster["b"].status)
        assert status["groups"]["g"]["owner"] == "a"
        assert status["nodes"]["a"]["fencing"]["history"][-1]["result"] == "failed"
        assert record(cluster.root) == []
        confirmed = command(cluster["b"], "confirm-off", "a", "--yes")
        assert (confirmed.returncode, confirmed.stderr) == (0, "")
        settled(cluster, "b")
        asked = [each for each in logged(cluster["b"], "operator.command") if each["command"] == "confirm_off"]
        assert {each["uid"] for each in asked} == {os.getuid()}
        by = until(cluster["b"].status)["nodes"]["a"]["fencing"]["history"][0]
        assert (by["how"], by["by"].split()[:2]) == ("operator", ["b", f"uid={os.getuid()}"])


def test_an_agent_that_is_not_there_leaves_the_end_of_the_lease() -> None:
    with fenced(lease={"ttl": "3s", "renew": "200ms"}) as cluster:
        (cluster.root / "fence_trial").unlink()
        began = cluster["a"].cut_power()
        settled(cluster, "b")
        assert time.monotonic() - began > 2.5
        assert "No such file" in logged(cluster["b"], "fence.failed")[0]["reason"]
        assert shots(cluster) == []


def test_a_stuck_component_is_fenced_where_its_policy_says_so() -> None:
    def groups(root: Path) -> dict[str, Any]:
        stuck = {"offline": "exit 1", "clean": "exit 1", "on_offline_failure": "fence"}
        return {"g": one({"disk": touch(root, "disk", **stuck)})}

    with fenced() as cluster:
        reconfigure(cluster, {"groups": groups(cluster.root)})
        for node in cluster.nodes.values():
            node.ask("reload", timeout_s=10)
        until(lambda: "b" not in cluster["b"].ask("status")["groups"]["g"]["refusals"])
        cluster["b"].ask("switch", group="g", to="b", wait=False)
        settled(cluster, "b")
        assert logged(cluster["b"], "fence.begun")[0]["reason"] == "g/disk cannot be taken offline there"
        assert powerless(cluster["a"])


# --- both sides could shoot -----------------------------------------------------------------------------------------


def deafen(cluster: LocalCluster) -> None:
    """From now on each daemon looks for the other one where nobody is; that needs a restart."""
    one, other = free_ports(2)
    for name, port in (("a", one), ("b", other)):
        document = yaml.safe_load(cluster[name].config_file.read_text())
        document["nodes"]["b" if name == "a" else "a"]["address"] = f"127.0.0.1:{port}"
        cluster[name].config_file.write_text(yaml.safe_dump(document, sort_keys=False))


def test_in_a_split_the_owners_side_survives_and_at_most_one_is_shot() -> None:
    """Neither hears the other one. While both reach the coordinator nobody is shot; then neither can write for long
    enough to be taken for dead, and both find at the same moment that they could shoot."""
    with fenced(
        lease={**PATIENT["lease"], "failsafe": "0s"}
    ) as cluster:  # else a restarted node shoots nobody at first
        for node in cluster.nodes.values():
            node.kill_daemon()
        deafen(cluster)
        for node in cluster.nodes.values():
            node.start()
        for node in cluster.nodes.values():
            node.wait_ready(60)
        until(lambda: all(_suspects(node) for node in cluster.nodes.values()))
        time.sleep(1.5)
        assert shots(cluster) == []
        for _ in range(3):
            _hold_up(cluster, 1.4)
            time.sleep(1.0)
        assert "a" not in shots(cluster)
        assert len(shots(cluster)) <= 1
        assert until(cluster["a"].status)["groups"]["g"]["state"] == "online"
        assert record(cluster.root) == []


def _suspects(node: LocalNode) -> bool:
    status = node.status()
    return status is not None and status["nodes"]["b" if node.name == "a" else "a"]["state"] == "suspected"


def _hold_up(cluster: LocalCluster, seconds: float) -> None:
    """Nobody can write to the coordinator meanwhile, and nobody is refused."""
    with sqlite3.connect(cluster.root / "coordinator.sqlite", isolation_level=None) as database:
        database.execute("BEGIN IMMEDIATE")
        time.sleep(seconds)
        database.execute("ROLLBACK")
    database.close()


def test_the_devices_are_asked_from_a_node_and_nothing_is_switched() -> None:
    with fenced("fence_good", "fence_bad") as cluster:
        mood(cluster, "fence_bad", "fail")
        found = command(cluster["a"], "check", "--fencing", "--json")
        assert found.returncode == 1, found.stderr
        document = json.loads(found.stdout)["fencing"]
        assert (document["a"]["tried"], document["a"]["levels"]) == (False, [])
        good, bad = document["b"]["levels"]
        assert (good["works"], good["devices"][0]["answer"]) == (True, "the machine is on")
        assert not bad["works"]
        shown = command(cluster["a"], "check", "--fencing")
        assert "b: level 1 works" in shown.stdout
        assert "b: level 2 DOES NOT WORK" in shown.stdout
        assert SECRET not in shown.stdout + shown.stderr + found.stdout
        mood(cluster, "fence_bad", "")
        assert command(cluster["a"], "check", "--fencing").returncode == 0
        assert not shots(cluster)
