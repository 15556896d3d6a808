from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from geo_pipeline.errors import InputError
from geo_pipeline.model.checkpoint import SECTION, checkpoint_section
from geo_pipeline.model.network import GeoModel
from geo_pipeline.model.scenes import UNKNOWN, load_scene_networks, pick_scene
from geo_pipeline_tests.model.made_up import geography
from geo_pipeline_tests.model.test_checkpoint import SETTINGS, save

SCENES = ["indoor", "natural", "urban"]
PROBABILITY = st.one_of(st.none(), st.sampled_from([0.0, 0.3, 0.5, 1.0]), st.floats(0, 1))


def photos(rows: list[list[float | None]]) -> pa.Table:
    columns = zip(*rows, strict=True) if rows else [[]] * 3
    return pa.table(
        {f"probability_{scene}": pa.array(c, pa.float64()) for scene, c in zip(SCENES, columns, strict=True)}
    )


@settings(deadline=None)
@given(st.lists(st.lists(PROBABILITY, min_size=3, max_size=3), max_size=8))
def test_the_most_probable_scene_is_picked_and_the_first_of_equals(rows: list[list[float | None]]) -> None:
    for row, picked in zip(rows, pick_scene(photos(rows), SCENES), strict=True):
        known = [(-value, place) for place, value in enumerate(row) if value is not None]
        assert picked == (min(known)[1] if known else UNKNOWN)


def test_the_order_of_scenes_is_that_of_the_request() -> None:
    table = photos([[0.1, 0.2, 0.7]])
    assert [int(pick_scene(table, order)[0]) for order in (SCENES, SCENES[::-1])] == [2, 0]


@pytest.mark.parametrize("scenes", [["water"], []])
def test_photos_without_the_columns_are_told_with_those_that_they_have(scenes: list[str]) -> None:
    with pytest.raises(InputError, match="they have probability_indoor, probability_natural"):
        pick_scene(photos([[0.1, 0.2, 0.7]]), scenes)


def test_each_scene_has_its_own_network(tmp_path: Path) -> None:
    paths = {}
    for seed, scene in enumerate(SCENES):
        torch.manual_seed(seed)
        paths[scene] = save(tmp_path / f"{scene}.ckpt", GeoModel("small_resnet", geography().num_classes))
    networks = load_scene_networks(paths, torch.device("cpu"))
    assert list(networks) == SCENES
    biases = [networks[scene].network.heads.bias.tolist() for scene in SCENES]
    assert len(set(map(tuple, biases))) == 3


def test_networks_of_different_cells_are_refused_with_both_files(tmp_path: Path) -> None:
    network = GeoModel("small_resnet", geography().num_classes)
    save(tmp_path / "a.ckpt", network)
    fine = geography().partitionings[-1]
    other = replace(geography(), partitionings=(*geography().partitionings[:-1], replace(fine, hex_ids=("1",) * 4)))
    state = {f"network.{name}": value for name, value in network.state_dict().items()}
    torch.save({"state_dict": state, SECTION: checkpoint_section(SETTINGS, other)}, tmp_path / "b.ckpt")
    paths = {"indoor": tmp_path / "a.ckpt", "urban": tmp_path / "b.ckpt"}
    with pytest.raises(InputError, match=r"b\.ckpt: its cells are not those of .*a\.ckpt; materialize scene_models"):
        load_scene_networks(paths, torch.device("cpu"))
    assert np.array_equal(other.hierarchy, geography().hierarchy)
