"""What every coordinator promises to whoever watches: nothing missed, nothing twice, everything in order."""

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from failoverd.errors import CoordinatorUnavailable
from failoverd.ports import Change, Coordinator, Delete, Expect, Put
from tests.unit.coordinators.clusters import KINDS, open_cluster

pytestmark = pytest.mark.parametrize("kind", KINDS)

Batches = AsyncIterator[tuple[Change, ...]]


async def soon(batches: Batches) -> tuple[Change, ...]:
    with anyio.fail_after(5):
        return await anext(batches)


async def test_watch_from_an_old_revision_brings_what_came_since(kind: str, tmp_path: Path) -> None:
    async with open_cluster(kind, tmp_path) as cluster:
        a = await cluster.client()
        await a.commit([], [Put("k/x", b"1"), Put("k/y", b"1"), Put("other", b"1")])
        await a.commit([], [Put("k/x", b"2")])
        await a.commit([], [Delete("k/y")])
        async with a.watch("k/", 1) as batches:
            assert await soon(batches) == (Change("k/x", b"2", 2), Change("k/y", None, 3))


async def test_news_of_another_client_arrive(kind: str, tmp_path: Path) -> None:
    async with open_cluster(kind, tmp_path) as cluster:
        a, b = await cluster.client("a"), await cluster.client("b")
        async with a.watch("k", 0) as batches, anyio.create_task_group() as tasks:
            tasks.start_soon(b.commit, [], [Put("k", b"1")])
            assert await soon(batches) == (Change("k", b"1", 1),)
            tasks.start_soon(b.commit, [], [Delete("k")])
            assert await soon(batches) == (Change("k", None, 2),)


async def test_the_writer_itself_is_told_too(kind: str, tmp_path: Path) -> None:
    async with open_cluster(kind, tmp_path) as cluster:
        a = await cluster.client()
        async with a.watch("", 0) as first, a.watch("k", 0) as second:
            await a.commit([], [Put("k", b"1")])
            assert await soon(first) == await soon(second) == (Change("k", b"1", 1),)


async def test_one_transaction_comes_in_one_batch(kind: str, tmp_path: Path) -> None:
    async with open_cluster(kind, tmp_path) as cluster:
        a = await cluster.client()
        async with a.watch("", 0) as batches:
            await a.commit([], [Put(f"k{number}", b"") for number in range(50)])
            assert len(await soon(batches)) == 50


async def test_nothing_new_is_no_news(kind: str, tmp_path: Path) -> None:
    async with open_cluster(kind, tmp_path) as cluster:
        a = await cluster.client()
        await a.commit([], [Put("k", b"1")])
        async with a.watch("k", 1) as batches:
            await a.commit([Expect("k", 0)], [Put("k", b"refused")])
            await a.commit([], [Delete("absent")])
            await a.commit([], [Put("other", b"1")])
            with anyio.move_on_after(0.3):
                pytest.fail(f"unexpected news: {await anext(batches)}")


async def test_watch_goes_on_after_an_outage_without_a_gap(kind: str, tmp_path: Path) -> None:
    async with open_cluster(kind, tmp_path) as cluster:
        a, b = await cluster.client("a", request_timeout_s=0.1), await cluster.client("b")
        async with a.watch("k", 0) as batches:
            with cluster.outage(), anyio.move_on_after(0.3):
                pytest.fail(f"unexpected news: {await anext(batches)}")
            await b.commit([], [Put("k", b"1")])
            assert await soon(batches) == (Change("k", b"1", 1),)


async def test_cancelled_wait_loses_nothing(kind: str, tmp_path: Path) -> None:
    async with open_cluster(kind, tmp_path) as cluster:
        a, b = await cluster.client("a"), await cluster.client("b")
        seen: list[int] = []
        async with a.watch("k", 0) as batches, anyio.create_task_group() as tasks:
            for number in range(1, 31):
                tasks.start_soon(b.commit, [], [Put(f"k{number}", b"")])
                with anyio.move_on_after(number * 0.000_2):
                    seen += [change.revision for change in await anext(batches)]
            with anyio.fail_after(10):
                while len(seen) < 30:
                    seen += [change.revision for change in await anext(batches)]
        assert seen == list(range(1, 31))


