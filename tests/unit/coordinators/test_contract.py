"""What every coordinator promises: compare-and-swap, revisions, deadlines."""

from pathlib import Path

import anyio
import pytest

from failoverd.errors import CoordinatorUnavailable
from failoverd.ports import Commit, Coordinator, Delete, Entry, Expect, Listing, Put
from tests.unit.coordinators.clusters import KINDS, open_cluster

pytestmark = pytest.mark.parametrize("kind", KINDS)


async def test_what_was_put_is_read(kind: str, tmp_path: Path) -> None:
    async with open_cluster(kind, tmp_path) as cluster:
        a, b = await cluster.client("a"), await cluster.client("b")
        assert await a.read("k") is None
        assert await a.list("") == Listing(0, ())
        assert await a.commit([Expect("k", 0)], [Put("k", b"\x00one")]) == Commit(ok=True, revision=1)
        assert await b.read("k") == Entry("k", b"\x00one", 1)


async def test_zero_expects_absence(kind: str, tmp_path: Path) -> None:
    async with open_cluster(kind, tmp_path) as cluster:
        a = await cluster.client()
        await a.commit([Expect("k", 0)], [Put("k", b"one")])
        assert await a.commit([Expect("k", 0)], [Put("k", b"two")]) == Commit(ok=False, revision=1)
        assert await a.read("k") == Entry("k", b"one", 1)


async def test_stale_revision_writes_nothing_of_the_transaction(kind: str, tmp_path: Path) -> None:
    async with open_cluster(kind, tmp_path) as cluster:
        a = await cluster.client()
        await a.commit([], [Put("x", b"1"), Put("y", b"1")])
        await a.commit([Expect("x", 1)], [Put("x", b"2")])
        refused = await a.commit([Expect("y", 1), Expect("x", 1)], [Put("y", b"3"), Put("z", b"3"), Delete("x")])
        assert refused == Commit(ok=False, revision=2)
        assert await a.list("") == Listing(2, (Entry("x", b"2", 2), Entry("y", b"1", 1)))


async def test_keys_of_one_transaction_share_its_revision(kind: str, tmp_path: Path) -> None:
    async with open_cluster(kind, tmp_path) as cluster:
        a = await cluster.client()
        await a.commit([], [Put("x", b"1")])
        commit = await a.commit([Expect("x", 1), Expect("y", 0)], [Put("x", b"2"), Put("y", b"2")])
        assert commit == Commit(ok=True, revision=2)
        assert [entry.revision for entry in (await a.list("")).entries] == [2, 2]


async def test_deleted_key_is_absent_and_may_come_back(kind: str, tmp_path: Path) -> None:
    async with open_cluster(kind, tmp_path) as cluster:
        a = await cluster.client()
        await a.commit([], [Put("k", b"1")])
        assert await a.commit([Expect("k", 1)], [Delete("k")]) == Commit(ok=True, revision=2)
        assert await a.read("k") is None
        assert (await a.list("")).entries == ()
        assert not (await a.commit([Expect("k", 2)], [Put("k", b"2")])).ok
        assert await a.commit([Expect("k", 0)], [Put("k", b"3")]) == Commit(ok=True, revision=3)
        assert not (await a.commit([Expect("k", 1)], [Put("k", b"4")])).ok, "the first life's revision never returns"


async def test_deleting_what_is_absent_changes_nothing(kind: str, tmp_path: Path) -> None:
    async with open_cluster(kind, tmp_path) as cluster:
        a = await cluster.client()
        await a.commit([], [Put("k", b"1")])
        assert await a.commit([Expect("none", 0)], [Delete("none")]) == Commit(ok=True, revision=1)


async def test_transaction_without_writes_only_compares(kind: str, tmp_path: Path) -> None:
    async with open_cluster(kind, tmp_path) as cluster:
        a = await cluster.client()
        await a.commit([], [Put("k", b"1")])
        assert await a.commit([Expect("k", 1)], []) == Commit(ok=True, revision=1)
        assert await a.commit([Expect("k", 0)], []) == Commit(ok=False, revision=1)
        assert await a.commit([Expect("k", -1)], [Put("k", b"2")]) == Commit(ok=False, revision=1)


