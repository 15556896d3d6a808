from __future__ import annotations

import pyarrow as pa
import pytest
from geopy.distance import great_circle

from geo_pipeline.evaluation.truth import with_truth


def test_each_answer_meets_the_truth_of_its_own_photo() -> None:
    photos = pa.table({"photo_id": ["a", "b", "c"], "latitude": [48.1, -33.9, 0.0], "longitude": [11.6, 151.2, 180.0]})
    answers = pa.table(
        {
            "photo_id": ["c", "c", "a", "b"],
            "p_key": ["coarse", "hierarchy", "coarse", "coarse"],
            "class_label": pa.array([1, 2, 3, 4], pa.int32()),
            "latitude": [0.5, 0.0, 48.0, -30.0],
            "longitude": [-179.0, 180.0, 12.0, 150.0],
            "probability": [0.1, 0.2, 0.3, 0.4],
        }
    )
    joined = with_truth(answers, photos, benchmark="im2gps", model="base").to_pylist()
    places = {row["photo_id"]: (row["latitude"], row["longitude"]) for row in photos.to_pylist()}
    for row, answer in zip(joined, answers.to_pylist(), strict=True):
        assert answer.items() <= row.items()
        assert (row["true_latitude"], row["true_longitude"]) == places[row["photo_id"]]
        expected = great_circle(places[row["photo_id"]], (row["latitude"], row["longitude"])).km * 6371 / 6371.009
        assert row["distance_km"] == pytest.approx(expected, abs=1e-6)
        assert (row["benchmark"], row["model"]) == ("im2gps", "base")
