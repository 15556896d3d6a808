"""Answers beside the truth: where a photo was placed, where it was taken, and how far apart that is.

Not here: the answers (model room) and the share of them that is right (accuracy.py).
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from geo_pipeline.cells.distance import great_circle_km


def with_truth(answers: pa.Table, photos: pa.Table, *, benchmark: str, model: str) -> pa.Table:
    """The rows of `benchmark_predictions` for one benchmark and model.

    answers: `photo_id, p_key, class_label, latitude, longitude, probability`; photos: `photo_id, latitude, longitude`
    of every answered photo, degrees, and `author` where known. Adds `benchmark`, `model`, `author`, the truth, and
    `distance_km` along the great circle.
    """
    truth = photos.take(pc.index_in(answers["photo_id"], photos["photo_id"].combine_chunks()))
    names = ("latitude", "longitude")
    (latitudes, longitudes), (true_latitudes, true_longitudes) = (
        [table[name].to_numpy() for name in names] for table in (answers, truth)
    )
    count = answers.num_rows
    return pa.table(
        {
            "benchmark": pa.repeat(benchmark, count),
            "model": pa.repeat(model, count),
            **{name: answers[name] for name in answers.column_names},
            "author": truth["author"] if "author" in truth.column_names else pa.nulls(count, pa.string()),
            "true_latitude": true_latitudes,
            "true_longitude": true_longitudes,
            "distance_km": great_circle_km(latitudes, longitudes, true_latitudes, true_longitudes),
        }
    )
