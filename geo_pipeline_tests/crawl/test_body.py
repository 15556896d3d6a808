"""A body while it arrives: pictures and short bodies are kept whole, long ones of anything else not at all."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from geo_pipeline.crawl.body import LONG_BYTES, Body
from geo_pipeline.crawl.budget import ByteBudget
from geo_pipeline.pixels.any_format import FORMATS, may_be_picture


def picture(name: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, name)
    return file.getvalue()


def arrive(data: bytes, sizes: list[int]) -> tuple[Body, ByteBudget]:
    """The body after its bytes came in chunks of these sizes, again and again."""
    budget = ByteBudget(1 << 30)
    body, at, number = Body(budget.lease()), 0, 0
    while at < len(data):
        size = sizes[number % len(sizes)]
        body.add(data[at : at + size])
        at, number = at + size, number + 1
    return body, budget


@pytest.mark.parametrize("name", FORMATS)
def test_every_accepted_format_is_known_by_its_first_bytes(name: str) -> None:
    assert may_be_picture(picture(name))


@given(start=st.sampled_from([picture(name) for name in FORMATS]), sizes=st.lists(st.integers(1, 40_000), min_size=1))
def test_a_long_picture_is_kept_whole(start: bytes, sizes: list[int]) -> None:
    data = start + bytes(2 * LONG_BYTES)
    body, budget = arrive(data, sizes)
    assert body.is_kept
    assert body.whole() == data
    assert budget.held == len(data)


@given(sizes=st.lists(st.integers(1, 40_000), min_size=1), num_bytes=st.integers(LONG_BYTES, 3 * LONG_BYTES))
def test_a_long_body_of_anything_else_is_counted_and_not_kept(sizes: list[int], num_bytes: int) -> None:
    body, budget = arrive(b"<!doctype html>" + bytes(num_bytes), sizes)
    assert not body.is_kept
    assert body.received == num_bytes + 15
    assert body.start() == b"<!doctype html>\0"
    assert budget.held == 0


def test_a_short_body_is_kept_whatever_it_is() -> None:
    data = b"sorry" * 100
    body, budget = arrive(data, [7])
    assert body.whole() == data
    assert budget.held == len(data)
