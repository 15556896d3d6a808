"""Group training: one network for each scene of the profile, ISN(M, f*, S3).

Not here: which photos are a scene's and the training itself (training room). The one idea: each scene is a training run
like geo_model's with a folder of its own, so that what a stop has left is continued and what is finished is kept.
"""

from __future__ import annotations

from collections.abc import Mapping

import dagster as dg
import pyarrow as pa

from geo_pipeline.defs.assets.training import GROUP, PARTITIONINGS, base_job, train_in_process
from geo_pipeline.defs.making import asset_function
from geo_pipeline.defs.metrics import finished_run_metadata, of_scene
from geo_pipeline.defs.pictures import markdown_table
from geo_pipeline.defs.resources import Experiment
from geo_pipeline.defs.staleness import FILES, file_sizes
from geo_pipeline.profile import Profile
from geo_pipeline.store import file_hash, text_hash
from geo_pipeline.training.scenes import ScenePhotos, photos_of_scenes, scene_job


def build_scene_assets(profile: Profile) -> list[dg.AssetsDefinition]:
    """`scene_models`, where the profile has `scene_training`; else nothing."""
    return [scene_models] if profile.scene_training else []


@dg.asset(
    group_name=GROUP,
    deps=["geo_model", *(f"cells_{name}" for name in PARTITIONINGS), "cell_hierarchy"],
    kinds={"pytorch", "lightning"},
    pool="gpu",
)
@asset_function
def scene_models(
    context: dg.AssetExecutionContext,
    experiment: dg.ResourceParam[Experiment],
    training_process: dg.ResourceParam[dg.PipesSubprocessClient],
    training_photos: pa.Table,
    validation_photos: pa.Table,
) -> dg.MaterializeResult[None]:
    """ISN(M, f*, S3): for each scene geo_model fine-tuned on the photos whose probability of the scene is high enough.

    Training and validation photos are chosen by the same rule, `scene_params` of the profile's `scene_training`; a
    photo may be of several scenes. The scenes follow one another in one process; each epoch of each is an observation
    of this asset. A scene that was finished before a stop is not trained again, one that was not goes on from its last
    checkpoint.
    """
    profile, layout = experiment.profile, experiment.layout
    config = profile.scene_config()
    photos = photos_of_scenes(profile.scenes, training_photos, validation_photos, config.scene_params)
    base, code = base_job(layout, profile.training), context.assets_def.specs_by_key[context.asset_key].code_version
    jobs = {
        scene: scene_job(base, scene, each, config, layout.scene_run(scene), code or "")
        for scene, each in photos.items()
    }
    train_in_process(context, training_process, list(jobs.items()))
    checkpoints = {scene: layout.scene_run(scene) / "best.ckpt" for scene in photos}
    hashes = "".join(f"{scene} {file_hash(path)}\n" for scene, path in checkpoints.items())
    return dg.MaterializeResult(
        data_version=dg.DataVersion(text_hash(hashes)[:32]),
        metadata={
            "photos": _photos_table(photos),
            "min_probability": config.scene_params.min_probability,
            FILES: file_sizes(layout.folder, *checkpoints.values()),
            **{name: value for scene in photos for name, value in _scene_metadata(experiment, scene).items()},
        },
    )


def _photos_table(photos: Mapping[str, ScenePhotos]) -> dg.MarkdownMetadataValue:
    """How many photos each scene has."""
    rows = [
        {"scene": scene, "training photos": each.training.num_rows, "validation photos": each.validation.num_rows}
        for scene, each in photos.items()
    ]
    return markdown_table(pa.Table.from_pylist(rows))


def _scene_metadata(experiment: Experiment, scene: str) -> dict[str, dg.MetadataValue | float | int | str]:
    """One scene's checkpoint, numbers, curves and model card."""
    run = experiment.layout.scene_run(scene)
    return of_scene(
        scene,
        {
            "checkpoint": dg.MetadataValue.path(run / "best.ckpt"),
            **finished_run_metadata(run),
        },
    )
