"""The in-memory coordinator's faults, on virtual time."""

import anyio
import pytest

from failoverd.coordinators.memory import Fate, MemoryCoordinator, MemoryStore, Operation
from failoverd.errors import CoordinatorUnavailable
from failoverd.ports import Change, Commit, Entry, Expect, Put
from tests.unit.coordinators.clusters import ScriptedFaults
from tests.virtual import VirtualClock

pytestmark = pytest.mark.virtual

TIMEOUT_S = 1.0


def client(store: MemoryStore, faults: ScriptedFaults | None = None, name: str = "a") -> MemoryCoordinator:
    return MemoryCoordinator(store, client=name, request_timeout_s=TIMEOUT_S, faults=faults)


async def test_outage_takes_exactly_the_deadline(virtual_clock: VirtualClock) -> None:
    faults = ScriptedFaults()
    a = client(MemoryStore(), faults)
    faults.reachable = False
    began = virtual_clock.now()
    with pytest.raises(CoordinatorUnavailable, match="no answer within 1s"):
        await a.commit([], [Put("k", b"1")])
    assert virtual_clock.now() - began == pytest.approx(TIMEOUT_S)
    faults.reachable = True
    assert await a.read("k") is None


async def test_lost_reply_leaves_the_write_in_place() -> None:
    faults = ScriptedFaults()
    a = client(MemoryStore(), faults)
    faults.fates = [Fate(reply_lost=True)]
    with pytest.raises(CoordinatorUnavailable):
        await a.commit([Expect("k", 0)], [Put("k", b"1")])
    assert await a.read("k") == Entry("k", b"1", 1)
    assert await a.commit([Expect("k", 0)], [Put("k", b"1")]) == Commit(ok=False, revision=1)


async def test_late_request_is_carried_out_after_its_sender_gave_up(virtual_clock: VirtualClock) -> None:
    store, faults = MemoryStore(), ScriptedFaults()
    a, b = client(store, faults), client(store, name="b")
    faults.fates = [Fate(request_delay_s=3.0)]
    with pytest.raises(CoordinatorUnavailable):
        await a.commit([Expect("k", 0)], [Put("k", b"late")])
    assert await b.read("k") is None
    async with b.watch("k", 0) as batches:
        assert await anext(batches) == (Change("k", b"late", 1),)
    assert virtual_clock.now() == pytest.approx(1000.0 + 3.0)


async def test_late_request_loses_against_whoever_came_first() -> None:
    store, faults = MemoryStore(), ScriptedFaults()
    a, b = client(store, faults), client(store, name="b")
    faults.fates = [Fate(request_delay_s=0.5)]
    outcomes: dict[str, bool] = {}

    async def take(name: str, taker: MemoryCoordinator) -> None:
        outcomes[name] = (await taker.commit([Expect("k", 0)], [Put("k", name.encode())])).ok

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(take, "a", a)
        await anyio.sleep(0.1)
        tasks.start_soon(take, "b", b)
    assert outcomes == {"a": False, "b": True}


async def test_slow_reply_tells_what_was_true_when_it_was_sent() -> None:
    store, faults = MemoryStore(), ScriptedFaults()
    a, b = client(store, faults), client(store, name="b")
    faults.fates = [Fate(reply_delay_s=0.5)]
    read: list[Entry | None] = []

    async def reading() -> None:
        read.append(await a.read("k"))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(reading)
        await anyio.sleep(0.1)
        await b.commit([], [Put("k", b"1")])
    assert read == [None]


async def test_faults_are_asked_with_client_operation_and_keys() -> None:
    faults = ScriptedFaults()
    a = client(MemoryStore(), faults, name="n1")
    await a.read("x")
    await a.list("p/")
    await a.commit([Expect("x", 0)], [Put("y", b""), Put("x", b"")])
    assert faults.asked == [
        ("n1", Operation.READ, ("x",)),
        ("n1", Operation.LIST, ("p/",)),
        ("n1", Operation.COMMIT, ("x", "y")),
    ]


async def test_a_sender_that_dies_does_not_call_its_request_back() -> None:
    store, faults = MemoryStore(), ScriptedFaults()
    a, b = client(store, faults), client(store, name="b")
    faults.fates = [Fate(request_delay_s=0.5)]
    with anyio.move_on_after(0.1):
        await a.commit([], [Put("k", b"1")])
    assert await b.read("k") is None
    await anyio.sleep(0.5)
    assert await b.read("k") == Entry("k", b"1", 1)
