"""Distance on the sphere.

Here lives the one formula by which every answer is measured.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from geo_pipeline.cells.leaf import Degrees

Kilometres = npt.NDArray[np.float64]

EARTH_RADIUS_KM = 6371.0


def great_circle_km(
    latitudes_a: Degrees, longitudes_a: Degrees, latitudes_b: Degrees, longitudes_b: Degrees
) -> Kilometres:
    """Great-circle distance in kilometres (float64, broadcast) between coordinates in degrees, on R = 6371 km.

    The arc tangent of |a x b| over a.b: accurate from millimetres to the antipode, where the usual haversine and
    arc-cosine forms lose digits. Source: Vincenty 1975, for a sphere.
    """
    phi_a, phi_b = np.radians(latitudes_a), np.radians(latitudes_b)
    delta = np.radians(np.subtract(longitudes_b, longitudes_a))
    sin_a, cos_a, sin_b, cos_b = np.sin(phi_a), np.cos(phi_a), np.sin(phi_b), np.cos(phi_b)
    across = np.hypot(cos_b * np.sin(delta), cos_a * sin_b - sin_a * cos_b * np.cos(delta))
    along = sin_a * sin_b + cos_a * cos_b * np.cos(delta)
    distances: Kilometres = EARTH_RADIUS_KM * np.arctan2(across, along)
    return distances
