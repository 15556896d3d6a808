from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from geo_pipeline.model.network import GeoModel
from geo_pipeline.model.prediction import ANSWERS_SCHEMA, predict_by_scene, predict_photos
from geo_pipeline.model.predictor import PredictionOptions
from geo_pipeline.model.preprocessing import NumCrops, crops_for_test
from geo_pipeline.model.stored_photos import StoredPhotos
from geo_pipeline_tests.model.made_up import LATITUDES, geography, photos
from geo_pipeline_tests.model.test_checkpoint import SETTINGS, save


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(3)
    return save(tmp_path_factory.mktemp("run") / "best.ckpt", GeoModel("small_resnet", geography().num_classes))


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shards")


@pytest.fixture(scope="module")
def table(shards: Path) -> pa.Table:
    return photos(shards, 10)


def test_every_photo_is_answered_once_for_each_p_key(checkpoint: Path, table: pa.Table, shards: Path) -> None:
    answers = predict_photos(checkpoint, table, shards, PredictionOptions(batch_size=4))
    assert answers.schema == ANSWERS_SCHEMA
    ids = table["photo_id"].to_pylist()
    assert answers["photo_id"].to_pylist() == [photo_id for photo_id in ids for _ in range(4)]
    assert answers["p_key"].to_pylist() == ["coarse", "middle", "fine", "hierarchy"] * 10


def test_the_size_of_a_batch_changes_no_answer(checkpoint: Path, table: pa.Table, shards: Path) -> None:
    small = predict_photos(checkpoint, table, shards, PredictionOptions(batch_size=3))
    large = predict_photos(checkpoint, table, shards, PredictionOptions(batch_size=64))
    assert small.drop(["probability"]) == large.drop(["probability"])
    np.testing.assert_allclose(small["probability"], large["probability"], rtol=1e-4)


@pytest.mark.parametrize(("crops", "combine"), [(1, "max"), (5, "max"), (5, "mean")])
def test_answers_are_those_of_a_plain_loop_over_photos_and_crops(
    checkpoint: Path, table: pa.Table, shards: Path, crops: NumCrops, combine: str
) -> None:
    network = GeoModel("small_resnet", geography().num_classes).eval()
    weights = torch.load(checkpoint, weights_only=True)["state_dict"]
    network.load_state_dict({name.removeprefix("network."): value for name, value in weights.items()})
    fine = []
    for row in range(table.num_rows):
        pixels = torch.from_numpy(crops_for_test(StoredPhotos(table, shards).image(row), SETTINGS, crops))
        probabilities = network(pixels)[2].softmax(dim=1)
        combined = probabilities.amax(dim=0) if combine == "max" else probabilities.mean(dim=0)
        fine.append((combined.argmax().item(), (combined.max() / combined.sum()).item()))
    answers = predict_photos(checkpoint, table, shards, PredictionOptions(crops=crops, combine=combine))
    got = [row for row in answers.to_pylist() if row["p_key"] == "fine"]
    assert [row["class_label"] for row in got] == [label for label, _ in fine]
    np.testing.assert_allclose([row["probability"] for row in got], [share for _, share in fine], rtol=1e-4)
    assert [row["latitude"] for row in got] == [LATITUDES[label] for label, _ in fine]


def test_no_photos_give_no_answers(checkpoint: Path, table: pa.Table, shards: Path) -> None:
    assert predict_photos(checkpoint, table.slice(0, 0), shards) == ANSWERS_SCHEMA.empty_table()


def test_each_photo_is_answered_by_the_network_of_its_most_probable_scene(
    checkpoint: Path, table: pa.Table, shards: Path, tmp_path: Path
) -> None:
    torch.manual_seed(9)
    networks = {name: tmp_path / name / "best.ckpt" for name in ("water", "land")}
    for path in networks.values():
        path.parent.mkdir()
        save(path, GeoModel("small_resnet", geography().num_classes))
    water = [0.9, 0.1, None, 0.5, 0.2, 0.8, 0.0, 1.0, None, 0.6]
    land = [None if share is None else 1 - share for share in water]
    photos = table.append_column("probability_water", pa.array(water)).append_column("probability_land", pa.array(land))
    found = predict_by_scene(networks, checkpoint, photos, lambda path, some: predict_photos(path, some, shards))
    by_network = {path: predict_photos(path, table, shards).to_pylist() for path in (*networks.values(), checkpoint)}
    expected = []
    for number, share in enumerate(water):
        path = checkpoint if share is None else networks["water" if share >= 0.5 else "land"]
        expected += [row for row in by_network[path] if row["photo_id"] == table["photo_id"][number].as_py()]
    keys = [("photo_id", "ascending"), ("p_key", "ascending")]
    assert found.sort_by(keys) == pa.Table.from_pylist(expected, schema=ANSWERS_SCHEMA).sort_by(keys)
