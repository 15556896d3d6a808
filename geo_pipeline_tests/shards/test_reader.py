"""Random access against sequential reading."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from geo_pipeline.errors import InputError
from geo_pipeline.shards import reader as reader_module
from geo_pipeline.shards.format import DamagedRecordError, ShardWriter, iterate_shard
from geo_pipeline.shards.reader import ShardReader


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for shard in range(5):
        with ShardWriter(tmp_path / f"shard-{shard}.msg") as writer:
            for photo in range(4):
                writer.append(f"{shard}/{photo}", np.random.default_rng([shard, photo]).bytes(50 + photo))
    return tmp_path


def test_random_access_agrees_with_sequential_reading(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_module, "MAX_OPEN_SHARDS", 2)  # so that maps are released and opened again
    reader = ShardReader(root)
    records = [(path.name, record) for path in sorted(root.iterdir()) for record in iterate_shard(path)]
    for index in np.random.default_rng(0).permutation(len(records)):
        shard, record = records[index]
        assert reader.image(shard, record.offset, record.length) == record.image
        assert reader.record(shard, record.offset, record.length)[0] == record.photo_id
    reader.close()


def test_a_reader_travels_to_another_process_without_its_maps(root: Path) -> None:
    reader = ShardReader(root)
    first = next(iterate_shard(root / "shard-0.msg"))
    image = reader.image("shard-0.msg", first.offset, first.length)
    travelled = pickle.loads(pickle.dumps(reader))  # noqa: S301 our own bytes
    assert travelled.image("shard-0.msg", first.offset, first.length) == image


def test_a_missing_shard_is_named(root: Path) -> None:
    with pytest.raises(InputError, match=r"shard-9\.msg: the shard is not there"):
        ShardReader(root).image("shard-9.msg", 0, 10)


@pytest.mark.parametrize(("offset", "length"), [(1, 60), (0, 10), (10_000, 60), (200, 400)])
def test_a_wrong_place_is_a_damaged_record(root: Path, offset: int, length: int) -> None:
    with pytest.raises(DamagedRecordError, match=rf"shard-0\.msg: damaged record at byte {offset}"):
        ShardReader(root).image("shard-0.msg", offset, length)


def test_an_empty_shard_is_a_damaged_record(root: Path) -> None:
    (root / "empty.msg").touch()
    with pytest.raises(DamagedRecordError, match="the file is empty"):
        ShardReader(root).image("empty.msg", 0, 10)
