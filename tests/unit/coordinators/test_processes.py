"""Several processes on one sqlite file."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import anyio
import anyio.to_thread
import pytest

from failoverd.clock import BootClock
from failoverd.coordinators.sqlite import SqliteCoordinator
from failoverd.ports import Change, Expect, Put
from tests.unit.coordinators.clusters import open_sqlite

pytestmark = pytest.mark.processes

ROOT = Path(__file__).resolve().parents[3]


@contextmanager
def peer(what: str, path: Path, number: int) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "tests.unit.coordinators.peer", what, str(path), str(number)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


async def ended(process: subprocess.Popen[bytes]) -> int:
    return await anyio.to_thread.run_sync(process.wait, 60)


async def test_two_processes_lose_no_increment_and_a_watcher_sees_them_grow(tmp_path: Path) -> None:
    each = 1500
    async with open_sqlite(tmp_path) as cluster:
        watcher = await cluster.client()
        seen: list[int] = []
        with peer("count", cluster.path, each) as one, peer("count", cluster.path, each) as two:
            async with watcher.watch("n", 0) as batches:
                with anyio.fail_after(60):
                    while not seen or seen[-1] < 2 * each:
                        seen += [int(change.value or b"0") for change in await anext(batches)]
            assert await ended(one) == await ended(two) == 0
        entry = await watcher.read("n")
        assert entry is not None
        assert (int(entry.value), entry.revision) == (2 * each, 2 * each)
        assert seen == sorted(set(seen)), "twice or out of order"


async def test_two_processes_may_create_the_file_at_once(tmp_path: Path) -> None:
    for attempt in range(3):
        path = tmp_path / f"{attempt}.db"
        with peer("count", path, 20) as one, peer("count", path, 20) as two:
            assert await ended(one) == await ended(two) == 0
        coordinator = await SqliteCoordinator.open(path, request_timeout_s=2, clock=BootClock())
        try:
            assert (await coordinator.list("")).revision == 40
        finally:
            await coordinator.aclose()


async def test_news_of_another_process_come_soon(tmp_path: Path) -> None:
    """By the datagram: with the poll alone the median would be half of its interval, 50 ms."""
    delays: list[float] = []
    clock = BootClock()
    async with open_sqlite(tmp_path) as cluster:
        watcher = await cluster.client()
        with peer("write", cluster.path, 50) as process:
            async with watcher.watch("time", 0) as batches:
                with anyio.fail_after(60):
                    while len(delays) < 50:
                        (change,) = await anext(batches)
                        delays.append(clock.now() - float(change.value or b"0"))
            assert await ended(process) == 0
    assert median(delays) < 0.02


async def test_process_killed_at_any_moment_leaves_whole_transactions(tmp_path: Path) -> None:
    async with open_sqlite(tmp_path) as cluster:
        survivor = await cluster.client()
        async with survivor.watch("n", 0) as batches:
            for attempt in range(3):
                with peer("count", cluster.path, 100_000) as process, anyio.fail_after(30):
                    await anext(batches)
                    await anyio.sleep(0.05 + attempt * 0.037)
                    process.send_signal(signal.SIGKILL)
                    assert await ended(process) == -signal.SIGKILL
                entry = await survivor.read("n")
                assert entry is not None
                assert int(entry.value) == entry.revision - attempt, "each kill costs no increment and adds none"
                commit = await survivor.commit([Expect("n", entry.revision)], [Put("m", b"")])
                assert commit.ok, "no lock outlives its process"
                with anyio.fail_after(5):
                    last: tuple[Change, ...] = ()
                    while not last or last[-1].revision < entry.revision:
                        last = await anext(batches)
