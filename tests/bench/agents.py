"""The ``ip`` and ``mount`` types beside the resource agents that do the same, IPaddr2 and Filesystem, in the same run.

Everything happens in network and mount namespaces of its own; the agents' own interface is called, without a daemon.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio

from failoverd.agents.registry import agent_types
from failoverd.domain.model import Action
from failoverd.ports import Agent, Call, Presence, Result
from failoverd.spawner.client import HelperSpawner
from tests.bench.table import Row
from tests.isolated import isolate, pair, run
from tests.unit.agents.support import NoLog, call, host

ROUNDS = 15
SHARE_BOUND = 0.5
"""Of the resource agent's time."""
ADDRESS = "10.9.0.100"
PAIRS = {"ip": "ocf:heartbeat:IPaddr2", "mount": "ocf:heartbeat:Filesystem"}
PROGRAM = Path("/usr/lib/ocf/resource.d/heartbeat")
Times = dict[str, dict[str, list[float]]]
"""By type and action, seconds."""


def agents(rounds: int = ROUNDS) -> list[Row]:
    if os.geteuid() != 0 or not PROGRAM.is_dir():
        print("needs root, and resource-agents installed", flush=True)
        return []
    command = [sys.executable, "-m", "tests.bench.agents", str(rounds)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    times: Times = json.loads(done.stdout)
    return [row for native, other in PAIRS.items() for row in rows(native, other, times)]


def rows(native: str, other: str, times: Times) -> list[Row]:
    found = []
    for action in (Action.ONLINE, Action.OFFLINE, Action.PROBE):
        ours, theirs = (statistics.median(times[kind][action]) for kind in (native, other))
        for kind, seconds in ((native, ours), (other, theirs)):
            found.append(Row(case="agents", what=f"{kind}: {action}", measured=seconds * 1e3, unit="ms", digits=1))
        what = f"{native} to {other.rpartition(':')[2]}: {action}"
        found.append(Row(case="agents", what=what, measured=ours / theirs, bound=SHARE_BOUND, digits=3))
    return found


# --- within the namespaces ----------------------------------------------------------------------------------------


def configured(device: str, directory: Path) -> dict[str, dict[str, Any]]:
    """Each type with its keys; the same work for both of a pair."""
    directories = {name: str(directory / name) for name in ("native", "ocf")}
    for path in directories.values():
        Path(path).mkdir()
    return {
        "ip": {"address": f"{ADDRESS}/24", "interface": "eth0"},
        "ocf:heartbeat:IPaddr2": {"params": {"ip": ADDRESS, "cidr_netmask": "24", "nic": "eth0"}},
        "mount": {"device": device, "directory": directories["native"], "fstype": "ext4"},
        "ocf:heartbeat:Filesystem": {
            "params": {"device": device, "directory": directories["ocf"], "fstype": "ext4"},
        },
    }


async def timed(operation: Callable[[Call], Awaitable[Any]], action: Action) -> tuple[float, Any]:
    began = time.perf_counter()
    result = await operation(call(action, timeout_s=30.0))
    return time.perf_counter() - began, result


async def measure(agent: Agent, rounds: int) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {Action.ONLINE: [], Action.OFFLINE: [], Action.PROBE: []}
    for _ in range(rounds):
        for operation, action in ((agent.online, Action.ONLINE), (agent.probe, Action.PROBE)):
            seconds, result = await timed(operation, action)
            found[action].append(seconds)
            assert result.ok if isinstance(result, Result) else result.presence is Presence.ONLINE, result
        seconds, result = await timed(agent.offline, Action.OFFLINE)
        found[Action.OFFLINE].append(seconds)
        assert result.ok, result
    return found


async def measure_all(device: str, directory: Path, rounds: int) -> Times:
    types = agent_types(())
    found: Times = {}
    async with HelperSpawner(directory / "run", NoLog()) as spawner:
        for name, keys in configured(device, directory).items():
            kind = types[name]
            built = kind.build(kind.params.model_validate(keys), host(directory / "run", spawner))
            found[name] = await measure(built, rounds)
    return found


def main(rounds: int) -> None:
    isolate()
    pair()
    with tempfile.TemporaryDirectory(prefix="failoverd-bench-") as made:
        image = Path(made) / "image"
        run("truncate", "-s", "32M", str(image))
        run("mkfs.ext4", "-q", "-F", str(image))
        device = run("losetup", "--find", "--show", str(image)).strip()
        try:
            found = anyio.run(measure_all, device, Path(made), rounds, backend_options={"use_uvloop": True})
        finally:
            run("losetup", "-d", device)
    print(json.dumps(found))


if __name__ == "__main__":
    main(int(sys.argv[1]))
