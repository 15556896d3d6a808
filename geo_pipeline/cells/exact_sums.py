"""Sums of floats that do not depend on the order of addition.

Here lives the splitting of a number into two parts whose sums are exact. Not here: what is summed. The one idea: floats
that are whole multiples of one power of two add up without rounding as long as the sum has no more than 53 bits; so a
value is rounded to a coarse multiple, the rest of it to a fine one, and both are summed. Source: Rump, Ogita, Oishi:
Accurate floating-point summation, 2008 (extraction of high-order parts).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_MANTISSA_BITS = 53


@dataclass(frozen=True)
class ExactParts:
    """How values are split: to add one of these numbers and take it away again rounds to a multiple of a power of 2."""

    to_coarse: float
    to_fine: float

    @classmethod
    def for_sums(cls, *, largest: float, num_terms: int) -> Self:
        """Parts whose sums are exact for up to `num_terms` values from -largest to largest.

        What is lost of a value is at most `largest * num_terms**2 / 2**103`: 1e-21 degrees where cells hold up to
        5,000 photos.
        """
        term_bits = max(1, (num_terms - 1).bit_length())
        coarse_bits = _MANTISSA_BITS - term_bits - int(np.ceil(np.log2(largest))) - 1
        fine_bits = coarse_bits + _MANTISSA_BITS - term_bits
        return cls(1.5 * 2.0 ** (_MANTISSA_BITS - 1 - coarse_bits), 1.5 * 2.0 ** (_MANTISSA_BITS - 1 - fine_bits))

    def of(self, values: Floats) -> tuple[Floats, Floats]:
        """The coarse and the fine part of each value."""
        coarse = (values + self.to_coarse) - self.to_coarse
        rest = values - coarse
        return coarse, (rest + self.to_fine) - self.to_fine
