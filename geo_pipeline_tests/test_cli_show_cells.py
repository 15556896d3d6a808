"""`geo-pipeline show-cells`: what it writes, what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from geo_pipeline.cells.published import write_cells_csv
from geo_pipeline.cli import main
from geo_pipeline.store import write_table
from geo_pipeline_tests.evaluation.cell_page_data import shown_cells
from geo_pipeline_tests.evaluation.made_up import cells


@pytest.fixture
def tables(tmp_path: Path) -> dict[str, Path]:
    files = {name: tmp_path / f"{name}.csv" for name in cells()}
    for name, path in files.items():
        write_cells_csv(path, cells()[name])
    return files


def show(*arguments: object) -> int:
    return main(["show-cells", *map(str, arguments)])


def test_several_files_become_one_page(
    tables: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "new folder" / "map.html"
    assert show("--cells", *tables.values(), "--output", output) == 0
    shown = shown_cells(output.read_text("utf-8"))
    assert [(each.name, each.tokens) for each in shown] == [
        (name, table["hex_id"].to_pylist()) for name, table in cells().items()
    ]
    count = sum(table.num_rows for table in cells().values())
    assert capsys.readouterr().out == f"{output}: {count:,} cells of coarse, middle, fine\n"


def test_the_polygons_of_all_files_go_into_one_geojson(tables: dict[str, Path], tmp_path: Path) -> None:
    output, polygons = tmp_path / "map.html", tmp_path / "cells.geojson"
    assert show("--cells", tables["coarse"], tables["fine"], "--output", output, "--geojson", polygons) == 0
    features = json.loads(polygons.read_text("utf-8"))["features"]
    assert [(f["properties"]["partitioning"], f["properties"]["hex_id"]) for f in features] == [
        (name, token) for name in ("coarse", "fine") for token in cells()[name]["hex_id"].to_pylist()
    ]


def test_files_of_the_same_name_are_told_apart_by_their_paths(tables: dict[str, Path], tmp_path: Path) -> None:
    other = tmp_path / "other" / "coarse.csv"
    write_cells_csv(tmp_path / "fine.csv", cells()["fine"])
    other.parent.mkdir()
    write_cells_csv(other, cells()["middle"])
    output = tmp_path / "map.html"
    assert show("--cells", tables["coarse"], other, tables["fine"], "--output", output) == 0
    assert [each.name for each in shown_cells(output.read_text("utf-8"))] == [str(tables["coarse"]), str(other), "fine"]


def test_without_files_the_partitionings_of_the_profile_are_shown(
    write_profile: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEO_PIPELINE_HOME", str(tmp_path))
    for name, table in cells().items():
        write_table(tmp_path / "small" / "tables" / f"cells_{name}.parquet", table)
    output = tmp_path / "map.html"
    assert main(["--profile", str(write_profile()), "show-cells", "--output", str(output)]) == 0
    page = output.read_text("utf-8")
    assert "<title>small: S2 cells: " in page
    assert [each.name for each in shown_cells(page)] == ["coarse", "middle", "fine"]


def test_a_profile_whose_cells_were_never_made_says_so(
    write_profile: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("GEO_PIPELINE_HOME", str(tmp_path))
    assert main(["--profile", str(write_profile()), "show-cells", "--output", str(tmp_path / "map.html")]) == 2
    assert "cells_coarse.parquet: the table is not there; materialize" in capsys.readouterr().err


def test_nothing_is_written_where_one_table_is_bad(
    tables: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tables["fine"].write_text("class_label,hex_id\n", encoding="utf-8")
    before = set(tmp_path.iterdir())
    options = ("--output", tmp_path / "map.html", "--geojson", tmp_path / "cells.geojson")
    assert show("--cells", *tables.values(), *options) == 2
    assert "fine.csv: no column imgs_per_cell" in capsys.readouterr().err
    assert set(tmp_path.iterdir()) == before


@pytest.mark.parametrize("option", ["--output", "--geojson"])
def test_a_table_is_never_overwritten(
    tables: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    before = tables["fine"].read_bytes()
    options = {"--output": tmp_path / "map.html", option: tables["fine"]}
    assert show("--cells", *tables.values(), *(each for pair in options.items() for each in pair)) == 2
    assert f"{option} {tables['fine']}: would overwrite another file" in capsys.readouterr().err
    assert tables["fine"].read_bytes() == before


def test_the_page_and_the_polygons_need_a_file_each(
    tables: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert show("--cells", tables["fine"], "--output", tmp_path / "one", "--geojson", tmp_path / "one") == 2
    assert "would overwrite another file" in capsys.readouterr().err
    assert not (tmp_path / "one").exists()
