"""Arithmetic on arrays of S2 cell ids, and their tokens.

Here live the bit tricks of the 64-bit id: three bits of face, two bits for each level, a one, zeros. Not here: where
on earth a cell lies (geometry.py) and how a coordinate becomes an id (leaf.py). The one idea: the lowest set bit of an
id tells its level and the width of its range of leaf ids, so "contains" is a comparison of integers.
Source: S2 geometry library, `s2cell_id.h`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from geo_pipeline.cells.settings import MAX_LEVEL

CellIds = npt.NDArray[np.uint64]

NUM_FACES = 6
_FACE_SHIFT = 61
_VALID_LOWEST_BITS = np.uint64(0x1555555555555555)
_TOKEN = re.compile(r"[0-9a-f]{0,15}[1-9a-f]")
_ONE = np.uint64(1)


def face_ids() -> CellIds:
    """The ids of the six cube faces, the cells of level 0, in ascending order."""
    return (np.arange(NUM_FACES, dtype=np.uint64) << np.uint64(_FACE_SHIFT)) | (_ONE << np.uint64(2 * MAX_LEVEL))


def lowest_bits(cell_ids: CellIds) -> CellIds:
    """The lowest set bit of each id: 1 for a leaf, four times as much with each level up."""
    return cell_ids & (~cell_ids + _ONE)


def levels(cell_ids: CellIds) -> npt.NDArray[np.int64]:
    """The level of each cell, 0 (a cube face) to 30 (a leaf)."""
    return MAX_LEVEL - (np.log2(lowest_bits(cell_ids)).astype(np.int64) >> 1)


def first_leaves(cell_ids: CellIds) -> CellIds:
    """The smallest leaf id in each cell."""
    return cell_ids - (lowest_bits(cell_ids) - _ONE)


def last_leaves(cell_ids: CellIds) -> CellIds:
    """The largest leaf id in each cell."""
    return cell_ids + (lowest_bits(cell_ids) - _ONE)


def children(cell_ids: CellIds) -> CellIds:
    """The four children of each cell (uint64[4n], the children of one cell side by side and ascending)."""
    quarter = lowest_bits(cell_ids) >> np.uint64(2)
    first = cell_ids - np.uint64(3) * quarter
    steps = np.arange(4, dtype=np.uint64) << _ONE
    return (first[:, None] + steps[None, :] * quarter[:, None]).ravel()


def tokens(cell_ids: CellIds) -> list[str]:
    """The S2 token of each id: its 16 hexadecimal digits without the zeros at the end."""
    return [format(cell_id, "016x").rstrip("0") for cell_id in cell_ids.tolist()]


def parse_token(token: str) -> int:
    """The cell id that a token stands for. Raises ValueError, saying what is wrong, if it stands for none."""
    if not _TOKEN.fullmatch(token):
        raise ValueError("a token has 1 to 16 digits 0-9a-f and does not end in 0")
    cell_id = int(token.ljust(16, "0"), 16)
    if cell_id >> _FACE_SHIFT >= NUM_FACES:
        raise ValueError("its first digit names a cube face that does not exist")
    if not (cell_id & -cell_id) & int(_VALID_LOWEST_BITS):
        raise ValueError("its last digit ends between two levels")
    return cell_id


def parse_tokens(all_tokens: Sequence[str]) -> CellIds:
    """The cell ids of S2 tokens (uint64[n]). Raises ValueError if one of them is not a token."""
    return np.fromiter((parse_token(token) for token in all_tokens), dtype=np.uint64, count=len(all_tokens))
