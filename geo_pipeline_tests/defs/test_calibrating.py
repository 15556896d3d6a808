"""The calibration of a model, from its validation photos to what the page shows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from geo_pipeline.defs.calibrating import (
    calibrate_model,
    calibration_of,
    calibration_pictures,
    confidence_picture,
)
from geo_pipeline.errors import InputError
from geo_pipeline.evaluation.settings import EvaluationSettings
from geo_pipeline.evaluation.truth import with_truth
from geo_pipeline.model.calibration import FILE
from geo_pipeline.model.network import GeoModel
from geo_pipeline.model.prediction import predict_photos
from geo_pipeline.model.predictor import PredictionOptions
from geo_pipeline_tests.model.made_up import geography, photos
from geo_pipeline_tests.model.test_checkpoint import save

SETTINGS = EvaluationSettings(crops=1)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    torch.manual_seed(4)
    return save(tmp_path / "best.ckpt", GeoModel("small_resnet", geography().num_classes))


@pytest.fixture
def table(tmp_path: Path) -> pa.Table:
    return photos(tmp_path, 60)


def test_a_model_is_calibrated_by_its_validation_photos(checkpoint: Path, table: pa.Table, tmp_path: Path) -> None:
    fitted = calibrate_model(checkpoint, table, tmp_path, SETTINGS)
    heads = fitted.calibration.heads
    assert list(heads) == ["coarse", "middle", "fine", "hierarchy"]
    known = table.num_rows - table["fine"].null_count
    assert [head.num_photos for head in heads.values()] == [60, 60, known, known]
    assert list(fitted.calibration.radii_km) == [25, 200, 750]
    for p_key, head in heads.items():
        assert head.nll_after is not None
        assert head.nll_before is not None
        assert head.nll_after <= head.nll_before
        assert fitted.after[p_key].expected_error == head.ece_after
    assert set(calibration_pictures(fitted)) == {"temperatures", "reliability_before", "reliability_after"}


def test_the_calibration_of_other_weights_or_other_crops_is_asked_for(
    checkpoint: Path, table: pa.Table, tmp_path: Path
) -> None:
    made = calibrate_model(checkpoint, table, tmp_path, SETTINGS).calibration
    made.write(checkpoint.with_name(FILE))
    assert calibration_of(checkpoint, SETTINGS) == made
    with pytest.raises(InputError, match="for 5 crops and their max; materialize calibration first"):
        calibration_of(checkpoint, EvaluationSettings())


def test_calibrated_answers_are_the_same_and_their_confidence_can_be_drawn(
    checkpoint: Path, table: pa.Table, tmp_path: Path
) -> None:
    made = calibrate_model(checkpoint, table, tmp_path, SETTINGS).calibration
    plain = predict_photos(checkpoint, table, tmp_path, PredictionOptions(crops=1, device="cpu"))
    calibrated = predict_photos(checkpoint, table, tmp_path, PredictionOptions(crops=1, device="cpu"), calibration=made)
    same = ["photo_id", "p_key", "class_label", "latitude", "longitude"]
    assert calibrated.select(same) == plain.select(same)
    assert not np.allclose(calibrated["probability"], plain["probability"])
    predictions = with_truth(calibrated, table, benchmark="b", model="base")
    assert "data:image/png" in str(confidence_picture(predictions).md_str)
