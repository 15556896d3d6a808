from __future__ import annotations

import hashlib
import io
from collections import Counter

import pytest
from PIL import Image

from geo_pipeline.world.faults import (
    BENCHMARK_FACTOR,
    FAULT_SHARES,
    PASSING_FAULTS,
    PLACEHOLDER_SHA256,
    Fault,
    body_with,
    fault_of,
    placeholder_picture,
)

NUM_IDS = 100_000
PICTURE = b"\xff\xd8" + bytes(8190)


def faults_of_many(*, benchmark: bool) -> Counter[Fault | None]:
    return Counter(fault_of(f"{number:012x}", benchmark=benchmark) for number in range(NUM_IDS))


@pytest.mark.parametrize(("benchmark", "factor"), [(False, 1.0), (True, BENCHMARK_FACTOR)])
def test_each_fault_has_its_share(benchmark: bool, factor: float) -> None:
    found = faults_of_many(benchmark=benchmark)
    for fault, share in FAULT_SHARES.items():
        expected = share * factor * NUM_IDS
        assert abs(found[fault] - expected) < 4 * expected**0.5, fault


def test_the_table_knows_every_fault() -> None:
    assert set(FAULT_SHARES) == set(Fault)


def test_three_to_four_percent_of_the_photos_are_lost_for_good() -> None:
    lost = sum(share for fault, share in FAULT_SHARES.items() if fault not in PASSING_FAULTS)
    assert 0.03 < lost < 0.04
    assert 0.01 < lost * BENCHMARK_FACTOR < 0.02


def test_the_placeholder_has_the_documented_hash_and_is_a_picture() -> None:
    assert hashlib.sha256(placeholder_picture()).hexdigest() == PLACEHOLDER_SHA256
    with Image.open(io.BytesIO(placeholder_picture())) as picture:
        assert picture.size == (80, 80)


def test_bodies_lie_as_their_fault_says() -> None:
    assert body_with(None, PICTURE) == PICTURE
    assert all(body_with(fault, PICTURE) == PICTURE for fault in PASSING_FAULTS)
    assert all(body_with(fault, PICTURE) is None for fault in (Fault.NOT_FOUND, Fault.GONE, Fault.FORBIDDEN))
    assert body_with(Fault.EMPTY, PICTURE) == b""
    assert body_with(Fault.HALF_JPEG, PICTURE) == PICTURE[:7168]
    assert body_with(Fault.TRUNCATED, PICTURE) == PICTURE[:7168]
    assert body_with(Fault.PLACEHOLDER, PICTURE) == placeholder_picture()
    assert (body_with(Fault.HTML, PICTURE) or b"").startswith(b"<!DOCTYPE html>")
