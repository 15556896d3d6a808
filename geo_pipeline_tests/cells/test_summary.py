"""The small tables about cells, against counting by hand."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
from s2sphere import CellId

from geo_pipeline.cells.hierarchy import cell_hierarchy
from geo_pipeline.cells.summary import (
    cells_by_level,
    fine_cells_in_each,
    hierarchy_summary,
    labelled_by_photo_set,
    spread,
)
from geo_pipeline_tests.cells.test_assignment import table
from geo_pipeline_tests.evaluation.made_up import cells as made_up_cells


def test_levels_are_those_of_s2sphere_and_all_cells_and_photos_are_counted() -> None:
    cells = made_up_cells()["fine"]
    found = cells_by_level(cells).to_pylist()
    tokens, photos = cells["hex_id"].to_pylist(), cells["imgs_per_cell"].to_pylist()
    by_level = Counter(CellId.from_token(token).level() for token in tokens)
    assert [row["level"] for row in found] == sorted(by_level)
    assert {row["level"]: row["cells"] for row in found} == by_level
    assert sum(row["photos"] for row in found) == sum(photos)
    first = found[0]["level"]
    of_first = (n for token, n in zip(tokens, photos, strict=True) if CellId.from_token(token).level() == first)
    assert found[0]["photos"] == sum(of_first)


def test_a_spread_is_least_median_and_most() -> None:
    assert spread(np.array([7, 1, 4, 100])) == {"least": 1, "median": 5.5, "most": 100}


def test_coarse_cells_with_and_without_fine_ones_are_counted() -> None:
    coarse, fine = table("0c", "47c", "89c", "1c"), table("47c4", "47cc", "89c")
    hierarchy = cell_hierarchy({"coarse": coarse, "fine": fine})
    assert fine_cells_in_each(hierarchy, "coarse", coarse.num_rows).tolist() == [0, 2, 1, 0]
    assert hierarchy_summary(hierarchy, {"coarse": coarse}).to_pylist() == [
        {"partitioning": "coarse", "cells": 4, "with_fine": 2, "without": 2, "least": 1, "median": 1.5, "most": 2}
    ]


def test_labels_are_counted_by_photo_set_and_partitioning() -> None:
    classes = pa.table(
        {
            "photo_id": ["1", "2", "1", "2", "3"],
            "photo_set": ["train", "train", "benchmark", "benchmark", "benchmark"],
            "coarse": pa.array([0, 1, 1, None, 0], pa.int32()),
            "fine": pa.array([5, None, None, None, 2], pa.int32()),
        }
    )
    assert labelled_by_photo_set(classes).to_pylist() == [
        {"photo_set": "train", "photos": 2, "coarse": 2, "fine": 1},
        {"photo_set": "benchmark", "photos": 3, "coarse": 2, "fine": 1},
    ]
