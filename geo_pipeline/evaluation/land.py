"""The outlines of the land, for every map.

Here lives the one vendored geographic file (its origin and licence stand in its first lines). Not here: drawing.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

_FILE = Path(__file__).with_name("land_110m.json")


@cache
def land_rings() -> tuple[npt.NDArray[np.float64], ...]:
    """Rings of [longitude, latitude] in degrees (float64[n, 2]); within ±180, a ring inside another is a lake."""
    return tuple(np.array(ring) for ring in json.loads(_FILE.read_text(encoding="utf-8"))["rings"])


@cache
def land_path() -> str:
    """The land as an SVG path for a map of 360 x 180 units, north up: x = longitude + 180, y = 90 - latitude."""
    return "".join(
        "M" + "L".join(f"{longitude + 180:.1f} {90 - latitude:.1f}" for longitude, latitude in ring) + "z"
        for ring in land_rings()
    )
