"""The byte budget: whatever bodies do, memory is bounded and nobody waits for ever."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo_pipeline.crawl.budget import ByteBudget

LIMIT = 100
CHUNKS = st.lists(st.integers(1, 40), min_size=1, max_size=8)


async def read_body(budget: ByteBudget, chunks: list[int], held: list[int]) -> None:
    with budget.lease() as lease:
        for chunk in chunks:
            await asyncio.sleep(0)
            if lease.add(chunk):
                held.append(budget.held)
                await lease.turn()
        await asyncio.sleep(0)


@given(bodies=st.lists(CHUNKS, min_size=1, max_size=12))
def test_every_body_arrives_and_the_bytes_held_are_bounded(bodies: list[list[int]]) -> None:
    budget, held = ByteBudget(LIMIT), [0]

    async def all_bodies() -> None:
        async with asyncio.timeout(10):
            await asyncio.gather(*(read_body(budget, chunks, held) for chunks in bodies))

    asyncio.run(all_bodies())
    assert budget.held == 0
    one_chunk_each = 40 * len(bodies)
    assert max(held) <= LIMIT + max(map(sum, bodies)) + one_chunk_each


@given(
    bodies=st.lists(CHUNKS, min_size=2, max_size=12), cancelled=st.sets(st.integers(0, 11)), steps=st.integers(0, 20)
)
def test_a_cancelled_body_leaves_its_turn_to_the_others(
    bodies: list[list[int]], cancelled: set[int], steps: int
) -> None:
    budget = ByteBudget(LIMIT)

    async def all_bodies() -> None:
        tasks = [asyncio.create_task(read_body(budget, chunks, [])) for chunks in bodies]
        for _ in range(steps):
            await asyncio.sleep(0)
        for number in cancelled & set(range(len(tasks))):
            tasks[number].cancel()
        async with asyncio.timeout(10):
            await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(all_bodies())
    assert budget.held == 0


def test_below_the_limit_nobody_waits() -> None:
    budget = ByteBudget(LIMIT)
    with budget.lease() as first, budget.lease() as second:
        assert not first.add(60)
        assert not second.add(40)
        assert second.add(1)
    assert budget.held == 0


def test_the_first_that_exceeds_the_limit_goes_on_to_its_end() -> None:
    async def scene() -> None:
        budget = ByteBudget(LIMIT)
        with budget.lease() as first:
            assert first.add(LIMIT + 1)
            await first.turn()
            with budget.lease() as second:
                second.add(1)
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.01):
                        await second.turn()
                assert first.add(LIMIT)
                await first.turn()

    asyncio.run(scene())
