from collections.abc import Callable

import numpy as np
import pytest
from matplotlib.path import Path

from geo_pipeline.evaluation.land import fine_land_rings, land_path, land_rings

SCALES = (land_rings, fine_land_rings)


@pytest.mark.parametrize("rings", SCALES)
@pytest.mark.parametrize(
    ("place", "is_land"),
    [
        ((2.3, 48.9), True),
        ((-47.9, -15.8), True),
        ((134.0, -25.0), True),
        ((179.0, 68.0), True),  # both sides of the antimeridian
        ((-179.0, 67.5), True),
        ((20.0, -85.0), True),
        ((-150.0, 0.0), False),
        ((-35.0, 40.0), False),
        ((80.0, -20.0), False),
        ((51.0, 42.0), False),  # the Caspian Sea is a ring inside another
    ],
)
def test_known_places_lie_on_land_or_not(
    rings: Callable[[], tuple[np.ndarray, ...]], place: tuple[float, float], is_land: bool
) -> None:
    assert sum(Path(ring).contains_point(place) for ring in rings()) % 2 == is_land


@pytest.mark.parametrize("rings", SCALES)
def test_rings_stay_on_the_map_and_never_jump_across_it(rings: Callable[[], tuple[np.ndarray, ...]]) -> None:
    for ring in rings():
        assert np.abs(ring[:, 0]).max() <= 180
        assert np.abs(ring[:, 1]).max() <= 90
        jumps = np.abs(np.diff(ring[:, 0], append=ring[:1, 0]))
        assert jumps[ring[:, 1] > -90].max() < 60


def test_the_finer_land_has_islands_that_the_coarse_one_lacks() -> None:
    malta = (14.4, 35.9)
    assert [any(Path(ring).contains_point(malta) for ring in rings()) for rings in SCALES] == [False, True]


def test_the_svg_path_has_a_closed_part_for_each_ring() -> None:
    path = land_path()
    assert path.count("M") == path.count("z") == len(land_rings())
