from __future__ import annotations

import numpy as np
import pytest
import torch
from geopy.distance import great_circle
from hypothesis import given, settings
from hypothesis import strategies as st

from geo_pipeline.model.geography import Partitioning
from geo_pipeline.model.places import mass_within, vectors_of

CPU = torch.device("cpu")
coordinates = st.tuples(st.floats(-90, 90), st.floats(-180, 180))


def vectors(places: list[tuple[float, float]]) -> torch.Tensor:
    latitudes, longitudes = (np.array(part) for part in zip(*places, strict=True))
    return vectors_of(Partitioning("fine", ("1",) * len(places), latitudes, longitudes), CPU)


@settings(deadline=None)
@given(st.lists(coordinates, min_size=2, max_size=9), st.sampled_from([25.0, 200.0, 750.0, 5000.0]))
def test_the_mass_is_that_of_the_cells_that_geopy_finds_within(
    places: list[tuple[float, float]], radius_km: float
) -> None:
    shares = torch.softmax(torch.arange(len(places), dtype=torch.float32), dim=0)
    cells = vectors(places)
    found = mass_within(shares[None], cells[None, :1], cells, radius_km)[0, 0].item()
    distances = [great_circle(places[0], place, radius=6371.0).km for place in places]
    least, most = (sum(shares[k] for k, d in enumerate(distances) if d <= radius_km + e) for e in (-1e-3, 1e-3))
    assert float(least) - 1e-6 <= found <= float(most) + 1e-6


@pytest.mark.parametrize(
    ("a", "b"), [((90.0, 0.0), (90.0, 123.0)), ((10.0, 180.0), (10.0, -180.0)), ((0.0, 0.0), (0.0, 0.0))]
)
def test_a_point_with_two_names_is_one_point(a: tuple[float, float], b: tuple[float, float]) -> None:
    cells = vectors([a, b])
    assert mass_within(torch.tensor([[0.5, 0.5]]), cells[None], cells, 1e-3).tolist() == [[1.0, 1.0]]


def test_memory_is_bounded_and_the_parts_fit_together(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    cells = vectors(list(zip(rng.uniform(-90, 90, 50), rng.uniform(-180, 180, 50), strict=True)))
    shares = torch.from_numpy(rng.dirichlet(np.ones(50), 11)).float()
    points = cells[torch.from_numpy(rng.integers(0, 50, (11, 3)))]
    whole = mass_within(shares, points, cells, 3000)
    monkeypatch.setattr("geo_pipeline.model.places._ELEMENTS_AT_ONCE", 400)
    torch.testing.assert_close(mass_within(shares, points, cells, 3000), whole)
    assert mass_within(shares[:0], points[:0], cells, 3000).shape == (0, 3)
