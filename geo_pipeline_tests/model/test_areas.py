from __future__ import annotations

import numpy as np
import pytest
import s2sphere
import torch

from geo_pipeline.cells.cell_id import parse_tokens
from geo_pipeline.model.areas import LEVELS, RADII_KM, Areas, enclosing_cells
from geo_pipeline.model.calibration import Beliefs
from geo_pipeline.model.geography import Geography, Partitioning

CPU = torch.device("cpu")


def s2_cells() -> list[s2sphere.CellId]:
    """Cells of levels 2 to 12 around three towns, no one in another."""
    towns = [(48.2, 16.4), (48.25, 16.3), (47.1, 15.4), (-33.9, 151.2), (64.1, -21.9), (35.0, 135.7), (35.1, 135.9)]
    levels = [12, 12, 11, 9, 7, 10, 10]
    small = [
        s2sphere.CellId.from_lat_lng(s2sphere.LatLng.from_degrees(*town)).parent(level)
        for town, level in zip(towns, levels, strict=True)
    ]
    return [*small, s2sphere.CellId.from_lat_lng(s2sphere.LatLng.from_degrees(-80.0, 10.0)).parent(2)]


def geography() -> Geography:
    tokens = tuple(cell.to_token() for cell in s2_cells())
    fine = Partitioning("fine", tokens, np.zeros(len(tokens)), np.zeros(len(tokens)))
    return Geography((fine,), np.arange(len(tokens))[:, None])


def believed(shares: torch.Tensor) -> Beliefs:
    return Beliefs({"hierarchy": shares.log()}, {"hierarchy": shares})


@pytest.mark.parametrize("level", range(13))
def test_enclosing_cells_are_those_of_s2sphere(level: int) -> None:
    expected = [cell.parent(level) if cell.level() > level else cell for cell in s2_cells()]
    ids = parse_tokens([cell.to_token() for cell in s2_cells()])
    assert enclosing_cells(ids, level).tolist() == [cell.id() for cell in expected]


@pytest.mark.parametrize("name", LEVELS)
def test_a_size_is_about_that_of_its_circle(name: str) -> None:
    cell = s2sphere.Cell(s2sphere.CellId.from_lat_lng(s2sphere.LatLng.from_degrees(48.2, 16.4)).parent(LEVELS[name]))
    square_km = cell.exact_area() * 6371.0**2
    assert 0.4 < square_km / (np.pi * RADII_KM[name] ** 2) < 1.2


def test_the_probability_of_an_area_is_that_of_its_cells_and_the_best_comes_first() -> None:
    shares = torch.tensor([[0.1, 0.3, 0.1, 0.05, 0.05, 0.15, 0.05, 0.2]])
    (ranked,) = Areas(geography(), "country", CPU).decide(believed(shares), 0.0)
    expected: dict[str, float] = {}
    for cell, share in zip(s2_cells(), shares[0].tolist(), strict=True):
        token = cell.parent(3).to_token() if cell.level() > 3 else cell.to_token()
        expected[token] = expected.get(token, 0.0) + share
    by_share = sorted(expected.items(), key=lambda item: -item[1])[:5]
    assert [area.probability for area in ranked] == pytest.approx([share for _, share in by_share])
    best = ranked[0]
    assert (best.precision, best.token) == ("country", by_share[0][0])
    middle = s2sphere.CellId.from_token(best.token).to_lat_lng()
    assert (best.latitude, best.longitude) == pytest.approx((middle.lat().degrees, middle.lng().degrees))


def test_the_smallest_permitted_size_that_reaches_the_floor_is_taken() -> None:
    # two cells of one town of a city's size, the third of the same region, the rest elsewhere
    shares = torch.tensor(
        [
            [0.40, 0.40, 0.00, 0.20, 0.00, 0.00, 0.00, 0.00],
            [0.45, 0.00, 0.45, 0.10, 0.00, 0.00, 0.00, 0.00],
            [0.20, 0.00, 0.00, 0.20, 0.20, 0.20, 0.00, 0.20],
        ]
    )
    by_city = Areas(geography(), "city", CPU).decide(believed(shares), 0.7)
    assert [ranked[0].precision if ranked else None for ranked in by_city] == ["city", "region", None]
    by_region = Areas(geography(), "region", CPU).decide(believed(shares), 0.7)
    assert [ranked[0].precision if ranked else None for ranked in by_region] == ["region", "region", None]
    by_country = Areas(geography(), "country", CPU).decide(believed(shares), 0.2)
    assert [ranked[0].precision for ranked in by_country] == ["country"] * 3


def test_a_fine_cell_that_is_larger_than_the_area_is_its_own_area() -> None:
    shares = torch.zeros(1, 8)
    shares[0, 7] = 1.0
    (ranked,) = Areas(geography(), "city", CPU).decide(believed(shares), 0.9)
    assert (ranked[0].token, ranked[0].probability) == (s2_cells()[7].to_token(), 1.0)
