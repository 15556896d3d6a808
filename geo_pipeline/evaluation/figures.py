"""Figures as PNG files, for the Dagster page and for anything else that shows pictures.

Here live the functions that take plain tables and return bytes. Not here: the drawing itself (charts.py, maps.py,
sheet.py) and the report, which puts the same figures into a page as SVG.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from geo_pipeline.evaluation import charts, maps
from geo_pipeline.evaluation.metrics import MetricRow, accuracy_series, head_loss_series, loss_series
from geo_pipeline.evaluation.reliability import Reliability
from geo_pipeline.evaluation.sheet import photo_sheet
from geo_pipeline.evaluation.theme import png

__all__ = [
    "accuracy_curves",
    "cells_map",
    "error_distribution",
    "error_map",
    "head_loss_curves",
    "histogram",
    "loss_curves",
    "outcome_bars",
    "photo_sheet",
    "reliability_plot",
]


def cells_map(cells: Mapping[str, pa.Table]) -> bytes:
    """World maps of partitionings (tables of cells by name): the more photos in a cell, the more opaque it is."""
    return png(maps.cells_figure(cells))


def error_map(predictions: pa.Table) -> bytes:
    """A world map of errors, true place -> answer.

    predictions: `true_latitude, true_longitude, latitude, longitude, distance_km`, one row for each photo: choose one
    benchmark, model and p_key first.
    """
    return png(maps.error_figure(predictions))


def error_distribution(predictions: pa.Table, radii_km: Sequence[int] = (1, 25, 200, 750, 2500)) -> bytes:
    """For each p_key the share of photos by distance. predictions: `p_key, distance_km` of one benchmark and model."""
    return png(charts.error_distribution_figure(predictions, radii_km))


def reliability_plot(series: Mapping[str, Reliability]) -> bytes:
    """How often answers come true, by their probability: a line for each of at most four series."""
    return png(charts.reliability_figure(series))


def loss_curves(rows: Sequence[MetricRow]) -> bytes:
    """Training and validation loss by epoch. rows: the lines of `metrics.jsonl`, at least one."""
    return png(charts.loss_figure(*loss_series(rows)))


def head_loss_curves(rows: Sequence[MetricRow]) -> bytes:
    """The validation loss of each head by epoch. rows: the lines of `metrics.jsonl`, all of validated epochs."""
    return png(charts.loss_figure(*head_loss_series(rows)))


def accuracy_curves(rows: Sequence[MetricRow]) -> bytes:
    """Percent of validation photos that f* places within each radius, by epoch. rows: as of `head_loss_curves`."""
    return png(charts.accuracy_figure(*accuracy_series(rows)))


def histogram(values: npt.NDArray[np.int64], label: str, counted: str, *, logarithmic: bool = False) -> bytes:
    """How often which whole numbers occur; label: what they are (`S2 level`), counted: what has them (`cells`)."""
    return png(charts.histogram_figure(values, label, counted, logarithmic=logarithmic))


def outcome_bars(counts: pa.Table) -> bytes:
    """Outcomes of downloads as shares, a bar for each row.

    counts: a column of names (photo sets, hosts), `photos`, `ok` and a column for each other outcome, at least one row.
    """
    return png(charts.outcomes_figure(counts))
