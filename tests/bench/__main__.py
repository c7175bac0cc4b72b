"""``python -m tests.bench [--quick] [CASE ...]``: measure, print one table, fail where a bound is broken."""

import argparse
import sys
import time
from collections.abc import Callable

from tests.bench import agents, etcd, fence, handovers, idle, latency, ocf, power, storm
from tests.bench.table import Row, machine, show

Case = Callable[[], list[Row]]

CASES: dict[str, Case] = {
    "triangle": handovers.triangle,
    "wide-40": handovers.wide_40,
    "wide-26": handovers.wide_26,
    "chain": handovers.chain_20,
    "random": handovers.random_100,
    "first-offline": latency.first_offline,
    "hops": latency.hops,
    "status": latency.status,
    "storm": storm.storm,
    "power-cut": power.power_cut,
    "fence": fence.power_cut,
    "idle": idle.idle,
    "etcd-leader": etcd.leader_lost,
    "coordinators": etcd.costs,
    "ocf-200": ocf.ocf_200,
    "agents": agents.agents,
}

QUICK: dict[str, Case] = {
    "triangle": handovers.triangle,
    "hops": lambda: latency.hops(switches=1),
    "power-cut": lambda: power.power_cut(cuts=2),
    "fence": lambda: fence.power_cut(cuts=2),
}


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of: {', '.join(CASES)} (default: all)")
    parser.add_argument("--quick", action="store_true", help=f"a short run of {', '.join(QUICK)}")
    options = parser.parse_args(argv)
    table = QUICK if options.quick else CASES
    unknown = set(options.cases) - set(table)
    if unknown:
        parser.error(f"no case called {', '.join(sorted(unknown))}")
    print(machine(), flush=True)
    rows: list[Row] = []
    for name in options.cases or table:
        began = time.monotonic()
        found = table[name]()
        rows += found
        verdict = "ok" if all(row.ok for row in found) else "NOT OK"
        print(f"{name}: {verdict}, {time.monotonic() - began:.0f}s", flush=True)
    print()
    show(rows)
    broken = [row for row in rows if not row.ok]
    print(
        f"\n{len(rows) - len(broken)} of {len(rows)} within bounds" + ("" if not broken else f", {len(broken)} NOT OK")
    )
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
