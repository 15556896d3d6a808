"""What a training would be: photos, classes, network, steps.

Not here: the training. The one idea: only files that are there are looked at; a number that no file holds yet is None,
and is told as unknown.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from geo_pipeline.cells.published import read_cells_csv
from geo_pipeline.cells.settings import PartitioningSource, PublishedPartitioning
from geo_pipeline.profile import Layout, Profile

BACKBONES = {
    "small_resnet": (1_201_808, 256),
    "resnet18": (11_176_512, 512),
    "resnet34": (21_284_672, 512),
    "resnet50": (23_508_032, 2048),
    "resnet101": (42_500_160, 2048),
    "resnet152": (58_143_808, 2048),
}
"""Parameters and features of a backbone without its classifier, so that no torch is needed to name them."""


@dataclass(frozen=True)
class TrainingPlan:
    """A training: `num_photos` are those downloaded and labelled if `is_downloaded`, else at most so many.

    `num_classes` by partitioning, None until its cells are made; `num_parameters` is None as long as one of them is.
    `scenes`: those that get a network of their own, for `scene_epochs` each.
    """

    num_photos: int
    is_downloaded: bool
    num_classes: Mapping[str, int | None]
    architecture: str
    image_size: int
    num_parameters: int | None
    epochs: int
    batch_size: int
    steps_per_epoch: int
    steps: int
    scenes: tuple[str, ...]
    scene_epochs: int


def training_plan(profile: Profile, layout: Layout, most_photos: int) -> TrainingPlan:
    """The training of a profile; `most_photos`: training photos that are stored or may be had.

    Raises InputError if the training config or a published partitioning cannot be read.
    """
    config = profile.training_config()
    params, epochs = config.model_params, int(config.trainer_params["max_epochs"])
    made = _num_rows(layout.table("training_photos"))
    is_downloaded = made is not None and made <= most_photos  # else it was made for longer lists
    num_photos = made if made is not None and is_downloaded else most_photos
    classes = {name: _num_classes(layout, name, source) for name, source in profile.partitionings.items()}
    steps = math.ceil(num_photos / params.batch_size)
    return TrainingPlan(
        num_photos=num_photos,
        is_downloaded=is_downloaded,
        num_classes=classes,
        architecture=params.architecture,
        image_size=params.image_size,
        num_parameters=_num_parameters(params.architecture, classes),
        epochs=epochs,
        batch_size=params.batch_size,
        steps_per_epoch=steps,
        steps=steps * epochs,
        scenes=tuple(profile.scenes) if profile.scene_training else (),
        scene_epochs=int(profile.scene_config().trainer_params["max_epochs"]) if profile.scene_training else 0,
    )


def _num_classes(layout: Layout, name: str, source: PartitioningSource) -> int | None:
    """Cells of a partitioning: as made, else as published."""
    made = _num_rows(layout.table(f"cells_{name}"))
    if made is None and isinstance(source, PublishedPartitioning):
        return int(read_cells_csv(source.csv).num_rows)
    return made


def _num_rows(table: Path) -> int | None:
    return int(pq.read_metadata(table).num_rows) if table.exists() else None


def _num_parameters(architecture: str, num_classes: Mapping[str, int | None]) -> int | None:
    """Parameters of backbone and heads; None if they are not known yet."""
    known = [number for number in num_classes.values() if number is not None]
    if architecture not in BACKBONES or len(known) < len(num_classes):
        return None
    parameters, features = BACKBONES[architecture]
    return parameters + sum(known) * (features + 1)
