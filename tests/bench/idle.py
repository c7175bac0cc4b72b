"""What two idle daemons cost: processor and memory, each with its helpers but without its components."""

import os
import time
from pathlib import Path
from typing import Any

from failoverd.demo.local import LocalNode
from tests.bench.table import Row
from tests.harness import GROUP, Part, Trial, trial

COMPONENTS = 200
CPU_BOUND_PERCENT = 2.0
RSS_BOUND_MB = 90.0
SETTLE_S = 5.0
MINUTE_S = 60.0


def sleepers(root: Path) -> dict[str, Any]:
    del root
    return {
        f"sleeper-{number:03}": {"type": "process", "command": ["/bin/sleep", "infinity"]}
        for number in range(COMPONENTS)
    }


def own_pids(node: LocalNode) -> list[int]:
    """The daemon and its helpers: whatever of the node is no component."""
    return [pid for pid in node.pids() if b"FAILOVERD_COMPONENT=" not in Path(f"/proc/{pid}/environ").read_bytes()]


def cpu_s(pids: list[int]) -> float:
    """Processor time in user and kernel mode, proc(5)."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def rss_mb(pid: int) -> float:
    """Resident memory, proc(5)."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def pss_mb(pids: list[int]) -> float:
    """Of several processes together, with each page that they share counted once between those that share it."""
    rollups = [Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in pids]
    return sum(int(line.split()[1]) for text in rollups for line in text.splitlines() if line.startswith("Pss:")) / 1e3


def components_online(running: Trial) -> int:
    owner = running.owner()
    status = running[owner].status()
    assert status is not None
    return sum(places[owner]["state"] == "online" for places in status["groups"][GROUP]["components"].values())


def idle(seconds: float = MINUTE_S) -> list[Row]:
    shape = {name: Part() for name in sleepers(Path())}
    rows = []
    with trial(shape, components=sleepers) as running:
        assert components_online(running) == COMPONENTS
        time.sleep(SETTLE_S)
        before = {name: cpu_s(own_pids(node)) for name, node in running.cluster.nodes.items()}
        began = time.monotonic()
        time.sleep(seconds)
        for name, node in running.cluster.nodes.items():
            pids = own_pids(node)
            share = 100 * (cpu_s(pids) - before[name]) / (time.monotonic() - began)
            role = f"idle, {COMPONENTS} components, node {name}"
            note = f"over {seconds:g}s, {len(pids)} processes"
            daemon = max(pids, key=rss_mb)
            rows += [
                Row(
                    case=role,
                    what="share of a core",
                    measured=share,
                    bound=CPU_BOUND_PERCENT,
                    unit="%",
                    digits=2,
                    note=note,
                ),
                Row(
                    case=role,
                    what="resident memory of the daemon",
                    measured=rss_mb(daemon),
                    bound=RSS_BOUND_MB,
                    unit="MB",
                    digits=1,
                ),
                Row(
                    case=role,
                    what="of it and its helpers, shared pages once",
                    measured=pss_mb(pids),
                    bound=RSS_BOUND_MB,
                    unit="MB",
                    digits=1,
                ),
            ]
        assert components_online(running) == COMPONENTS
    return rows
