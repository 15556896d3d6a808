from __future__ import annotations

from pathlib import Path

import pytest
import torch

from geo_pipeline.errors import InputError
from geo_pipeline.model.calibration import FILE, Beliefs, Calibration, calibration_beside, tempered
from geo_pipeline.store import file_hash
from geo_pipeline_tests.model import made_up


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "best.ckpt"
    path.write_bytes(b"weights")
    return path


def calibration(checkpoint: Path) -> Calibration:
    heads, radii_km = {"fine": 1.25, "hierarchy": 0.1 + 0.2}, {25: 2.0, 200: 0.5, 750: 1.5}
    return made_up.calibration(heads, radii_km, file_hash(checkpoint))


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


@pytest.mark.parametrize(
    ("radius_km", "temperature"), [(200, 0.5), (1, 2.0), (60, 2.0), (80, 0.5), (380, 0.5), (400, 1.5), (9000, 1.5)]
)
def test_the_temperature_within_a_radius_is_that_of_the_nearest_one(
    checkpoint: Path, radius_km: float, temperature: float
) -> None:
    assert calibration(checkpoint).temperature_within(radius_km) == temperature


def test_beliefs_within_a_radius_are_those_of_f_star_without_a_calibration() -> None:
    scores = torch.tensor([[0.5, 0.3, 0.2]]).log()
    plain = Beliefs({"hierarchy": scores}, {"hierarchy": tempered(scores, 1.0)})
    torch.testing.assert_close(plain.within(200), scores.exp())
    made = made_up.calibration({"hierarchy": 1.0}, {200: 2.0})
    torch.testing.assert_close(Beliefs(plain.scores, plain.distributions, made).within(200), tempered(scores, 2.0))
