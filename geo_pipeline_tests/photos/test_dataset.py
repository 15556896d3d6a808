from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo_pipeline.photos import dataset
from geo_pipeline.photos.dataset import BadRows, Columns, iterate_photos, read_coordinates

NO_IDS = Columns(photo_id=None)
LATITUDES, LONGITUDES = st.floats(-90, 90), st.floats(-180, 180)


def write_lines(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@given(st.lists(st.tuples(LATITUDES, LONGITUDES), min_size=1, max_size=20), st.sampled_from(["", " "]))
def test_numbers_are_read_to_the_bit_with_or_without_white_space(
    tmp_path_factory: pytest.TempPathFactory, places: list[tuple[float, float]], space: str
) -> None:
    lines = [f"{latitude!r}{space},{longitude!r}" for latitude, longitude in places]
    path = write_lines(tmp_path_factory.mktemp("any") / "places.csv", "LAT,LON", *lines, *["+1,2"] * bool(space))
    latitudes, longitudes = read_coordinates(path, NO_IDS, BadRows(path, skip=False))
    found = list(zip(latitudes.tolist(), longitudes.tolist(), strict=True))
    assert [tuple(map(float.hex, place)) for place in found[: len(places)]] == [
        tuple(map(float.hex, place)) for place in places
    ]


def test_a_line_that_holds_nothing_is_no_photo_and_no_mistake(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "places.csv", "IMG_ID,LAT,LON,note", "a,1,2,", "", ",,,", "b,3,4,")
    bad_rows = BadRows(path, skip=False)
    assert read_coordinates(path, NO_IDS, bad_rows)[0].tolist() == [1, 3]
    assert bad_rows.count == 0


def test_a_line_that_holds_only_something_else_is_a_mistake(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "places.csv", "LAT,LON,note", "1,2,", ",,somewhere")
    bad_rows = BadRows(path, skip=True)
    assert read_coordinates(path, NO_IDS, bad_rows)[0].tolist() == [1]
    assert bad_rows.table().column("row").to_pylist() == [3]


@pytest.mark.parametrize("kind", [pa.float32(), pa.int16(), pa.decimal128(9, 4), pa.large_string(), pa.string_view()])
def test_parquet_columns_of_any_number_or_text_are_degrees(tmp_path: Path, kind: pa.DataType) -> None:
    values = pa.array([1, -45, 90]).cast(pa.string()).cast(pa.float64() if pa.types.is_float32(kind) else pa.string())
    column = values.cast(kind)
    ids = pa.array(["a", "b", "a"]).dictionary_encode()
    pq.write_table(pa.table({"LON": column, "IMG_ID": ids, "LAT": column}), tmp_path / "places.parquet")
    bad_rows = BadRows(tmp_path / "places.parquet", skip=False)
    for latitudes, longitudes in (
        read_coordinates(bad_rows.path, NO_IDS, bad_rows),
        *((part.latitudes, part.longitudes) for part in iterate_photos(bad_rows.path, Columns(), bad_rows)),
    ):
        assert (latitudes.dtype, latitudes.tolist()) == (np.float64, [1, -45, 90])
        assert longitudes.tolist() == [1, -45, 90]


def test_bad_rows_keep_their_numbers_across_the_parts_of_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dataset, "_BLOCK_BYTES", 200)
    monkeypatch.setattr(dataset, "_BATCH_ROWS", 7)
    values = ["x" if k % 13 == 5 else str(k % 90) for k in range(200)]
    write_lines(tmp_path / "p.csv", "IMG_ID,LAT,LON", *(f"{k},{value},0" for k, value in enumerate(values)))
    pq.write_table(pa.table({"IMG_ID": range(200), "LAT": values, "LON": [0.0] * 200}), tmp_path / "p.parquet")
    for name, first_row in (("p.csv", 2), ("p.parquet", 1)):
        bad_rows = BadRows(tmp_path / name, skip=True)
        parts = list(iterate_photos(tmp_path / name, Columns(), bad_rows))
        assert len(parts) > 1
        ids = [int(str(each)) for part in parts for each in part.given["IMG_ID"].to_pylist()]
        assert ids == [k for k in range(200) if k % 13 != 5]
        assert [value for part in parts for value in part.latitudes.tolist()] == [k % 90 for k in ids]
        assert bad_rows.table()["row"].to_pylist() == [k + first_row for k in range(200) if k % 13 == 5]
