"""Photos by their id against what was written, from manifests and from bare shards."""

from __future__ import annotations

import multiprocessing
import pickle
from pathlib import Path

import msgpack
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from geo_pipeline.errors import InputError
from geo_pipeline.shards.format import DamagedRecordError, DamagedRegion, ShardWriter
from geo_pipeline.shards.manifest import ManifestRow, Status, manifest_table
from geo_pipeline.shards.photo_reader import MANIFEST, PhotoReader
from geo_pipeline.store import write_table

Shards = dict[str, list[tuple[str, bytes]]]
IDS = st.text(max_size=6)
BUCKET = {"shard-00000.msg": [("b", b"first"), ("ä/1.jpg", b"second")], "shard-00001.msg": [("a", b""), ("aa", b"4")]}


def write_bucket(folder: Path, shards: Shards, *, with_manifest: bool = True) -> pa.Table:
    """Shards, a manifest with one photo more that is not stored, and the manifest's table, in the order of ids."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [ManifestRow(f"not stored in {folder.name}", "", Status.GONE)]
    for name, photos in shards.items():
        with ShardWriter(folder / name) as writer:
            for photo_id, image in photos:
                offset, length = writer.append(photo_id, image)
                rows.append(ManifestRow(photo_id, "", Status.OK, shard=name, offset=offset, length=length))
    table = manifest_table(sorted(rows, key=lambda row: row.photo_id))
    if with_manifest:
        write_table(folder / MANIFEST, table)
    return table


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(photos=st.dictionaries(IDS, st.binary(max_size=30), max_size=12), absent=st.lists(IDS, max_size=5))
def test_a_reader_is_the_mapping_that_was_written(tmp_path: Path, photos: dict[str, bytes], absent: list[str]) -> None:
    listed = list(photos.items())
    table = write_bucket(tmp_path, {"shard-00000.msg": listed[::2], "shard-00001.msg": listed[1::2]})
    reader = PhotoReader(table, tmp_path)
    assert dict(reader) == photos
    assert len(reader) == len(photos)
    assert list(reader) == [photo_id for photo_id, _ in (*listed[::2], *listed[1::2])]
    assert list(reader.photos()) == [*listed[::2], *listed[1::2]]
    for photo_id in absent:
        assert (photo_id in reader) == (photo_id in photos)
        assert reader.get(photo_id) == photos.get(photo_id)
    reader.close()


def test_a_bucket_a_whole_set_and_bare_shards_open_alike(tmp_path: Path) -> None:
    more: Shards = {"shard-00000.msg": [("c", b"of another bucket")]}
    write_bucket(tmp_path / "set" / "set-000", BUCKET)
    write_bucket(tmp_path / "set" / "set-001", more)
    write_bucket(tmp_path / "bare", BUCKET, with_manifest=False)
    (tmp_path / "bare" / "shard-9.msg").touch()
    photos = [photo for shard in BUCKET.values() for photo in shard]
    assert list(PhotoReader.open(tmp_path / "set" / "set-000").photos()) == photos
    assert list(PhotoReader.open(tmp_path / "bare").photos()) == photos
    assert list(PhotoReader.open(tmp_path / "set").photos()) == [*photos, ("c", b"of another bucket")]


def test_shards_of_other_writers_are_read_by_id(tmp_path: Path) -> None:
    records = [
        {"image": b"\xff\xd8\x9f", "id": "x", "label": 7},
        {"image": b"second", "id": "x"},
        {"image": b"", "id": "y"},
    ]
    (tmp_path / "chunk_0.msg").write_bytes(b"".join(msgpack.packb(each, use_bin_type=False) for each in records))
    reader = PhotoReader.open(tmp_path)
    assert dict(reader) == {"x": b"\xff\xd8\x9f", "y": b""}  # of the doubled id the first


def test_an_id_that_is_no_utf8_is_found_again(tmp_path: Path) -> None:
    (tmp_path / "old.msg").write_bytes(msgpack.packb({"id": b"caf\xe9", "image": b"1"}, use_bin_type=False))
    reader = PhotoReader.open(tmp_path)
    assert [reader[photo_id] for photo_id in reader] == [b"1"]


def test_damage_names_file_and_offset_or_is_told_of_and_left_out(tmp_path: Path) -> None:
    table = write_bucket(tmp_path, BUCKET)
    place = {row["photo_id"]: row for row in table.to_pylist()}["ä/1.jpg"]
    shard = tmp_path / place["shard"]
    content = bytearray(shard.read_bytes())
    content[place["offset"]] = 0xC1
    shard.write_bytes(content)
    reader = PhotoReader(table, tmp_path)
    with pytest.raises(DamagedRecordError, match=rf"shard-00000\.msg: damaged record at byte {place['offset']}"):
        reader["ä/1.jpg"]
    regions: list[DamagedRegion] = []
    assert [photo_id for photo_id, _ in reader.photos(skip_damaged=regions.append)] == ["b", "a", "aa"]
    assert [(each.shard, each.offset, each.length) for each in regions] == [(shard, place["offset"], place["length"])]
    (tmp_path / MANIFEST).unlink()
    regions.clear()
    assert set(PhotoReader.open(tmp_path, skip_damaged=regions.append)) == {"b", "a", "aa"}
    assert [each.offset for each in regions] == [place["offset"]]
    with pytest.raises(DamagedRecordError):
        PhotoReader.open(tmp_path)


def test_a_manifest_that_points_at_another_photo_is_found_out(tmp_path: Path) -> None:
    table = write_bucket(tmp_path, {"shard-00000.msg": [("1", b"x"), ("2", b"y")]})
    swapped = table.set_column(0, table.schema.field(0), pa.array(["2", "1", "none"]))
    with pytest.raises(DamagedRecordError, match="holds photo 1, not 2"):
        PhotoReader(swapped, tmp_path)["2"]


def test_a_folder_without_photos_says_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"neither a manifest\.parquet nor a shard"):
        PhotoReader.open(tmp_path)
    write_table(tmp_path / MANIFEST, pa.table({"photo_id": ["1"]}))
    with pytest.raises(InputError, match="columns shard, offset, length are missing"):
        PhotoReader.open(tmp_path)


def test_workers_read_with_the_reader_they_are_given(tmp_path: Path) -> None:
    write_bucket(tmp_path, BUCKET)
    reader = PhotoReader.open(tmp_path)
    assert pickle.loads(pickle.dumps(reader))["aa"] == b"4"  # noqa: S301 our own bytes
    with multiprocessing.get_context("forkserver").Pool(2) as pool:
        assert pool.map(reader.__getitem__, ["b", "aa", "a"]) == [b"first", b"4", b""]


@pytest.mark.slow
def test_a_million_ids_cost_tens_of_bytes_each(tmp_path: Path) -> None:
    count = 1_000_000
    ids = [f"{number * 7919 % count:06x}/photo.jpg" for number in range(count)]
    columns = {
        "photo_id": ids,
        "shard": pa.array([f"set-{number // 60_000:03d}/shard-00000.msg" for number in range(count)]),
        "offset": np.arange(count) * 30_000,
        "length": np.full(count, 30_000),
    }
    reader = PhotoReader(pa.table(columns), tmp_path)
    assert len(pickle.dumps(reader)) < 50 * count
    assert ids[123_456] in reader
    assert "absent" not in reader
