from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from geo_pipeline.errors import InputError
from geo_pipeline.evaluation.leakage import MAX_DISTANCE, PictureHashes, hash_picture
from geo_pipeline.evaluation.picture_hashes import hash_pictures
from geo_pipeline.model.stored_photos import StoredPhotos
from geo_pipeline.store import read_table
from geo_pipeline_tests.evaluation.made_up import stored_pictures


def as_rows(hashes: PictureHashes) -> list[tuple[int, int, bool]]:
    return list(zip(hashes.rows.tolist(), hashes.columns.tolist(), hashes.flat.tolist(), strict=True))


def test_a_picture_is_hashed_once_and_forgotten_when_nobody_has_it(tmp_path: Path) -> None:
    table, memory = stored_pictures(tmp_path / "shard-0.msg", 8, seed=0), tmp_path / "memory.parquet"
    (first,) = hash_pictures([table], tmp_path, memory)
    source = StoredPhotos(table, tmp_path)
    assert as_rows(first) == [hash_picture(np.asarray(source.image(row))) for row in range(table.num_rows)]
    few = table.slice(5, 2)
    again, same = hash_pictures([few, few], tmp_path / "no shards here", memory)
    assert as_rows(again) == as_rows(same) == as_rows(first)[5:7]
    assert read_table(memory).num_rows == len(few)


def test_no_pictures_have_no_hashes_and_a_lost_shard_is_named(tmp_path: Path) -> None:
    table, memory = stored_pictures(tmp_path / "shard-0.msg", 3, seed=0), tmp_path / "memory.parquet"
    (none,) = hash_pictures([table.slice(0, 0)], tmp_path, memory)
    assert as_rows(none) == []
    with pytest.raises(InputError, match=r"elsewhere.shard-0\.msg: the shard is not there"):
        hash_pictures([table], tmp_path / "elsewhere", memory)


def test_a_large_picture_has_nearly_the_hash_of_its_whole(tmp_path: Path) -> None:
    table = stored_pictures(tmp_path / "shard-0.msg", 12, seed=0, size=(480, 320))
    (hashes,) = hash_pictures([table], tmp_path, tmp_path / "memory.parquet")
    source = StoredPhotos(table, tmp_path)
    for row, (along_rows, along_columns, flat) in enumerate(as_rows(hashes)):
        whole = hash_picture(np.asarray(source.image(row)))
        for reduced, expected in zip((along_rows, along_columns), whole[:2], strict=True):
            assert (reduced ^ expected).bit_count() <= MAX_DISTANCE // 2
        assert flat == whole[2]
