"""The asset of the scene networks: real trainings on the small world."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pandas as pd
import pyarrow.compute as pc
import pytest
import torch
import yaml

from geo_pipeline.defs.inputs import report_inputs
from geo_pipeline.defs.status import PlaceStatus, current_status
from geo_pipeline.model.network import GeoModel
from geo_pipeline.store import read_table
from geo_pipeline_tests.defs.project import Project, failure, materialized

SCENES = ("water", "vegetation", "bare_land")
UP_TO_SCENES = (
    "photo_manifest",
    "photo_metadata",
    "cells_coarse",
    "cells_middle",
    "cells_fine",
    "cell_hierarchy",
    "photo_classes",
    "training_photos",
    "validation_photos",
    "geo_model",
    "scene_models",
)


@pytest.fixture
def with_scenes(project: Project, write_profile: Callable[..., Path], scene_config: Path) -> Project:
    """A project whose base and scene networks train for one epoch."""
    training = yaml.safe_load(project.profile.training.read_text("utf-8"))
    training["trainer_params"]["max_epochs"] = 1
    base = scene_config.with_name("training.yml")
    base.write_text(yaml.safe_dump(training), encoding="utf-8")
    project.profile_file = write_profile(training=str(base), scene_training=str(scene_config))
    return project


def change(config: Path, section: str, **values: object) -> None:
    content = yaml.safe_load(config.read_text("utf-8"))
    content[section] |= values
    config.write_text(yaml.safe_dump(content), encoding="utf-8")


def status_of(project: Project, asset: str) -> PlaceStatus:
    found = current_status(project.instance, project.experiment, project.definitions)
    (status,) = [place for place in found.places if place.asset == asset]
    return status


def checkpoints(project: Project) -> dict[str, int]:
    """When each scene's checkpoint was written."""
    return {scene: (project.layout.scene_run(scene) / "last.ckpt").stat().st_mtime_ns for scene in SCENES}


def test_without_a_config_there_is_no_such_asset(project: Project) -> None:
    graph = project.definitions.resolve_asset_graph()
    assert dg.AssetKey("scene_models") not in graph.materializable_asset_keys


@pytest.mark.slow  # four trainings in processes of their own; test_lineage.py trains scenes once in the quick tests
def test_a_network_for_each_scene_is_trained_kept_and_told(with_scenes: Project, scene_config: Path) -> None:
    assert with_scenes.crawl().success
    change(scene_config, "scene_params", min_photos=1000)
    assert with_scenes.run("model", *UP_TO_SCENES[:-1]).success
    few = with_scenes.run("model", "scene_models")
    assert not few.success
    assert "too few photos are of a scene with a probability of more than 0.05" in failure(few)
    assert all(f"- {scene}: " in failure(few) for scene in SCENES)

    change(scene_config, "scene_params", min_photos=1)
    made = with_scenes.run("model", "scene_models")
    assert made.success
    assert materialized(made) == [("scene_models", None)]
    event = with_scenes.latest("scene_models")
    assert set(event.json("files")) == {f"models/scene_{scene}/best.ckpt" for scene in SCENES}
    check_page(with_scenes, event.metadata)
    assert status_of(with_scenes, "scene_models").state == "fresh"

    # a stop before the last scene: what is finished is kept, and the content comes out the same
    before = checkpoints(with_scenes)
    shutil.rmtree(with_scenes.layout.scene_run("bare_land"))
    assert status_of(with_scenes, "scene_models").state == "missing"
    assert with_scenes.run("model", "scene_models").success
    now = checkpoints(with_scenes)
    assert [now[scene] != before[scene] for scene in SCENES] == [False, False, True]
    assert with_scenes.latest("scene_models").data_version == event.data_version

    # other settings are another training; another base network as well
    change(scene_config, "model_params", batch_size=16)
    stale = status_of(with_scenes, "scene_models")
    assert (stale.state, status_of(with_scenes, "geo_model").state) == ("stale", "fresh")
    assert "scene_training.model_params.batch_size" in stale.reasons[0]
    assert with_scenes.run("model", "scene_models").success
    assert all(written > now[scene] for scene, written in checkpoints(with_scenes).items())
    assert with_scenes.latest("scene_models").data_version != event.data_version


def check_page(project: Project, metadata: dict[str, dg.MetadataValue]) -> None:
    """What the asset's page shows."""
    observations = project.instance.fetch_observations(dg.AssetKey("scene_models"), limit=100).records
    told = [record.asset_observation.metadata for record in observations if record.asset_observation]
    epochs = [(str(each["scene"].value), each[f"{each['scene'].value}_epoch"].value) for each in told]
    assert sorted(epochs) == sorted((scene, 0) for scene in SCENES)
    assert all(f"{scene}_validation_loss" in each for each in told if (scene := each["scene"].value))
    for scene in SCENES:
        assert str(metadata[f"{scene}_model_card"].value).startswith(f"# Model card: ISN(M, f*, S3), scene {scene}")
        assert "data:image/png" in str(metadata[f"{scene}_curves"].value)
        assert f"{scene}_accuracy_hierarchy_750" in metadata
    assert metadata["min_probability"].value == 0.05
    assert "| water |" in str(metadata["photos"].value)


@pytest.mark.slow
def test_networks_of_scenes_are_judged_and_a_classifier_tells_scenes_that_metadata_do_not(
    with_scenes: Project, write_profile: Callable[..., Path], scene_config: Path, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    torch.save(GeoModel("small_resnet", (len(SCENES),)).state_dict(), tmp_path / "scenes.pth")
    network = {"architecture": "small_resnet", "image_size": 64, "resize_size": 64}
    metadata = with_scenes.profile.photo_sets["world_300"].metadata_csv
    without_scenes = pd.read_csv(metadata, dtype=str)[["IMG_ID", "LAT", "LON"]]
    without_scenes.to_csv(tmp_path / "without_scenes.csv", index=False)
    with_scenes.profile_file = write_profile(
        training=str(with_scenes.profile.training),
        scene_training=str(scene_config),
        scene_classifier={"checkpoint": str(tmp_path / "scenes.pth"), **network},
        photo_sets__world_300__metadata_csv=str(tmp_path / "without_scenes.csv"),
    )
    assert with_scenes.crawl().success
    assert with_scenes.run("model", *UP_TO_SCENES, "calibration", "benchmark_predictions", "benchmark_accuracy").success
    layout = with_scenes.layout
    known = read_table(layout.table("photo_metadata")).filter(pc.field("photo_set") == "world_300")
    assert known["probability_water"].null_count == known.num_rows > 0
    predictions, accuracy = (read_table(layout.table(f"benchmark_{name}")) for name in ("predictions", "accuracy"))
    for table in (predictions, accuracy):
        assert table.group_by(["benchmark", "model"]).aggregate([]).num_rows == 4
    answers = {model: predictions.filter(pc.field("model") == model) for model in ("base", "isn")}
    keys = ["benchmark", "photo_id", "p_key"]
    of_base, of_isn = (table.sort_by([(key, "ascending") for key in keys]) for table in answers.values())
    assert of_base.select(keys) == of_isn.select(keys)
    in_folder = pc.field("benchmark") == "world_300"
    assert of_base.filter(in_folder)["probability"] != of_isn.filter(in_folder)["probability"]
    torch.save(GeoModel("small_resnet", (len(SCENES),)).state_dict(), tmp_path / "scenes.pth")
    report_inputs(with_scenes.instance, with_scenes.experiment)
    assert status_of(with_scenes, "benchmark_predictions").state == "stale"
    assert status_of(with_scenes, "scene_models").state == "fresh"
