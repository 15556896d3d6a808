from collections.abc import Callable
from pathlib import Path

import pytest

from geo_pipeline.cells.cell_id import levels
from geo_pipeline.cells.published import read_cells_csv, write_cells_csv
from geo_pipeline.cells.table import CELLS_SCHEMA, cell_ids_of
from geo_pipeline.errors import InputError
from geo_pipeline_tests.cells.oracle import real_data

HEADER = "class_label,hex_id,imgs_per_cell,latitude_mean,longitude_mean"
GOOD = ["0,47e5,60,48.1,2.0", "1,0d1,70,36.0,-6.5"]


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """A function that writes lines to a file and returns its path."""

    def to_file(*lines: str) -> Path:
        path = tmp_path / "cells.csv"
        path.write_text("\n".join(lines) + "\n")
        return path

    return to_file


def test_what_is_written_reads_back_to_the_same_bits(write: Callable[..., Path], tmp_path: Path) -> None:
    cells = read_cells_csv(write(HEADER, *GOOD))
    assert cells.schema == CELLS_SCHEMA
    assert cells["hex_id"].to_pylist() == ["47e5", "0d1"]
    write_cells_csv(tmp_path / "again.csv", cells)
    assert read_cells_csv(tmp_path / "again.csv") == cells
    assert (tmp_path / "again.csv").read_text().splitlines() == [HEADER, *GOOD]


def test_the_two_lines_before_the_header_of_the_original_files_are_accepted(write: Callable[..., Path]) -> None:
    plain = read_cells_csv(write(HEADER, *GOOD))
    assert read_cells_csv(write("num_images: 4723695", "min_concept_probability: ---", HEADER, *GOOD)) == plain


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("1,4.7E+06,70,36.0,-6.5", "line 3: hex_id '4.7E\\+06' is not an S2 token"),
        ("1,4780000,70,36.0,-6.5", "line 3: hex_id '4780000' is not an S2 token"),
        ("1,d1,70,36.0,-6.5", "line 3: hex_id 'd1' is not an S2 token"),
        ("1,94,70,36.0,-6.5", "line 3: the mean point 36.0, -6.5 is not in the cell"),
        ("1,47e5,70,48.1,2.0", "line 3: the same hex_id as in line 2"),
        ("0,0d1,70,36.0,-6.5", "line 3: the same class_label as in line 2"),
        ("7,0d1,70,36.0,-6.5", "line 3: class_label 7 is not below the number of cells, 2"),
        ("1,47e54,70,48.1,2.0", "cells 47e5 and 47e54 overlap"),
        ("-1,0d1,70,36.0,-6.5", "line 3: class_label '-1' is not a whole number"),
        ("1,0d1,7.5,36.0,-6.5", "line 3: imgs_per_cell '7.5' is not a whole number"),
        ("1,0d1,70,north,-6.5", "line 3: latitude_mean 'north' is not a number of degrees"),
        ("1,0d1,70,nan,-6.5", "line 3: latitude_mean 'nan' is not between -90 and 90"),
        ("1,0d1,70,36.0,-186.5", "line 3: longitude_mean '-186.5' is not between -180 and 180"),
        ("1,0d1", "line 3: imgs_per_cell None is not a whole number"),
    ],
)
def test_a_damaged_line_is_refused_by_its_number(write: Callable[..., Path], line: str, said: str) -> None:
    with pytest.raises(InputError, match=rf"(?s)cells\.csv: .*{said}"):
        read_cells_csv(write(HEADER, GOOD[0], line))


def test_line_numbers_count_the_lines_before_the_header(write: Callable[..., Path]) -> None:
    with pytest.raises(InputError, match="line 5: hex_id 'x'"):
        read_cells_csv(write("num_images: 1", "min_concept_probability: ---", HEADER, GOOD[0], "1,x,70,36.0,-6.5"))


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["class_label,hex_id,latitude_mean,longitude_mean", *GOOD], "no column imgs_per_cell"),
        (GOOD, "no column class_label, hex_id"),
        ([HEADER], "no cells behind the header"),
        ([], "no column class_label"),
    ],
)
def test_a_file_without_header_column_or_cells_is_refused(
    write: Callable[..., Path], lines: list[str], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        read_cells_csv(write(*lines))


def test_an_absent_file_and_a_binary_file_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.csv: no such file"):
        read_cells_csv(tmp_path / "absent.csv")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(InputError, match=r"binary\.csv: not a text file"):
        read_cells_csv(tmp_path / "binary.csv")


@pytest.mark.parametrize(
    ("name", "num_cells", "photos", "largest", "deepest"),
    [
        ("cells_50_5000", 3_298, 4_718_111, 4_998, None),
        ("cells_50_2000", 7_202, 4_702_026, 1_999, None),
        ("cells_50_1000", 12_893, 4_658_503, 1_645, {*range(2, 20), 21, 30}),
    ],
)
def test_the_published_tables_hold_what_their_publishers_say(
    name: str, num_cells: int, photos: int, largest: int, deepest: set[int] | None
) -> None:
    cells = read_cells_csv(real_data(f"{name}.csv"))
    counts = cells["imgs_per_cell"].to_pylist()
    assert (len(counts), sum(counts), min(counts), max(counts)) == (num_cells, photos, 51, largest)
    if deepest is not None:
        deep = levels(cell_ids_of(cells))
        assert set(deep.tolist()) == deepest
        assert [level for level, photos in zip(deep.tolist(), counts, strict=True) if photos > 1000] == [30, 30, 30]


@pytest.mark.parametrize("name", ["cells_50_5000", "cells_50_2000", "cells_50_1000"])
def test_the_spreadsheet_damaged_tables_are_refused_with_the_first_lines(name: str) -> None:
    with pytest.raises(InputError, match=r"bad rows in the table of cells(?s:.*)line \d+: hex_id"):
        read_cells_csv(real_data(f"{name}_spreadsheet_damaged.csv"))
