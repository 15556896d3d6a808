"""Tables of cells as CSV files: the form in which partitionings are published.

Here live the reader, which trusts nothing, and the writer. Not here: mending a damaged table. The one idea: a token is
text; a spreadsheet that took `47e5` for a number leaves something that is no token, or a token of another place, and
both are refused with their line. Format: `class_label,hex_id,imgs_per_cell,latitude_mean,longitude_mean`, in the
original project's files after two lines `num_images: …` and `min_concept_probability: …`.
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

from geo_pipeline.cells.assignment import check_disjoint
from geo_pipeline.cells.cell_id import CellIds, first_leaves, last_leaves, parse_token
from geo_pipeline.cells.geometry import cell_centres
from geo_pipeline.cells.leaf import leaf_ids, unit_vectors
from geo_pipeline.cells.table import CELLS_SCHEMA, cells_table
from geo_pipeline.errors import InputError
from geo_pipeline.store import write_text

_MAX_LINES_BEFORE_HEADER = 2
_MAX_REPORTED = 10
_SLACK = 0.2  # a mean of degrees can lie a little outside of its cell, whose edges are curved on a map of degrees
_REMEDY = "take the table as its authors published it, never saved by a spreadsheet"


@dataclass(frozen=True)
class _Row:
    """One line of the file, parsed."""

    line: int
    cell_id: int
    class_label: int
    imgs_per_cell: int
    latitude_mean: float
    longitude_mean: float


def read_cells_csv(path: Path) -> pa.Table:
    """Read a published partitioning; rows in file order, labels as published.

    Raises InputError naming the file and the first lines where a token is damaged, doubled, far from its mean point or
    overlaps another, where a number is not one, or where the labels are not 0, 1, … n - 1.
    """
    lines = _lines(path)
    rows, problems = [], []
    for line, fields in _records(path, lines):
        try:
            rows.append(_parse(line, fields))
        except ValueError as error:
            problems.append(f"line {line}: {error}")
    _refuse(path, problems)
    cell_ids = np.array([row.cell_id for row in rows], dtype=np.uint64)
    _refuse(path, _misplaced(rows, cell_ids))
    _refuse(path, _doubled(rows))
    try:
        check_disjoint(np.sort(cell_ids))
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    columns = [[getattr(row, name) for row in rows] for name in CELLS_SCHEMA.names if name != "hex_id"]
    return cells_table(cell_ids, *columns)


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


def _parse(line: int, fields: Mapping[str, str | None]) -> _Row:
    """Raises ValueError naming the field."""
    token = fields["hex_id"] or ""
    try:
        cell_id = parse_token(token)
    except ValueError as error:
        raise ValueError(f"hex_id {token!r} is not an S2 token: {error}") from error
    label, photos = (_whole_number(name, fields[name]) for name in ("class_label", "imgs_per_cell"))
    latitude = _degrees("latitude_mean", fields["latitude_mean"], limit=90)
    longitude = _degrees("longitude_mean", fields["longitude_mean"], limit=180)
    return _Row(line, cell_id, label, photos, latitude, longitude)


def _whole_number(name: str, text: str | None) -> int:
    if not (text or "").isdecimal():
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


def _misplaced(rows: Sequence[_Row], cell_ids: CellIds) -> list[str]:
    """Rows whose mean point lies outside of their cell: the token is valid but belongs elsewhere."""
    means = np.array([row.latitude_mean for row in rows]), np.array([row.longitude_mean for row in rows])
    mean, centre = np.stack(unit_vectors(*means)), np.stack(unit_vectors(*cell_centres(cell_ids)))
    x, y, z = (1 - _SLACK) * mean + _SLACK * centre
    leaves = leaf_ids(np.degrees(np.arctan2(z, np.hypot(x, y))), np.degrees(np.arctan2(y, x)))
    outside: npt.NDArray[np.bool_] = (leaves < first_leaves(cell_ids)) | (leaves > last_leaves(cell_ids))
    return [
        f"line {rows[k].line}: the mean point {rows[k].latitude_mean}, {rows[k].longitude_mean} is not in the cell of"
        " hex_id (a token that lost its leading zeros looks so)"
        for k in np.flatnonzero(outside).tolist()
    ]


def _doubled(rows: Sequence[_Row]) -> list[str]:
    """Rows that repeat a token or a label of an earlier row, or whose label leaves a gap."""
    problems = []
    lines_of_cells: dict[int, int] = {}
    lines_of_labels: dict[int, int] = {}
    for row in rows:
        if (earlier := lines_of_cells.setdefault(row.cell_id, row.line)) != row.line:
            problems.append(f"line {row.line}: the same hex_id as in line {earlier}")
        if (earlier := lines_of_labels.setdefault(row.class_label, row.line)) != row.line:
            problems.append(f"line {row.line}: the same class_label as in line {earlier}")
        if row.class_label >= len(rows):
            problems.append(
                f"line {row.line}: class_label {row.class_label} is not below the number of cells, {len(rows)}"
            )
    return problems


def _refuse(path: Path, problems: Sequence[str]) -> None:
    """Raise InputError with the first problems and their number, if there are any."""
    if problems:
        shown = "\n  ".join(problems[:_MAX_REPORTED])
        raise InputError(f"{path}: {len(problems)} bad rows in the table of cells; {_REMEDY}. The first:\n  {shown}")
