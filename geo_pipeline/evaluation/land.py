"""The outlines of the land, for every map.

Here live the two scales of Natural Earth's land: a coarse one for pictures of the world (its origin and licence stand
in its first lines) and a finer one for maps that can be zoomed (vendored/). Not here: drawing.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from geo_pipeline.evaluation.vendored import land_topology

_FILE = Path(__file__).with_name("land_110m.json")

Ring = npt.NDArray[np.float64]


@cache
def land_rings() -> tuple[Ring, ...]:
    """Rings of [longitude, latitude] in degrees (float64[n, 2]); within ±180, a ring inside another is a lake."""
    return tuple(np.array(ring) for ring in json.loads(_FILE.read_text(encoding="utf-8"))["rings"])


@cache
def fine_land_rings() -> tuple[Ring, ...]:
    """The same at 1:50 million, with islands and bays down to some kilometres."""
    topology = land_topology()
    scale, translate = (np.array(topology["transform"][name]) for name in ("scale", "translate"))
    arcs = [np.cumsum(arc, axis=0) * scale + translate for arc in topology["arcs"]]
    shapes = topology["objects"]["land"]["geometries"]
    rings = (_joined(ring, arcs) for shape in shapes for polygon in shape["arcs"] for ring in polygon)
    return tuple(part for ring in rings for part in _cut_at_the_antimeridian(ring))


def _joined(ring: list[int], arcs: list[Ring]) -> Ring:
    """The arcs of a ring one after another, each without its last point, which begins the next; ~k is k reversed."""
    return np.concatenate([(arcs[k] if k >= 0 else arcs[~k][::-1])[:-1] for k in ring])


def _cut_at_the_antimeridian(ring: Ring) -> list[Ring]:
    """The ring as rings that stay within ±180; one that goes around a pole runs along the map's border there."""
    longitudes, latitudes = np.unwrap([*ring[:, 0], ring[0, 0]], period=360), ring[:, 1]
    whole = np.column_stack([longitudes[:-1], latitudes])
    if not np.isclose(longitudes[-1], longitudes[0]):
        pole = np.copysign(90, latitudes.mean())
        closing = [[longitudes[-1], latitudes[0]], [longitudes[-1], pole], [longitudes[0], pole]]
        whole = np.vstack([whole, closing])
    if np.abs(whole[:, 0]).max() <= 180:
        return [whole]
    mirror = np.array([-1, 1])
    copies = (whole + np.array([turn, 0]) for turn in (-360, 0, 360))
    within = (_west_of_180(_west_of_180(copy) * mirror) * mirror for copy in copies)
    return [part for part in within if len(part)]


def _west_of_180(ring: Ring) -> Ring:
    """The part of a ring with longitudes up to 180 (Sutherland and Hodgman's clipping by one edge)."""
    kept = []
    for before, point in zip(np.roll(ring, 1, axis=0), ring, strict=True):
        if (before[0] <= 180) != (point[0] <= 180):
            kept.append(before + (point - before) * (180 - before[0]) / (point[0] - before[0]))
        if point[0] <= 180:
            kept.append(point)
    return np.array(kept).reshape(-1, 2)


@cache
def land_path() -> str:
    """The land as an SVG path for a map of 360 x 180 units, north up: x = longitude + 180, y = 90 - latitude."""
    return "".join(
        "M" + "L".join(f"{longitude + 180:.1f} {90 - latitude:.1f}" for longitude, latitude in ring) + "z"
        for ring in land_rings()
    )
