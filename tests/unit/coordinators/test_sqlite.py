"""The sqlite coordinator while its file is locked, full, deleted, replaced or rolled back underneath it."""

import resource
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from math import inf
from pathlib import Path

import anyio
import pytest

from failoverd.clock import BootClock
from failoverd.coordinators.sqlite_store import SqliteStore
from failoverd.errors import CoordinatorUnavailable
from failoverd.ports import Change, Entry, Expect, Put
from tests.unit.coordinators.clusters import open_sqlite


@contextmanager
def small_disk(directory: Path) -> Iterator[None]:
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", directory], check=False).returncode:
        pytest.skip("not allowed to mount a file system")
    try:
        yield
    finally:
        subprocess.run(["umount", directory], check=True)


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1024))


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file of this process may grow beyond ``size`` bytes: every write that needs space fails."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_locked_file_is_waited_for_until_the_deadline_and_not_longer(tmp_path: Path) -> None:
    async with open_sqlite(tmp_path) as cluster:
        a = await cluster.client(request_timeout_s=0.3)
        with cluster.locked():
            began = anyio.current_time()
            with pytest.raises(CoordinatorUnavailable):
                await a.commit([], [Put("k", b"1")])
            assert 0.25 < anyio.current_time() - began < 1
            assert await a.read("k") is None, "readers are not in the way of a writer"
        assert (await a.commit([Expect("k", 0)], [Put("k", b"1")])).ok


async def test_what_missed_its_deadline_in_the_queue_is_never_applied(tmp_path: Path) -> None:
    async with open_sqlite(tmp_path) as cluster:
        a = await cluster.client(request_timeout_s=0.2)
        failed = 0

        async def write(number: int) -> None:
            nonlocal failed
            try:
                await a.commit([], [Put(f"k{number}", b"")])
            except CoordinatorUnavailable:
                failed += 1

        with cluster.locked():
            async with anyio.create_task_group() as tasks:
                for number in range(80):
                    tasks.start_soon(write, number)
        assert failed == 80
        await anyio.sleep(0.3)
        assert (await a.list("")).entries == ()
        assert (await a.commit([], [Put("k", b"")])).ok


async def test_lock_that_is_soon_given_up_costs_no_error(tmp_path: Path) -> None:
    async with open_sqlite(tmp_path) as cluster:
        a = await cluster.client()
        async with anyio.create_task_group() as tasks:
            with cluster.locked():
                tasks.start_soon(a.commit, [], [Put("k", b"1")])
                await anyio.sleep(0.2)
        assert await a.read("k") == Entry("k", b"1", 1)


async def test_watch_survives_a_file_that_cannot_even_be_read_for_a_while(tmp_path: Path) -> None:
    async with open_sqlite(tmp_path) as cluster:
        a, b = await cluster.client(request_timeout_s=0.1), await cluster.client()
        async with a.watch("k", 0) as batches:
            for number in range(1, 4):
                with cluster.outage():
                    with anyio.move_on_after(0.15):
                        pytest.fail(f"unexpected news: {await anext(batches)}")
                await b.commit([], [Put("k", b"%d" % number)])
                with anyio.fail_after(5):
                    assert await anext(batches) == (Change("k", b"%d" % number, number),)


@pytest.mark.processes
async def test_full_disk_is_an_outage_of_writes_that_passes(tmp_path: Path) -> None:
    with small_disk(tmp_path):
        async with open_sqlite(tmp_path) as cluster:
            a, b = await cluster.client(), await cluster.client()
            await a.commit([], [Put("k", b"1")])
            filler = tmp_path / "filler"
            with pytest.raises(OSError, match="No space left"):
                fill(filler)
            for _ in range(2):
                with pytest.raises(CoordinatorUnavailable, match="full"):
                    await a.commit([], [Put("k", b"x" * 100_000)])
                assert await a.read("k") == await b.read("k") == Entry("k", b"1", 1)
            filler.unlink()
            assert (await a.commit([Expect("k", 1)], [Put("k", b"2")])).revision == 2
            assert await b.read("k") == Entry("k", b"2", 2)


async def test_failing_disk_is_an_outage_that_passes(tmp_path: Path) -> None:
    async with open_sqlite(tmp_path) as cluster:
        a = await cluster.client()
        await a.commit([], [Put("k", b"1")])
        size = cluster.path.with_name("cluster.db-wal").stat().st_size
        with largest_file(size), pytest.raises(CoordinatorUnavailable, match="disk"):
            await a.commit([], [Put("k", b"x" * 100_000)])
        assert await a.read("k") == Entry("k", b"1", 1)
        assert (await a.commit([Expect("k", 1)], [Put("k", b"2")])).revision == 2


async def test_deleted_file_is_an_outage_and_is_not_made_anew(tmp_path: Path) -> None:
    async with open_sqlite(tmp_path) as cluster:
        a = await cluster.client()
        await a.commit([], [Put("k", b"1")])
        for suffix in ("", "-wal", "-shm"):
            cluster.path.with_name(f"cluster.db{suffix}").unlink()
        for _ in range(2):
            with pytest.raises(CoordinatorUnavailable, match="deleted or moved away"):
                await a.commit([Expect("k", 0)], [Put("k", b"2")])
            with pytest.raises(CoordinatorUnavailable, match="deleted or moved away"):
                await a.list("")
        assert not cluster.path.exists()


