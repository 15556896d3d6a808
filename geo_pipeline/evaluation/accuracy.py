"""How many answers are right: the share of photos within each radius, with intervals.

Here live the accuracy table and its forms as text. Not here: distances (cells.distance), the drawing behind the
intervals (bootstrap.py), figures (charts, report). The one idea: a group is the answers of one head of one model for
one benchmark, and nothing of another group changes its numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from geo_pipeline.evaluation.bootstrap import interval_over_photos, intervals_over_authors
from geo_pipeline.evaluation.settings import EvaluationSettings

HIERARCHY = "hierarchy"
"""The `p_key` of f*."""

_KNOWN = "author "

ACCURACY_SCHEMA = pa.schema(
    [
        ("benchmark", pa.string()),
        ("model", pa.string()),
        ("p_key", pa.string()),
        ("radius_km", pa.int64()),
        ("accuracy_percent", pa.float64()),
        ("ci_low", pa.float64()),
        ("ci_high", pa.float64()),
        ("num_photos", pa.int64()),
        ("author_ci_low", pa.float64()),
        ("author_ci_high", pa.float64()),
        ("num_authors", pa.int64()),
    ]
)


@dataclass(frozen=True)
class AccuracyRow:
    """One line of a printed table: a head of a model on a benchmark.

    `accuracies`: percent, low and high by radius in km; `over_authors`: low and high by radius, if authors are known.
    """

    benchmark: str
    model: str
    p_key: str
    num_photos: int
    accuracies: Mapping[int, tuple[float, float, float]]
    over_authors: Mapping[int, tuple[float, float]] = field(default_factory=dict)
    num_authors: int | None = None

    @classmethod
    def from_table(cls, accuracy: pa.Table) -> list[Self]:
        """The rows of an accuracy table, one for each (benchmark, model, p_key), in order of appearance."""
        groups: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
        for row in accuracy.to_pylist():
            groups.setdefault((row["benchmark"], row["model"], row["p_key"]), []).append(row)
        return [cls._of_group(key, rows) for key, rows in groups.items()]

    @classmethod
    def _of_group(cls, key: tuple[str, str, str], rows: Sequence[Mapping[str, Any]]) -> Self:
        accuracies = {row["radius_km"]: (row["accuracy_percent"], row["ci_low"], row["ci_high"]) for row in rows}
        known = [row for row in rows if row.get("num_authors") is not None]
        over_authors = {row["radius_km"]: (row["author_ci_low"], row["author_ci_high"]) for row in known}
        return cls(*key, rows[0]["num_photos"], accuracies, over_authors, rows[0].get("num_authors"))

    @property
    def label(self) -> str:
        """The name of the head as the papers write it."""
        return head_label(self.p_key)


def head_label(p_key: str) -> str:
    """How a `p_key` is written for people: `f*` for the hierarchy, `f* mass200` for a rule beside it."""
    return re.sub(rf"^{HIERARCHY}_?", "f* ", p_key).rstrip()


def accuracy_table(predictions: pa.Table, settings: EvaluationSettings) -> pa.Table:
    """The share of photos within each radius, for each benchmark, model and p_key.

    predictions: columns `benchmark, model, p_key, distance_km` (and others). Returns `ACCURACY_SCHEMA`: percent, and
    the ends of the 95 % bootstrap interval over photos. With columns `photo_id, author` and any author in
    them also those of the interval over authors; a photo without one counts as that of an author of its own.
    Groups stand in order of first appearance. The order of rows changes no number.
    """
    groups, of_row = _groups(predictions)
    distances = predictions["distance_km"].to_numpy()
    authors = _authors(predictions)
    records: list[tuple[object, ...]] = []
    for number, group in enumerate(groups):
        rows = np.flatnonzero(of_row == number)
        hits = distances[rows, None] <= np.array(settings.radii_km)
        photos, over_authors = _over_photos(hits, settings), _over_authors(hits, authors, rows, settings)
        for radius_km, shares, more in zip(settings.radii_km, photos, over_authors, strict=True):
            records.append((*group, radius_km, *shares, len(rows), *more))
    columns = [[record[k] for record in records] for k in range(len(ACCURACY_SCHEMA))]
    return pa.table([pa.array(c, type=f.type) for c, f in zip(columns, ACCURACY_SCHEMA, strict=True)], ACCURACY_SCHEMA)


def _over_photos(hits: npt.NDArray[np.bool_], settings: EvaluationSettings) -> Iterator[tuple[float, float, float]]:
    """For each radius the percent of hits and the ends of its interval over photos. hits: bool[photos, radii]."""
    for count in hits.sum(axis=0).tolist():
        interval = interval_over_photos(count, len(hits), samples=settings.bootstrap_samples, seed=settings.seed)
        yield (100 * count / len(hits), *interval)


def _over_authors(
    hits: npt.NDArray[np.bool_],
    authors: npt.NDArray[np.str_] | None,
    rows: npt.NDArray[np.int64],
    settings: EvaluationSettings,
) -> Iterator[tuple[float | None, float | None, int | None]]:
    """For each radius the ends of the interval over authors, and how many there are; None where none is known."""
    if authors is None or not any(author.startswith(_KNOWN) for author in authors[rows]):
        yield from [(None, None, None)] * hits.shape[1]
        return
    names, numbers = np.unique(authors[rows], return_inverse=True)
    ends = intervals_over_authors(hits, numbers, samples=settings.bootstrap_samples, seed=settings.seed)
    yield from ((low, high, len(names)) for low, high in ends.T.tolist())


def _authors(predictions: pa.Table) -> npt.NDArray[np.str_] | None:
    """What photos of one author share, for each row; None where the table knows of no author."""
    if "author" not in predictions.column_names:
        return None
    pairs = zip(predictions["author"].to_pylist(), predictions["photo_id"].to_pylist(), strict=True)
    return np.array([f"{_KNOWN}{author}" if author else f"photo {photo_id}" for author, photo_id in pairs], dtype=str)


def accuracy_markdown(accuracy: pa.Table) -> str:
    """The accuracy table as Markdown: a row for each benchmark, model and head, a column for each radius."""
    return _markdown(_cells_of(accuracy))


def accuracy_text(accuracy: pa.Table) -> str:
    """The accuracy table as aligned text for a terminal."""
    return _aligned(_cells_of(accuracy))


def intervals_over_authors_text(accuracy: pa.Table) -> str:
    """The intervals over authors as aligned text, empty where no author is known."""
    rows = _cells_over_authors(accuracy)
    return _aligned(rows) if rows else ""


def over_authors_markdown(accuracy: pa.Table) -> str:
    """The intervals over authors as Markdown, empty where no author is known."""
    rows = _cells_over_authors(accuracy)
    return _markdown(rows) if rows else ""


def _cells_over_authors(accuracy: pa.Table) -> list[list[str]]:
    """A header and the rows of the intervals over authors, as text; nothing where no author is known."""
    rows = [row for row in AccuracyRow.from_table(accuracy) if row.num_authors is not None]
    radii = list(dict.fromkeys(radius for row in rows for radius in row.over_authors))
    cells = [
        [row.benchmark, row.model, row.label]
        + [f"[{low:.1f}, {high:.1f}]" for low, high in row.over_authors.values()]
        + [str(row.num_authors)]
        for row in rows
    ]
    return [_header(radii, "authors"), *cells] if rows else []


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    header, *others = rows
    return "\n".join("| " + " | ".join(row) + " |" for row in (header, ["---"] * len(header), *others))


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(
            cell.ljust(w) if k < 3 else cell.rjust(w) for k, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def _cells_of(accuracy: pa.Table) -> list[list[str]]:
    """A header and the rows of the printed table, as text."""
    rows = AccuracyRow.from_table(accuracy)
    radii = list(dict.fromkeys(radius for row in rows for radius in row.accuracies))
    return [_header(radii, "photos"), *(_printed(row, radii) for row in rows)]


def _header(radii: Sequence[int], counted: str) -> list[str]:
    return ["benchmark", "model", "head", *(f"{radius} km" for radius in radii), counted]


def _printed(row: AccuracyRow, radii: Sequence[int]) -> list[str]:
    shares = (row.accuracies[radius] for radius in radii)
    cells = (f"{percent:.1f} [{low:.1f}, {high:.1f}]" for percent, low, high in shares)
    return [row.benchmark, row.model, row.label, *cells, str(row.num_photos)]


def _groups(predictions: pa.Table) -> tuple[list[tuple[str, str, str]], npt.NDArray[np.int64]]:
    """The distinct (benchmark, model, p_key) in order of appearance, and the group of each row."""
    keys = list(zip(*(predictions[name].to_pylist() for name in ACCURACY_SCHEMA.names[:3]), strict=True))
    index = {key: k for k, key in enumerate(dict.fromkeys(keys))}
    return list(index), np.fromiter((index[key] for key in keys), dtype=np.int64, count=len(keys))
