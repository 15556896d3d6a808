from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from geo_pipeline.evaluation.leakage import (
    MAX_DISTANCE,
    PictureHashes,
    hash_picture,
    near_duplicates,
    photo_key,
    shared_authors,
    shared_photos,
)
from geo_pipeline_tests.evaluation.made_up import jpeg


def hashes(rows: np.ndarray, columns: np.ndarray, flat: np.ndarray | None = None) -> PictureHashes:
    return PictureHashes(rows, columns, np.zeros(len(rows), dtype=bool) if flat is None else flat)


def flipped(values: np.ndarray, bits: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Values with so many of their bits changed."""
    masks = [sum(1 << int(bit) for bit in rng.choice(64, count, replace=False)) for count in bits]
    return values ^ np.array(masks, dtype=np.uint64)


@pytest.mark.parametrize(
    ("photo_id", "key"),
    [
        ("45/77/3228511372.jpg", "3228511372"),
        ("104123223_7410c654ba_19_19355699@N00.jpg", "104123223"),
        ("003298136d71", "003298136d71"),
        ("01cbbced5416.jpg", "01cbbced5416"),
        ("IMG_2001.jpeg", "IMG_2001"),
        ("12_a.png", "12_a"),
    ],
)
def test_the_key_of_a_photo_is_what_all_its_names_share(photo_id: str, key: str) -> None:
    assert photo_key(photo_id) == key


def test_shared_photos_and_authors_are_named() -> None:
    training = ["2e/b5/4325164013.jpg", "a/other.jpg"]
    assert shared_photos(training, ["4325164013_12ab_3_9@N00.jpg", "new.jpg", "other"]) == [
        ("4325164013_12ab_3_9@N00.jpg", "2e/b5/4325164013.jpg"),
        ("other", "a/other.jpg"),
    ]
    assert shared_authors(["ann", None, ""], {"x": "ann", "y": "bob", "z": None}) == {"x": "ann"}


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32), st.integers(0, 60), st.integers(0, 60))
def test_near_pictures_are_those_of_a_plain_loop_over_all_pairs(seed: int, num_training: int, num_others: int) -> None:
    rng = np.random.default_rng(seed)
    few = rng.integers(0, 2**63, 4).astype(np.uint64)
    parts = []
    for count in (num_training, num_others):
        base = few[rng.integers(0, 4, count)]
        rows, columns = (flipped(base, rng.integers(0, 6, count), rng) for _ in range(2))
        parts.append(hashes(rows, columns, rng.random(count) < 0.1))
    training, others = parts
    expected = [
        [o, t]
        for o in range(num_others)
        for t in range(num_training)
        if not others.flat[o]
        and not training.flat[t]
        and (int(others.rows[o]) ^ int(training.rows[t])).bit_count() <= MAX_DISTANCE
        and (int(others.columns[o]) ^ int(training.columns[t])).bit_count() <= MAX_DISTANCE
    ]
    assert near_duplicates(training, others).tolist() == expected


def test_memory_is_bounded_and_the_parts_fit_together(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    same = np.zeros(300, dtype=np.uint64)
    training, others = hashes(same, same), hashes(flipped(same, rng.integers(0, 7, 300), rng), same)
    whole = near_duplicates(training, others)
    monkeypatch.setattr("geo_pipeline.evaluation.leakage._PAIRS_AT_ONCE", 1000)
    np.testing.assert_array_equal(near_duplicates(training, others), whole)
    assert len(whole) > 10_000


def test_every_near_picture_among_a_million_is_found() -> None:
    rng = np.random.default_rng(1)
    training = hashes(*rng.integers(0, 2**63, (2, 1_000_000)).astype(np.uint64))
    chosen = rng.integers(0, 1_000_000, 3000)
    others = hashes(*(flipped(part[chosen], np.full(3000, 4), rng) for part in (training.rows, training.columns)))
    found = near_duplicates(training, others)
    assert set(zip(range(3000), chosen.tolist(), strict=True)) <= set(map(tuple, found.tolist()))


@pytest.mark.parametrize("seed", range(8))
def test_a_picture_is_known_again_smaller_and_in_another_quality(seed: int) -> None:
    original = Image.open(io.BytesIO(jpeg(seed, (320, 240))))
    again = io.BytesIO()
    original.resize((200, 150), Image.Resampling.BICUBIC).save(again, "JPEG", quality=60)
    pair = [hash_picture(np.asarray(image)) for image in (original, Image.open(again))]
    (rows, columns, flat), (rows_again, columns_again, _) = pair
    assert not flat
    assert (rows ^ rows_again).bit_count() <= MAX_DISTANCE
    assert (columns ^ columns_again).bit_count() <= MAX_DISTANCE
    other = hash_picture(np.asarray(Image.open(io.BytesIO(jpeg(seed + 100, (320, 240))))))
    assert (rows ^ other[0]).bit_count() > 2 * MAX_DISTANCE


def test_the_hashes_are_the_comparisons_of_neighbours_and_a_flat_picture_is_told() -> None:
    across = np.tile(np.linspace(0, 255, 90, dtype=np.uint8)[None, :, None], (80, 1, 3))
    rows, columns, flat = hash_picture(across)
    assert (rows, columns, flat) == (2**64 - 1, 0, False)
    assert hash_picture(across[:, ::-1])[0] == 0
    assert hash_picture(np.full((80, 90, 3), 77, np.uint8))[2]
