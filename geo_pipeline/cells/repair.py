"""Mending a published table of cells whose tokens a spreadsheet took for numbers.

Here live the search for what a damaged token was, and the proof that nothing else is possible. Not here: what is wrong
with a table that nobody asked to mend (published.py). The one idea: a token is restored where exactly one cell agrees
with all that the table says, and the whole table is refused where one row has none or several. What it says: the mean
point (where the cell lies), the damaged text (what the token was as a number), the other rows (which ground is taken),
and the photo counts (a parent with so few photos would not have been split).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import MAX_EMAX, MIN_EMIN, ROUND_DOWN, ROUND_HALF_UP, Context, Decimal
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from geo_pipeline.cells.assignment import overlaps
from geo_pipeline.cells.cell_id import (
    CellIds,
    first_leaves,
    last_leaves,
    levels,
    lowest_bits,
    parse_token,
    parse_tokens,
    tokens,
)
from geo_pipeline.cells.geometry import cells_around
from geo_pipeline.cells.leaf import leaf_ids
from geo_pipeline.cells.published import (
    CellRow,
    checked_cells,
    holds_mean,
    mean_points,
    read_rows,
    refuse,
    token_problem,
)
from geo_pipeline.cells.settings import MAX_LEVEL

_SHOWN_NUMBER = re.compile(r"(\d+)(?:[.,](\d+))?(e\+?\d+)?")
_NUMBER_TOKEN = re.compile(r"\d+(?:e\d+)?")
_SHOWN_DATE = re.compile(r"(?:(?P<day>\d+)-)?(?P<month>dec|feb)(?:-(?P<year>\d+))?")
_NONE = np.empty(0, dtype=np.uint64)
_KEPT_DIGITS = 15  # a spreadsheet makes zeros of all further digits of a whole number


@dataclass(frozen=True)
class Repair:
    """One token that was restored, with its line in the file (from 1)."""

    line: int
    damaged: str
    token: str

    def __str__(self) -> str:
        return f"line {self.line}: hex_id {self.damaged!r} restored to {self.token!r}"


@dataclass(frozen=True)
class RepairedCells:
    """A table of cells (`CELLS_SCHEMA`, rows in file order) and what was changed in it, by line."""

    cells: pa.Table
    repairs: tuple[Repair, ...]


@dataclass(frozen=True)
class _Limits:
    """What the photo counts tell of the rule that made a table: bounds of `img_min`, `img_max` and `lvl_min`.

    A parent that was split held more than img_max photos. Its photos are those in its kept cells and, as long as
    img_max is at least 4 img_min, at most img_min in each child that has no kept cell in it.
    """

    img_min: int = 0  # or less
    img_max: int = 0  # or more
    lvl_min: int = 0  # or less

    @classmethod
    def of(cls, cell_ids: CellIds, imgs_per_cell: npt.NDArray[np.int64], all_ids: CellIds) -> Self:
        """The bounds that sound rows set, if all of them keep to the rule; else bounds that forbid nothing.

        all_ids: ascending, what the other rows may be as well.
        """
        if not len(cell_ids):
            return cls()
        level = levels(cell_ids)
        split_further = imgs_per_cell[level < level.max()]  # a cell at lvl_max may hold any number
        limits = cls(int(imgs_per_cell.min()) - 1, int(split_further.max(initial=0)), int(level.min()))
        keeps_to = limits.img_max >= 4 * limits.img_min and limits.allow(cell_ids, imgs_per_cell, all_ids).all()
        return limits if keeps_to else cls()

    def allow(self, cell_ids: CellIds, imgs_per_cell: npt.ArrayLike, all_ids: CellIds) -> npt.NDArray[np.bool_]:
        """Which cells may be there: those whose parent was split (all_ids, ascending, may lie in it too)."""
        lowest = lowest_bits(cell_ids) << np.uint64(2)
        parents = cell_ids & ~(lowest - np.uint64(1)) | lowest  # not a cell where there is no parent; see lvl_min
        inside = np.searchsorted(all_ids, last_leaves(parents), "right") - np.searchsorted(
            all_ids, first_leaves(parents)
        )
        has_company = inside > np.isin(parents, all_ids).astype(int) + np.isin(cell_ids, all_ids)
        was_full = np.asarray(imgs_per_cell) + 3 * self.img_min > self.img_max
        return (levels(cell_ids) <= self.lvl_min) | has_company | was_full


def repair_cells_csv(path: Path) -> RepairedCells:
    """Read a published partitioning, its damaged tokens restored; a sound table comes back as it is.

    A token is restored if it cannot be read, lies away from its row's mean point, or lies in or around another row's
    cell, and if exactly one cell around the mean point may have come to read so, beside the other rows' cells.
    Raises InputError naming the file and the first lines with no or several such cells, and otherwise as
    `read_cells_csv` does.
    """
    rows = read_rows(path)
    damaged = _suspects(rows)
    choices = [_NONE if k in damaged else parse_tokens([row.hex_id]) for k, row in enumerate(rows)]
    for k, found in zip(damaged, _candidates([rows[k] for k in damaged]), strict=True):
        choices[k] = found
    _settle(rows, choices, damaged)
    refuse(path, [_doubt(row, found) for row, found in zip(rows, choices, strict=True) if len(found) != 1])
    restored = [replace(row, hex_id=tokens(found)[0]) for row, found in zip(rows, choices, strict=True)]
    repairs = (Repair(a.line, a.hex_id, b.hex_id) for a, b in zip(rows, restored, strict=True) if a != b)
    return RepairedCells(checked_cells(path, restored), tuple(repairs))


def _suspects(rows: Sequence[CellRow]) -> list[int]:
    """The indices of rows whose token cannot be read, is far from the mean point or overlaps that of another row."""
    readable = np.array([k for k, row in enumerate(rows) if not token_problem(row.hex_id)], dtype=np.int64)
    ids = np.array([parse_token(rows[k].hex_id) for k in readable], dtype=np.uint64)
    placed = holds_mean(ids, *mean_points([rows[k] for k in readable]))
    sound = np.zeros(len(rows), dtype=bool)
    sound[readable[placed]] = True
    for indices in overlaps(ids[placed]):
        sound[readable[placed][indices]] = False
    return np.flatnonzero(~sound).tolist()


def _candidates(rows: Sequence[CellRow]) -> list[CellIds]:
    """For each row the cells of all levels at its mean point whose token may have come to read as it does."""
    latitudes, longitudes = mean_points(rows)
    lowest = np.uint64(1) << np.arange(0, 2 * MAX_LEVEL + 1, 2, dtype=np.uint64)
    ancestors = leaf_ids(latitudes, longitudes)[:, None] & ~(lowest - np.uint64(1)) | lowest
    around = cells_around(ancestors.ravel()).reshape(len(rows), 9 * len(lowest))
    points = (np.repeat(degrees, around.shape[1]) for degrees in (latitudes, longitudes))
    possible = holds_mean(around.ravel(), *points).reshape(around.shape)
    near = (np.unique(ids[can]) for ids, can in zip(around, possible, strict=True))
    return [_reading_as(row.hex_id, ids) for row, ids in zip(rows, near, strict=True)]


def _reading_as(text: str, cell_ids: CellIds) -> CellIds:
    """The cells whose token a spreadsheet may show as this text."""
    return cell_ids[[may_be_shown_as(token, text) for token in tokens(cell_ids)]]


def may_be_shown_as(token: str, text: str) -> bool:
    """Whether a spreadsheet may show an S2 token as this text.

    It shows a token as it is or, taken for a number, without leading zeros (`079` as `79`), written out (`47e5` as
    `4700000`) or as a power of ten, rounded to the digits shown (`4.7E+06`); taken for a date, as `8-Dec`.
    """
    shown = text.strip().lower()
    if shown == token:
        return True
    if date := _SHOWN_DATE.fullmatch(shown):
        number = int(date["day"] or date["year"] or 0)
        return token.lstrip("0") == f"{number}{date['month']}"
    number_shown = _SHOWN_NUMBER.fullmatch(shown)
    if not number_shown or not _NUMBER_TOKEN.fullmatch(token):
        return False
    whole, fraction, power = number_shown.groups(default="")
    digits = len((whole + fraction).lstrip("0"))
    kept = max(1, digits if power else min(digits, _KEPT_DIGITS))
    return Decimal(f"{whole}.{fraction}{power}") in _rounded(token, kept)


def _rounded(number: str, digits: int) -> Iterator[Decimal]:
    """A number rounded and cut to so many digits."""
    for rounding in (ROUND_HALF_UP, ROUND_DOWN):
        yield Context(digits, rounding, Emin=MIN_EMIN, Emax=MAX_EMAX).create_decimal(number)


def _settle(rows: Sequence[CellRow], choices: list[CellIds], damaged: Sequence[int]) -> None:
    """Strike out choices that the other rows make impossible, until nothing changes any more."""
    counts = np.array([row.imgs_per_cell for row in rows])
    sound = np.setdiff1d(np.arange(len(rows)), damaged)
    limits = _Limits.of(_joined([choices[k] for k in sound]), counts[sound], np.sort(_joined(choices)))
    open_rows = [k for k in damaged if len(choices[k]) > 1]
    before = None
    while before != (before := sum(len(choices[k]) for k in open_rows)):
        for k in open_rows:
            others = choices[:k] + choices[k + 1 :]
            allowed = limits.allow(choices[k], counts[k], np.sort(_joined(others)))
            choices[k] = choices[k][allowed & ~_crowd_out(choices[k], others)]


def _crowd_out(cell_ids: CellIds, others: Sequence[CellIds]) -> npt.NDArray[np.bool_]:
    """Which cells overlap all choices of some other row."""
    held = [found for found in others if len(found)]
    if not held:
        return np.zeros(len(cell_ids), dtype=bool)
    ids, starts = _joined(held), np.cumsum([0, *map(len, held[:-1])])
    firsts, lasts = first_leaves(cell_ids)[:, None], last_leaves(cell_ids)[:, None]
    overlap = (first_leaves(ids) <= lasts) & (firsts <= last_leaves(ids))
    all_choices: npt.NDArray[np.bool_] = np.logical_and.reduceat(overlap, starts, axis=1)
    crowded: npt.NDArray[np.bool_] = np.logical_or.reduce(all_choices, axis=1)
    return crowded


def _joined(choices: Sequence[CellIds]) -> CellIds:
    return np.concatenate([_NONE, *choices])


def _doubt(row: CellRow, left: CellIds) -> str:
    """Why a row's token cannot be restored."""
    found = f"several cells at its mean point read so: {', '.join(tokens(left))}"
    if not len(left):
        found = f"no cell at its mean point {row.latitude_mean}, {row.longitude_mean} reads so and fits the other rows"
    return f"line {row.line}: hex_id {row.hex_id!r} cannot be restored: {found}"
