"""From coordinates to S2 leaf ids, vectorised and equal to s2sphere in every bit.

Here lives the projection: sphere -> cube face -> the square (s, t) of S2's quadratic transform -> the Hilbert curve.
The one idea: each step repeats the floating-point operations of s2sphere in the same order, so the results cannot
differ even at cell borders. Work goes by chunks that stay in the cache. Source: s2sphere, `CellId.from_lat_lng`.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from geo_pipeline.cells.cell_id import CellIds
from geo_pipeline.cells.hilbert import leaves_at
from geo_pipeline.cells.settings import MAX_LEVEL
from geo_pipeline.errors import InputError

Degrees = npt.NDArray[np.float64]

LEAVES_PER_EDGE = 1 << MAX_LEVEL
_RADIANS = math.pi / 180
_CHUNK = 1 << 15


def leaf_ids(latitudes: Degrees, longitudes: Degrees) -> CellIds:
    """The S2 leaf cell of each coordinate.

    latitudes, longitudes: float64[n], degrees. Returns uint64[n], equal to s2sphere's
    `CellId.from_lat_lng(LatLng.from_degrees(latitude, longitude)).id()`.
    Raises InputError naming the first row that is not a coordinate (not a number, outside ±90 or ±180).
    """
    check_coordinates(latitudes, longitudes)
    ids = np.empty(len(latitudes), dtype=np.uint64)
    for start in range(0, len(ids), _CHUNK):
        part = slice(start, start + _CHUNK)
        face, u, v = _project(*unit_vectors(latitudes[part], longitudes[part]))
        ids[part] = leaves_at(face, _column(u), _column(v))
    return ids


def check_coordinates(latitudes: Degrees, longitudes: Degrees) -> None:
    """Raise InputError naming the first row (from 0) whose latitude is outside ±90 or longitude outside ±180."""
    for name, values, limit in (("latitude", latitudes, 90.0), ("longitude", longitudes, 180.0)):
        bad = np.flatnonzero(~(np.abs(values) <= limit))  # a NaN compares false
        if len(bad):
            raise InputError(
                f"row {bad[0]} (from 0): {name} {values[bad[0]]} is not between -{limit:g} and {limit:g} degrees"
                f" ({len(bad)} such rows of {len(values)}); correct or remove them"
            )


def unit_vectors(latitudes: Degrees, longitudes: Degrees) -> tuple[Degrees, Degrees, Degrees]:
    """x, y, z (float64[n]) on the unit sphere of coordinates in degrees."""
    phi, theta = latitudes * _RADIANS, longitudes * _RADIANS
    cos_phi = np.cos(phi)
    return np.cos(theta) * cos_phi, np.sin(theta) * cos_phi, np.sin(phi)


def _project(x: Degrees, y: Degrees, z: Degrees) -> tuple[npt.NDArray[np.int64], Degrees, Degrees]:
    """The cube face that a ray from the centre meets, and where (u, v in -1 to 1)."""
    along_x, along_y, along_z = np.abs(x), np.abs(y), np.abs(z)
    is_x = (along_x > along_y) & (along_x > along_z)  # ties go to the later axis, as in s2sphere
    is_y = (along_x <= along_y) & (along_y > along_z)
    is_z = ~(is_x | is_y)
    major = np.where(is_x, x, np.where(is_y, y, z))
    negative = major < 0
    first = np.where(is_x, y, -x) / major
    second = np.where(is_z, -y, z) / major
    face = is_y + 2 * is_z + 3 * negative
    return face, np.where(negative, second, first), np.where(negative, first, second)


def _column(u: Degrees) -> npt.NDArray[np.int64]:
    """The column (or row) of leaves at u, through S2's quadratic transform from u in -1..1 to s in 0..1."""
    root = 0.5 * np.sqrt(1 + 3 * np.abs(u))
    s = np.where(u >= 0, root, 1 - root)
    column: npt.NDArray[np.int64] = np.minimum((LEAVES_PER_EDGE * s).astype(np.int64), LEAVES_PER_EDGE - 1)
    return column
