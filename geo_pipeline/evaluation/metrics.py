"""What a training run wrote down, in the form in which it is drawn.

Here lives the reading of metric rows, one for each epoch. Not here: writing them (training), drawing (charts.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from geo_pipeline.evaluation.accuracy import HIERARCHY

MetricRow = Mapping[str, Any]
"""A line of `metrics.jsonl` (geo_pipeline.training.metrics.EpochMetrics): numbers by name, some in nested mappings."""

Series = dict[str, list[float]]

_LOSSES = {"train_loss": "training", "validation_loss": "validation"}


def loss_series(rows: Sequence[MetricRow]) -> tuple[list[int], Series]:
    """The epochs, and the losses of training and validation that stand in every row, by what to call them."""
    return _series(rows, _LOSSES)


def head_loss_series(rows: Sequence[MetricRow]) -> tuple[list[int], Series]:
    """The epochs, and the validation losses of the first four heads, by the partitioning's name."""
    heads = [name for name in rows[0]["validation"] if name != "loss"][:4]
    return _series(rows, {f"validation_{name}": name for name in heads})


def accuracy_series(rows: Sequence[MetricRow]) -> tuple[list[int], Series]:
    """The epochs, and the percent of validation photos that f* places within each radius, by `<radius> km`."""
    return _series(rows, {f"accuracy_{HIERARCHY}_{radius}": f"{radius} km" for radius in (25, 200, 750)})


def _series(rows: Sequence[MetricRow], names: Mapping[str, str]) -> tuple[list[int], Series]:
    flat = [flattened(row) for row in rows]
    present = {key: title for key, title in names.items() if flat and all(key in row for row in flat)}
    return [int(row["epoch"]) for row in flat], {title: [row[key] for row in flat] for key, title in present.items()}


def flattened(row: MetricRow) -> dict[str, float]:
    """The numbers of a row; those of a nested mapping as `outer_inner`."""
    numbers: dict[str, float] = {}
    for name, value in row.items():
        if isinstance(value, Mapping):
            numbers |= {f"{name}_{inner}": number for inner, number in flattened(value).items()}
        elif isinstance(value, int | float):
            numbers[name] = float(value)
    return numbers
