"""Real daemons on loopback for tests: their groups, their commands, their logs."""

import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from failoverd.demo.local import LocalCluster, LocalNode
from tests.events import read_events

PACE: dict[str, Any] = {"heartbeat": {"interval": "100ms", "dead_after": "300ms"}, "lease": {"ttl": "3s"}}
PATIENCE_S = 15.0


def touch(root: Path, name: str, **fields: Any) -> dict[str, Any]:
    """An ``exec`` component that is a file, and writes down what is done to it. A sum of a file and a record: its
    operations are those of ``record(root)``."""
    file = f"{root}/$FAILOVERD_NODE.{name}"
    note = f'echo "$FAILOVERD_NODE $FAILOVERD_ACTION {name}" >> {root}/record'
    return {
        "type": "exec",
        "online": f"touch {file}; {note}",
        "offline": f"rm -f {file}; {note}",
        "monitor": {"command": f"test -e {file} || exit 7", "interval": "1s"},
        **fields,
    }


def record(root: Path) -> list[str]:
    path = root / "record"
    return path.read_text().splitlines() if path.exists() else []


def chain(root: Path) -> dict[str, Any]:
    """A group of ``exec`` and ``process`` components."""
    return {
        "disk": touch(root, "disk"),
        "worker": {"type": "process", "command": ["/bin/sleep", "1000"], "depends_on": ["disk"]},
        "web": touch(root, "web", depends_on=["worker"]),
    }


def one(components: Mapping[str, Any], **fields: Any) -> dict[str, Any]:
    return {"nodes": ["a", "b"], "components": dict(components), **fields}


@contextmanager
def daemons(
    groups: Callable[[Path], Mapping[str, Any]], *, start: bool = True, **settings: Any
) -> Iterator[LocalCluster]:
    """Nodes a and b; everything is ended and removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="failoverd-test-", ignore_cleanup_errors=True) as directory:
        root = Path(directory)
        cluster = LocalCluster(root=root, name=f"test-{secrets.token_hex(4)}")
        cluster.configure(("a", "b"), {**PACE, **settings, "groups": dict(groups(root))})
        try:
            if start:
                cluster.start()
            yield cluster
        finally:
            cluster.end()


def settled(cluster: LocalCluster, owner: str, group: str = "g", within_s: float = PATIENCE_S) -> dict[str, Any]:
    return cluster.wait_group(group, state="online", owner=owner, timeout_s=within_s)


def at_rest(cluster: LocalCluster, group: str = "g") -> None:
    """Both daemons run and the group is online on a, whatever a test before this one did."""
    for node in cluster.nodes.values():
        if not node.running:
            node.start()
    for node in cluster.nodes.values():
        node.wait_ready()
    status = until(lambda: (found := cluster["a"].status()) and found["groups"][group]["owner"] and found)
    if status["groups"][group]["owner"] != "a":
        cluster["a"].ask("switch", group=group, to="a", wait=True, timeout_s=PATIENCE_S)
    settled(cluster, "a", group)


def argv(pid: int) -> list[str]:
    """Of a process; empty where it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").rstrip("\0").split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return []


def command(
    node: LocalNode, *words: str, within_s: float = 20.0, config: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """The command line, as an operator types it on that node."""
    typed = [sys.executable, "-m", "failoverd", *words, "--config", str(config or node.config_file)]
    return subprocess.run(
        typed,
        env=node.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=within_s,
        check=False,
    )


def begun(node: LocalNode, *words: str) -> subprocess.Popen[str]:
    """A command that goes on; to be ended by the test."""
    typed = [sys.executable, "-m", "failoverd", *words, "--config", str(node.config_file)]
    environment = node.environment | {"PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        typed, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def until(true: Callable[[], Any], within_s: float = PATIENCE_S, what: str = "it") -> Any:
    deadline = time.monotonic() + within_s
    while not (found := true()):
        assert time.monotonic() < deadline, f"{what} was not so within {within_s:g}s"
        time.sleep(0.02)
    return found


def log(node: LocalNode, event: str | None = None) -> list[dict[str, Any]]:
    """The events that a daemon has written, oldest first."""
    return read_events(node.log_file, event)


def logged(node: LocalNode, event: str, count: int = 1) -> list[dict[str, Any]]:
    """The same, once there are ``count``: what a daemon logs is written a little after it shows in its status."""
    return list(until(lambda: found if len(found := log(node, event)) >= count else None, what=f"{count} {event}"))


def configuration(node: LocalNode) -> dict[str, Any]:
    return dict(yaml.safe_load(node.config_file.read_text()))


def reconfigure(node: LocalNode, change: Callable[[dict[str, Any]], None]) -> None:
    document = configuration(node)
    change(document)
    node.config_file.write_text(yaml.safe_dump(document, sort_keys=False))


def ended(node: LocalNode, within_s: float = PATIENCE_S) -> tuple[int, str]:
    """Exit status and log of a daemon that is to give up by itself."""
    assert node.process is not None
    return node.process.wait(within_s), node.log_file.read_text(errors="replace")


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
