import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo_pipeline.cells.exact_sums import ExactParts

coordinates = st.floats(-360, 360)


@given(st.lists(coordinates, min_size=1, max_size=60), st.randoms(use_true_random=False))
def test_the_order_of_addition_changes_no_bit(values: list[float], random: object) -> None:
    parts = ExactParts.for_sums(largest=512, num_terms=len(values)).of(np.array(values))
    for part in parts:
        shuffled = part.tolist()
        random.shuffle(shuffled)  # type: ignore[attr-defined]
        assert sum(part.tolist()) == sum(shuffled) == sum(Fraction(x) for x in shuffled)


@given(st.lists(coordinates, min_size=1, max_size=60))
def test_the_sum_is_the_true_one_rounded(values: list[float]) -> None:
    coarse, fine = ExactParts.for_sums(largest=512, num_terms=len(values)).of(np.array(values))
    assert coarse.sum() + fine.sum() == pytest.approx(math.fsum(values), rel=3e-16, abs=1e-15)


@pytest.mark.parametrize("num_terms", [1, 2, 1000, 2**23, 2**31])
@given(st.floats(-512, 512))
def test_a_sum_of_that_many_terms_still_fits_in_53_bits(num_terms: int, value: float) -> None:
    parts = ExactParts.for_sums(largest=512, num_terms=num_terms)
    for part, splitter in zip(parts.of(np.array([value])), (parts.to_coarse, parts.to_fine), strict=True):
        units = Fraction(float(part[0])) / Fraction(math.ulp(splitter))
        assert units.denominator == 1
        assert abs(units) * num_terms <= 2**53
