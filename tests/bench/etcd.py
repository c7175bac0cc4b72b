"""What etcd costs: writes while its leader is lost, compare-and-swap and the delay of a watch."""

import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import anyio
import anyio.to_thread

from failoverd.clock import BootClock
from failoverd.coordinators.etcd.coordinator import EtcdCoordinator
from failoverd.errors import CoordinatorUnavailable
from failoverd.ports import Coordinator, Put
from tests.bench import coordinator as stand_alone
from tests.bench.table import Row
from tests.etcd_server import INSTALLED, REASON
from tests.managed import ManagedCluster, managed, until

LOSSES = 10
BOUND_S = 1.0
REQUEST_TIMEOUT_S = 0.5
"""The default of a lease of 3 s."""
NUMBER = 500
WARM = 50
SETTLED_S = 1.0


def leader_lost(losses: int = LOSSES) -> list[Row]:
    """Between two writes that are confirmed, SIGKILL of the leader's etcd between them: three managed members, the
    client on a node that is not the leader's."""
    if not INSTALLED:
        return [Row(case="etcd", what=f"not measured: {REASON}", measured=0)]
    with managed(lambda _: {}) as cluster:
        gaps = [_gap(cluster) for _ in range(losses)]
    note = f"{losses} times, heartbeat 30 ms, election 300 ms"
    return [
        Row(case="etcd", what="leader lost: writes blocked, median", measured=statistics.median(gaps), unit="s"),
        Row(
            case="etcd", what="leader lost: writes blocked, max", measured=max(gaps), bound=BOUND_S, unit="s", note=note
        ),
    ]


def _gap(cluster: ManagedCluster) -> float:
    cluster.wait_members(*cluster.nodes)
    time.sleep(SETTLED_S)
    leader = cluster.leader().name
    killed = cluster.etcd(leader)
    found = anyio.run(_writing, cluster, leader, backend_options={"use_uvloop": True})
    until(lambda: cluster.etcd(leader) not in {0, killed}, what="another process")
    return found


async def _writing(cluster: ManagedCluster, leader: str) -> float:
    others = [name for name in cluster.nodes if name != leader]
    endpoints = [cluster.url(name, "client_port") for name in (*others, leader)]
    etcd = EtcdCoordinator(
        endpoints, cluster="bench", request_timeout_s=REQUEST_TIMEOUT_S, tls=cluster.context(others[0])
    )
    confirmed: list[float] = []
    try:
        with anyio.fail_after(30):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_write, etcd, confirmed)
                while len(confirmed) < WARM:  # noqa: ASYNC110 (it goes on by itself)
                    await anyio.sleep(0.01)
                await anyio.to_thread.run_sync(cluster.kill_etcd, leader)
                at = BootClock().now()
                while confirmed[-1] < at + SETTLED_S:  # noqa: ASYNC110 (likewise)
                    await anyio.sleep(0.01)
                tasks.cancel_scope.cancel()
    finally:
        await etcd.aclose()
    return max(after - before for before, after in pairwise(confirmed))


async def _write(etcd: Coordinator, confirmed: list[float]) -> None:
    clock = BootClock()
    while True:
        try:
            await etcd.commit([], [Put("k", b"1")])
        except CoordinatorUnavailable:
            continue
        confirmed.append(clock.now())


# --- compare-and-swap and watch ---------------------------------------------------------------------------------


def costs(number: int = NUMBER) -> list[Row]:
    """For sqlite and for etcd with one and with three members."""
    rows = []
    for kind, members in stand_alone.MEMBERS.items():
        if members and not INSTALLED:
            rows.append(Row(case=kind, what=f"not measured: {REASON}", measured=0))
            continue
        with _store(members) as store:
            rows += anyio.run(_measure, kind, store, number, backend_options={"use_uvloop": True})
    return rows


@contextmanager
def _store(members: int) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as directory, stand_alone.store_of(Path(directory), members) as store:
        yield store


async def _measure(kind: str, store: str, number: int) -> list[Row]:
    opened = await stand_alone.opened(store)
    try:
        await opened.read("a")  # an etcd is connected to at the first request
        swap = await stand_alone.swap(opened, "a", number)
        with stand_alone.writer(store):
            news = await stand_alone.watch(opened, number // 10)
    finally:
        await opened.aclose()
    return [*_rows(kind, "compare-and-swap", swap), *_rows(kind, "commit there -> news here", news)]


def _rows(kind: str, what: str, samples_s: list[float]) -> list[Row]:
    ordered = sorted(samples_s)
    return [
        Row(case=kind, what=f"{what}, {name}", measured=ordered[int(len(ordered) * part)] * 1e3, unit="ms", digits=2)
        for name, part in (("median", 0.5), ("p99", 0.99))
    ]
