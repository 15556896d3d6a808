from __future__ import annotations

from pathlib import Path

import pytest
import torch

from geo_pipeline.errors import InputError
from geo_pipeline.model.calibration import FILE, Calibration, calibration_beside, tempered
from geo_pipeline.store import file_hash


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "best.ckpt"
    path.write_bytes(b"weights")
    return path


def calibration(checkpoint: Path) -> Calibration:
    return Calibration(
        checkpoint_sha256=file_hash(checkpoint),
        crops=5,
        combine="max",
        temperatures={"fine": 1.25, "hierarchy": 0.1 + 0.2},
        num_photos=500,
    )


def test_a_calibration_lies_beside_its_checkpoint_and_keeps_every_digit(checkpoint: Path) -> None:
    assert calibration_beside(checkpoint, 5, "max") is None
    calibration(checkpoint).write(checkpoint.with_name(FILE))
    assert calibration_beside(checkpoint, 5, "max") == calibration(checkpoint)


def test_one_of_other_weights_or_other_crops_is_none(checkpoint: Path) -> None:
    calibration(checkpoint).write(checkpoint.with_name(FILE))
    assert calibration_beside(checkpoint, 1, "max") is None
    assert calibration_beside(checkpoint, 5, "mean") is None
    checkpoint.write_bytes(b"other weights")
    assert calibration_beside(checkpoint, 5, "max") is None


@pytest.mark.parametrize("content", ["{", '{"crops": 5}', '{"crops": 7}'])
def test_a_file_that_is_none_is_named(checkpoint: Path, content: str) -> None:
    checkpoint.with_name(FILE).write_text(content)
    with pytest.raises(InputError, match=r"calibration\.json: not a calibration of geo_pipeline"):
        calibration_beside(checkpoint, 5, "max")


def test_a_temperature_is_a_power_of_the_probabilities() -> None:
    probabilities = torch.tensor([[0.5, 0.3, 0.2], [0.8, 0.1, 0.1]])
    expected = probabilities.sqrt() / probabilities.sqrt().sum(dim=1, keepdim=True)
    torch.testing.assert_close(tempered(probabilities.log() + 3.0, 2.0), expected)
