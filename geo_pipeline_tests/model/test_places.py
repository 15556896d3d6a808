from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from geopy.distance import great_circle
from hypothesis import given, settings
from hypothesis import strategies as st

from geo_pipeline.model.geography import Partitioning
from geo_pipeline.model.places import SPREAD_OF_EDGE, Places, mass_within

CPU = torch.device("cpu")
A_LEAF = "1000000000000001"
coordinates = st.tuples(st.floats(-90, 90), st.floats(-180, 180))


def places_of(where: list[tuple[float, float]], token: str = A_LEAF) -> Places:
    latitudes, longitudes = (np.array(part) for part in zip(*where, strict=True))
    return Places.of(Partitioning("fine", (token,) * len(where), latitudes, longitudes), CPU)


@settings(deadline=None)
@given(st.lists(coordinates, min_size=2, max_size=9), st.sampled_from([25.0, 200.0, 750.0, 5000.0]))
def test_of_cells_without_extent_the_mass_is_that_of_those_that_geopy_finds_within(
    where: list[tuple[float, float]], radius_km: float
) -> None:
    shares = torch.softmax(torch.arange(len(where), dtype=torch.float32), dim=0)
    cells = places_of(where)
    found = mass_within(shares[None], cells.vectors[None, :1], cells, radius_km)[0, 0].item()
    distances = [great_circle(where[0], place, radius=6371.0).km for place in where]
    least, most = (sum(shares[k] for k, d in enumerate(distances) if d <= radius_km + e) for e in (-0.01, 0.01))
    assert float(least) - 1e-6 <= found <= float(most) + 1e-6


@pytest.mark.parametrize(
    ("a", "b"), [((90.0, 0.0), (90.0, 123.0)), ((10.0, 180.0), (10.0, -180.0)), ((0.0, 0.0), (0.0, 0.0))]
)
def test_a_point_with_two_names_is_one_point(a: tuple[float, float], b: tuple[float, float]) -> None:
    cells = places_of([a, b])
    assert mass_within(torch.tensor([[0.5, 0.5]]), cells.vectors[None], cells, 1e-3).tolist() == [[1.0, 1.0]]


def test_the_spread_is_a_share_of_the_average_edge_of_the_cells_level() -> None:
    levels = {"1": 0, "11": 2, "1101": 6, A_LEAF: 30}
    for token, level in levels.items():
        square_km = 4 * np.pi * 6371.0**2 / (6 * 4**level)
        assert places_of([(0.0, 0.0)], token).spreads_km.item() == pytest.approx(SPREAD_OF_EDGE * square_km**0.5)


@pytest.mark.parametrize("distance_km", [0.0, 60.0, 150.0, 400.0])
@pytest.mark.parametrize("radius_km", [25.0, 200.0, 750.0])
def test_the_share_of_a_large_cell_is_nearly_that_of_photos_drawn_around_its_mean(
    distance_km: float, radius_km: float
) -> None:
    cells = places_of([(0.0, 0.0), (0.0, distance_km / 6371 * 180 / np.pi)], "1101")
    spread = cells.spreads_km[0].item()
    assert 15 < spread < 25
    found = mass_within(torch.tensor([[1.0, 0.0]]), cells.vectors[None, 1:], cells, radius_km).item()
    drawn = np.random.default_rng(3).normal(0, spread, (100_000, 2))
    drawn[:, 0] += distance_km
    assert found == pytest.approx((np.hypot(*drawn.T) <= radius_km).mean(), abs=0.12)


def test_more_lies_within_a_larger_radius_and_all_within_half_the_earth() -> None:
    rng = np.random.default_rng(2)
    cells = places_of(list(zip(rng.uniform(-90, 90, 50), rng.uniform(-180, 180, 50), strict=True)), "1101")
    shares = torch.from_numpy(rng.dirichlet(np.ones(50), 11)).float()
    masses = [mass_within(shares, cells.vectors[None, :3].expand(11, 3, 3), cells, r) for r in (25, 500, 5000, 20_100)]
    assert all((more >= less).all() for less, more in pairwise(masses))
    torch.testing.assert_close(masses[-1], torch.ones(11, 3))


def test_memory_is_bounded_and_the_parts_fit_together(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    cells = places_of(list(zip(rng.uniform(-90, 90, 50), rng.uniform(-180, 180, 50), strict=True)), "1101")
    shares, labels = torch.from_numpy(rng.dirichlet(np.ones(50), 11)).float().topk(20, dim=1)
    points = cells.vectors[torch.from_numpy(rng.integers(0, 50, (11, 3)))]
    whole = mass_within(shares, points, cells[labels], 3000)
    monkeypatch.setattr("geo_pipeline.model.places._ELEMENTS_AT_ONCE", 130)
    torch.testing.assert_close(mass_within(shares, points, cells[labels], 3000), whole)
    assert mass_within(shares[:0], points[:0], cells[labels[:0]], 3000).shape == (0, 3)
