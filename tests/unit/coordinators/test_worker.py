"""The thread behind the sqlite coordinator."""

import threading
from collections.abc import Callable

import anyio
import pytest

from failoverd.clock import BootClock
from failoverd.coordinators.worker import QUEUE_MAX, Worker
from failoverd.errors import CoordinatorUnavailable, StartupError


def nothing(deadline: float) -> None:
    del deadline


async def test_a_stuck_call_holds_nobody_beyond_the_deadline_and_skips_who_gave_up() -> None:
    worker, gate, ran = Worker("w", BootClock()), threading.Event(), list[int]()
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(gives_up, worker, lambda _: gate.wait(5))
            tasks.start_soon(gives_up, worker, lambda _: ran.append(1))
        gate.set()
        assert await worker.call(lambda _: "free again", 5) == "free again"
        assert ran == []
    finally:
        gate.set()
        await worker.close(nothing, 5)


async def gives_up(worker: Worker, work: Callable[[float], object]) -> None:
    with pytest.raises(CoordinatorUnavailable, match=r"w: no answer within 0.2s"):
        await worker.call(work, 0.2)


async def test_too_many_waiting_are_refused_at_once() -> None:
    worker, gate = Worker("w", BootClock()), threading.Event()
    try:
        async with anyio.create_task_group() as tasks:
            for _ in range(QUEUE_MAX):
                tasks.start_soon(worker.call, lambda _: gate.wait(5), 5)
            await anyio.sleep(0.05)
            with pytest.raises(CoordinatorUnavailable, match="wait already"):
                await worker.call(nothing, 5)
            gate.set()
        await worker.call(nothing, 5)
    finally:
        await worker.close(nothing, 5)


async def test_errors_reach_the_caller_and_the_thread_lives_on() -> None:
    worker = Worker("w", BootClock())

    def fail(deadline: float) -> None:
        raise StartupError(f"{deadline > 0}")

    try:
        with pytest.raises(StartupError, match="True"):
            await worker.call(fail, 5)
        assert await worker.call(lambda _: 7, 5) == 7
    finally:
        await worker.close(nothing, 5)


async def test_closing_does_not_wait_for_a_stuck_call_for_ever() -> None:
    worker, gate = Worker("w", BootClock()), threading.Event()
    with anyio.move_on_after(0.05):
        await worker.call(lambda _: gate.wait(5), 5)
    began = anyio.current_time()
    await worker.close(nothing, 0.2)
    assert anyio.current_time() - began < 2
    with pytest.raises(CoordinatorUnavailable, match="closed"):
        await worker.call(nothing, 5)
    gate.set()
