from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pytest
import torch

from geo_pipeline.errors import InputError
from geo_pipeline.model.geography import Geography
from geo_pipeline_tests.model.made_up import cell_table, cells, geography, hierarchy


def test_cells_are_ordered_by_class_label_whatever_the_order_of_rows() -> None:
    shuffled = {name: table.take(np.arange(table.num_rows)[::-1]) for name, table in cells().items()}
    again = Geography.from_tables(shuffled, hierarchy())
    assert again.partitioning_of("fine").hex_ids == geography().partitioning_of("fine").hex_ids
    np.testing.assert_array_equal(again.partitioning_of("fine").latitudes, [10.0, 12.0, -30.0, -34.0])


def test_answers_of_f_star_are_fine_cells() -> None:
    assert geography().partitioning_of("hierarchy") is not geography().partitioning_of("coarse")
    assert geography().p_keys == ("coarse", "middle", "fine", "hierarchy")
    assert geography().partitioning_of("hierarchy").name == "fine"


def test_a_geography_survives_a_file_that_may_hold_no_code() -> None:
    stream = io.BytesIO()
    torch.save(geography().to_state(), stream)
    stream.seek(0)
    again = Geography.from_state(torch.load(stream, weights_only=True))
    assert again.names == geography().names
    np.testing.assert_array_equal(again.hierarchy, geography().hierarchy)
    np.testing.assert_array_equal(again.partitionings[2].longitudes, geography().partitionings[2].longitudes)


def test_an_empty_partitioning_is_named() -> None:
    empty = cells() | {"middle": cell_table(np.array([]), np.array([]))}
    with pytest.raises(InputError, match="partitioning middle: no cell"):
        Geography.from_tables(empty, hierarchy())


def test_labels_with_a_gap_are_refused() -> None:
    gap = cells()["fine"].take([0, 1, 3])
    with pytest.raises(InputError, match="fine: found class label 3, expected 2"):
        Geography.from_tables(cells() | {"fine": gap}, hierarchy())


@pytest.mark.parametrize(
    "wrong",
    [hierarchy().slice(1), hierarchy().set_column(0, "coarse", [[0, 0, 1, 2]]), hierarchy().select(["coarse", "fine"])],
)
def test_a_hierarchy_of_other_cells_is_refused(wrong: pa.Table) -> None:
    with pytest.raises(InputError, match="the hierarchy"):
        Geography.from_tables(cells(), wrong)
