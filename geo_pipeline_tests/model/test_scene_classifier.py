from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from safetensors.torch import save_file
from torchvision import models

from geo_pipeline.errors import InputError
from geo_pipeline.model.network import IMAGENET_MEAN, IMAGENET_STD, GeoModel
from geo_pipeline.model.preprocessing import crops_for_test
from geo_pipeline.model.scene_classifier import SceneClassifier, class_shares, with_scenes
from geo_pipeline.model.settings import SceneClassifierSettings
from geo_pipeline.model.stored_photos import StoredPhotos
from geo_pipeline_tests.model.made_up import photos

SCENES = ["indoor", "natural", "urban"]
CPU = torch.device("cpu")
TABLE = "class,scene\n0,indoor\n1,natural\n1,urban\n3,urban\n4,indoor\n"


@pytest.fixture
def published(tmp_path: Path) -> models.ResNet:
    """A classifier of five classes, its weights as Places365 publishes them, and the scenes of its classes."""
    torch.manual_seed(0)
    network = models.resnet18(num_classes=5)
    state = {f"module.{name}": value for name, value in network.state_dict().items()}
    torch.save({"epoch": 90, "arch": "resnet18", "state_dict": state}, tmp_path / "scenes.pth.tar")
    (tmp_path / "scenes.csv").write_text(TABLE, encoding="utf-8")
    return network.eval()


def settings_in(folder: Path, **changes: object) -> SceneClassifierSettings:
    files = {"checkpoint": folder / "scenes.pth.tar", "classes": folder / "scenes.csv"}
    return SceneClassifierSettings.model_validate(
        {"architecture": "resnet18", "image_size": 32, "resize_size": 40, **files, **changes}
    )


def small_classifier(folder: Path) -> SceneClassifierSettings:
    """One of ours with three classes, which are the scenes."""
    torch.manual_seed(1)
    network = GeoModel("small_resnet", (3,))
    torch.nn.init.normal_(network.heads.weight, std=3)
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, folder / "small.safetensors")
    return settings_in(folder, architecture="small_resnet", checkpoint=folder / "small.safetensors", classes=None)


def test_a_scenes_probability_is_the_sum_over_its_classes_by_the_published_network(
    published: models.ResNet, tmp_path: Path
) -> None:
    settings = settings_in(tmp_path)
    source = StoredPhotos(photos(tmp_path, 5, seed=3), tmp_path)
    found = SceneClassifier(settings, SCENES, CPU).probabilities(source)
    mean, std = (torch.tensor(values).reshape(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    crops = np.concatenate([crops_for_test(source.image(row), settings, 1) for row in range(5)])
    classes = published((torch.from_numpy(crops) / 255 - mean) / std).softmax(dim=1).double()
    expected = torch.stack([classes[:, 0] + classes[:, 4], classes[:, 1] / 2, classes[:, 1] / 2 + classes[:, 3]], dim=1)
    np.testing.assert_allclose(found, expected.detach().numpy(), rtol=1e-4)


def test_without_a_table_the_classes_are_the_scenes(tmp_path: Path) -> None:
    settings = small_classifier(tmp_path)
    found = SceneClassifier(settings, SCENES, CPU).probabilities(StoredPhotos(photos(tmp_path, 4, seed=3), tmp_path))
    assert found.shape == (4, 3)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-6)


def test_only_photos_of_unknown_scene_are_asked_for(tmp_path: Path) -> None:
    settings, table = small_classifier(tmp_path), photos(tmp_path, 4, seed=3)
    known = {
        "probability_indoor": [0.2, None, 0.0, None],
        "probability_natural": [0.8, None, None, None],
        "probability_urban": [0.0, None, 1.0, None],
    }
    for name, values in known.items():
        table = table.append_column(name, pa.array(values, pa.float64()))
    found = with_scenes(table, SCENES, settings, tmp_path, CPU)
    asked = SceneClassifier(settings, SCENES, CPU).probabilities(StoredPhotos(table.take([1, 3]), tmp_path))
    for number, (name, values) in enumerate(known.items()):
        values[1], values[3] = asked[:, number]
        assert found[name].to_pylist() == pytest.approx(values)
    assert found.column_names == table.column_names
    nowhere = settings.model_copy(update={"checkpoint": tmp_path / "gone"})
    assert with_scenes(found, SCENES, nowhere, tmp_path, CPU) == found


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("class,scene\n5,urban\n", r"scenes\.csv, line 2: found 5,urban, expected a class from 0 to 4"),
        ("class,scene\n\n0,beach\n", r"scenes\.csv, line 3: found 0,beach, .*one of the scenes indoor, natural, urban"),
        ("class,scene\n-1\n", r"scenes\.csv, line 2: found -1,, expected"),
        ("number,place\n", r"scenes\.csv, line 1: expected a header with class,scene, found number,place"),
        ("", r"scenes\.csv, line 1: expected a header with class,scene, found nothing"),
        (None, r"nowhere\.csv: no such file; expected a table `class,scene`"),
    ],
)
def test_a_wrong_table_is_told_with_its_line(tmp_path: Path, table: str | None, message: str) -> None:
    path = tmp_path / ("nowhere.csv" if table is None else "scenes.csv")
    if table is not None:
        path.write_text(table, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        class_shares(settings_in(tmp_path, classes=path), SCENES, 5)


def test_another_number_of_classes_and_a_file_without_classifier_are_refused(
    published: models.ResNet, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"scenes\.pth\.tar: found 5 classes, expected one for each of the scenes"):
        SceneClassifier(settings_in(tmp_path, classes=None), SCENES, CPU)
    headless = {name: value for name, value in published.state_dict().items() if not name.startswith("fc.")}
    torch.save(headless, tmp_path / "scenes.pth.tar")
    with pytest.raises(InputError, match=r"expected the weights of a linear classifier, found none"):
        SceneClassifier(settings_in(tmp_path), SCENES, CPU)
    torch.save(models.squeezenet1_1(num_classes=5).state_dict(), tmp_path / "scenes.pth.tar")
    with pytest.raises(InputError, match=r"expected .* a linear classifier, found a layer of 5x512x1x1"):
        SceneClassifier(settings_in(tmp_path, architecture="squeezenet1_1"), SCENES, CPU)
