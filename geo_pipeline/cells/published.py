"""Tables of cells as CSV files: the form in which partitionings are published.

Here live the reader, which trusts nothing, and the writer. Not here: mending a damaged table (repair.py). The one idea:
a token is text; a spreadsheet that took `47e5` for a number leaves something that is no token, or a token of another
place, and both are refused with their line. Format: `class_label,hex_id,imgs_per_cell,latitude_mean,longitude_mean`, in
the original project's files after two lines `num_images: …` and `min_concept_probability: …`.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from geo_pipeline.cells.assignment import overlaps
from geo_pipeline.cells.cell_id import CellIds, first_leaves, last_leaves, parse_token, parse_tokens
from geo_pipeline.cells.geometry import cell_centres
from geo_pipeline.cells.leaf import Degrees, leaf_ids, unit_vectors
from geo_pipeline.cells.table import CELLS_SCHEMA, cells_table
from geo_pipeline.errors import InputError
from geo_pipeline.store import write_text

_MAX_LINES_BEFORE_HEADER = 2
_MAX_REPORTED = 10
_MAX_DIGITS = 18  # of a number that fits in 64 bits
_SLACK = 0.2  # a mean of degrees can lie a little outside of its cell, whose edges are curved on a map of degrees
_REMEDY = "take the table as its authors published it, never saved by a spreadsheet"
_REPAIRABLE = f"{_REMEDY}, or have it mended: --repair, in a profile `repair: true`"


@dataclass(frozen=True)
class CellRow:
    """One line of the file: the token as it stands there, the numbers checked."""

    line: int
    hex_id: str
    class_label: int
    imgs_per_cell: int
    latitude_mean: float
    longitude_mean: float


def read_cells_csv(path: Path) -> pa.Table:
    """Read a published partitioning; rows in file order, labels as published.

    Raises InputError naming the file and the first lines where a token is damaged, doubled, far from its mean point or
    overlaps another, where a number is not one, or where the labels are not 0, 1, … n - 1.
    """
    return checked_cells(path, read_rows(path))


def read_rows(path: Path) -> list[CellRow]:
    """The lines of a published partitioning, tokens unread. Raises InputError naming the lines with bad numbers."""
    rows, problems = [], []
    for line, fields in _records(path, _lines(path)):
        try:
            rows.append(_parse(line, fields))
        except ValueError as error:
            problems.append(f"line {line}: {error}")
    refuse(path, problems)
    return rows


def checked_cells(path: Path, rows: Sequence[CellRow]) -> pa.Table:
    """The table of cells of some rows. Raises InputError naming the lines whose token or label cannot be right."""
    unreadable = [f"line {row.line}: {problem}" for row in rows if (problem := token_problem(row.hex_id))]
    refuse(path, unreadable, _REPAIRABLE)
    cell_ids = parse_tokens([row.hex_id for row in rows])
    refuse(path, _misplaced(rows, cell_ids), _REPAIRABLE)
    refuse(path, _doubled(rows))
    refuse(path, _overlapping(rows, cell_ids), _REPAIRABLE)
    columns = [[getattr(row, name) for row in rows] for name in CELLS_SCHEMA.names if name != "hex_id"]
    return cells_table(cell_ids, *columns)


def token_problem(hex_id: str) -> str | None:
    """What is wrong with a text that should be an S2 token, if anything is."""
    try:
        parse_token(hex_id)
    except ValueError as error:
        return f"hex_id {hex_id!r} is not an S2 token: {error}"
    return None


def holds_mean(cell_ids: CellIds, latitudes: Degrees, longitudes: Degrees) -> npt.NDArray[np.bool_]:
    """Whether each point (degrees) can be the mean of the photos in its cell: it lies inside or a little outside."""
    mean, centre = np.stack(unit_vectors(latitudes, longitudes)), np.stack(unit_vectors(*cell_centres(cell_ids)))
    x, y, z = (1 - _SLACK) * mean + _SLACK * centre
    leaves = leaf_ids(np.degrees(np.arctan2(z, np.hypot(x, y))), np.degrees(np.arctan2(y, x)))
    return (first_leaves(cell_ids) <= leaves) & (leaves <= last_leaves(cell_ids))


def mean_points(rows: Sequence[CellRow]) -> tuple[Degrees, Degrees]:
    """Latitudes and longitudes (float64[n], degrees) of the mean points of some rows."""
    return np.array([row.latitude_mean for row in rows]), np.array([row.longitude_mean for row in rows])


def write_cells_csv(path: Path, cells: pa.Table) -> None:
    """Write a table of cells as a CSV file (`cells_csv_text`)."""
    write_text(path, cells_csv_text(cells))


def cells_csv_text(cells: pa.Table) -> str:
    """A table of cells as CSV, header first, one line for each cell; floats read back to the same bits."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CELLS_SCHEMA.names)
    writer.writerows(zip(*(cells[name].to_pylist() for name in CELLS_SCHEMA.names), strict=True))
    return text.getvalue()


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError as error:
        raise InputError(
            f"{path}: no such file; expected a CSV file of cells ({','.join(CELLS_SCHEMA.names)})"
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: not a text file in UTF-8 ({error.reason} at byte {error.start}); {_REMEDY}"
        ) from error


