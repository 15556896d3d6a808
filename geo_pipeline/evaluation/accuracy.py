"""How many answers are right: the share of photos within each radius, with an interval.

Here live the accuracy table and its forms as text. Not here: distances (cells.distance), drawing (charts, report).
The one idea: a photo is a hit or it is not, so a group of photos is two numbers, and resampling the photos of a group
is drawing hits from a binomial distribution: the bootstrap needs no loop over photos.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from geo_pipeline.evaluation.settings import EvaluationSettings

HIERARCHY = "hierarchy"
"""The `p_key` of f*."""

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
    ]
)


@dataclass(frozen=True)
class AccuracyRow:
    """One line of a printed table: a head of a model on a benchmark; percent, low and high by radius in km."""

    benchmark: str
    model: str
    p_key: str
    num_photos: int
    accuracies: Mapping[int, tuple[float, float, float]]

    @classmethod
    def from_table(cls, accuracy: pa.Table) -> list[Self]:
        """The rows of an accuracy table, one for each (benchmark, model, p_key), in order of appearance."""
        rows: dict[tuple[str, str, str], Self] = {}
        for row in accuracy.to_pylist():
            key = (row["benchmark"], row["model"], row["p_key"])
            entry = {row["radius_km"]: (row["accuracy_percent"], row["ci_low"], row["ci_high"])}
            seen = rows[key].accuracies if key in rows else {}
            rows[key] = cls(*key, row["num_photos"], {**seen, **entry})
        return list(rows.values())

    @property
    def label(self) -> str:
        """The name of the head as the papers write it."""
        return head_label(self.p_key)


def head_label(p_key: str) -> str:
    """How a `p_key` is written for people: `f*` for the hierarchy, a partitioning by its name."""
    return "f*" if p_key == HIERARCHY else p_key


def accuracy_table(predictions: pa.Table, settings: EvaluationSettings) -> pa.Table:
    """The share of photos within each radius, for each benchmark, model and p_key.

    predictions: columns `benchmark, model, p_key, distance_km` (and others). Returns `ACCURACY_SCHEMA`: percent, and
    the ends of the 95 % bootstrap interval over photos (percentile method: all hits, or none, give an interval of no
    width). Groups stand in order of first appearance. The same counts and seed give the same interval, whatever else
    is in the table.
    """
    groups, of_row = _groups(predictions)
    photos = np.bincount(of_row, minlength=len(groups))
    distances = predictions["distance_km"].to_numpy()
    records = []
    for radius_km in settings.radii_km:
        hits = np.bincount(of_row[distances <= radius_km], minlength=len(groups))
        for group, n, k in zip(groups, photos.tolist(), hits.tolist(), strict=True):
            low, high = _bootstrap_interval(k, n, settings)
            records.append((*group, radius_km, 100 * k / n, low, high, n))
    records.sort(key=lambda record: groups.index(record[:3]))
    columns = zip(*records, strict=True) if records else [() for _ in ACCURACY_SCHEMA]
    return pa.table([pa.array(c, type=f.type) for c, f in zip(columns, ACCURACY_SCHEMA, strict=True)], ACCURACY_SCHEMA)


def accuracy_markdown(accuracy: pa.Table) -> str:
    """The accuracy table as Markdown: a row for each benchmark, model and head, a column for each radius."""
    header, *rows = _cells_of(accuracy)
    return "\n".join("| " + " | ".join(row) + " |" for row in (header, ["---"] * len(header), *rows))


def accuracy_text(accuracy: pa.Table) -> str:
    """The accuracy table as aligned text for a terminal."""
    rows = _cells_of(accuracy)
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
    header = ["benchmark", "model", "head", *(f"{radius} km" for radius in radii), "photos"]
    return [header, *(_printed(row, radii) for row in rows)]


def _printed(row: AccuracyRow, radii: Sequence[int]) -> list[str]:
    shares = (row.accuracies[radius] for radius in radii)
    cells = (f"{percent:.1f} [{low:.1f}, {high:.1f}]" for percent, low, high in shares)
    return [row.benchmark, row.model, row.label, *cells, str(row.num_photos)]


def _groups(predictions: pa.Table) -> tuple[list[tuple[str, str, str]], npt.NDArray[np.int64]]:
    """The distinct (benchmark, model, p_key) in order of appearance, and the group of each row."""
    keys = list(zip(*(predictions[name].to_pylist() for name in ACCURACY_SCHEMA.names[:3]), strict=True))
    index = {key: k for k, key in enumerate(dict.fromkeys(keys))}
    return list(index), np.fromiter((index[key] for key in keys), dtype=np.int64, count=len(keys))


def _bootstrap_interval(hits: int, photos: int, settings: EvaluationSettings) -> tuple[float, float]:
    """2.5th and 97.5th percentile of the share of hits, percent, when the photos are drawn again with replacement."""
    rng = np.random.default_rng([settings.seed, hits, photos])
    shares = rng.binomial(photos, hits / photos, size=settings.bootstrap_samples) * (100 / photos)
    low, high = np.percentile(shares, (2.5, 97.5))
    return float(low), float(high)
