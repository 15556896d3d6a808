"""`geo-pipeline create-cells`, `assign-classes` and `filter-downloaded`, as a person calls them.

The independent side is s2sphere, photo by photo, and the standard library's and pandas' reading of the files.
"""

from __future__ import annotations

import csv
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from s2sphere import CellId

from geo_pipeline.cells.published import read_cells_csv
from geo_pipeline.cli import main
from geo_pipeline.shards.format import ShardWriter
from geo_pipeline.shards.manifest import ManifestRow, Status, manifest_table
from geo_pipeline.store import write_table
from geo_pipeline_tests.cells.oracle import s2_leaf, split_photo_by_photo

Photos = list[tuple[str, float, float]]
LIMITS = ("--img-min", "2", "--img-max", "20")
HEADER = "IMG_ID,LAT,LON"


@pytest.fixture(scope="module")
def photos() -> Photos:
    """Some hundred photos around a few places, away from the antimeridian, in no order."""
    random = np.random.default_rng(7)
    centres = random.uniform((-60, -150), (60, 150), (12, 2))
    spread = random.choice([0.01, 1.0, 8.0], 600)[:, None]
    places = centres[random.integers(0, 12, 600)] + random.normal(0, 1, (600, 2)) * spread
    return [(f"{k % 7}/{k}.jpg", round(float(a), 6), round(float(o), 6)) for k, (a, o) in enumerate(places)]


def write_csv(path: Path, photos: Photos, header: str = HEADER) -> Path:
    path.write_text("\n".join([header, *(f"{i},{a!r},{o!r}" for i, a, o in photos)]) + "\n", encoding="utf-8")
    return path


def write_parquet(path: Path, photos: Photos) -> Path:
    ids, latitudes, longitudes = zip(*photos, strict=True)
    pq.write_table(pa.table({"IMG_ID": ids, "LAT": latitudes, "LON": longitudes}), path, row_group_size=100)
    return path


