"""The Hilbert curve that numbers the leaves of a cube face.

Here live the lookup tables between (i, j) on a face and the position along the curve, in both directions. Not here:
coordinates on earth. The one idea: the curve is a machine with four states (its orientations) that reads one bit of i
and one of j and writes two bits; a table of six steps at once reads the 30 bits of each in five lookups and stays in
the first-level cache (32 KB). Source: S2 geometry library, `s2cell_id.cc`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from geo_pipeline.cells.cell_id import CellIds

_POSITION_TO_IJ = np.array([[0, 1, 3, 2], [0, 2, 3, 1], [3, 2, 0, 1], [3, 1, 0, 2]])  # by orientation
_IJ_TO_POSITION = np.argsort(_POSITION_TO_IJ, axis=1)
_TURN = np.array([1, 0, 0, 3])  # how the orientation changes (xor) in each quarter of the curve

_STEPS = 6
_MASK = (1 << _STEPS) - 1
_PAIR_BITS = 2 * _STEPS
_SHIFTS = range(30 - _STEPS, -1, -_STEPS)


def _curve_tables() -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint16]]:
    """[orientation, ij] -> position and next orientation (the low two bits), and [orientation, position] -> ij."""
    start = np.repeat(np.arange(4)[:, None], 1 << _PAIR_BITS, axis=1)
    ij = np.arange(1 << _PAIR_BITS)
    orientation, position = start.copy(), np.zeros_like(start)
    for bit in reversed(range(_STEPS)):
        quarter = _IJ_TO_POSITION[orientation, 2 * (ij >> (_STEPS + bit) & 1) + (ij >> bit & 1)]
        position = position << 2 | quarter
        orientation ^= _TURN[quarter]
    backward = np.empty_like(position)
    backward[start, position] = ij << 2 | orientation
    return (position << 2 | orientation).astype(np.uint16).ravel(), backward.astype(np.uint16).ravel()


_FORWARD, _BACKWARD = _curve_tables()


def leaves_at(face: npt.NDArray[np.int64], i: npt.NDArray[np.int64], j: npt.NDArray[np.int64]) -> CellIds:
    """Leaf ids (uint64[n]) of the leaves in column i, row j (each 0 to 2**30 - 1) of the cube faces."""
    position, orientation = face, face & 1
    for shift in _SHIFTS:
        pair = (i >> shift & _MASK) << _STEPS | j >> shift & _MASK
        entry = _FORWARD[orientation << _PAIR_BITS | pair].astype(np.int64)
        position = position << _PAIR_BITS | entry >> 2
        orientation = entry & 3
    return position.astype(np.uint64) << np.uint64(1) | np.uint64(1)


def face_ij(leaf_ids: CellIds) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Face, column i and row j of leaves: the inverse of `leaves_at`."""
    position = (leaf_ids >> np.uint64(1)).astype(np.int64)
    face = position >> 60
    i, j, orientation = np.zeros_like(face), np.zeros_like(face), face & 1
    for shift in _SHIFTS:
        entry = _BACKWARD[orientation << _PAIR_BITS | position >> 2 * shift & (1 << _PAIR_BITS) - 1].astype(np.int64)
        i = i << _STEPS | entry >> _STEPS + 2
        j = j << _STEPS | entry >> 2 & _MASK
        orientation = entry & 3
    return face, i, j