async def test_file_replaced_while_in_use_is_never_believed(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    async with open_sqlite(tmp_path) as cluster, open_sqlite(tmp_path / "other") as other:
        a, b = await cluster.client(), await other.client()
        await a.commit([], [Put("k", b"1")])
        await b.commit([], [Put("k", b"theirs")])
        await b.aclose()
        async with a.watch("", 1) as batches:
            other.path.replace(cluster.path)
            for _ in range(2):
                with pytest.raises(CoordinatorUnavailable, match="replaced while in use"):
                    await a.read("k")
            with pytest.raises(CoordinatorUnavailable, match="replaced while in use"), anyio.fail_after(5):
                await anext(batches)


def test_store_of_another_cluster_found_when_connecting_again_is_never_believed(tmp_path: Path) -> None:
    for name in ("mine", "theirs"):
        store = opened(tmp_path / name)
        for _ in range(2):
            store.commit([], [Put("k", name.encode())], inf)
        store._drop()
    mine = opened(tmp_path / "mine")
    mine._drop()
    (tmp_path / "theirs").replace(tmp_path / "mine")
    for _ in range(2):
        with pytest.raises(CoordinatorUnavailable, match="of another cluster"):
            mine.read("k", inf)
    mine.close(inf)


def test_old_copy_found_when_connecting_again_is_never_believed(tmp_path: Path) -> None:
    store = opened(tmp_path / "db")
    store.commit([], [Put("k", b"1")], inf)
    store._drop()
    shutil.copy(tmp_path / "db", tmp_path / "copy")
    store.commit([Expect("k", 1)], [Put("k", b"2")], inf)
    store._drop()
    (tmp_path / "copy").replace(tmp_path / "db")
    for _ in range(2):
        with pytest.raises(CoordinatorUnavailable, match="went back from revision 2 to 1"):
            store.changes("", 2, inf)
    store.close(inf)


def opened(path: Path) -> SqliteStore:
    store = SqliteStore(path, tombstones_max=10, clock=BootClock())
    store.open(inf)
    return store


async def test_deleted_log_is_noticed_before_anything_is_believed(tmp_path: Path) -> None:
    """Another process begins a log of its own beside the file: two clusters, unless one of them notices."""
    async with open_sqlite(tmp_path) as cluster:
        a = await cluster.client()
        await a.commit([], [Put("k", b"1")])
        for suffix in ("-wal", "-shm"):
            cluster.path.with_name(f"cluster.db{suffix}").unlink()
        with pytest.raises(CoordinatorUnavailable, match="replaced while in use"):
            await a.commit([], [Put("k", b"2")])


async def test_truncated_file_is_an_error(tmp_path: Path) -> None:
    async with open_sqlite(tmp_path) as cluster:
        a = await cluster.client()
        await a.commit([], [Put("k", b"1")])
        await a.aclose()
        b = await cluster.client()
        await b.read("k")
        with cluster.path.open("r+b") as file:
            file.truncate(0)
        with pytest.raises(CoordinatorUnavailable):
            await b.commit([Expect("k", 0)], [Put("k", b"2")])


async def test_watch_goes_on_when_its_sockets_were_tidied_away(tmp_path: Path) -> None:
    async with open_sqlite(tmp_path) as cluster:
        a, b = await cluster.client(), await cluster.client()
        sockets = tmp_path / "cluster.db.watchers"
        async with a.watch("k", 0) as batches:
            shutil.rmtree(sockets)
            await b.commit([], [Put("k", b"1")])
            with anyio.fail_after(5):
                assert await anext(batches) == (Change("k", b"1", 1),)
            with anyio.move_on_after(0.5):
                await anext(batches)
            assert len(list(sockets.iterdir())) == 1, "the watcher can be woken again"


async def test_sockets_of_the_dead_are_removed_and_nothing_else(tmp_path: Path) -> None:
    async with open_sqlite(tmp_path) as cluster:
        a = await cluster.client()
        sockets = tmp_path / "cluster.db.watchers"
        dead = await cluster.client()
        listener = dead._listener
        assert listener is not None
        (sockets / "notes").write_text("mine")
        name = next(path for path in sockets.iterdir() if path.name == Path(listener.getsockname()).name)
        dead._forget_listener()
        assert name.exists()
        await a.commit([], [Put("k", b"1")])
        assert not name.exists()
        assert (sockets / "notes").exists()


async def test_path_longer_than_a_socket_address_may_be(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    async with open_sqlite(deep) as cluster:
        a, b = await cluster.client(), await cluster.client()
        async with a.watch("k", 0) as batches:
            await b.commit([], [Put("k", b"1")])
            with anyio.fail_after(5):
                assert await anext(batches)


async def test_what_was_committed_is_there_after_everyone_left(tmp_path: Path) -> None:
    async with open_sqlite(tmp_path) as cluster:
        a = await cluster.client()
        await a.commit([], [Put("k", b"1")])
        await a.aclose()
        assert await (await cluster.client()).list("") == await (await cluster.client()).list("")
        db = sqlite3.connect(cluster.path)
        assert db.execute("SELECT count(*) FROM entry").fetchone() == (1,)
        db.close()