async def test_list_keeps_to_the_prefix_in_order_of_keys(kind: str, tmp_path: Path) -> None:
    async with open_cluster(kind, tmp_path) as cluster:
        a = await cluster.client()
        keys = ["lease/b", "lease/a", "lease", "lease0", "lease/é", "lease/%", "node/a"]
        await a.commit([], [Put(key, b"") for key in keys])
        found = [entry.key for entry in (await a.list("lease/")).entries]
        assert found == ["lease/%", "lease/a", "lease/b", "lease/é"]
        assert len((await a.list("")).entries) == len(keys)


@pytest.mark.parametrize(
    ("expects", "writes"),
    [
        ([Expect("k", 0), Expect("k", 1)], []),
        ([], [Put("k", b""), Delete("k")]),
        ([], [Put("", b"")]),
    ],
)
async def test_transaction_without_one_meaning_is_a_programming_error(
    kind: str, tmp_path: Path, expects: list[Expect], writes: list[Put | Delete]
) -> None:
    async with open_cluster(kind, tmp_path) as cluster:
        a = await cluster.client()
        with pytest.raises(ValueError, match="key"):
            await a.commit(expects, writes)
        assert (await a.list("")).revision == 0


async def test_two_clients_race_and_one_wins(kind: str, tmp_path: Path) -> None:
    async with open_cluster(kind, tmp_path) as cluster:
        outcomes: list[bool] = []

        async def take(client: Coordinator) -> None:
            outcomes.append((await client.commit([Expect("k", 0)], [Put("k", b"mine")])).ok)

        clients = [await cluster.client(name) for name in "abcd"]
        async with anyio.create_task_group() as tasks:
            for client in clients:
                tasks.start_soon(take, client)
        assert sorted(outcomes) == [False, False, False, True]


async def test_increments_by_compare_and_swap_lose_none(kind: str, tmp_path: Path) -> None:
    async with open_cluster(kind, tmp_path) as cluster:

        async def count(client: Coordinator) -> None:
            for _ in range(25):
                while True:
                    entry = await client.read("n")
                    expect = Expect("n", entry.revision if entry else 0)
                    value = int(entry.value) + 1 if entry else 1
                    if (await client.commit([expect], [Put("n", b"%d" % value)])).ok:
                        break

        clients = [await cluster.client(name) for name in "abc"]
        async with anyio.create_task_group() as tasks:
            for client in clients:
                tasks.start_soon(count, client)
        entry = await clients[0].read("n")
        assert entry is not None
        assert (entry.value, entry.revision) == (b"75", 75)


async def test_outage_is_told_by_the_deadline_and_passes(kind: str, tmp_path: Path) -> None:
    async with open_cluster(kind, tmp_path) as cluster:
        a = await cluster.client(request_timeout_s=0.2)
        await a.commit([], [Put("k", b"1")])
        with cluster.outage(), anyio.fail_after(2):
            for _ in range(2):
                with pytest.raises(CoordinatorUnavailable):
                    await a.read("k")
                with pytest.raises(CoordinatorUnavailable):
                    await a.list("")
                with pytest.raises(CoordinatorUnavailable):
                    await a.commit([], [Put("k", b"2")])
        assert await a.read("k") == Entry("k", b"1", 1)
        assert (await a.commit([Expect("k", 1)], [Put("k", b"3")])).ok


async def test_cancelled_calls_leave_whole_transactions_and_a_working_client(kind: str, tmp_path: Path) -> None:
    async with open_cluster(kind, tmp_path) as cluster:
        a = await cluster.client()
        for attempt in range(40):
            with anyio.move_on_after(attempt * 0.000_1):
                await a.commit([], [Put("x", b"%d" % attempt), Put("y", b"%d" % attempt)])
            entries = (await a.list("")).entries
            assert len({entry.value for entry in entries}) <= 1, "half a transaction"
            assert len({entry.revision for entry in entries}) <= 1
        assert (await a.commit([], [Put("x", b"end"), Put("y", b"end")])).ok


async def test_closed_client_says_so(kind: str, tmp_path: Path) -> None:
    async with open_cluster(kind, tmp_path) as cluster:
        a = await cluster.client()
        await a.aclose()
        await a.aclose()
        with pytest.raises(CoordinatorUnavailable, match="closed"):
            await a.read("k")
