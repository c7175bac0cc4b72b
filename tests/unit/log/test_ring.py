"""Events in memory: bounded, followed without loss or repetition, and a slow follower is told what it lost."""

import asyncio
import threading
from typing import Any

import pytest

from failoverd.log.ring import EventRing


def event(number: int) -> dict[str, Any]:
    return {"event": "component.online", "number": number}


def numbers(records: list[dict[str, Any]]) -> list[int]:
    return [record["number"] for record in records]


def test_only_the_newest_are_kept() -> None:
    ring = EventRing(earlier=[event(0)], size=3)
    for number in range(1, 6):
        ring.add(event(number))
    assert numbers(ring.latest()) == [3, 4, 5]
    assert numbers(ring.latest(2)) == [4, 5]
    assert ring.latest(0) == []
    assert numbers(ring.latest(99)) == [3, 4, 5]


async def test_a_follower_gets_what_was_and_what_comes_once_each() -> None:
    ring = EventRing(earlier=[event(1), event(2)])
    with ring.follow(earlier=1) as follower:
        ring.add(event(3))
        records, lost = await follower.next()
        assert (numbers(records), lost) == ([2, 3], 0)
        waiting = asyncio.create_task(follower.next())
        await asyncio.sleep(0)
        assert not waiting.done()
        ring.add(event(4))
        records, lost = await waiting
        assert (numbers(records), lost) == ([4], 0)


async def test_a_slow_follower_loses_the_oldest_and_learns_how_many() -> None:
    ring = EventRing()
    with ring.follow(bound=2) as slow, ring.follow() as other:
        for number in range(5):
            ring.add(event(number))
        records, lost = await slow.next()
        assert (numbers(records), lost) == ([3, 4], 3)
        records, lost = await other.next()
        assert (len(records), lost) == (5, 0)
        ring.add(event(9))
        assert (await slow.next())[1] == 0


async def test_followers_that_have_left_get_nothing_more() -> None:
    ring = EventRing()
    with ring.follow() as follower:
        pass
    ring.add(event(1))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(follower.next(), 0.01)


async def test_events_from_another_thread_wake_a_follower() -> None:
    ring = EventRing()
    with ring.follow() as follower:

        def add_many() -> None:
            for number in range(500):
                ring.add(event(number))

        thread = threading.Thread(target=add_many)
        thread.start()
        found: list[int] = []
        while len(found) < 500:
            records, lost = await asyncio.wait_for(follower.next(), 5)
            assert lost == 0
            found += numbers(records)
        thread.join()
    assert found == list(range(500))


def test_a_follower_whose_loop_has_ended_disturbs_nobody() -> None:
    ring = EventRing()

    async def follow_and_die() -> Any:
        context = ring.follow()
        context.__enter__()
        return context

    left_open = asyncio.run(follow_and_die())
    ring.add(event(1))
    assert numbers(ring.latest()) == [1]
    left_open.__exit__(None, None, None)
