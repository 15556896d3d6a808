"""What is told about each epoch, and the file that tells it.

Here live the record of an epoch and `metrics.jsonl`, one JSON object a line, which the Dagster asset follows while the
training runs. The one idea: a line is written once, when its epoch is complete; a training that resumes removes the
lines of epochs that it will do again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from geo_pipeline.cells.distance import great_circle_km
from geo_pipeline.model.geography import Geography
from geo_pipeline.model.prediction import Answer
from geo_pipeline.store import write_text

METRICS_FILE = "metrics.jsonl"
RADII_KM = (25, 200, 750)


@dataclass(frozen=True)
class EpochMetrics:
    """One line of `metrics.jsonl`.

    `train` and `validation`: the combined loss as `loss`, and the loss of each head by its partitioning's name;
    `accuracy`: percent of the validation photos whose answer lies within so many km, by `p_key` and radius.
    `validation` and `accuracy` are empty where the epoch was not validated (`check_val_every_n_epoch`).
    `learning_rate` is that of the epoch's last step; `damaged` photos of the epoch (since a resumption, if there was
    one) could not be read and were left out; the rest is the epoch's pace (`pace.EpochPace`), None where the machine
    has no such number.
    """

    epoch: int
    train: Mapping[str, float]
    validation: Mapping[str, float]
    accuracy: Mapping[str, Mapping[str, float]]
    learning_rate: float
    photos_per_second: float
    seconds: float
    waiting_share: float | None = None
    peak_memory_bytes: int | None = None
    model_flops_utilisation: float | None = None
    damaged: int = 0


def append_epoch(path: Path, metrics: EpochMetrics) -> None:
    """Append one line, which is on the disk when this returns."""
    with path.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(asdict(metrics)) + "\n")
        stream.flush()
        os.fsync(stream.fileno())


def keep_epochs_before(path: Path, epoch: int) -> None:
    """Remove the lines of `epoch` and later, and a line that a kill left unfinished."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
    whole = [line for line in lines if line.endswith("\n")]
    write_text(path, "".join(line for line in whole if json.loads(line)["epoch"] < epoch))


def accuracy_percent(
    answers: Mapping[str, Answer], coordinates: npt.NDArray[np.float64], geography: Geography
) -> dict[str, dict[str, float]]:
    """Percent of photos placed within each of `RADII_KM`, by `p_key` and radius; coordinates float64[n, 2], degrees."""
    return {
        p_key: {str(radius): 100.0 * float(np.mean(distances <= radius)) for radius in RADII_KM}
        for p_key, distances in distances_km(answers, coordinates, geography).items()
    }


def distances_km(
    answers: Mapping[str, Answer], coordinates: npt.NDArray[np.float64], geography: Geography
) -> dict[str, npt.NDArray[np.float64]]:
    """Great-circle distance from each answer to the truth, float64[n], by `p_key`."""
    distances = {}
    for p_key, answer in answers.items():
        cells = geography.partitioning_of(p_key)
        labels = answer.class_labels
        distances[p_key] = great_circle_km(
            cells.latitudes[labels], cells.longitudes[labels], coordinates[:, 0], coordinates[:, 1]
        )
    return distances


def concatenated(batches: Sequence[Mapping[str, Answer]]) -> dict[str, Answer]:
    """The answers of several batches as one, by `p_key`."""
    return {
        p_key: Answer(*(np.concatenate(parts) for parts in zip(*(batch[p_key] for batch in batches), strict=True)))
        for p_key in batches[0]
    }


def read_epochs(path: Path) -> list[EpochMetrics]:
    """The epochs that a file tells of."""
    return [EpochMetrics(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


def best_epoch(path: Path) -> EpochMetrics:
    """The epoch whose weights `best.ckpt` holds: with the least validation loss, the last one if none was validated."""
    epochs = read_epochs(path)
    validated = [epoch for epoch in epochs if epoch.validation]
    return min(validated, key=lambda epoch: epoch.validation["loss"]) if validated else epochs[-1]
