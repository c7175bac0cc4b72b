"""The etcd coordinator over three real members of which one, the leader, or all fail."""

import shutil
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from failoverd.coordinators.etcd.coordinator import EtcdCoordinator
from failoverd.errors import CoordinatorUnavailable
from failoverd.ports import Change, Coordinator, Delete, Expect, Put
from tests.etcd_server import EtcdServers, needs_etcd, serving

pytestmark = [needs_etcd, pytest.mark.processes]

TIMEOUT_S = 0.6
SETTLE_S = 0.1
"""For our own event loop to hear that a connection is closed."""


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdServers]:
    with serving(tmp_path_factory.mktemp("etcd"), 3) as servers:
        yield servers


@pytest.fixture
def whole(three: EtcdServers) -> EtcdServers:
    """All three members, whatever the test before did to them."""
    three.start()
    return three


@asynccontextmanager
async def client(
    endpoints: Sequence[str], name: str, *, timeout_s: float = TIMEOUT_S, idle_s: float | None = None
) -> AsyncIterator[EtcdCoordinator]:
    made = EtcdCoordinator(endpoints, cluster=name, request_timeout_s=timeout_s, idle_s=idle_s)
    try:
        yield made
    finally:
        await made.aclose()


async def put(coordinator: Coordinator, key: str, value: bytes = b"") -> int:
    """Until it is confirmed; returns its revision."""
    with anyio.fail_after(10):
        while True:
            try:
                return (await coordinator.commit([], [Put(key, value)])).revision
            except CoordinatorUnavailable:
                await anyio.sleep(0.01)


async def restart(servers: EtcdServers) -> None:
    servers.power_on()
    await anyio.to_thread.run_sync(servers.wait_serving)


async def soon(batches: AsyncIterator[tuple[Change, ...]], within_s: float = 5.0) -> tuple[Change, ...]:
    with anyio.fail_after(within_s):
        return await anext(batches)


async def test_lost_member_is_not_noticed_but_by_its_absence(whole: EtcdServers) -> None:
    follower = whole.follower()
    async with client(whole.first(follower), "member") as etcd:
        before = (await etcd.commit([], [Put("k", b"1")])).revision
        async with etcd.watch("", before) as batches:
            with anyio.move_on_after(SETTLE_S):
                await anext(batches)
            follower.kill()
            await anyio.sleep(SETTLE_S)
            commit = await etcd.commit([Expect("k", before)], [Put("k", b"2")])
            assert commit.ok, "the connection was refused, so the write was certainly not begun there"
            assert await soon(batches) == (Change("k", b"2", commit.revision),)


async def test_lost_leader_is_outwaited_and_the_watch_goes_on(whole: EtcdServers) -> None:
    leader = whole.leader()
    async with client(whole.first(leader), "leader") as etcd, client(whole.endpoints[::-1], "leader") as other:
        start = (await etcd.list("")).revision
        async with etcd.watch("", start) as batches:
            with anyio.move_on_after(SETTLE_S):
                await anext(batches)
            leader.kill()
            began = anyio.current_time()
            revision = await put(etcd, "k", b"1")
            assert anyio.current_time() - began < 3
            assert await soon(batches) == (Change("k", b"1", revision),)
            assert (await etcd.read("k")) == (await other.read("k"))


async def test_silent_member_costs_a_write_its_deadline_and_a_read_half_of_it(whole: EtcdServers) -> None:
    follower = whole.follower()
    async with client(whole.first(follower), "silent", timeout_s=1.0, idle_s=0.5) as etcd:
        start = (await etcd.commit([], [Put("k", b"1")])).revision
        async with etcd.watch("", start) as batches, client(whole.first(follower), "silent") as reader:
            await reader.read("k")
            with anyio.move_on_after(SETTLE_S):
                await anext(batches)
            with follower.paused():
                with pytest.raises(CoordinatorUnavailable, match=f"{follower.client_url}.*unknown whether"):
                    await etcd.commit([], [Put("x", b"")])
                assert (await etcd.commit([Expect("k", start)], [Put("k", b"2")])).ok
                seen: list[Change] = []
                with anyio.fail_after(3):
                    while not any(change.key == "k" for change in seen):
                        seen += await anext(batches)
                assert await reader.read("k") is not None, "within one deadline, from another member"


async def test_all_members_lost_and_back_lose_nothing(whole: EtcdServers) -> None:
    async with client(whole.endpoints, "all") as etcd, client(whole.endpoints, "all") as other:
        start = await put(etcd, "k", b"1")
        async with etcd.watch("", start) as batches:
            with anyio.move_on_after(SETTLE_S):
                await anext(batches)
            whole.kill()
            with anyio.fail_after(4 * TIMEOUT_S):
                for _ in range(2):
                    with pytest.raises(CoordinatorUnavailable) as caught:
                        await other.read("k")
            assert all(url in str(caught.value) for url in whole.endpoints)
            with anyio.move_on_after(0.5):
                pytest.fail(f"news of nobody: {await anext(batches)}")
            await restart(whole)
            revision = await put(other, "k", b"2")
            assert await soon(batches) == (Change("k", b"2", revision),)


