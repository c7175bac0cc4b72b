"""The virtual loop itself: everything that is tested on it stands on this."""

import asyncio
import math
import time

import anyio
import anyio.lowlevel
import pytest

from tests.virtual import START, VirtualClock, VirtualDeadlock, VirtualLivelock, run_virtual


@pytest.mark.virtual
async def test_hours_pass_at_once_and_exactly(virtual_clock: VirtualClock) -> None:
    began = time.monotonic()
    await virtual_clock.sleep_until(START + 7200.1)
    assert virtual_clock.now() == pytest.approx(START + 7200.1, abs=1e-6)
    assert virtual_clock.wall() == "2024-02-29T01:00:00.100000Z"
    assert time.monotonic() - began < 5


@pytest.mark.virtual
async def test_each_test_begins_at_the_start(virtual_clock: VirtualClock) -> None:
    assert virtual_clock.now() == START


async def test_unmarked_tests_run_in_real_time() -> None:
    assert abs(asyncio.get_running_loop().time() - time.monotonic()) < 1


def test_anyio_deadlines_follow_the_virtual_clock() -> None:
    async def main(clock: VirtualClock) -> float:
        with anyio.move_on_after(5) as scope:
            await anyio.sleep_forever()
        assert scope.cancelled_caught
        return clock.now()

    assert run_virtual(main) == pytest.approx(START + 5)


def test_timers_of_many_tasks_fire_in_order() -> None:
    async def main(clock: VirtualClock) -> list[float]:
        seen: list[float] = []

        async def sleeper(delay: float) -> None:
            await anyio.sleep(delay)
            seen.append(round(clock.now() - START, 6))

        async with anyio.create_task_group() as tasks:
            for delay in (3.0, 0.5, 100_000.0, 0.25):
                tasks.start_soon(sleeper, delay)
        return seen

    assert run_virtual(main) == [0.25, 0.5, 3.0, 100_000.0]


def test_waiting_for_what_never_comes_is_a_deadlock_that_names_the_waiter() -> None:
    async def wait_for_nobody() -> None:
        await anyio.Event().wait()

    async def main(_clock: VirtualClock) -> None:
        await wait_for_nobody()

    with pytest.raises(VirtualDeadlock, match="wait_for_nobody"):
        run_virtual(main)


def test_a_busy_wait_ends() -> None:
    async def main(_clock: VirtualClock) -> None:
        while True:
            await anyio.lowlevel.checkpoint()

    with pytest.raises(VirtualLivelock):
        run_virtual(main)


def test_a_timer_fires_at_the_very_float_it_was_set_for() -> None:
    async def main(clock: VirtualClock) -> None:
        fired: list[float] = []
        for step in range(1, 3000):
            at = clock.now() + step * 0.0371
            asyncio.get_running_loop().call_at(at, lambda: fired.append(clock.now()))
            await clock.sleep_until(at + 0.01)
            assert fired.pop() == at

    run_virtual(main)


def test_a_sleep_that_ends_with_the_next_float_ends() -> None:
    async def nearly(clock: VirtualClock) -> float:
        for _ in range(1000):
            await clock.sleep_until(math.nextafter(clock.now(), math.inf))
        await clock.sleep_until(clock.now() + 5e-10)
        return clock.now()

    assert run_virtual(nearly) > START