async def test_forgotten_history_is_an_error_not_a_gap(kind: str, tmp_path: Path) -> None:
    async with open_cluster(kind, tmp_path, tombstones_max=2) as cluster:
        a = await cluster.client()
        await a.commit([], [Put("stays", b"")])
        for number in range(4):
            await a.commit([], [Put(f"k{number}", b"")])
            await a.commit([], [Delete(f"k{number}")])
        listing = await a.list("")
        async with a.watch("", 1) as batches:
            with pytest.raises(CoordinatorUnavailable, match="not kept"):
                await soon(batches)
        await a.commit([], [Delete("stays")])
        async with a.watch("", listing.revision) as batches:
            assert await soon(batches) == (Change("stays", None, listing.revision + 1),)


async def test_closing_ends_a_watch(kind: str, tmp_path: Path) -> None:
    async with open_cluster(kind, tmp_path) as cluster:
        a = await cluster.client()

        async def close() -> None:
            await anyio.sleep(0.05)
            await a.aclose()

        async with a.watch("", 0) as batches, anyio.create_task_group() as tasks:
            tasks.start_soon(close)
            with pytest.raises(CoordinatorUnavailable, match="closed"):
                await soon(batches)


# --- schedules made by hypothesis -------------------------------------------------------------------------------

Write = tuple[str, bool]
"""A key, and whether it is put (or deleted)."""

transactions = st.lists(
    st.tuples(st.sampled_from("abcd"), st.booleans()), min_size=1, max_size=3, unique_by=lambda w: w[0]
)
schedules = st.lists(st.lists(transactions, max_size=8), min_size=1, max_size=3)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(schedule=schedules, watch_after=st.integers(min_value=0, max_value=3))
def test_watchers_see_what_a_list_shows_whatever_the_writers_do(
    kind: str, schedule: list[list[list[Write]]], watch_after: int
) -> None:
    async def main() -> None:
        with tempfile.TemporaryDirectory() as directory:
            async with open_cluster(kind, Path(directory)) as cluster:
                writers = [await cluster.client(f"w{number}") for number in range(len(schedule))]
                await follow_writers(writers, schedule, watch_after)

    anyio.run(main)


async def follow_writers(writers: list[Coordinator], schedule: list[list[list[Write]]], watch_after: int) -> None:
    """Watch from a listing taken while the writers are at work, and compare with a listing at the end."""
    reader = writers[0]
    running = len(writers)

    async def write(writer: Coordinator, work: list[list[Write]]) -> None:
        nonlocal running
        for number, transaction in enumerate(work):
            await writer.commit([], [Put(key, b"%d" % number) if put else Delete(key) for key, put in transaction])
        running -= 1

    async with anyio.create_task_group() as tasks:
        for writer, work in zip(writers, schedule, strict=True):
            tasks.start_soon(write, writer, work)
        for _ in range(watch_after):
            await reader.read("a")
        start = await reader.list("")
        mirror = {entry.key: (entry.value, entry.revision) for entry in start.entries}
        async with reader.watch("", start.revision) as batches:
            latest = start.revision
            while True:
                quiet = running == 0
                end = await reader.list("")
                while latest < end.revision:
                    latest = take(mirror, await soon(batches), latest)
                assert mirror == {entry.key: (entry.value, entry.revision) for entry in end.entries} or not quiet
                if quiet:
                    break


def take(mirror: dict[str, tuple[bytes, int]], batch: tuple[Change, ...], latest: int) -> int:
    revisions = [change.revision for change in batch]
    assert revisions == sorted(revisions), "out of order"
    assert revisions[0] > latest, "twice"
    for change in batch:
        if change.value is None:
            mirror.pop(change.key, None)
        else:
            mirror[change.key] = (change.value, change.revision)
    return revisions[-1]
