from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from geo_pipeline.errors import InputError
from geo_pipeline.store import write_csv, write_table
from geo_pipeline.training.inputs import read_photos
from geo_pipeline.training.selection import Selection
from geo_pipeline_tests.model import made_up
from geo_pipeline_tests.training.own_tables import OwnTables, write_own_tables

NAMES = ("coarse", "middle", "fine")
ORIGINAL = {"photo_id": "IMG_ID", "latitude": "LAT", "longitude": "LON"}


@pytest.fixture
def own(tmp_path: Path) -> OwnTables:
    return write_own_tables(tmp_path)


def read(own: OwnTables, name: str = "photos.csv", partitionings: tuple[str, ...] = NAMES) -> pa.Table:
    return read_photos(own.folder / name, partitionings, own.folder / "shards")


def edited(own: OwnTables, edit: Callable[[str], str]) -> None:
    path = own.folder / "photos.csv"
    path.write_text(edit(path.read_text("utf-8")), encoding="utf-8")


def test_photos_are_joined_to_their_pictures_by_id_and_counted_after_each_filter(own: OwnTables) -> None:
    table = read(own)
    assert dict(Selection.of(table).counts) == {"listed": 40, "downloaded": 38, "labelled": 37}
    there = made_up.photos(own.folder, 40, seed=1).slice(2, 37)
    for column in ("photo_id", "latitude", "longitude", *NAMES, "shard", "offset", "length"):
        assert table[column].to_pylist() == there[column].to_pylist(), column


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_table_that_says_where_its_pictures_are_needs_no_manifest(own: OwnTables, ending: str) -> None:
    (own.folder / "shards" / "manifest.parquet").unlink()
    table = made_up.photos(own.folder / "shards", 10, seed=1)
    path = own.folder / f"own.{ending}"
    (write_csv if ending == "csv" else write_table)(path, table)
    found = read(own, path.name)
    assert found["offset"].to_pylist() == table["offset"].to_pylist()
    assert found["fine"].to_pylist() == table["fine"].to_pylist()


def test_all_endings_and_namings_give_the_same_table(own: OwnTables) -> None:
    table = pa.csv.read_csv(own.folder / "photos.csv")
    write_table(own.folder / "photos.parquet", table.rename_columns({new: old for old, new in ORIGINAL.items()}))
    assert read(own, "photos.parquet").equals(read(own))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("1-3,-34,", "1-3,-95,", "column latitude: 1 bad values (row 4: -95.0); expected a number of degrees from -90"),
        ("1-3,-34,110", "1-3,-34,", "column longitude: 1 bad values (row 4: None)"),
        ("1-3,-34,", "1-3,south,", "invalid value 'south'"),
        ("1-3,-34,110,1", "1-3,-34,110,one", "invalid value 'one'"),
        ("1-3,", "1-4,", "column photo_id: 1 bad values (row 5: 1-4); expected each id once"),
        ("1-3,", ",", "column photo_id: 1 bad values (row 4: None); expected an id"),
        ("IMG_ID,LAT", "IMG_ID,lat", "no column latitude; it has IMG_ID, lat, LON"),
        (",fine", ",fein", "no column fine; it has"),
        ("1-3,-34", "1-3,9,-34", "Expected 6 columns, got 7"),
    ],
)
def test_a_bad_value_is_told_with_file_and_row(own: OwnTables, old: str, new: str, message: str) -> None:
    edited(own, lambda text: text.replace(old, new, 1))
    with pytest.raises(InputError, match=re.escape(message)) as raised:
        read(own)
    assert str(own.folder / "photos.csv") in str(raised.value)


def test_no_photo_left_tells_how_many_were_left_after_each_filter(own: OwnTables) -> None:
    edited(own, lambda text: re.sub(r"(?m)^(1-\d+,-?\d+,\d+),.*$", r"\1,,,", text))
    with pytest.raises(InputError, match="no photo is left: 40 listed, 38 downloaded, 0 labelled"):
        read(own)
    edited(own, lambda text: text.replace("1-", "other-"))
    with pytest.raises(InputError, match="no photo is left: 40 listed, 0 downloaded, 0 labelled"):
        read(own)


def test_a_shard_that_is_not_there_is_named(own: OwnTables) -> None:
    (own.folder / "shards" / "shard-1.msg").unlink()
    with pytest.raises(InputError, match=r"1 of 1 shards are not below .*the first one is shard-1\.msg"):
        read(own)


@pytest.mark.parametrize(
    ("name", "words"), [("absent.csv", "no such table of photos"), ("absent.parquet", "not there")]
)
def test_an_absent_table_is_named(own: OwnTables, name: str, words: str) -> None:
    with pytest.raises(InputError, match=rf"{name}.*{words}"):
        read(own, name)
