import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from s2sphere import CellId

from geo_pipeline.cells.hilbert import face_ij, leaves_at

edge = st.integers(0, 2**30 - 1)


@settings(deadline=None)
@given(st.integers(0, 5), edge, edge)
def test_the_curve_equals_s2sphere_and_leads_back(face: int, i: int, j: int) -> None:
    leaves = leaves_at(np.array([face]), np.array([i]), np.array([j]))
    assert leaves.tolist() == [CellId.from_face_ij(face, i, j).id()]
    assert [int(part[0]) for part in face_ij(leaves)] == [face, i, j]
