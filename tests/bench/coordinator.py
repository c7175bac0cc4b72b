"""What the coordinators cost on this machine: ``python -m tests.bench.coordinator [KIND ...] [--number N]``.

Compare-and-swap alone and with another process writing 6 times a second (as if renewing a lease of 1 s), the delay of
a watch in another process, and what watching costs; for sqlite, and for etcd with one and with three members.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import anyio

from failoverd.clock import BootClock
from failoverd.coordinators.etcd.coordinator import EtcdCoordinator
from failoverd.coordinators.sqlite import SqliteCoordinator
from failoverd.ports import Coordinator, Expect, Put
from tests.etcd_server import INSTALLED, REASON, serving

TIMEOUT_S = 5.0
VALUE_BYTES = 200
"""About what a placement has."""
RENEW_S = 1 / 6
IDLE_S = 5.0
MEMBERS = {"sqlite": 0, "etcd-1": 1, "etcd-3": 3}
"""Of etcd, by kind."""


@dataclass(frozen=True)
class Row:
    what: str
    samples_s: list[float]

    def __str__(self) -> str:
        ordered = sorted(self.samples_s)
        median, p99 = (ordered[int(len(ordered) * part)] * 1e3 for part in (0.5, 0.99))
        return f"{self.what:<44} {len(ordered):>6} {median:>10.2f} {p99:>10.2f} {ordered[-1] * 1e3:>10.2f}"


async def opened(store: str) -> Coordinator:
    """``store``: a path, or etcd's endpoints with commas between."""
    if store.startswith("http"):
        return EtcdCoordinator(store.split(","), cluster="bench", request_timeout_s=TIMEOUT_S)
    return await SqliteCoordinator.open(Path(store), request_timeout_s=TIMEOUT_S, clock=BootClock())


async def swap(coordinator: Coordinator, key: str, number: int) -> list[float]:
    clock, samples = BootClock(), []
    entry = await coordinator.read(key)
    revision = entry.revision if entry else 0
    for _ in range(number):
        began = clock.now()
        commit = await coordinator.commit([Expect(key, revision)], [Put(key, bytes(VALUE_BYTES))])
        samples.append(clock.now() - began)
        if not commit.ok:
            raise AssertionError("nobody else writes this key")
        revision = commit.revision
    return samples


async def read(coordinator: Coordinator, number: int) -> list[float]:
    clock, samples = BootClock(), []
    for _ in range(number):
        began = clock.now()
        await coordinator.read("a")
        samples.append(clock.now() - began)
    return samples


async def watch(coordinator: Coordinator, number: int) -> list[float]:
    """From the moment before the other process commits to the news here."""
    clock, samples = BootClock(), list[float]()
    listing = await coordinator.list("time")
    async with coordinator.watch("time", listing.revision) as batches:
        while len(samples) < number:
            changes = await anext(batches)
            samples += [clock.now() - float(change.value or b"0") for change in changes]
    return samples


async def idle(coordinator: Coordinator) -> float:
    """Share of a core that watching costs while nothing happens."""
    before = cpu_s()
    async with coordinator.watch("", (await coordinator.list("")).revision) as batches:
        with anyio.move_on_after(IDLE_S):
            await anext(batches)
    return (cpu_s() - before) / IDLE_S


async def beside_a_writer(coordinator: Coordinator) -> float:
    """The same with both processes renewing a lease of 1 s."""
    before = cpu_s()
    async with coordinator.watch("", (await coordinator.list("")).revision) as batches:
        with anyio.move_on_after(IDLE_S):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(renew, coordinator)
                async for _ in batches:
                    pass
    return (cpu_s() - before) / IDLE_S


async def renew(coordinator: Coordinator) -> None:
    while True:
        await coordinator.commit([], [Put("lease", bytes(VALUE_BYTES))])
        await anyio.sleep(RENEW_S)


def cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def write(store: str) -> None:
    """The other process: writes the time until it is ended."""
    coordinator, clock = await opened(store), BootClock()
    while True:
        await anyio.sleep(RENEW_S)
        await coordinator.commit([], [Put("time", b"%.6f" % clock.now())])


@contextmanager
def writer(store: str) -> Iterator[None]:
    with subprocess.Popen([sys.executable, "-m", "tests.bench.coordinator", "--write", store]) as process:
        try:
            yield
        finally:
            process.kill()


async def measure(kind: str, store: str, number: int) -> None:
    coordinator = await opened(store)
    try:
        await coordinator.read("a")  # an etcd is connected to at the first request
        print(f"{kind:<44} {'n':>6} {'median ms':>10} {'p99 ms':>10} {'max ms':>10}")
        print(Row("compare-and-swap", await swap(coordinator, "a", number)))
        print(Row("read", await read(coordinator, number)))
        print(f"{'watching, nothing happens':<44} {await idle(coordinator):>17.2%} of a core")
        with writer(store):
            print(Row("commit there -> news here (two processes)", await watch(coordinator, number // 10)))
            print(Row("compare-and-swap, another process writing", await swap(coordinator, "b", number)))
            cost = await beside_a_writer(coordinator)
            print(f"{'watching and renewing, the other writing':<44} {cost:>17.2%} of a core")
        print(f"{'resident memory, this process':<44} {rss_mb():>14.1f} MB")
    finally:
        await coordinator.aclose()


def rss_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"of: {', '.join(MEMBERS)} (default: all)")
    parser.add_argument("--number", type=int, default=1000)
    parser.add_argument("--write", metavar="STORE", help=argparse.SUPPRESS)
    options = parser.parse_args()
    unknown = set(options.kinds) - set(MEMBERS)
    if unknown:
        parser.error(f"no kind called {', '.join(sorted(unknown))}")
    backend = {"use_uvloop": True}
    if options.write is not None:
        anyio.run(write, options.write, backend_options=backend)
    for kind in options.kinds or MEMBERS:
        members = MEMBERS[kind]
        if members and not INSTALLED:
            print(f"{kind}: {REASON}")
            continue
        with tempfile.TemporaryDirectory() as directory, store_of(Path(directory), members) as store:
            anyio.run(measure, kind, store, options.number, backend_options=backend)


@contextmanager
def store_of(directory: Path, members: int) -> Iterator[str]:
    with serving(directory, members) if members else nullcontext() as servers:
        yield ",".join(servers.endpoints) if servers else str(directory / "bench.db")


if __name__ == "__main__":
    main()