def create(dataset: Path, output: Path, *options: str) -> int:
    return main(["create-cells", "--dataset", str(dataset), "--output", str(output), *(options or LIMITS)])


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def files_below(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_cells_equal_those_of_a_split_photo_by_photo(photos: Photos, tmp_path: Path) -> None:
    dataset = write_parquet(tmp_path / "photos.parquet", photos)
    assert create(dataset, tmp_path / "out", "--img-min", "2", "--img-max", "50", "--img-max", "20", "10") == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {f"cells_2_{n}.csv" for n in (50, 20, 10)}
    for img_max in (50, 20, 10):
        path = tmp_path / "out" / f"cells_2_{img_max}.csv"
        assert path.read_text().splitlines()[0] == "class_label,hex_id,imgs_per_cell,latitude_mean,longitude_mean"
        expected = split_photo_by_photo([photo[1:] for photo in photos], img_min=2, img_max=img_max)
        found = rows_of(path)
        assert [(row["hex_id"], int(row["imgs_per_cell"])) for row in found] == [cell[:2] for cell in expected]
        assert [int(row["class_label"]) for row in found] == list(range(len(expected)))
        means = [(float(row["latitude_mean"]), float(row["longitude_mean"])) for row in found]
        np.testing.assert_allclose(means, [cell[2:] for cell in expected], rtol=0, atol=1e-9)


def test_levels_can_be_bounded(photos: Photos, tmp_path: Path) -> None:
    dataset = write_csv(tmp_path / "photos.csv", photos)
    assert create(dataset, tmp_path / "out", *LIMITS, "--lvl-min", "3", "--lvl-max", "5") == 0
    expected = split_photo_by_photo([photo[1:] for photo in photos], img_min=2, img_max=20, lvl_min=3, lvl_max=5)
    assert [row["hex_id"] for row in rows_of(tmp_path / "out" / "cells_2_20.csv")] == [cell[0] for cell in expected]


def test_csv_and_parquet_in_any_order_and_with_any_names_give_the_same_bytes(photos: Photos, tmp_path: Path) -> None:
    backwards = photos[::-1]
    pd.DataFrame(backwards, columns=["name", "y", "x"]).assign(title="a, b").to_csv(tmp_path / "named.csv", index=False)
    named = ("--column_img_path", "name", "--column_lat", "y", "--column_lng", "x")
    spaced = [f"{i}, {a!r} ,+{o!r}" if o > 0 else f"{i},{a!r},{o!r}" for i, a, o in photos]
    (tmp_path / "spaced.csv").write_text("\r\n".join([HEADER, *spaced, "", ""]), encoding="utf-8")
    text = pa.table({"LAT": [str(photo[1]) for photo in photos], "LON": [photo[2] for photo in photos]})
    pq.write_table(text, tmp_path / "text.parquet")
    made = []
    for number, (dataset, options) in enumerate(
        [
            (write_csv(tmp_path / "photos.csv", photos), ()),
            (write_parquet(tmp_path / "photos.parquet", backwards), ()),
            (tmp_path / "named.csv", named),
            (tmp_path / "spaced.csv", ()),
            (tmp_path / "text.parquet", ()),
        ]
    ):
        assert create(dataset, tmp_path / str(number), *LIMITS, *options) == 0
        made.append((tmp_path / str(number) / "cells_2_20.csv").read_bytes())
    assert set(made) == {made[0]}


def test_underscores_are_hyphens_and_a_line_is_printed_for_each_file(
    photos: Photos, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = str(write_csv(tmp_path / "photos.csv", photos))
    given = ["--dataset", dataset, "--output", str(tmp_path / "out"), "--img_min=2", "--img_max", "20"]
    assert main(["create_cells", *given]) == 0
    kept = sum(int(row["imgs_per_cell"]) for row in rows_of(tmp_path / "out" / "cells_2_20.csv"))
    cells = len(rows_of(tmp_path / "out" / "cells_2_20.csv"))
    line = f"{tmp_path / 'out' / 'cells_2_20.csv'}: {cells} cells with {kept} of 600 photos\n"
    assert capsys.readouterr().out == line
    assert main(["create-cells", *given, "-v"]) == 0
    shown = capsys.readouterr().out
    assert shown.endswith(line)
    levels = pd.Series([CellId.from_token(row["hex_id"]).level() for row in rows_of(tmp_path / "out/cells_2_20.csv")])
    for level, count in levels.value_counts().items():
        assert f"{count} of level {level}" in shown
    assert f"{kept} photos kept, {600 - kept} left out" in shown
    assert "read the data set: " in shown


def class_of(latitude: float, longitude: float, labels: dict[int, int]) -> int | None:
    """By asking for each ancestor of the photo's leaf."""
    leaf = s2_leaf(latitude, longitude)
    ancestors = (leaf.parent(level).id() for level in range(31))
    return next((labels[cell] for cell in ancestors if cell in labels), None)


def labels_of(path: Path) -> dict[int, int]:
    return {CellId.from_token(row["hex_id"]).id(): int(row["class_label"]) for row in rows_of(path)}


@pytest.mark.parametrize("read_as", ["csv", "parquet"])
@pytest.mark.parametrize("written_as", ["csv", "parquet"])
def test_each_photo_gets_the_cell_that_s2sphere_finds_it_in(
    photos: Photos, tmp_path: Path, read_as: str, written_as: str
) -> None:
    write = {"csv": write_csv, "parquet": write_parquet}[read_as]
    dataset = write(tmp_path / f"photos.{read_as}", [*photos, ('"nowhere, 1"', -89.5, 10.0)])
    assert create(dataset, tmp_path, "--img-min", "2", "--img-max", "50", "20") == 0
    cells = [tmp_path / "cells_2_50.csv", tmp_path / "cells_2_20.csv"]
    output = tmp_path / f"classes.{written_as}"
    given = ["--dataset", str(dataset), "--cells", *map(str, cells), "--output", str(output)]
    assert main(["assign-classes", *given]) == 0
    found = pd.read_csv(output) if written_as == "csv" else pd.read_parquet(output)
    assert list(found.columns) == ["IMG_ID", "LAT", "LON", "cells_2_50", "cells_2_20"]
    assert list(found["IMG_ID"])[:-1] == [photo[0] for photo in photos]
    assert list(zip(found["LAT"], found["LON"], strict=True))[:-1] == [photo[1:] for photo in photos]
    for path in cells:
        labels = labels_of(path)
        expected = [class_of(a, o, labels) for _, a, o in photos]
        assert None in expected
        assert [None if np.isnan(label) else int(label) for label in found[path.stem]] == [*expected, None]


def test_classes_in_parquet_are_whole_numbers_and_text_of_csv_stays_as_it_is(tmp_path: Path) -> None:
    dataset = tmp_path / "photos.csv"
    dataset.write_text('IMG_ID,title,LAT,LON\n"a, b",x,+1.50, 2\n007,y,1.5,2e0\n', encoding="utf-8")
    assert create(dataset, tmp_path, "--img-min", "1", "--img-max", "5") == 0
    cells = str(tmp_path / "cells_1_5.csv")
    for output in ("classes.csv", "classes.parquet"):
        given = ["--dataset", str(dataset), "--cells", cells, "--output", str(tmp_path / output)]
        assert main(["assign-classes", *given]) == 0
    text = (tmp_path / "classes.csv").read_text(encoding="utf-8")
    assert list(csv.reader(text.splitlines()))[1:] == [["a, b", "+1.50", " 2", "0"], ["007", "1.5", "2e0", "0"]]
    table = pq.read_table(tmp_path / "classes.parquet")
    assert table.schema.types == [pa.string(), pa.float64(), pa.float64(), pa.int32()]
    assert table["LAT"].to_pylist() == [1.5, 1.5]


BAD_VALUES = {
    "a latitude of 90.5": ("90.5", "0", "LAT is '90.5', expected a number from -90 to 90"),
    "a longitude of -181": ("0", "-181", "LON is '-181', expected a number from -180 to 180"),
    "a NaN": ("nan", "0", "LAT is 'nan'"),
    "an infinity": ("0", "inf", "LON is 'inf'"),
    "text": ("0", "12W", "LON is '12W'"),
    "nothing": ("", "0", "LAT is ''"),
    "a value too many": ("0", "0,0", "expected 3 values, found 4"),
    "a value too few": ("0", None, "expected 3 values, found 2"),
}


@pytest.mark.parametrize("name", BAD_VALUES)
def test_a_bad_row_of_a_csv_file_is_named_and_nothing_is_written(
    name: str, photos: Photos, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    latitude, longitude, told = BAD_VALUES[name]
    dataset = write_csv(tmp_path / "photos.csv", photos)
    lines = dataset.read_text().splitlines()
    bad = "bad.jpg," + ",".join(value for value in (latitude, longitude) if value is not None)
    dataset.write_text("\n".join([*lines[:5], bad, *lines[5:], *[bad] * 11]) + "\n")
    cells = write_cells(tmp_path)
    before = files_below(tmp_path)
    for command in (create_arguments(dataset, tmp_path / "out"), assign_arguments(dataset, cells, tmp_path / "c.csv")):
        assert main(command) == 2
        message = capsys.readouterr().err
        assert "12 rows cannot be used" in message
        assert f"{dataset}, row 6: {told}" in message
        assert message.count(f"{dataset}, row ") == 10
        assert "Traceback" not in message
    assert files_below(tmp_path) == before
    assert not (tmp_path / "out").exists()


def write_cells(folder: Path) -> Path:
    path = folder / "some_cells.csv"
    path.write_text("class_label,hex_id,imgs_per_cell,latitude_mean,longitude_mean\n0,1,3,0.5,0.5\n", encoding="utf-8")
    return path


def create_arguments(dataset: Path, output: Path) -> list[str]:
    return ["create-cells", "--dataset", str(dataset), "--output", str(output), *LIMITS]


def assign_arguments(dataset: Path, cells: Path, output: Path) -> list[str]:
    return ["assign-classes", "--dataset", str(dataset), "--cells", str(cells), "--output", str(output)]


BAD_COLUMNS = {
    "a latitude of 91": (pa.array([1.0, 91.0, 2.0]), "row 2: LAT is '91"),
    "a NaN": (pa.array([1.0, float("nan"), 2.0]), "row 2: LAT is 'nan'"),
    "a null": (pa.array([1.0, None, 2.0]), "row 2: LAT is null"),
    "a null among whole numbers": (pa.array([1, None, 2]), "row 2: LAT is null"),
    "text": (pa.array(["1", "north", "2"]), "row 2: LAT is 'north'"),
    "only nulls": (pa.nulls(3), "3 rows cannot be used"),
    "truth values": (pa.array([True, False, True]), "column LAT: found bool, expected numbers"),
}


@pytest.mark.parametrize("name", BAD_COLUMNS)
def test_a_bad_column_of_a_parquet_file_is_named_and_nothing_is_written(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    column, told = BAD_COLUMNS[name]
    dataset, cells = tmp_path / "photos.parquet", write_cells(tmp_path)
    pq.write_table(pa.table({"IMG_ID": ["a", "b", "c"], "LAT": column, "LON": [1.0, 2.0, 3.0]}), dataset)
    before = files_below(tmp_path)
    for command in (create_arguments(dataset, tmp_path / "out"), assign_arguments(dataset, cells, tmp_path / "c.csv")):
        assert main(command) == 2
        assert told in capsys.readouterr().err
    assert files_below(tmp_path) == before


def damaged_parquet(path: Path) -> None:
    write_parquet(path, [(str(k), k / 10, k / 20) for k in range(500)])
    content = bytearray(path.read_bytes())
    content[100:2000] = b"\xff" * 1900
    path.write_bytes(content)


BAD_FILES: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "absent": ("no.csv", lambda _: None, "no such file"),
    "absent Parquet": ("no.parquet", lambda _: None, "no such file"),
    "a folder": ("folder.csv", lambda path: path.mkdir(), "a folder, expected a CSV file"),
    "empty": ("a.csv", lambda path: path.write_bytes(b""), "the first line is empty"),
    "empty Parquet": ("a.parquet", lambda path: path.write_bytes(b""), "no Parquet file, or a damaged one"),
    "text as Parquet": ("a.parquet", lambda path: write_csv(path, []), "no Parquet file, or a damaged one"),
    "damaged": ("a.parquet", damaged_parquet, "no Parquet file, or a damaged one"),
    "without rows": ("a.csv", lambda path: write_csv(path, []), "it has no rows"),
    "Parquet without rows": (
        "a.parquet",
        lambda path: pq.write_table(pa.table({n: pa.array([], pa.float64()) for n in HEADER.split(",")}), path),
        "it has no rows",
    ),
    "another ending": ("a.tsv", lambda path: write_csv(path, [("a", 1.0, 2.0)]), "the ending is .tsv, expected .csv"),
    "no ending": ("list", lambda path: write_csv(path, [("a", 1.0, 2.0)]), "the ending is missing"),
    "no column LON": (
        "a.csv",
        lambda path: path.write_text("IMG_ID,LAT,LNG\na,1,2\n"),
        "no column LON; the file has IMG_ID, LAT, LNG",
    ),
    "no column LAT in Parquet": (
        "a.parquet",
        lambda path: pq.write_table(pa.table({"IMG_ID": ["a"], "LON": [1.0]}), path),
        "no column LAT; the file has IMG_ID, LON",
    ),
    "two columns LAT": ("a.csv", lambda path: path.write_text("IMG_ID,LAT,LAT,LON\na,1,1,2\n"), "more than one column"),
    "not UTF-8": ("a.csv", lambda path: path.write_bytes(b"IMG_ID,LAT,LON\n\xff\xfe,1,x\n"), "not UTF-8 text"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_file_that_cannot_be_used_is_told_of_and_nothing_is_written(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, make, told = BAD_FILES[name]
    make(tmp_path / file)
    cells = write_cells(tmp_path)
    before = files_below(tmp_path)
    commands = (
        create_arguments(tmp_path / file, tmp_path / "out"),
        assign_arguments(tmp_path / file, cells, tmp_path / "c.parquet"),
    )
    for command in commands:
        assert main(command) == 2
        message = capsys.readouterr().err
        assert told in message
        assert "Traceback" not in message
    assert files_below(tmp_path) == before


BAD_OPTIONS: dict[str, tuple[Sequence[str], str]] = {
    "img_min as large as img_max": (("--img-min", "20", "--img-max", "20"), "--img-min (20) must be smaller than"),
    "one of several img_max too small": (("--img-min", "5", "--img-max", "20", "--img-max", "4"), "--img-max (4)"),
    "a negative img_min": (("--img-min", "-1", "--img-max", "20"), "--img-min: found -1"),
    "lvl_min above lvl_max": ((*LIMITS, "--lvl-min", "9", "--lvl-max", "8"), "--lvl-min (9) must not be greater"),
    "a level of 31": ((*LIMITS, "--lvl-max", "31"), "--lvl-max: found 31"),
    "a level of -1": ((*LIMITS, "--lvl-min", "-1"), "--lvl-min: found -1"),
    "no cell left": (("--img-min", "5000", "--img-max", "6000"), "no cell holds more than img_min = 5000 photos"),
    "no cell left in the second": ((*LIMITS[:1], "599", "--img-max", "6000"), "no cell holds more than"),
    "a column that is not there": ((*LIMITS, "--column-img-path", "id"), "no column id; the file has IMG_ID, LAT, LON"),
}


@pytest.mark.parametrize("name", BAD_OPTIONS)
def test_options_that_cannot_be_are_told_of_and_nothing_is_written(
    name: str, photos: Photos, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options, told = BAD_OPTIONS[name]
    dataset = write_csv(tmp_path / "photos.csv", photos)
    before = files_below(tmp_path)
    assert create(dataset, tmp_path / "out", *options) == 2
    assert told in capsys.readouterr().err
    assert files_below(tmp_path) == before


def test_files_without_ids_make_cells_but_get_no_classes(
    photos: Photos, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = tmp_path / "places.csv"
    dataset.write_text("\n".join(["LAT,LON", *(f"{a},{o}" for _, a, o in photos)]), encoding="utf-8")
    assert create(dataset, tmp_path) == 0
    assert main(assign_arguments(dataset, tmp_path / "cells_2_20.csv", tmp_path / "c.csv")) == 2
    assert "no column IMG_ID; the file has LAT, LON" in capsys.readouterr().err


def test_bad_rows_can_be_left_out_and_are_written_beside_the_output(
    photos: Photos, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clean = write_csv(tmp_path / "clean.csv", photos)
    lines = clean.read_text().splitlines()
    dataset = tmp_path / "photos.csv"
    dataset.write_text("\n".join([*lines[:2], "x,1,2,3", *lines[2:], '"b, c",95,0', "d,1,"]) + "\n")
    expected = [
        {"row": "3", "IMG_ID": "", "LAT": "", "LON": "", "reason": "expected 3 values, found 4"},
        {
            "row": "603",
            "IMG_ID": "b, c",
            "LAT": "95",
            "LON": "0",
            "reason": "LAT is '95', expected a number from -90 to 90",
        },
        {
            "row": "604",
            "IMG_ID": "d",
            "LAT": "1",
            "LON": "",
            "reason": "LON is '', expected a number from -180 to 180",
        },
    ]
    assert create(clean, tmp_path / "clean") == 0
    assert create(dataset, tmp_path / "out", *LIMITS, "--skip-bad-rows") == 0
    assert f"{tmp_path / 'out' / 'cells_rejects.csv'}: 3 bad rows were left out" in capsys.readouterr().out
    cells = tmp_path / "out" / "cells_2_20.csv"
    assert cells.read_bytes() == (tmp_path / "clean" / "cells_2_20.csv").read_bytes()
    assert rows_of(tmp_path / "out" / "cells_rejects.csv") == expected
    assert main([*assign_arguments(dataset, cells, tmp_path / "classes.csv"), "--skip-bad-rows"]) == 0
    assert f"{tmp_path / 'classes_rejects.csv'}: 3 bad rows were left out" in capsys.readouterr().out
    assert [row["IMG_ID"] for row in rows_of(tmp_path / "classes.csv")] == [photo[0] for photo in photos]
    assert rows_of(tmp_path / "classes_rejects.csv") == expected
    assert main([*assign_arguments(clean, cells, tmp_path / "classes.csv"), "--skip-bad-rows"]) == 0
    assert not (tmp_path / "classes_rejects.csv").exists()


def test_a_file_of_nothing_but_bad_rows_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = write_csv(tmp_path / "photos.csv", [("a", 100.0, 0.0), ("b", 0.0, 200.0)])
    before = files_below(tmp_path)
    assert create(dataset, tmp_path / "out", *LIMITS, "--skip-bad-rows") == 2
    assert "none of its 2 rows can be used" in capsys.readouterr().err
    assert files_below(tmp_path) == before


def test_where_one_file_cannot_be_written_none_is(
    photos: Photos, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = write_csv(tmp_path / "photos.csv", photos)
    (tmp_path / "out" / "cells_2_20.csv").mkdir(parents=True)
    assert create(dataset, tmp_path / "out", "--img-min", "2", "--img-max", "50", "20", "10") == 2
    assert "a folder stands where a file is to be written" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["cells_2_20.csv"]


def test_a_photo_without_an_id_gets_no_class(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = write_csv(tmp_path / "photos.csv", [("a", 0.5, 0.5), (" ", 0.5, 0.5)])
    assert main(assign_arguments(dataset, write_cells(tmp_path), tmp_path / "c.csv")) == 2
    assert "row 3: empty IMG_ID" in capsys.readouterr().err


def test_two_partitionings_of_one_name_are_refused(
    photos: Photos, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset, cells = write_csv(tmp_path / "photos.csv", photos), write_cells(tmp_path)
    (tmp_path / "other").mkdir()
    again = write_cells(tmp_path / "other")
    assert main([*assign_arguments(dataset, cells, tmp_path / "c.csv"), "--cells", str(cells), str(again)]) == 2
    assert "two columns would be called some_cells" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["photos.csv", "some_cells.csv"])
def test_what_is_read_is_not_overwritten(
    name: str, photos: Photos, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset, cells = write_csv(tmp_path / "photos.csv", photos), write_cells(tmp_path)
    before = files_below(tmp_path)
    assert main(assign_arguments(dataset, cells, tmp_path / name)) == 2
    assert "is read as well; name another file" in capsys.readouterr().err
    assert files_below(tmp_path) == before


@pytest.mark.parametrize("command", ["assign-classes", "show-cells"])
def test_a_table_that_a_spreadsheet_ruined_is_read_with_repair_and_each_change_told(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cells, dataset = tmp_path / "ruined.csv", tmp_path / "photos.csv"
    cells.write_text(
        "class_label,hex_id,imgs_per_cell,latitude_mean,longitude_mean\n0,4.7E+064,60,49.17,2.67\n1,0d1,70,36.0,-6.5\n"
    )
    dataset.write_text("IMG_ID,LAT,LON\na,49.17,2.67\n")
    output = tmp_path / "out.csv"
    arguments = [command, "--cells", str(cells), "--output", str(output)]
    arguments += ["--dataset", str(dataset)] if command == "assign-classes" else []
    assert main(arguments) == 2
    assert "--repair" in capsys.readouterr().err
    assert not output.exists()
    code = main([*arguments, "--repair"])
    told = capsys.readouterr().err
    assert (code, told) == (0, f"{cells}: line 2: hex_id '4.7E+064' restored to '47e63'\n")
    assert "47e63" in output.read_text() or output.read_text().splitlines()[1] == "a,49.17,2.67,0"


def write_shard(path: Path, ids: Sequence[str]) -> dict[str, tuple[int, int]]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with ShardWriter(path) as writer:
        return {photo_id: writer.append(photo_id, b"picture") for photo_id in ids}


def write_bucket(folder: Path, stored: Sequence[str], failed: dict[str, Status]) -> None:
    """A folder with a shard and a manifest."""
    places = write_shard(folder / "shard-000.msg", stored)
    rows = [
        ManifestRow(i, "http://x/", Status.OK, shard="shard-000.msg", offset=offset, length=length)
        for i, (offset, length) in places.items()
    ]
    failures = [ManifestRow(i, "http://x/", status) for i, status in failed.items()]
    write_table(folder / "manifest.parquet", manifest_table([*rows, *failures]))


@pytest.fixture
def downloads(tmp_path: Path) -> list[Path]:
    """A photo set with two buckets and the work of a download, and a folder of the original project's shards."""
    write_bucket(tmp_path / "set" / "set-000", ["a", "b"], {"c": Status.NOT_FOUND, "d": Status.TIMEOUT})
    write_bucket(tmp_path / "set" / "deep" / "set-001", ["e, f"], {"g": Status.NOT_FOUND, "h": Status.GONE})
    write_bucket(tmp_path / "set" / ".crawl" / "000", ["z"], {})
    write_shard(tmp_path / "original" / "shard-7.msg", ["h", "i"])
    return [tmp_path / "set", tmp_path / "original"]


LABELS = 'IMG_ID,class,note\na,1,"x ""y"""\nc,2,\nz,3,z\n"e, f",4,04\nd,5,\ng,6,\n\nh,7,last'
KEPT = 'IMG_ID,class,note\na,1,"x ""y"""\n"e, f",4,04\nh,7,last'


def filter_arguments(labels: Path, downloads: Sequence[Path], output: Path) -> list[str]:
    folders = map(str, downloads)
    return ["filter-downloaded", "--labels", str(labels), "--downloaded", *folders, "--output", str(output)]


def test_labels_of_downloaded_photos_stay_as_they_are(
    downloads: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_bytes(LABELS.encode())
    assert main(filter_arguments(labels, downloads, tmp_path / "kept.csv")) == 0
    assert (tmp_path / "kept.csv").read_bytes() == KEPT.encode()
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == f"{tmp_path / 'kept.csv'}: 3 of 7 rows stay, 4 went"
    assert set(shown[1:]) == {"  not_found: 2", "  not_listed: 1", "  timeout: 1"}


def test_labels_in_parquet_keep_their_types(downloads: list[Path], tmp_path: Path) -> None:
    frame = pd.DataFrame({"name": ["c", "h", "a", "nobody", "i"], "class": pd.array([1, None, 3, 4, 5], "Int32")})
    frame.to_parquet(tmp_path / "labels.parquet", row_group_size=2)
    given = filter_arguments(tmp_path / "labels.parquet", downloads, tmp_path / "kept.parquet")
    assert main([*given, "--column_img_path", "name"]) == 0
    kept = pd.read_parquet(tmp_path / "kept.parquet")
    pd.testing.assert_frame_equal(kept, frame[frame["name"].isin(["a", "h", "i"])].reset_index(drop=True))


def test_a_photo_whose_shard_is_gone_or_cut_goes(
    downloads: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text("IMG_ID\na\nb\ne\n", encoding="utf-8")
    shard = tmp_path / "set" / "set-000" / "shard-000.msg"
    shard.write_bytes(shard.read_bytes()[:-1])
    assert main(filter_arguments(labels, downloads, tmp_path / "kept.csv")) == 0
    assert (tmp_path / "kept.csv").read_text() == "IMG_ID\na\n"
    assert "  lost: 1" in capsys.readouterr().out


BAD_LABELS = {
    "an empty id": ("labels.csv", "IMG_ID,class\na,1\n ,2\n", "kept.csv", "row 3: empty IMG_ID"),
    "a value too many": ("labels.csv", "IMG_ID,class\na,1\nb,1,2\n", "kept.csv", "row 3: expected 2 values, found 3"),
    "a line break in a value": ("labels.csv", 'IMG_ID,note\na,"1\n2"\nb,3\n', "kept.csv", "row 2: a line break"),
    "no ids": ("labels.csv", "ID,class\na,1\n", "kept.csv", "no column IMG_ID; the file has ID, class"),
    "no photo of the shards": ("labels.csv", "IMG_ID\nq.jpg\n", "kept.csv", "its ids look like q.jpg, those of"),
    "another ending": ("labels.csv", "IMG_ID\na\n", "kept.parquet", "give it the ending of"),
    "itself": ("labels.csv", "IMG_ID\na\n", "labels.csv", "is read as well"),
}


@pytest.mark.parametrize("name", BAD_LABELS)
def test_labels_that_cannot_be_filtered_are_told_of_and_nothing_is_written(
    name: str, downloads: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, content, output, told = BAD_LABELS[name]
    (tmp_path / file).write_text(content, encoding="utf-8")
    before = files_below(tmp_path)
    assert main(filter_arguments(tmp_path / file, downloads, tmp_path / output)) == 2
    assert told in capsys.readouterr().err
    assert files_below(tmp_path) == before


@pytest.mark.parametrize(("folder", "told"), [("no", "no such folder"), ("empty", "neither a manifest.parquet nor")])
def test_a_folder_without_shards_is_told_of(
    folder: str, told: str, downloads: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "labels.csv").write_text("IMG_ID\na\n", encoding="utf-8")
    given = filter_arguments(tmp_path / "labels.csv", [*downloads, tmp_path / folder], tmp_path / "kept.csv")
    assert main(given) == 2
    assert told in capsys.readouterr().err


def test_these_commands_load_no_heavy_library(photos: Photos, tmp_path: Path) -> None:
    dataset = write_csv(tmp_path / "photos.csv", photos)
    heavy = ["torch", "dagster", "pandas", "matplotlib", "duckdb", "aiohttp", "s2sphere", "pyarrow.dataset"]
    code = (
        "import sys; from geo_pipeline.cli import console; code = console(); "
        f"print(code, [name for name in {heavy!r} if name in sys.modules])"
    )
    for command in (
        create_arguments(dataset, tmp_path),
        assign_arguments(dataset, tmp_path / "cells_2_20.csv", tmp_path / "classes.csv"),
    ):
        found = subprocess.run([sys.executable, "-c", code, *command], check=True, capture_output=True, text=True)
        assert found.stdout.splitlines()[-1] == "0 []"
    assert read_cells_csv(tmp_path / "cells_2_20.csv").num_rows > 0
