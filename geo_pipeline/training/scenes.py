"""Scene networks, ISN(M, f*, S3): which photos teach each of them, and its job.

Here live the choice of a scene's photos and the order for its training. Not here: picking a network for a photo to
predict (geo_pipeline.model.scenes). It imports no torch. The one idea: a scene's training is a training like any other,
which begins with the weights of base(M, f*) and sees only photos of its scene; a photo may be of several scenes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from geo_pipeline.errors import InputError
from geo_pipeline.model.scenes import probability_column
from geo_pipeline.store import write_table
from geo_pipeline.training.config import SceneParams, SceneTrainingConfig, TrainingConfig
from geo_pipeline.training.job import INPUTS_FOLDER, Earlier, TrainingJob
from geo_pipeline.training.selection import Selection


@dataclass(frozen=True)
class ScenePhotos:
    """The photos of a scene, as tables of the columns that they are taken from."""

    training: pa.Table
    validation: pa.Table


def photos_of_scenes(
    scenes: Iterable[str], training: pa.Table, validation: pa.Table, params: SceneParams
) -> dict[str, ScenePhotos]:
    """The photos of each scene, by the same rule for training and validation.

    Raises InputError naming every scene that has too few of them, with their number and the threshold.
    """
    found = {
        scene: ScenePhotos(photos_of_scene(training, scene, params), photos_of_scene(validation, scene, params))
        for scene in scenes
    }
    too_few = [
        f"  - {scene}: {each.training.num_rows:,} of {training.num_rows:,} training photos, "
        f"{each.validation.num_rows:,} of {validation.num_rows:,} validation photos"
        for scene, each in found.items()
        if each.training.num_rows < params.min_photos or each.validation.num_rows == 0
    ]
    if too_few:
        head = (
            f"too few photos are of a scene with a probability of more than {params.min_probability:g}; expected at "
            f"least {params.min_photos:,} for training and one for validation:"
        )
        remedy = (
            "lower scene_params.min_probability or min_photos in the config of the scene networks, or take the scene "
            "out of the profile's `scenes`"
        )
        raise InputError("\n".join([head, *too_few, remedy]))
    return found


def photos_of_scene(photos: pa.Table, scene: str, params: SceneParams) -> pa.Table:
    """The photos whose probability of the scene exceeds the threshold; not those of which it is unknown.

    The note of the table's filters goes on with this one. Raises InputError if there is no column of the probability.
    """
    name = probability_column(scene)
    if name not in photos.column_names:
        raise InputError(f"the photos have no column {name}; they have {', '.join(photos.column_names)}")
    chosen = photos.filter(pc.greater(photos[name], params.min_probability))
    counts = Selection.of(photos).counts
    return Selection({**counts, f"of scene {scene}": chosen.num_rows}).attached_to(chosen)


def scene_job(
    base: TrainingJob, scene: str, photos: ScenePhotos, config: SceneTrainingConfig, run_dir: Path, code: str
) -> TrainingJob:
    """Write the tables of a scene into its run's folder, and give the order for its training.

    `base`: the job of base(M, f*), whose cells, shards and best weights it takes; `code`: the version of the code that
    trains. A training of the same photos, settings, weights and code that is finished there is kept.
    """
    tables = {"training_photos": photos.training, "validation_photos": photos.validation}
    paths = {name: run_dir / INPUTS_FOLDER / f"{name}.parquet" for name in tables}
    for name, table in tables.items():
        write_table(paths[name], table)
    return base.model_copy(
        update={
            **paths,
            "config": TrainingConfig(model_params=config.model_params, trainer_params=config.trainer_params),
            "run_dir": run_dir,
            "from_weights": base.run_dir / "best.ckpt",
            "earlier": Earlier.REPLACE,
            "code": code,
            "model_name": f"ISN(M, f*, S3), scene {scene}",
        }
    )
