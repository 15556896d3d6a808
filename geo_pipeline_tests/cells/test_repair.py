import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from s2sphere import CellId

from geo_pipeline.cells.partitioning import make_partitionings
from geo_pipeline.cells.published import read_cells_csv, write_cells_csv
from geo_pipeline.cells.repair import Repair, may_be_shown_as, repair_cells_csv
from geo_pipeline.cells.settings import PartitioningSettings
from geo_pipeline.errors import InputError
from geo_pipeline_tests.cells.oracle import PUBLISHED, real_data

HEADER = "class_label,hex_id,imgs_per_cell,latitude_mean,longitude_mean"
PARIS = "47e5,60,48.1,2.0"
CADIZ = "0d1,70,36.0,-6.5"


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """A function that writes rows without labels to a file, labels them and returns its path."""

    def to_file(*rows: str) -> Path:
        path = tmp_path / "cells.csv"
        path.write_text("\n".join([HEADER, *(f"{k},{row}" for k, row in enumerate(rows))]) + "\n")
        return path

    return to_file


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_damaged_published_tables_are_restored_exactly(name: str) -> None:
    intact, damaged = real_data(f"{name}.csv"), real_data(f"{name}_spreadsheet_damaged.csv")
    repaired = repair_cells_csv(damaged)
    assert repaired.cells == read_cells_csv(intact)
    with intact.open() as one, damaged.open() as other:
        pairs = [(a["hex_id"], b["hex_id"]) for a, b in zip(csv.DictReader(one), csv.DictReader(other), strict=True)]
    expected = [Repair(k, bad, good) for k, (good, bad) in enumerate(pairs, start=2) if good != bad]
    assert list(repaired.repairs) == expected


@pytest.mark.parametrize("name", PUBLISHED)
def test_an_intact_published_table_stays_as_it_is(name: str) -> None:
    repaired = repair_cells_csv(real_data(f"{name}.csv"))
    assert repaired.cells == read_cells_csv(real_data(f"{name}.csv"))
    assert repaired.repairs == ()


@pytest.mark.parametrize("shown", ["4.7E+06", "4.70E+06", "4700000", "4700000.0", "4,7E+06", "47E5", " 47e5"])
def test_whatever_a_number_looks_like_it_is_restored(write: Callable[..., Path], shown: str) -> None:
    repaired = repair_cells_csv(write(CADIZ, PARIS.replace("47e5", f'"{shown}"')))
    assert repaired.cells["hex_id"].to_pylist() == ["0d1", "47e5"]
    assert repaired.repairs == (Repair(3, shown, "47e5"),)


def row(token: str, photos: int, *, shown: str | None = None) -> str:
    """A row of a cell whose mean point is its centre."""
    centre = CellId.from_token(token).to_lat_lng()
    return f"{shown or token},{photos},{centre.lat().degrees},{centre.lng().degrees}"


def test_lost_zeros_are_restored_where_what_is_left_is_a_token_of_another_place(write: Callable[..., Path]) -> None:
    repaired = repair_cells_csv(write(PARIS, row("079", 3000, shown="79")))
    assert [str(each) for each in repaired.repairs] == ["line 3: hex_id '79' restored to '079'"]


def test_a_text_that_no_token_at_the_mean_point_can_have_become_is_refused(write: Callable[..., Path]) -> None:
    with pytest.raises(InputError, match=r"(?s)1 bad rows.*line 3: hex_id 'x' cannot be restored: no cell"):
        repair_cells_csv(write(PARIS, "x,70,36.0,-6.5"))


def test_several_possible_cells_are_refused_and_named(write: Callable[..., Path]) -> None:
    with pytest.raises(InputError, match=r"(?s)line 2: hex_id '0' cannot be restored: several cells .*0e37, .*0e4"):
        repair_cells_csv(write("0,1161,12.9693070732128,-4.35742651765718"))


AMBIGUOUS = "87520000,52,40.9519864038462,-112.193683365385"


def test_another_row_on_the_ground_makes_the_answer_unique(write: Callable[..., Path]) -> None:
    with pytest.raises(InputError, match="several cells at its mean point read so: 8752e04, 8752e4"):
        repair_cells_csv(write(AMBIGUOUS))
    small = CellId.from_token("8752e04")
    beside = next(c for c in CellId.from_token("8752e4").children() if not c.contains(small))
    repaired = repair_cells_csv(write(AMBIGUOUS, row(beside.to_token(), 60)))
    assert repaired.cells["hex_id"].to_pylist() == ["8752e04", beside.to_token()]