async def test_minority_refuses_at_once_and_its_watch_ends(whole: EtcdServers) -> None:
    alone, *others = whole.members
    async with client([alone.client_url], "minority", timeout_s=1.0) as etcd:
        revision = await put(etcd, "k", b"1")
        async with etcd.watch("", revision) as batches:
            with anyio.move_on_after(SETTLE_S):
                await anext(batches)
            for member in others:
                member.kill()
            await anyio.sleep(3 * 0.2)
            with pytest.raises(CoordinatorUnavailable, match=f"{alone.client_url}: etcdserver: no leader"):
                await etcd.commit([], [Put("k", b"2")])
            whole.start()
            revision = await put(etcd, "k", b"3")
            seen: tuple[Change, ...] = ()
            while not seen or seen[-1].revision < revision:
                seen = await soon(batches)
            assert seen[-1] == Change("k", b"3", revision)


async def test_counter_is_exact_while_leaders_die(whole: EtcdServers) -> None:
    """What was confirmed is there once, what is unknown at most once, what was refused never."""
    confirmed = unknown = 0
    finished = False

    async def count(etcd: Coordinator) -> None:
        nonlocal confirmed, unknown
        while not finished:
            try:
                entry = await etcd.read("n")
            except CoordinatorUnavailable:
                continue
            value = b"%d" % (int(entry.value) + 1 if entry else 1)
            try:
                commit = await etcd.commit([Expect("n", entry.revision if entry else 0)], [Put("n", value)])
                confirmed += commit.ok
            except CoordinatorUnavailable:
                unknown += 1

    async with client(whole.endpoints, "count") as a, client(whole.endpoints[::-1], "count") as b:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(count, a)
            tasks.start_soon(count, b)
            for _ in range(2):
                leader = await anyio.to_thread.run_sync(whole.leader)
                await anyio.to_thread.run_sync(leader.kill)
                await anyio.sleep(0.8)
                await restart(whole)
            finished = True
        entry = await a.read("n")
    assert entry is not None
    assert confirmed > 20
    assert confirmed <= int(entry.value) <= confirmed + unknown


async def test_watcher_misses_nothing_while_members_come_and_go(whole: EtcdServers) -> None:
    mirror: dict[str, tuple[bytes, int]] = {}
    last = 0

    async def write(etcd: Coordinator) -> None:
        for number in range(60):
            await put(etcd, f"k{number % 7}", b"%d" % number)
            if number % 5 == 0:
                with suppress(CoordinatorUnavailable):
                    await etcd.commit([], [Delete(f"k{number % 3}")])
            await anyio.sleep(0.03)
        await put(etcd, "end")

    async with client(whole.endpoints, "watch") as etcd, client(whole.endpoints[::-1], "watch") as writer:
        listing = await etcd.list("")
        async with anyio.create_task_group() as tasks, etcd.watch("", listing.revision) as batches:
            tasks.start_soon(write, writer)
            tasks.start_soon(disturb, whole)
            with anyio.fail_after(30):
                while "end" not in mirror:
                    for change in await anext(batches):
                        assert change.revision >= last
                        last = change.revision
                        if change.value is None:
                            mirror.pop(change.key, None)
                        else:
                            mirror[change.key] = (change.value, change.revision)
        entries = (await etcd.list("")).entries
    assert mirror == {entry.key: (entry.value, entry.revision) for entry in entries}


async def disturb(servers: EtcdServers) -> None:
    for member in servers.members:
        await anyio.to_thread.run_sync(member.kill)
        await anyio.sleep(0.3)
        member.start()
        await anyio.to_thread.run_sync(servers.wait_serving)


async def test_etcd_built_anew_under_the_same_name_is_not_believed(tmp_path: Path) -> None:
    with serving(tmp_path) as servers:
        async with client(servers.endpoints, "anew") as etcd:
            revision = await put(etcd, "k")
            async with etcd.watch("", revision) as batches:
                with anyio.move_on_after(SETTLE_S):
                    await anext(batches)
                servers.kill()
                shutil.rmtree(tmp_path / servers.members[0].name)
                servers.start()
                with pytest.raises(CoordinatorUnavailable, match="went back from revision"):
                    await soon(batches)
                with pytest.raises(CoordinatorUnavailable, match="went back from revision"):
                    await etcd.commit([], [Put("k", b"")])
            async with client(servers.endpoints, "anew") as fresh:
                assert (await fresh.list("")).entries == (), "and nothing was written to it"


async def test_compaction_while_the_stream_was_broken_is_an_error_not_a_gap(whole: EtcdServers) -> None:
    follower = whole.follower()
    others = [member for member in whole.members if member is not follower]
    async with (
        client([follower.client_url], "gap") as etcd,
        client([each.client_url for each in others], "gap") as other,
    ):
        start = await put(etcd, "k", b"1")
        async with etcd.watch("", start) as batches:
            with anyio.move_on_after(SETTLE_S):
                await anext(batches)
            follower.kill()
            for number in range(5):
                newest = await put(other, "k", b"%d" % number)
            others[0].ask("/v3/kv/compaction", revision=str(newest))
            await restart(whole)
            with pytest.raises(CoordinatorUnavailable, match="not kept any more"):
                await soon(batches)
        listing = await etcd.list("")
        assert [entry.value for entry in listing.entries] == [b"4"]
        async with etcd.watch("", listing.revision) as batches:
            revision = await put(other, "k", b"5")
            assert await soon(batches) == (Change("k", b"5", revision),), "and from there on nothing is missed"
