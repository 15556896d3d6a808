from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from geo_pipeline.errors import InputError
from geo_pipeline.training.config import load_config

RESOURCES = Path(__file__).parents[2] / "resources" / "training"


def write(folder: Path, text: str) -> Path:
    path = folder / "training.yml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("path", sorted(RESOURCES.glob("*.yml")), ids=lambda path: path.name)
def test_every_shipped_config_loads(path: Path) -> None:
    assert load_config(path).trainer_params["max_epochs"] >= 1


def test_the_papers_config_holds_the_papers_numbers() -> None:
    params = load_config(RESOURCES / "baseM.yml").model_params
    assert (params.architecture, params.batch_size, params.image_size, params.resize_size) == (
        "resnet50",
        128,
        224,
        256,
    )
    assert (params.optimizer.learning_rate, params.optimizer.momentum, params.optimizer.weight_decay) == (
        0.01,
        0.9,
        1e-4,
    )
    assert (params.schedule.milestones, params.schedule.gamma) == ((4, 8, 12, 13, 14, 15), 0.5)
    assert (params.augmentation.crop_scale, params.augmentation.flip, params.loss) == ((0.66, 1.0), True, "sum")


def test_defaults_are_the_papers() -> None:
    paper = load_config(RESOURCES / "baseM.yml").model_params.model_copy(update={"num_workers": 0})
    assert type(paper)() == paper


def test_views_of_the_earth_are_not_mirrored() -> None:
    assert not load_config(RESOURCES / "world.yml").model_params.augmentation.flip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model_params: {batchsize: 3}\ntrainer_params: {max_epochs: 1}", r"model_params\.batchsize: unknown key"),
        ("model_params: {batch_size: many}\ntrainer_params: {max_epochs: 1}", r"batch_size: found 'many'.*integer"),
        ("model_params: {optimizer: {name: lion}}\ntrainer_params: {max_epochs: 1}", r"optimizer\.name: found 'lion'"),
        ("model_params: {image_size: 300}\ntrainer_params: {max_epochs: 1}", "expected at least image_size 300"),
        ("model_params: {}", "trainer_params: "),
        ("trainer_params: {}", r"max_epochs: found None, expected a number of epochs"),
        ("trainer_params: {max_epochs: -1}", r"max_epochs: found -1"),
        ("just text", "the file: found 'just text'"),
        ("a: [", "not valid YAML"),
    ],
)
def test_a_wrong_config_names_the_file_the_key_and_what_was_found(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as raised:
        load_config(write(tmp_path, text))
    assert "training.yml" in str(raised.value)


def test_an_absent_config_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.yml: no such training config"):
        load_config(tmp_path / "absent.yml")


def test_weights_are_sought_beside_the_config(tmp_path: Path) -> None:
    path = write(tmp_path, "model_params: {weights: resnet50.pth}\ntrainer_params: {max_epochs: 1}")
    assert load_config(path).model_params.weights == tmp_path / "resnet50.pth"


def test_reading_a_config_or_a_job_imports_no_torch() -> None:
    code = "import sys, geo_pipeline.training.job; sys.exit('torch' in sys.modules or 'pandas' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
