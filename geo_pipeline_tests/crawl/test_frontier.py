"""The queue: limits, holds and order, on a real event loop."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine
from typing import Any

from geo_pipeline.crawl.frontier import Frontier


def frontier(per_host: int = 2, capacity: int = 100, horizon: float = 1.0) -> Frontier[str]:
    clock = asyncio.get_running_loop().time
    return Frontier(per_host=per_host, capacity=capacity, horizon=horizon, clock=clock)


async def blocks(waiting: Coroutine[Any, Any, object]) -> bool:
    try:
        await asyncio.wait_for(waiting, 0.03)
    except TimeoutError:
        return True
    return False


def test_an_origin_has_at_most_its_share_of_requests_in_flight() -> None:
    async def scenario() -> None:
        queue = frontier(per_host=2)
        for number in range(3):
            queue.add("a", f"a{number}")
        queue.add("b", "b0")
        assert sorted([await queue.take() or "" for _ in range(3)]) == ["a0", "a1", "b0"]
        assert await blocks(queue.take())
        queue.release("a")
        assert await queue.take() == "a2"

    asyncio.run(scenario())


def test_a_held_origin_waits_while_others_go_on() -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        queue = frontier()
        queue.hold("a", 0.1)
        started = loop.time()
        queue.add("a", "held")
        queue.add("b", "free")
        assert await queue.take() == "free"
        assert loop.time() - started < 0.05
        assert await queue.take() == "held"
        assert loop.time() - started >= 0.1
        assert queue.held_seconds("a") == 0

    asyncio.run(scenario())


def test_a_hold_reaches_photos_that_were_in_line_already_and_the_longest_one_counts() -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        queue = frontier()
        queue.add("a", "first")
        started = loop.time()
        queue.hold("a", 0.1)
        queue.hold("a", 0.02)
        assert await queue.take() == "first"
        assert loop.time() - started >= 0.1

    asyncio.run(scenario())


def test_photos_of_an_origin_held_beyond_the_horizon_come_at_once_to_be_deferred() -> None:
    async def scenario() -> None:
        queue = frontier(horizon=1.0)
        queue.hold("a", 3600)
        queue.add("a", "late")
        assert await queue.take() == "late"
        assert 3599 < queue.held_seconds("a") <= 3600

    asyncio.run(scenario())


def test_a_postponed_photo_comes_after_its_wait_and_holds_up_nobody() -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        queue = frontier()
        started = loop.time()
        queue.add("a", "later", wait_seconds=0.08)
        queue.add("a", "latest", wait_seconds=0.12)
        queue.add("a", "now")
        assert [await queue.take()] == ["now"]
        assert await queue.take() == "later"
        assert loop.time() - started >= 0.08
        queue.release("a")
        queue.release("a")
        assert await queue.take() == "latest"
        assert loop.time() - started >= 0.12

    asyncio.run(scenario())


def test_there_is_room_only_below_the_capacity() -> None:
    async def scenario() -> None:
        queue = frontier(capacity=2)
        for name in ("1", "2"):
            await queue.room()
            queue.add("a", name)
        assert await blocks(queue.room())
        await queue.take()
        assert not await blocks(queue.room())

    asyncio.run(scenario())


def test_many_takers_get_every_photo_exactly_once() -> None:
    async def scenario() -> None:
        queue, taken, most = frontier(per_host=3), Counter[str](), Counter[str]()
        in_flight = Counter[str]()

        async def work() -> None:
            while (item := await queue.take()) is not None:
                taken[item] += 1
                origin = item[0]
                in_flight[origin] += 1
                most[origin] = max(most[origin], in_flight[origin])
                await asyncio.sleep(0)
                in_flight[origin] -= 1
                queue.release(origin)
                if taken[item] == 1 and item.endswith("7"):
                    queue.add(origin, item, wait_seconds=0.01)
                elif sum(taken.values()) == 440:
                    queue.close()

        workers = [asyncio.create_task(work()) for _ in range(20)]
        for number in range(100):
            for origin in "abcd":
                queue.add(origin, f"{origin}{number}")
        await asyncio.wait_for(asyncio.gather(*workers), 5)
        assert len(taken) == 400
        assert all(count == 1 + item.endswith("7") for item, count in taken.items())
        assert max(most.values()) == 3

    asyncio.run(scenario())
