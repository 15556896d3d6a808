"""Where a network places photos.

Here live the forward pass over crops and the table of answers. The arithmetic of combining is in `combination.py`.
The one idea: an answer is a cell's class label, its coordinate and a confidence, one for each partitioning and one
for f*; memory holds one batch, whatever the number of photos.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from geo_pipeline.model.checkpoint import TrainedNetwork, load_network
from geo_pipeline.model.combination import Combine, best_class, combine_crops, hierarchical_scores
from geo_pipeline.model.geography import HIERARCHY, Geography
from geo_pipeline.model.network import GeoModel
from geo_pipeline.model.preprocessing import NumCrops
from geo_pipeline.model.stored_photos import StoredPhotos, TestCrops

ANSWERS_SCHEMA = pa.schema(
    [
        ("photo_id", pa.string()),
        ("p_key", pa.string()),
        ("class_label", pa.int32()),
        ("latitude", pa.float64()),
        ("longitude", pa.float64()),
        ("probability", pa.float64()),
    ]
)


class Answer(NamedTuple):
    """The cell chosen for each photo of a batch (int64[n]) and the confidence in it (float32[n], 0 to 1)."""

    class_labels: npt.NDArray[np.int64]
    probabilities: npt.NDArray[np.float32]


def log_probabilities(network: GeoModel, crops: Tensor, combine: Combine) -> list[Tensor]:
    """uint8[n, crops, 3, h, w] -> log probabilities float32[n, classes] for each partitioning, crops combined."""
    num_photos, num_crops = crops.shape[:2]
    heads = network(crops.flatten(0, 1))
    return [combine_crops(head.log_softmax(dim=1).unflatten(0, (num_photos, num_crops)), combine) for head in heads]


def answers_of(heads: Sequence[Tensor], geography: Geography) -> dict[str, Answer]:
    """The answers by `p_key` from log probabilities float32[n, classes] of each partitioning, coarse first."""
    hierarchy = torch.from_numpy(geography.hierarchy).to(heads[0].device)
    scores = {**dict(zip(geography.names, heads, strict=True)), HIERARCHY: hierarchical_scores(heads, hierarchy)}
    return {p_key: Answer(*(values.cpu().numpy() for values in best_class(score))) for p_key, score in scores.items()}


def predict_photos(
    checkpoint: Path,
    photos: pa.Table,
    shards_root: Path,
    *,
    crops: NumCrops = 5,
    combine: Combine = "max",
    batch_size: int = 64,
    device: str | None = None,
) -> pa.Table:
    """Where the network of a checkpoint places photos: a table of `ANSWERS_SCHEMA`, the rows of a photo together.

    `photos` has `photo_id, shard, offset, length`; `batch_size` counts photos; `device` is a torch device, by default
    the accelerator if there is one. `probability` is the share of the answer among all cells of its partitioning.
    Raises InputError for a file that is no checkpoint of ours and for damaged shards.
    """
    model = load_network(checkpoint, torch.device(device or _default_device()))
    dataset = TestCrops(StoredPhotos(photos, shards_root), model.settings, crops)
    loader: Iterator[Tensor] = iter(DataLoader(dataset, batch_size=batch_size))  # type: ignore[arg-type]
    tables = [ANSWERS_SCHEMA.empty_table()]
    for start in range(0, photos.num_rows, batch_size):
        photo_ids = photos["photo_id"].slice(start, batch_size).to_pylist()
        tables.append(_table(photo_ids, _answer(model, next(loader), combine), model.geography))
    return pa.concat_tables(tables)


def _default_device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


@torch.inference_mode()
def _answer(model: TrainedNetwork, crops: Tensor, combine: Combine) -> dict[str, Answer]:
    """The answers for one batch of crops."""
    pixels = crops.to(model.network.pixel_mean.device)
    return answers_of(log_probabilities(model.network, pixels, combine), model.geography)


def _table(photo_ids: Sequence[str], answers: dict[str, Answer], geography: Geography) -> pa.Table:
    """One batch of answers as rows, ordered by photo and then by `p_key`."""
    parts = []
    for p_key, answer in answers.items():
        partitioning = geography.partitioning_of(p_key)
        labels = answer.class_labels
        coordinates = partitioning.latitudes[labels], partitioning.longitudes[labels]
        columns = [photo_ids, [p_key] * len(photo_ids), labels, *coordinates, answer.probabilities.astype(np.float64)]
        arrays = [pa.array(column, type=field.type) for column, field in zip(columns, ANSWERS_SCHEMA, strict=True)]
        parts.append(pa.table(arrays, schema=ANSWERS_SCHEMA))
    rows = np.arange(len(parts) * len(photo_ids)).reshape(len(parts), -1).T.ravel()
    return pa.concat_tables(parts).take(rows)
