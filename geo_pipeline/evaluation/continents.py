"""Which continent a place is on.

Here lives the reading of the outlines (their origin, licence and changes stand in the first lines of their file) and
the one rule: a place within an outline is on that continent, any other is counted to the continent with the nearest
outline, so that coasts and islands have one too. Not here: what is counted (breakdown.py).
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.path import Path as Outline

from geo_pipeline.cells.leaf import unit_vectors
from geo_pipeline.evaluation.land import Ring

_FILE = Path(__file__).with_name("continents_110m.json")
_STEP_DEGREES = 0.25
"""Points of an outline are at most so far apart when the nearest one is looked for: 28 km, the outlines' own error."""

_PLACES_AT_ONCE = 64

Degrees = npt.NDArray[np.float64]


@cache
def continent_rings() -> dict[str, tuple[Ring, ...]]:
    """Rings of [longitude, latitude] in degrees (float64[n, 2]) by continent; a ring inside another is a hole."""
    content = json.loads(_FILE.read_text(encoding="utf-8"))["continents"]
    return {name: tuple(np.array(ring, dtype=np.float64) for ring in rings) for name, rings in content.items()}


def continents_of(latitudes: Degrees, longitudes: Degrees) -> list[str]:
    """The continent of each place. latitudes, longitudes: float64[n], degrees."""
    names = np.array(list(continent_rings()))
    inside = np.stack([_within(rings, latitudes, longitudes) for rings in continent_rings().values()])
    found = inside.argmax(axis=0)
    outside = ~inside.any(axis=0)
    found[outside] = _nearest(latitudes[outside], longitudes[outside])
    return [str(name) for name in names[found]]


def _within(rings: tuple[Ring, ...], latitudes: Degrees, longitudes: Degrees) -> npt.NDArray[np.bool_]:
    """Whether each place lies within an odd number of rings."""
    points = np.column_stack([longitudes, latitudes])
    inside = np.zeros(len(points), dtype=np.bool_)
    for ring in rings:
        inside ^= Outline(ring).contains_points(points)
    return inside


def _nearest(latitudes: Degrees, longitudes: Degrees) -> npt.NDArray[np.int64]:
    """The index of the continent with the nearest point of an outline."""
    points, owners = _outline_points()
    x, y, z = unit_vectors(latitudes, longitudes)
    found = np.zeros(len(latitudes), dtype=np.int64)
    for first in range(0, len(latitudes), _PLACES_AT_ONCE):
        some = (slice(first, first + _PLACES_AT_ONCE), None)
        # not a matrix product: the last bits of that depend on how many rows it has
        closeness = x[some] * points[0] + y[some] * points[1] + z[some] * points[2]
        found[some[0]] = owners[closeness.argmax(axis=1)]
    return found


@cache
def _outline_points() -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Points along all outlines as unit vectors, float64[3, n], and the index of the continent of each, int64[n]."""
    points = [[_dense(ring) for ring in rings] for rings in continent_rings().values()]
    owners = [np.full(sum(map(len, rings)), k) for k, rings in enumerate(points)]
    longitudes, latitudes = np.vstack([ring for rings in points for ring in rings]).T
    return np.stack(unit_vectors(latitudes, longitudes)), np.concatenate(owners)


def _dense(ring: Ring) -> Ring:
    """The ring with points between its own, so that no two are far apart."""
    steps = np.diff(np.vstack([ring, ring[:1]]), axis=0)
    counts = np.maximum(np.ceil(np.abs(steps).max(axis=1) / _STEP_DEGREES), 1).astype(np.int64)
    parts = [
        start + np.linspace(0, 1, count, endpoint=False)[:, None] * step
        for start, step, count in zip(ring, steps, counts, strict=True)
    ]
    return np.vstack(parts)
