"""The commands against real daemons, and what they say to nonsense."""

import json
import os
import signal
import socket
from collections.abc import Iterator

import pytest

from failoverd.demo.local import HOST, LocalCluster, free_ports
from tests.daemon.support import (
    at_rest,
    begun,
    chain,
    command,
    configuration,
    daemons,
    log,
    one,
    reconfigure,
    record,
    touch,
    until,
)

pytestmark = pytest.mark.processes


@pytest.fixture(scope="module")
def shared() -> Iterator[LocalCluster]:
    with daemons(lambda root: {"g": one(chain(root)), "slow": one({"s": touch(root, "s", online="sleep 30")})}) as made:
        yield made


@pytest.fixture
def cluster(shared: LocalCluster) -> LocalCluster:
    at_rest(shared)
    return shared


# --- nonsense ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("switch", "nope"), "there is no group 'nope' (groups: g, slow)"),
        (("switch", "g", "--to", "nope"), "there is no node 'nope' (nodes: a, b)"),
        (("status", "nope"), "there is no group 'nope' (groups: g, slow)"),
        (("plan", "g", "--to", "nope"), "there is no node 'nope' (nodes: a, b)"),
    ],
)
def test_an_unknown_name_is_a_usage_error_that_names_the_known_ones(
    cluster: LocalCluster, words: tuple[str, ...], said: str
) -> None:
    done = command(cluster["a"], *words)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_switch_to_where_it_is_already_is_refused(cluster: LocalCluster) -> None:
    done = command(cluster["b"], "switch", "g", "--to", "a")
    assert (done.returncode, done.stderr.strip()) == (1, "failoverd: a owns g already")


# --- waiting ----------------------------------------------------------------------------------------------------


def test_no_wait_returns_at_once_and_the_handover_goes_on(cluster: LocalCluster) -> None:
    done = command(cluster["a"], "switch", "g", "--no-wait")
    assert done.returncode == 0, done.stderr
    until(lambda: "b online web" in record(cluster.root), 5)


def test_a_wait_that_is_too_long_is_exit_four_and_the_handover_goes_on(cluster: LocalCluster) -> None:
    done = command(cluster["a"], "switch", "slow", "--timeout", "300ms")
    assert done.returncode == 4
    assert "goes on" in done.stderr


# --- watching -----------------------------------------------------------------------------------------------------


def test_events_follow_and_status_watch_show_what_happens(cluster: LocalCluster) -> None:
    follower = begun(cluster["a"], "events", "--follow", "--json", "--limit", "1")
    watcher = begun(cluster["a"], "status", "--watch", "--json")
    assert watcher.stdout is not None
    assert json.loads(watcher.stdout.readline())["version"] == 1
    assert follower.stdout is not None
    assert follower.stdout.readline()  # the latest event: from now on it is told of every other
    try:
        assert command(cluster["a"], "switch", "g", "--to", "b").returncode == 0
        until(lambda: log(cluster["a"], "handover.done") or log(cluster["b"], "handover.done"), 5)
        seen = until(lambda: _owner_b(watcher.stdout.readline() if watcher.stdout else ""), 10)
        assert seen
    finally:
        for process in (follower, watcher):
            process.send_signal(signal.SIGINT)
        said, errors = follower.communicate(timeout=10)
        watcher.communicate(timeout=10)
    events = [json.loads(line)["event"] for line in said.splitlines()]
    assert "operator.command" in events
    assert "component.offline" in events
    assert "Traceback" not in errors


def _owner_b(line: str) -> bool:
    return bool(line) and json.loads(line)["groups"]["g"]["owner"] == "b"


