from __future__ import annotations

import random

import pyarrow as pa
import pytest

from geo_pipeline.photos.joins import (
    downloaded_and_labelled,
    downloaded_with_coordinates,
    mark_duplicates,
    selection_counts,
)


def manifest(*rows: tuple[str, str, str, str]) -> pa.Table:
    """A manifest of (photo set, photo id, status, source_sha256)."""
    return pa.Table.from_pylist(
        [
            {
                "photo_id": photo,
                "photo_set": photo_set,
                "bucket": f"{photo_set}-000",
                "status": status,
                "source_sha256": source,
                "image_sha256": f"stored {source}",
                "shard": "shard-00000.msg",
                "offset": 10 * i,
                "length": 10,
            }
            for i, (photo_set, photo, status, source) in enumerate(rows)
        ]
    )


def test_duplicates_point_at_the_smallest_id_of_their_set_in_any_order() -> None:
    rows = [("s", "c", "ok", "1"), ("s", "a", "ok", "1"), ("s", "b", "ok", "2"), ("t", "b", "ok", "1")]
    rows += [("s", "0", "placeholder", "1")]
    expected = {("s", "0"): None, ("s", "a"): None, ("s", "b"): None, ("s", "c"): "a", ("t", "b"): None}
    for seed in range(5):
        random.Random(seed).shuffle(rows)  # noqa: S311 -- an order, no secret
        marked = mark_duplicates(manifest(*rows))
        found = {(row["photo_set"], row["photo_id"]): row["duplicate_of"] for row in marked.to_pylist()}
        assert found == expected


@pytest.fixture
def tables() -> tuple[pa.Table, pa.Table, pa.Table]:
    """Manifest, metadata and classes of six photos, of which `a` alone is downloaded, labelled and an original."""
    listed = manifest(
        ("s", "a", "ok", "1"), ("s", "lost", "not_found", "2"), ("s", "z_same", "ok", "1"), ("s", "plain", "ok", "3"),
        ("s", "no_metadata", "ok", "4"), ("t", "other_set", "ok", "5"),
    )  # fmt: skip
    ids = ["a", "lost", "z_same", "plain", "other_set"]
    metadata = pa.table(
        {
            "photo_id": ids,
            "photo_set": ["s", "s", "s", "s", "t"],
            "author": [None] * 5,
            "latitude": [1.0] * 5,
            "longitude": [2.0] * 5,
            "probability_water": [0.5] * 5,
        }
    )
    classes = pa.table(
        {
            "photo_id": ids,
            "photo_set": ["s", "s", "s", "s", "t"],
            "coarse": pa.array([3, 3, 3, None, 3], pa.int32()),
            "fine": pa.array([None, 7, 7, None, 7], pa.int32()),
        }
    )
    return mark_duplicates(listed), metadata, classes


def test_duplicates_are_training_photos_where_they_are_kept(tables: tuple[pa.Table, pa.Table, pa.Table]) -> None:
    kept = downloaded_and_labelled(*tables, ["s"], keep_duplicates=True)
    assert kept["photo_id"].to_pylist() == ["a", "z_same"]


def test_training_photos_are_downloaded_labelled_originals_of_the_set(
    tables: tuple[pa.Table, pa.Table, pa.Table],
) -> None:
    assert downloaded_and_labelled(*tables, ["s"]).to_pylist() == [
        {
            "photo_id": "a", "photo_set": "s", "latitude": 1.0, "longitude": 2.0, "coarse": 3, "fine": None,
            "probability_water": 0.5, "image_sha256": "stored 1",
            "shard": "s/s-000/shard-00000.msg", "offset": 0, "length": 10,
        }
    ]  # fmt: skip


@pytest.mark.parametrize(("keep_duplicates", "left"), [(False, [5, 4, 3, 2, 1]), (True, [5, 4, 4, 3, 2])])
def test_the_photos_left_after_each_filter_are_counted(
    tables: tuple[pa.Table, pa.Table, pa.Table], *, keep_duplicates: bool, left: list[int]
) -> None:
    counts = selection_counts(*tables, ["s"], keep_duplicates=keep_duplicates)
    names = ["listed", "downloaded", "without duplicates", "with metadata", "labelled"]
    assert counts == dict(zip(names, left, strict=True))
    assert list(counts) == names
    assert counts["labelled"] == downloaded_and_labelled(*tables, ["s"], keep_duplicates=keep_duplicates).num_rows


def test_benchmark_photos_need_no_class_and_may_be_duplicates(tables: tuple[pa.Table, pa.Table, pa.Table]) -> None:
    listed, metadata, _ = tables
    assert downloaded_with_coordinates(listed, metadata, "s")["photo_id"].to_pylist() == ["a", "plain", "z_same"]
