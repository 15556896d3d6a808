"""Numbers in the files that people supply: which texts are numbers, and why a value is none that can be used.

Here lives the one rule for coordinates and probabilities. Not here: which columns hold them (metadata.py, dataset.py).
The one idea: a value is certainly a number in its range, or it is told as it stands in the file.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

LATITUDES, LONGITUDES = (-90, 90), (-180, 180)
_NUMBER = r"^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$"


def numbers_of(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """float64 of texts that are decimal numbers, null for the rest ("nan" and "inf" are no coordinates)."""
    is_number = pc.match_substring_regex(texts, _NUMBER)
    return pc.cast(pc.utf8_trim_whitespace(pc.if_else(is_number, texts, None)), pa.float64())


def within(numbers: pa.ChunkedArray, low: float, high: float) -> np.ndarray:
    """bool[n]: which values are numbers in a range; a published softmax may pass 1 by its rounding."""
    rounding = 1e-6 if high == 1 else 0.0
    inside = pc.and_(pc.greater_equal(numbers, low - rounding), pc.less_equal(numbers, high + rounding))
    return np.asarray(pc.fill_null(inside, False))


def reasons(name: str, texts: pa.ChunkedArray, low: float, high: float) -> list[str]:
    """What is wrong with values of a column that are not within a range, as they stand in the file."""
    return [
        f"{name} is {'null' if text is None else repr(text)}, expected a number from {low} to {high}"
        for text in texts.to_pylist()
    ]
