from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from geo_pipeline.errors import InputError
from geo_pipeline.training.data import LabelledPhotos
from geo_pipeline_tests.model import made_up


def test_labels_are_the_tables_and_minus_one_where_it_has_none(tmp_path: Path) -> None:
    table = made_up.photos(tmp_path, 30)
    labels = LabelledPhotos(table, tmp_path, made_up.geography()).labels
    for head, name in enumerate(("coarse", "middle", "fine")):
        assert labels[:, head].tolist() == [-1 if label is None else label for label in table[name].to_pylist()]
    assert (labels[:, 2] == -1).sum() == 30 // 7


def test_coordinates_are_latitude_and_longitude(tmp_path: Path) -> None:
    table = made_up.photos(tmp_path, 5)
    coordinates = LabelledPhotos(table, tmp_path, made_up.geography()).coordinates
    np.testing.assert_array_equal(coordinates.T, [table["latitude"], table["longitude"]])


def test_photos_without_the_column_of_a_partitioning_are_refused(tmp_path: Path) -> None:
    table = made_up.photos(tmp_path, 3).drop(["middle"])
    with pytest.raises(InputError, match="no labels for partitioning middle"):
        LabelledPhotos(table, tmp_path, made_up.geography())


def test_a_label_that_the_partitioning_does_not_have_is_refused(tmp_path: Path) -> None:
    table = made_up.photos(tmp_path, 3)
    table = table.set_column(table.column_names.index("coarse"), "coarse", [[0, 1, 5]])
    with pytest.raises(InputError, match="coarse has 2 cells, a photo has class label 5"):
        LabelledPhotos(table, tmp_path, made_up.geography())
