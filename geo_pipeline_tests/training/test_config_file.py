from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from geo_pipeline.errors import InputError
from geo_pipeline.training.config import ModelParams
from geo_pipeline.training.config_file import NOT_LEARNED, learned_settings, load_config

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
    paper = load_config(RESOURCES / "baseM.yml").model_params
    assert type(paper)() == paper


def test_views_of_the_earth_are_not_mirrored() -> None:
    assert not load_config(RESOURCES / "world.yml").model_params.augmentation.flip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "model_params: {batchsize: 3}\ntrainer_params: {max_epochs: 1}",
            r"model_params\.batchsize: unknown key; did you mean batch_size\?",
        ),
        ("model_params: {batch_size: many}\ntrainer_params: {max_epochs: 1}", r"batch_size: found 'many'.*integer"),
        ("model_params: {optimizer: {name: lion}}\ntrainer_params: {max_epochs: 1}", r"optimizer\.name: found 'lion'"),
        ("model_params: {image_size: 300}\ntrainer_params: {max_epochs: 1}", "expected at least image_size 300"),
        ("model_params: {}", "trainer_params: "),
        ("trainer_params: {}", r"max_epochs: found None, expected a number of epochs"),
        ("trainer_params: {max_epochs: -1}", r"max_epochs: found -1"),
        ("trainer_params: {max_epochs: true}", r"max_epochs: found True"),
        (
            "model_params: {optimizer: {learning_rte: 1}}\ntrainer_params: {max_epochs: 1}",
            "did you mean learning_rate?",
        ),
        ("just text", "the training config: found 'just text'"),
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


def test_changes_are_made_before_anything_is_checked(tmp_path: Path) -> None:
    path = write(tmp_path, "model_params: {batch_size: nonsense}\ntrainer_params: {max_epochs: 1, precision: auto}")
    changes = ["model.batch_size=7", "trainer.max_epochs=3", "model_params.optimizer.learning_rate=1e-3"]
    config = load_config(path, [*changes, "trainer_params.limit_val_batches=1e-1", "model.schedule.milestones=[2, 3]"])
    assert config.model_params.batch_size == 7
    assert config.model_params.optimizer.learning_rate == 0.001
    assert config.model_params.schedule.milestones == (2, 3)
    assert config.trainer_params == {"max_epochs": 3, "precision": "auto", "limit_val_batches": 0.1}


def test_the_last_of_two_changes_counts(tmp_path: Path) -> None:
    path = write(tmp_path, "trainer_params: {max_epochs: 1}")
    assert load_config(path, ["model.seed=1", "model.seed=2"]).model_params.seed == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("model.optimizer.learning_rte=1", "optimizer.learning_rte: unknown key; did you mean learning_rate?"),
        ("modle.seed=1", "--set modle.seed: unknown key; did you mean model?"),
        ("model.seed", "expected KEY=VALUE with a dotted key"),
        ("seed=1", "expected KEY=VALUE with a dotted key"),
        ("model.seed=[1", "the value is not valid YAML"),
        ("model.seed.first=1", "model_params.seed: found {'first': 1}"),
        ("trainer.max_epochs=0", "--set trainer.max_epochs=0: trainer_params.max_epochs: found 0"),
    ],
)
def test_a_wrong_change_is_told_with_the_nearest_key(tmp_path: Path, change: str, message: str) -> None:
    path = write(tmp_path, "trainer_params: {max_epochs: 1}")
    with pytest.raises(InputError, match=re.escape(message)):
        load_config(path, [change])


def test_weights_of_a_change_are_sought_in_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    path = write(tmp_path, "model_params: {weights: beside.pth}\ntrainer_params: {max_epochs: 1}")
    config = load_config(path, ["model.weights=here.pth"])
    assert config.model_params.weights == tmp_path / "elsewhere" / "here.pth"
    assert load_config(path).model_params.weights == tmp_path / "beside.pth"


def test_what_is_learned_depends_on_every_setting_but_those_named(tmp_path: Path) -> None:
    path = write(tmp_path, "trainer_params: {max_epochs: 1, logger: true}")
    learned = learned_settings(load_config(path))
    assert learned["model_params.optimizer.learning_rate"] == 0.01
    assert learned["trainer_params.max_epochs"] == 1
    others = load_config(path, ["model.loader.num_workers=3", "model.checkpoint_minutes=1", "trainer.logger=false"])
    assert learned_settings(others) == learned
    assert learned_settings(load_config(path, ["model.augmentation.flip=false"])) != learned


@pytest.mark.parametrize("key", [key for key in NOT_LEARNED if key.startswith("model_params.")])
def test_every_setting_that_is_not_learned_exists(key: str) -> None:
    settings: Any = ModelParams()
    for part in key.split(".")[1:]:
        settings = getattr(settings, part)


@pytest.mark.parametrize("name", sorted(ModelParams.model_fields))
def test_every_setting_says_what_it_is(name: str) -> None:
    field = ModelParams.model_fields[name]
    nested = isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
    described = field.annotation.model_fields.values() if nested else [field]  # type: ignore[union-attr]
    assert all(each.description for each in described)


def test_reading_a_config_or_a_job_imports_no_torch() -> None:
    code = "import sys, geo_pipeline.training.job; sys.exit('torch' in sys.modules or 'pandas' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