def _records(path: Path, lines: Sequence[str]) -> Iterator[tuple[int, dict[str, str | None]]]:
    """Each record with its line number in the file, from 1."""
    header = next((k for k, line in enumerate(lines[: _MAX_LINES_BEFORE_HEADER + 1]) if "hex_id" in line), None)
    found = next(csv.reader(lines[header : header + 1])) if header is not None else []
    missing = [name for name in CELLS_SCHEMA.names if name not in found]
    if header is None or missing:
        raise InputError(
            f"{path}: no column {', '.join(missing)} in the header; found {','.join(found) or lines[:1]},"
            f" expected {','.join(CELLS_SCHEMA.names)}"
        )
    reader = csv.DictReader(lines[header + 1 :], fieldnames=found)
    yield from ((header + 1 + reader.line_num, record) for record in reader)
    if not reader.line_num:
        raise InputError(f"{path}: no cells behind the header; expected a line for each cell")


def _parse(line: int, fields: Mapping[str, str | None]) -> CellRow:
    """Raises ValueError naming the field."""
    label, photos = (_whole_number(name, fields[name]) for name in ("class_label", "imgs_per_cell"))
    latitude = _degrees("latitude_mean", fields["latitude_mean"], limit=90)
    longitude = _degrees("longitude_mean", fields["longitude_mean"], limit=180)
    return CellRow(line, fields["hex_id"] or "", label, photos, latitude, longitude)


def _whole_number(name: str, text: str | None) -> int:
    if not (text or "").isdecimal() or len(text or "") > _MAX_DIGITS:
        raise ValueError(f"{name} {text!r} is not a whole number of 0 or more")
    return int(text or "")


def _degrees(name: str, text: str | None, limit: float) -> float:
    try:
        degrees = float(text or "")
    except ValueError as error:
        raise ValueError(f"{name} {text!r} is not a number of degrees") from error
    if not abs(degrees) <= limit:  # a NaN compares false
        raise ValueError(f"{name} {text!r} is not between -{limit} and {limit} degrees")
    return degrees


def _misplaced(rows: Sequence[CellRow], cell_ids: CellIds) -> list[str]:
    """Rows whose mean point lies outside of their cell: the token is valid but belongs elsewhere."""
    return [
        f"line {rows[k].line}: the mean point {rows[k].latitude_mean}, {rows[k].longitude_mean} is not in the cell of"
        f" hex_id {rows[k].hex_id} (a token that lost its leading zeros looks so)"
        for k in np.flatnonzero(~holds_mean(cell_ids, *mean_points(rows))).tolist()
    ]


def _overlapping(rows: Sequence[CellRow], cell_ids: CellIds) -> list[str]:
    """Rows whose cell lies in the cell of another row."""
    return [
        f"line {rows[k].line}: cells {rows[holder].hex_id} and {rows[k].hex_id} overlap (line {rows[holder].line})"
        for holder, k in zip(*(indices.tolist() for indices in overlaps(cell_ids)), strict=True)
    ]


def _doubled(rows: Sequence[CellRow]) -> list[str]:
    """Rows that repeat a token or a label of an earlier row, or whose label leaves a gap."""
    problems = []
    lines_of_cells: dict[str, int] = {}
    lines_of_labels: dict[int, int] = {}
    for row in rows:
        if (earlier := lines_of_cells.setdefault(row.hex_id, row.line)) != row.line:
            problems.append(f"line {row.line}: the same hex_id as in line {earlier}")
        if (earlier := lines_of_labels.setdefault(row.class_label, row.line)) != row.line:
            problems.append(f"line {row.line}: the same class_label as in line {earlier}")
        if row.class_label >= len(rows):
            problems.append(
                f"line {row.line}: class_label {row.class_label} is not below the number of cells, {len(rows)}"
            )
    return problems


def refuse(path: Path, problems: Sequence[str], remedy: str = _REMEDY) -> None:
    """Raise InputError with the first problems and their number, if there are any."""
    if problems:
        shown = "\n  ".join(problems[:_MAX_REPORTED])
        raise InputError(f"{path}: {len(problems)} bad rows in the table of cells; {remedy}. The first:\n  {shown}")
