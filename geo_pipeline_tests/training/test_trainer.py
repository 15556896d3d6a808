from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from geo_pipeline.errors import InputError
from geo_pipeline.training.hardware import resolve_precision
from geo_pipeline.training.trainer import build_trainer

CPU: dict[str, Any] = {"max_epochs": 1, "accelerator": "cpu"}


def test_what_a_config_does_not_say_is_ours(tmp_path: Path) -> None:
    trainer = build_trainer(CPU, tmp_path, [])
    assert trainer.precision == resolve_precision("auto")
    assert trainer.loggers == []
    assert trainer.checkpoint_callbacks == []
    assert trainer.default_root_dir == str(tmp_path)


def test_what_a_config_says_is_done(tmp_path: Path) -> None:
    trainer = build_trainer({**CPU, "precision": "32-true", "gradient_clip_val": 0.5}, tmp_path, [])
    assert (trainer.precision, trainer.gradient_clip_val) == ("32-true", 0.5)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"max_epoch": 3}, r"trainer_params\.max_epoch: unknown key.*max_epochs"),
        ({"plugins": []}, r"trainer_params\.plugins: unknown key"),
        ({"precision": "17-true"}, "Lightning refuses them"),
        ({"accelerator": "abacus"}, "Lightning refuses them"),
    ],
)
def test_parameters_that_lightning_does_not_take_are_named(
    tmp_path: Path, parameters: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        build_trainer({**CPU, **parameters}, tmp_path, [])


@pytest.mark.skipif(torch.cuda.is_available(), reason="asks a machine without a GPU")
def test_a_gpu_that_is_not_there_is_said_before_lightning_looks_for_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="sees no GPU here"):
        build_trainer({**CPU, "accelerator": "gpu", "devices": 2}, tmp_path, [])
