from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from geo_pipeline.cells.table import cells_table
from geo_pipeline.planning.training_plan import BACKBONES, training_plan
from geo_pipeline.profile import Layout, load_profile
from geo_pipeline.store import write_table
from geo_pipeline.training.config_file import load_scene_config


@pytest.mark.parametrize("architecture", ["small_resnet", "resnet18", "resnet50"])
def test_the_named_sizes_are_those_of_the_networks(architecture: str) -> None:
    from geo_pipeline.model.backbone import build_backbone

    backbone, num_features = build_backbone(architecture)
    assert BACKBONES[architecture] == (sum(p.numel() for p in backbone.parameters()), num_features)


def test_before_any_table_the_numbers_are_limits_and_the_classes_unknown(
    write_profile: Callable[..., Path], tmp_path: Path
) -> None:
    profile = load_profile(write_profile())
    found = training_plan(profile, Layout(tmp_path / "home"), 60)
    assert (found.num_photos, found.is_downloaded) == (60, False)
    assert found.num_classes == {"coarse": None, "middle": None, "fine": None}
    assert found.num_parameters is None
    params = profile.training_config().model_params
    assert found.steps_per_epoch == math.ceil(60 / params.batch_size)
    assert found.steps == found.steps_per_epoch * profile.training_config().trainer_params["max_epochs"]


def test_tables_that_are_there_give_the_true_numbers(write_profile: Callable[..., Path], tmp_path: Path) -> None:
    import torch

    from geo_pipeline.model.backbone import build_backbone

    layout, sizes = Layout(tmp_path / "home"), {"coarse": 3, "middle": 5, "fine": 9}
    for name, number in sizes.items():
        write_table(layout.table(f"cells_{name}"), pa.table({"class_label": range(number)}))
    write_table(layout.table("training_photos"), pa.table({"photo_id": [str(k) for k in range(41)]}))
    found = training_plan(load_profile(write_profile()), layout, 60)
    assert (found.num_photos, found.is_downloaded) == (41, True)
    assert found.num_classes == sizes
    backbone, num_features = build_backbone(found.architecture)
    network = torch.nn.Sequential(backbone, torch.nn.Linear(num_features, 17))
    assert found.num_parameters == sum(p.numel() for p in network.parameters())


def test_scenes_that_get_a_network_are_named(
    write_profile: Callable[..., Path], scene_config: Path, tmp_path: Path
) -> None:
    layout = Layout(tmp_path / "home")
    assert training_plan(load_profile(write_profile()), layout, 60).scenes == ()
    found = training_plan(load_profile(write_profile(scene_training=str(scene_config))), layout, 60)
    assert found.scenes == ("water", "vegetation", "bare_land")
    assert found.scene_epochs == load_scene_config(scene_config).trainer_params["max_epochs"]


def test_a_table_of_more_photos_than_are_listed_is_an_old_one(
    write_profile: Callable[..., Path], tmp_path: Path
) -> None:
    layout = Layout(tmp_path / "home")
    write_table(layout.table("training_photos"), pa.table({"photo_id": [str(k) for k in range(41)]}))
    found = training_plan(load_profile(write_profile()), layout, 20)
    assert (found.num_photos, found.is_downloaded) == (20, False)


def test_a_published_partitioning_has_its_classes_at_once(write_profile: Callable[..., Path], tmp_path: Path) -> None:
    import numpy as np
    from pyarrow import csv

    from geo_pipeline.cells.cell_id import face_ids
    from geo_pipeline.cells.geometry import cell_centres

    cells = cells_table(face_ids(), np.arange(6), [10] * 6, *cell_centres(face_ids()))
    csv.write_csv(cells, tmp_path / "faces.csv")
    profile = load_profile(write_profile(partitionings__coarse={"csv": str(tmp_path / "faces.csv")}))
    assert training_plan(profile, Layout(tmp_path / "home"), 60).num_classes["coarse"] == 6