def test_a_cell_alone_in_a_parent_that_nobody_would_have_split_is_impossible(write: Callable[..., Path]) -> None:
    siblings = [row(cell.to_token(), 60) for cell in CellId.from_token("0d1").children()]
    repaired = repair_cells_csv(write(AMBIGUOUS, row("47c", 1000), row("8752ec", 60), *siblings))
    assert repaired.cells["hex_id"][0].as_py() == "8752e4"
    with pytest.raises(InputError, match="no cell at its mean point"):  # 8752e4 would be alone in its parent
        repair_cells_csv(write(AMBIGUOUS, row("47c", 1000), *siblings))


def test_counts_prove_nothing_in_a_table_that_was_made_by_another_rule(write: Callable[..., Path]) -> None:
    siblings = [row(cell.to_token(), 60) for cell in CellId.from_token("0d1").children()]
    lonely = row("80c4", 60)  # its parent would not have been split either
    with pytest.raises(InputError, match="several cells at its mean point read so: 8752e04, 8752e4"):
        repair_cells_csv(write(AMBIGUOUS, row("47c", 1000), lonely, *siblings))


def test_two_rows_for_one_cell_are_refused(write: Callable[..., Path]) -> None:
    with pytest.raises(InputError, match="line 3: the same hex_id as in line 2"):
        repair_cells_csv(write(PARIS, "4700000,70,48.1,2.0"))
    with pytest.raises(InputError, match="line 3: the same hex_id as in line 2"):
        repair_cells_csv(write(CADIZ, CADIZ))


def test_bad_numbers_are_refused_as_by_the_reader(write: Callable[..., Path]) -> None:
    with pytest.raises(InputError, match="line 2: imgs_per_cell 'many'"):
        repair_cells_csv(write("47e5,many,48.1,2.0"))


def in_a_spreadsheet(token: str) -> str:
    """What becomes of a token in a cell of general format, saved as CSV."""
    mantissa, _, power = token.partition("e")
    if mantissa.isdecimal() and (power.isdecimal() or not _):
        value = int(mantissa) * 10 ** int(power or 0)
        return str(value) if value < 10**11 else f"{value:.5E}"
    return token


def test_a_table_made_here_comes_back_from_a_spreadsheet_or_is_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    where = rng.normal(30, 25, 60_000).clip(-89, 89), rng.uniform(-179, 179, 60_000)
    (cells,) = make_partitionings(*where, [PartitioningSettings(img_min=3, img_max=60)])
    write_cells_csv(tmp_path / "intact.csv", cells)
    shown = [in_a_spreadsheet(token) for token in cells["hex_id"].to_pylist()]
    columns = [cells["class_label"].to_pylist(), shown, *(cells[k].to_pylist() for k in cells.column_names[2:])]
    lines = [",".join(map(str, row)) for row in zip(*columns, strict=True)]
    (tmp_path / "damaged.csv").write_text("\n".join([HEADER, *lines]) + "\n")
    repaired = repair_cells_csv(tmp_path / "damaged.csv")
    assert repaired.cells == read_cells_csv(tmp_path / "intact.csv")
    assert len(repaired.repairs) == sum(a != b for a, b in zip(shown, cells["hex_id"].to_pylist(), strict=True)) > 20


@pytest.mark.parametrize(
    ("token", "shown"),
    [
        ("47e63", "4.7E+064"),
        ("47e5", "4.7E+06"),
        ("80e94", "8E+095"),
        ("48670e4", "4.87E+08"),
        ("079", "79"),
        ("346e047", "3.46E+49"),
        ("0e4", "0"),
        ("1234567890123457", "1234567890123450"),
        ("1234567890123457", "1.23457E+15"),
        ("8dec", "8-Dec"),
        ("8dec", "08-Dec"),
        ("45dec", "Dec-45"),
        ("1feb", "1-Feb"),
        ("89c25", "89C25"),
    ],
)
def test_a_spreadsheet_may_show_a_token_so(token: str, shown: str) -> None:
    assert may_be_shown_as(token, shown)


@pytest.mark.parametrize(
    ("token", "shown"),
    [
        ("47e64", "4.7E+064"),
        ("47c", "4.7E+06"),
        ("48640e4", "4.87E+08"),
        ("79", "97"),
        ("8dec", "9-Dec"),
        ("8feb", "8-Dec"),
        ("47e5", ""),
        ("47e5", "47e"),
        ("1234567890123457", "1234567890123400"),
    ],
)
def test_but_not_so(token: str, shown: str) -> None:
    assert not may_be_shown_as(token, shown)
