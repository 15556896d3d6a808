"""Where a network places photos, as a table.

Here lives the table of answers. The network at work is in `predictor.py`, what is answered is decided in
`decisions.py`, the arithmetic of combining is in `combination.py`. The one idea: memory holds one batch, whatever the
number of photos.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from torch import Tensor

from geo_pipeline.model.calibration import Calibration
from geo_pipeline.model.combination import best_class, hierarchical_scores
from geo_pipeline.model.crop_batches import PictureSource
from geo_pipeline.model.decisions import Decider, Decision
from geo_pipeline.model.geography import HIERARCHY, Geography
from geo_pipeline.model.prediction_rows import by_photo
from geo_pipeline.model.predictor import PredictionOptions, Predictor
from geo_pipeline.model.scenes import UNKNOWN, pick_scene
from geo_pipeline.model.stored_photos import StoredPhotos

ANSWERS_SCHEMA = pa.schema(
    [
        ("photo_id", pa.string()),
        ("p_key", pa.string()),
        ("class_label", pa.int32()),
        ("latitude", pa.float64()),
        ("longitude", pa.float64()),
        ("probability", pa.float64()),
        ("confidence", pa.float64()),
    ]
)


class Answer(NamedTuple):
    """The cell chosen for each photo of a batch (int64[n]) and the confidence in it (float32[n], 0 to 1)."""

    class_labels: npt.NDArray[np.int64]
    probabilities: npt.NDArray[np.float32]


@dataclass(frozen=True)
class AnsweredBatch:
    """Answers (`ANSWERS_SCHEMA`) for some photos of a source, and why other rows of it gave no picture."""

    answers: pa.Table
    num_photos: int
    faults: Mapping[int, str]


def answers_of(heads: Sequence[Tensor], geography: Geography) -> dict[str, Answer]:
    """The answers by `p_key` from log probabilities float32[n, classes] of each partitioning, coarse first."""
    hierarchy = torch.from_numpy(geography.hierarchy).to(heads[0].device)
    scores = {**dict(zip(geography.names, heads, strict=True)), HIERARCHY: hierarchical_scores(heads, hierarchy)}
    return {p_key: Answer(*(values.cpu().numpy() for values in best_class(score))) for p_key, score in scores.items()}


def predict_photos(
    checkpoint: Path,
    photos: pa.Table,
    shards_root: Path,
    options: PredictionOptions | None = None,
    *,
    calibration: Calibration | None = None,
    rules: Sequence[str] = (),
) -> pa.Table:
    """Where the network of a checkpoint places stored photos: `ANSWERS_SCHEMA`, the rows of a photo together.

    `photos` has `photo_id, shard, offset, length`; without options those of the default; rules: those of `Decider`.
    `probability` is the share of the answer among all cells of its partitioning, `confidence` the probability by f*
    that the truth lies within `CONFIDENCE_RADIUS_KM` of it, both as calibrated.
    Raises InputError for a file that is no checkpoint of ours and for damaged shards.
    """
    predictor = Predictor(checkpoint, options or PredictionOptions(), calibration)
    decider = Decider(predictor.geography, predictor.device, rules)
    batches = answer_photos(predictor, decider, StoredPhotos(photos, shards_root), photos["photo_id"].to_pylist())
    return pa.concat_tables([ANSWERS_SCHEMA.empty_table(), *(batch.answers for batch in batches)])


def predict_by_scene(
    checkpoints: Mapping[str, Path],
    fallback: Path,
    photos: pa.Table,
    predict: Callable[[Path, pa.Table], pa.Table],
) -> pa.Table:
    """ISN(M, f*, S3): the answers for each photo of the network of its most probable scene, `ANSWERS_SCHEMA`.

    checkpoints: of each scene; fallback: of the network for photos of which no scene is known. `photos` has a column
    `probability_<scene>` for each scene; predict: the answers of a checkpoint for some of the photos.
    """
    picked = pick_scene(photos, list(checkpoints))
    tables = [ANSWERS_SCHEMA.empty_table()]
    for number, checkpoint in {**dict(enumerate(checkpoints.values())), UNKNOWN: fallback}.items():
        chosen = photos.filter(pa.array(picked == number))
        if chosen.num_rows:
            tables.append(predict(checkpoint, chosen))
    return pa.concat_tables(tables)


def answer_photos(
    predictor: Predictor, decider: Decider, source: PictureSource, photo_ids: Sequence[str]
) -> Iterator[AnsweredBatch]:
    """The answers for the photos of a source, some at a time; photo_ids: one for each row of it."""
    for batch in predictor.beliefs(source):
        decisions = decider.decide(batch.beliefs)
        answers = answers_table([photo_ids[row] for row in batch.rows], decisions, predictor.geography)
        yield AnsweredBatch(answers, len(batch.rows), batch.faults)


def answers_table(photo_ids: Sequence[str], decisions: Mapping[str, Decision], geography: Geography) -> pa.Table:
    """Decisions about some photos as a table of `ANSWERS_SCHEMA`, ordered by photo and then by `p_key`."""
    parts = []
    for p_key, decision in decisions.items():
        partitioning, labels = geography.partitioning_of(p_key), decision.class_labels
        coordinates = partitioning.latitudes[labels], partitioning.longitudes[labels]
        beliefs = decision.probabilities, decision.confidences
        columns = [photo_ids, [p_key] * len(photo_ids), labels, *coordinates, *beliefs]
        arrays = [pa.array(column, type=field.type) for column, field in zip(columns, ANSWERS_SCHEMA, strict=True)]
        parts.append(pa.table(arrays, schema=ANSWERS_SCHEMA))
    return by_photo(parts)
