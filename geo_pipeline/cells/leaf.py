"""From coordinates to S2 leaf ids, vectorised and equal to s2sphere in every bit.

Here lives the projection: sphere -> cube face -> the square (s, t) of S2's quadratic transform -> the Hilbert curve.
The one idea: each step repeats the floating-point operations of s2sphere in the same order. All of them are exact to
the bit by IEEE 754 but sine and cosine, which numpy may round otherwise than Python's `math`; that matters only beside
the border of a leaf, so the few coordinates there are computed again with `math`. Source: s2sphere,
`CellId.from_lat_lng`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from geo_pipeline.cells.cell_id import CellIds
from geo_pipeline.cells.chunks import in_threads
from geo_pipeline.cells.hilbert import leaves_at
from geo_pipeline.cells.settings import MAX_LEVEL
from geo_pipeline.errors import InputError

Degrees = npt.NDArray[np.float64]

LEAVES_PER_EDGE = 1 << MAX_LEVEL
_RADIANS = math.pi / 180
_BORDER = 1e-5  # in leaves: a sine or cosine that is wrong by 8 ulp moves a point by less


def leaf_ids(latitudes: Degrees, longitudes: Degrees) -> CellIds:
    """The S2 leaf cell of each coordinate.

    latitudes, longitudes: float64[n], degrees. Returns uint64[n], equal to s2sphere's
    `CellId.from_lat_lng(LatLng.from_degrees(latitude, longitude)).id()`.
    Raises InputError naming the first row that is not a coordinate (not a number, outside ±90 or ±180).
    """
    check_coordinates(latitudes, longitudes)
    ids = np.empty(len(latitudes), dtype=np.uint64)

    def fill(chunks: Iterator[slice]) -> None:
        for rows in chunks:
            ids[rows] = _leaf_ids(latitudes[rows], longitudes[rows])

    in_threads(len(ids), fill)
    return ids


def check_coordinates(latitudes: Degrees, longitudes: Degrees) -> None:
    """Raise InputError naming the first row (from 0) whose latitude is outside ±90 or longitude outside ±180."""
    for name, values, limit in (("latitude", latitudes, 90.0), ("longitude", longitudes, 180.0)):
        if not len(values) or (values.min() >= -limit and values.max() <= limit):
            continue
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


def _leaf_ids(latitudes: Degrees, longitudes: Degrees) -> CellIds:
    """The leaf ids of a chunk of coordinates."""
    face, u, v = _project(*unit_vectors(latitudes, longitudes))
    columns, rows = _across(u), _across(v)
    ids = leaves_at(face, _whole(columns), _whole(rows))
    doubtful = np.flatnonzero(_is_at_border(columns) | _is_at_border(rows))
    if len(doubtful):
        face, u, v = _project(*_exact_unit_vectors(latitudes[doubtful], longitudes[doubtful]))
        ids[doubtful] = leaves_at(face, _whole(_across(u)), _whole(_across(v)))
    return ids


def _exact_unit_vectors(latitudes: Degrees, longitudes: Degrees) -> tuple[Degrees, Degrees, Degrees]:
    """As `unit_vectors`, with the sines and cosines of Python."""
    phi, theta = latitudes * _RADIANS, longitudes * _RADIANS
    cos_phi = _each(math.cos, phi)
    return _each(math.cos, theta) * cos_phi, _each(math.sin, theta) * cos_phi, _each(math.sin, phi)


def _each(function: Callable[[float], float], values: Degrees) -> Degrees:
    return np.fromiter(map(function, values.tolist()), dtype=np.float64, count=len(values))


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


def _across(u: Degrees) -> Degrees:
    """How many leaves (0 to 2**30) lie before u, through S2's quadratic transform from u in -1..1 to s in 0..1."""
    root = 0.5 * np.sqrt(1 + 3 * np.abs(u))
    leaves: Degrees = LEAVES_PER_EDGE * np.where(u >= 0, root, 1 - root)
    return leaves


def _whole(leaves: Degrees) -> npt.NDArray[np.int64]:
    """The column (or row) of leaves that begins at or before a place along an edge."""
    return np.minimum(leaves.astype(np.int64), LEAVES_PER_EDGE - 1)


def _is_at_border(leaves: Degrees) -> npt.NDArray[np.bool_]:
    """Which places along an edge are too near to the border of two leaves to be sure; those of a face too."""
    return np.abs(leaves - np.rint(leaves)) < _BORDER
