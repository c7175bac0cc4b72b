"""The unit file of failoverd under a real systemd: two daemons, a and b, in one booted machine, one day of theirs."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.booted.machine import ROOT, Machine, machine, missing

pytestmark = [pytest.mark.processes, pytest.mark.skipif(bool(missing()), reason=missing() or "a machine can be booted")]

A, B = "failoverd.service", "failoverd-b.service"
UNIT = ROOT / "systemd" / "failoverd.service"
NOTE = 'echo "$FAILOVERD_NODE $FAILOVERD_ACTION $FAILOVERD_COMPONENT $(cut -d" " -f1 /proc/uptime)" >> /var/lib/record'
APP = """[Service]
Type=exec
ExecStart=sleep 1000
ExecStopPost=/bin/sh -c 'echo "unit stopped app $(cut -d" " -f1 /proc/uptime)" >> /var/lib/record; sync'
"""


def touch(name: str) -> dict[str, Any]:
    path = f"/run/$FAILOVERD_NODE.{name}"
    return {
        "type": "exec",
        "online": f"touch {path}; {NOTE}",
        "offline": f"rm -f {path}; {NOTE}; sync",
        "monitor": f"test -e {path} || exit 7",
    }


def configuration(node: str) -> dict[str, Any]:
    """Both are on one machine, so b knows nothing of what there is but one of there."""
    front = touch("front") | {"depends_on": ["app"]}
    groups: dict[str, Any] = {"moving": {"nodes": ["a", "b"], "components": {"worker": touch("worker")}}}
    if node == "a":
        app = {"type": "systemd", "unit": "app.service"}
        job = {"type": "process", "command": ["sleep", "1000"]}
        groups["fixed"] = {"nodes": ["a"], "components": {"app": app, "front": front}}
        groups["kept"] = {"nodes": ["a"], "on_stop": "leave", "components": {"job": job}}
    return {
        "cluster": "booted",
        "node": node,
        "nodes": {"a": {"address": "127.0.0.1:7801"}, "b": {"address": "127.0.0.1:7802"}},
        "key_file": "/etc/failoverd/cluster.key",
        "state_dir": f"/var/lib/failoverd/{node}",
        "run_dir": f"/run/failoverd/{node}",
        "lease": {"ttl": "20s"},
        "coordinator": {"type": "sqlite", "path": "/run/failoverd/coordinator.sqlite"},
        "groups": groups,
    }


@pytest.fixture(scope="module")
def host() -> Iterator[Machine]:
    """Booted, with both daemons installed, and a started."""
    with machine("service") as booted:
        text = UNIT.read_text()
        booted.write("/etc/systemd/system/failoverd.service", text)
        booted.write(
            "/etc/systemd/system/failoverd-b.service",
            text.replace("failoverd run", "failoverd run --config /etc/failoverd/b.yaml"),
        )
        booted.write("/etc/systemd/system/app.service", APP)
        booted.write("/etc/failoverd/failoverd.yaml", yaml.safe_dump(configuration("a")))
        booted.write("/etc/failoverd/b.yaml", yaml.safe_dump(configuration("b")))
        booted.run("failoverd", "keygen", "/etc/failoverd/cluster.key")
        booted.systemctl("daemon-reload")
        yield booted


def status(host: Machine, node: str = "a") -> dict[str, Any]:
    name = "failoverd" if node == "a" else node
    done = host.run("failoverd", "status", "--json", "--config", f"/etc/failoverd/{name}.yaml", check=False)
    return dict(json.loads(done.stdout)) if done.stdout.startswith("{") else {}


def settled(host: Machine, group: str, owner: str, node: str = "a", within_s: float = 20.0) -> None:
    def there() -> bool:
        found = status(host, node).get("groups", {}).get(group, {})
        return (found.get("owner"), found.get("state")) == (owner, "online")

    host.until(there, f"{group} is online on {owner}", within_s)


def pid_of(host: Machine, unit: str = A) -> int:
    return int(host.show(unit, "MainPID"))


def job_pid(host: Machine) -> str:
    return host.run("pgrep", "-f", "^sleep 1000$", check=False).stdout


def record(host: Machine) -> list[str]:
    return [" ".join(line.split()[:3]) for line in host.read("/var/lib/record").splitlines()]


def test_a_start_is_over_when_everything_was_probed(host: Machine) -> None:
    host.systemctl(f"start {A} {B}", within_s=60)
    assert host.show(A, "ActiveState") == "active"
    assert host.show(A, "StatusText") == "node a of cluster booted"
    for group in ("moving", "fixed", "kept"):
        settled(host, group, "a")
    assert host.show("app.service", "ActiveState") == "active"
    assert host.show(A, "LockPersonality") == "yes"
    assert host.show(A, "KeyringMode") == "private"


def test_what_it_manages_is_ordered_behind_it_and_not_started_again_by_systemd(host: Machine) -> None:
    assert A in host.show("app.service", "Before").split()
    assert host.show("app.service", "Restart") == "no"
    host.systemctl("kill --signal=KILL app.service")
    host.until(lambda: "component.changed_externally" in host.journal(A), "it is found")
    settled(host, "fixed", "a")


def test_a_good_configuration_is_taken_over(host: Machine) -> None:
    for name, node, unit in (("failoverd", "a", A), ("b", "b", B)):
        changed = configuration(node)
        changed["groups"]["moving"]["components"]["second"] = touch("second")
        host.write(f"/etc/failoverd/{name}.yaml", yaml.safe_dump(changed))
        host.systemctl(f"reload {unit}")
    host.until(lambda: "a online second" in record(host), "the new component is online")
    assert host.show(A, "ActiveState") == "active"


def test_a_bad_configuration_is_refused_and_changes_nothing(host: Machine) -> None:
    before, pid = host.read("/etc/failoverd/failoverd.yaml"), pid_of(host)
    host.write("/etc/failoverd/failoverd.yaml", before.replace("type: systemd", "type: sistemd"))
    done = host.run("systemctl", "reload", A, check=False)
    host.write("/etc/failoverd/failoverd.yaml", before)
    assert done.returncode != 0
    assert "unknown component type 'sistemd' (did you mean 'systemd'?)" in host.journal(A)
    assert (host.show(A, "ActiveState"), pid_of(host)) == ("active", pid)
    settled(host, "fixed", "a")


def test_a_crash_moves_nothing(host: Machine) -> None:
    pid, done, job = pid_of(host), record(host), job_pid(host)
    host.systemctl(f"kill --signal=KILL --kill-whom=main {A}")
    host.until(lambda: pid_of(host) not in (0, pid) and host.show(A, "ActiveState") == "active", "it is back")
    for group in ("moving", "fixed", "kept"):
        settled(host, group, "a")
    assert record(host) == done
    assert job_pid(host) == job


def test_a_daemon_that_hangs_is_killed_by_the_watchdog_and_comes_back(host: Machine) -> None:
    """One with nothing online: else the guard is faster."""
    pid = pid_of(host, B)
    host.systemctl(f"kill --signal=STOP --kill-whom=main {B}")
    host.until(lambda: "Watchdog timeout" in host.journal(B), "the watchdog has found it", 15)
    host.until(lambda: pid_of(host, B) not in (0, pid) and host.show(B, "ActiveState") == "active", "it is back", 30)


def test_a_stop_hands_over_and_takes_offline_what_can_go_nowhere(host: Machine) -> None:
    host.until(lambda: status(host)["nodes"]["b"]["state"] == "up", "b is there")
    job = job_pid(host)
    host.write("/var/lib/record", "")
    began = time.monotonic()
    host.systemctl(f"stop {A}", within_s=60)
    assert time.monotonic() - began < 20
    settled(host, "moving", "b", node="b")
    assert "b online worker" in record(host)
    assert record(host).index("a offline front") < record(host).index("unit stopped app")
    assert host.show("app.service", "ActiveState") == "inactive"
    assert job_pid(host) != ""
    assert set(job_pid(host).split()) <= set(job.split())
    host.systemctl(f"start {A}", within_s=60)
    settled(host, "fixed", "a")
    settled(host, "kept", "a")


def test_a_host_that_shuts_down_stops_failoverd_before_the_units_that_it_manages(host: Machine) -> None:
    """And neither waits for the other."""
    host.systemctl(f"stop {B}", within_s=60)
    settled(host, "moving", "a")
    host.write("/var/lib/record", "")
    assert host.power_off() < 20
    done = record(host)
    assert done.index("a offline front") < done.index("unit stopped app")
    assert "a offline worker" in done
