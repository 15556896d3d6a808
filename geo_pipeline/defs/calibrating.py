"""Calibrating the model of an experiment, and what its page shows of honesty.

Not here: fitting (evaluation.calibration) and applying (model.calibration). Heavy libraries are imported where they
are used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc

from geo_pipeline.defs.pictures import markdown_table, png
from geo_pipeline.errors import InputError
from geo_pipeline.evaluation.settings import EvaluationSettings
from geo_pipeline.model.settings import RULES_KM
from geo_pipeline.photos.url_lists import keep_photos
from geo_pipeline.store import file_hash

if TYPE_CHECKING:
    from geo_pipeline.evaluation.reliability import Reliability
    from geo_pipeline.model.calibration import Calibration


@dataclass(frozen=True)
class FittedCalibration:
    """A calibration, and how its heads did on the photos that it was fitted on, before and after."""

    calibration: Calibration
    before: Mapping[str, Reliability]
    after: Mapping[str, Reliability]


def calibrate_model(
    checkpoint: Path, validation_photos: pa.Table, shards_root: Path, settings: EvaluationSettings
) -> FittedCalibration:
    """Fit the temperatures of a checkpoint for the crops of a profile, on some validation photos."""
    from geo_pipeline.evaluation.calibration import (
        MAX_PHOTOS,
        calibrate,
        calibrate_within,
        reliability_of,
        scores_of,
        true_classes,
        within,
    )
    from geo_pipeline.model.calibration import Calibration
    from geo_pipeline.model.geography import HIERARCHY
    from geo_pipeline.model.predictor import PredictionOptions, Predictor
    from geo_pipeline.model.stored_photos import StoredPhotos

    photos = keep_photos(validation_photos, MAX_PHOTOS)
    predictor = Predictor(checkpoint, PredictionOptions(crops=settings.crops, combine=settings.combine))
    scores = scores_of(predictor, StoredPhotos(photos, shards_root))
    labels = true_classes(photos, predictor.geography)
    heads = {p_key: calibrate(scores[p_key], labels[p_key]) for p_key in scores}
    radii_km = {
        radius: calibrate_within(*within(radius, scores[HIERARCHY], photos, predictor.geography))
        for radius in RULES_KM.values()
    }
    calibration = Calibration(
        checkpoint_sha256=file_hash(checkpoint),
        crops=settings.crops,
        combine=settings.combine,
        num_photos=photos.num_rows,
        heads=heads,
        radii_km=radii_km,
    )
    before, after = (
        {p_key: reliability_of(scores[p_key], labels[p_key], t) for p_key, t in temperatures.items()}
        for temperatures in (dict.fromkeys(heads, 1.0), calibration.temperatures)
    )
    return FittedCalibration(calibration, before, after)


def calibration_of(checkpoint: Path, settings: EvaluationSettings) -> Calibration:
    """The calibration beside a checkpoint. Raises InputError if there is none for it and the crops of the profile."""
    from geo_pipeline.model.calibration import FILE, calibration_beside

    found = calibration_beside(checkpoint, settings.crops, settings.combine)
    if found is None:
        raise InputError(
            f"{checkpoint.with_name(FILE)}: no calibration of this checkpoint for {settings.crops} crops and their "
            f"{settings.combine}; materialize calibration first"
        )
    return found


def calibration_pictures(fitted: FittedCalibration) -> dict[str, dg.MarkdownMetadataValue]:
    """The temperatures as a table, and how often answers come true, before and after."""
    from geo_pipeline.evaluation.accuracy import head_label
    from geo_pipeline.evaluation.figures import reliability_plot

    heads = {head_label(p_key): head for p_key, head in fitted.calibration.heads.items()}
    radii = {f"f* within {radius} km": head for radius, head in fitted.calibration.radii_km.items()}
    table = pa.Table.from_pylist([{"of": name, **head.model_dump()} for name, head in {**heads, **radii}.items()])
    plots = {"before": fitted.before, "after": fitted.after}
    pictures = {
        f"reliability_{name}": png(reliability_plot({head_label(p_key): each for p_key, each in series.items()}))
        for name, series in plots.items()
    }
    return {"temperatures": markdown_table(table), **pictures}


def confidence_picture(predictions: pa.Table) -> dg.MarkdownMetadataValue:
    """How often geo_model's f* lies within the radius of its confidence, a line for each of four benchmarks."""
    from geo_pipeline.evaluation.figures import reliability_plot
    from geo_pipeline.evaluation.reliability import confidence_reliability

    of_base = pc.and_(pc.equal(predictions["model"], "base"), pc.equal(predictions["p_key"], "hierarchy"))
    f_star = predictions.filter(of_base)
    names = list(dict.fromkeys(f_star["benchmark"].to_pylist()))[:4]
    of_each = {name: f_star.filter(pc.equal(f_star["benchmark"], name)) for name in names}
    return png(reliability_plot({name: confidence_reliability(table) for name, table in of_each.items()}))