def test_plan_says_what_a_switch_would_take(cluster: LocalCluster) -> None:
    done = command(cluster["a"], "plan", "g", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert (document["source"], document["target"]) == ("a", "b")
    assert document["limit_s"] <= document["phased_s"] <= document["serial_s"] + 1e-6
    assert {step["component"] for step in document["steps"]} == {"disk", "worker", "web"}
    down = json.loads(command(cluster["b"], "plan", "g", "--down", "a", "--json").stdout)
    assert {step["node"] for step in down["steps"]} == {"b"}


def test_offline_and_online_by_an_operator(cluster: LocalCluster) -> None:
    assert command(cluster["a"], "offline", "g").returncode == 0
    status = cluster["b"].ask("status")["groups"]["g"]
    assert (status["state"], status["wanted"]) == ("offline", "offline")
    assert command(cluster["b"], "online", "g", "--on", "a").returncode == 0


def test_without_a_daemon_it_is_exit_three(cluster: LocalCluster) -> None:
    done = command(cluster["a"], "status", "--run-dir", str(cluster.root / "nobody"))
    assert done.returncode == 3
    assert "no daemon answers" in done.stderr


# --- a second daemon ----------------------------------------------------------------------------------------------


def test_a_second_daemon_on_the_same_run_dir_is_refused_and_names_the_first(cluster: LocalCluster) -> None:
    assert cluster["a"].process is not None
    done = command(cluster["a"], "run")
    assert done.returncode == 1
    assert f"another daemon is running on this run_dir (pid {cluster['a'].process.pid})" in done.stderr
    assert "Traceback" not in done.stderr
    assert cluster["a"].ask("status")["groups"]["g"]["state"] == "online"


def test_a_second_daemon_of_the_same_name_elsewhere_is_refused_and_the_first_undisturbed(
    cluster: LocalCluster,
) -> None:
    before = (record(cluster.root), cluster["a"].ask("status")["nodes"]["a"]["incarnation"])
    elsewhere = cluster.root / "elsewhere.yaml"
    document = configuration(cluster["a"])
    document["run_dir"] = str(cluster.root / "elsewhere")
    document["nodes"]["a"]["address"] = f"{HOST}:{free_ports(1)[0]}"
    elsewhere.write_text(json.dumps(document))
    done = command(cluster["a"], "run", config=elsewhere)
    assert done.returncode == 1
    assert "node name 'a' is in use by another running daemon" in done.stderr
    assert "Traceback" not in done.stderr
    assert (record(cluster.root), cluster["a"].ask("status")["nodes"]["a"]["incarnation"]) == before


def test_noise_at_the_heartbeat_port_is_counted_and_disturbs_nothing(cluster: LocalCluster) -> None:
    before = (record(cluster.root), cluster["a"].ask("status")["groups"]["g"]["generation"])
    host, port = str(configuration(cluster["a"])["nodes"]["a"]["address"]).rsplit(":", 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as noise:
        for size in (0, 1, 16, 60, 400, 1400, 9000):
            for _ in range(50):
                noise.sendto(os.urandom(size), (host, int(port)))
    status = until(lambda: (found := cluster["a"].ask("status")) and found["nodes"]["a"]["dropped"] and found, 5)
    dropped = status["nodes"]["a"]["dropped"]
    assert sum(dropped.values()) >= 100
    assert (record(cluster.root), status["groups"]["g"]["generation"]) == before
    assert status["nodes"]["b"]["state"] == "up"


# --- reloading ----------------------------------------------------------------------------------------------------


def test_a_broken_file_is_refused_with_line_and_column_and_nothing_changes(cluster: LocalCluster) -> None:
    good = cluster["a"].config_file.read_text()
    before = record(cluster.root)
    reconfigure(cluster["a"], lambda d: d["groups"]["g"]["components"]["web"].update(depends_on=["nobody"], typo=1))
    try:
        done = command(cluster["a"], "reload")
        assert done.returncode == 1
        places = [line for line in done.stderr.splitlines() if f"{cluster['a'].config_file}:" in line]
        assert len(places) == 2, done.stderr
        assert "nobody" in done.stderr
        assert "typo" in done.stderr
        assert cluster["a"].process is not None
        cluster["a"].process.send_signal(signal.SIGHUP)
        until(lambda: len(log(cluster["a"], "daemon.reload_refused")) == 2, 5)
    finally:
        cluster["a"].config_file.write_text(good)
    assert cluster["a"].ask("status")["groups"]["g"]["state"] == "online"
    assert record(cluster.root) == before


def test_a_valid_change_is_applied_as_a_difference(cluster: LocalCluster) -> None:
    root = cluster.root
    (root / "record").unlink(missing_ok=True)
    for name in ("a", "b"):
        reconfigure(cluster[name], lambda d: d["groups"]["g"]["components"].update(extra=touch(root, "extra")))
        process = cluster[name].process
        assert process is not None
        process.send_signal(signal.SIGHUP)
    until(lambda: record(root) == ["a online extra"], 5, f"{record(root)}")
    for name in ("a", "b"):
        reconfigure(cluster[name], lambda d: d["groups"]["g"]["components"].pop("extra"))
    done = command(cluster["a"], "reload", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["components_removed"] == ["g/extra"]
    assert command(cluster["b"], "reload").returncode == 0
    until(lambda: record(root) == ["a online extra", "a offline extra"], 5)


def test_what_needs_a_restart_is_refused_by_name(cluster: LocalCluster) -> None:
    good = cluster["a"].config_file.read_text()
    reconfigure(cluster["a"], lambda d: d["lease"].update(ttl="5s"))
    try:
        done = command(cluster["a"], "reload")
        assert done.returncode == 1
        assert "restart" in done.stderr
        assert "lease" in done.stderr
    finally:
        cluster["a"].config_file.write_text(good)
