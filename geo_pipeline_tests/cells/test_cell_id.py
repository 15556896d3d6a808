import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from s2sphere import CellId

from geo_pipeline.cells import cell_id
from geo_pipeline_tests.cells.oracle import s2_leaf

cells = st.builds(
    lambda latitude, longitude, level: s2_leaf(latitude, longitude).parent(level),
    st.floats(-90, 90),
    st.floats(-180, 180),
    st.integers(0, 30),
)


def ids(*of: CellId) -> np.ndarray:
    return np.array([each.id() for each in of], dtype=np.uint64)


@settings(deadline=None)
@given(cells)
def test_levels_ranges_and_tokens_equal_s2sphere(cell: CellId) -> None:
    one = ids(cell)
    assert cell_id.levels(one).tolist() == [cell.level()]
    assert cell_id.first_leaves(one).tolist() == [cell.range_min().id()]
    assert cell_id.last_leaves(one).tolist() == [cell.range_max().id()]
    assert cell_id.tokens(one) == [cell.to_token()]
    assert cell_id.parse_token(cell.to_token()) == cell.id()


@settings(deadline=None)
@given(cells.filter(lambda cell: not cell.is_leaf()))
def test_children_equal_s2sphere(cell: CellId) -> None:
    assert cell_id.children(ids(cell)).tolist() == [child.id() for child in cell.children()]


def test_face_ids_are_the_six_cells_of_level_0() -> None:
    assert cell_id.face_ids().tolist() == [CellId.from_face_pos_level(face, 0, 0).id() for face in range(6)]


@pytest.mark.parametrize(
    "damaged", ["", "4.7E+06", "47E5", "4780000", "0", "x", " 47c", "c4", "e", "47c2", "1" * 17, "٣"]
)
def test_what_is_no_token_is_refused(damaged: str) -> None:
    with pytest.raises(ValueError, match="digit"):
        cell_id.parse_token(damaged)
