from __future__ import annotations

import numpy as np
import pytest
import torch
from geopy.distance import great_circle
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from geo_pipeline.cells.distance import EARTH_RADIUS_KM, great_circle_km
from geo_pipeline.errors import InputError
from geo_pipeline.training.label_smoothing import LabelSmoothing, distances_km, soft_targets, unit_vectors
from geo_pipeline.training.loss import head_losses
from geo_pipeline_tests.model.made_up import LATITUDES, LONGITUDES, geography

POINT = st.tuples(st.floats(-90, 90), st.floats(-180, 180))
CELLS = st.lists(POINT, min_size=1, max_size=12)
TAU = st.floats(1, 5000)


def points_of(cells: list[tuple[float, float]]) -> torch.Tensor:
    latitudes, longitudes = np.array(cells).T
    return torch.from_numpy(unit_vectors(latitudes, longitudes))


@given(CELLS, TAU)
def test_the_targets_of_every_photo_sum_to_one_and_are_greatest_at_the_true_cell(
    cells: list[tuple[float, float]], tau: float
) -> None:
    targets = soft_targets(points_of(cells), torch.arange(len(cells)), tau)
    torch.testing.assert_close(targets.sum(dim=1), torch.ones(len(cells)))
    assert (targets.diagonal() >= targets.amax(dim=1) * (1 - 1e-6)).all()


@given(CELLS)
def test_distances_are_geopys_and_the_same_both_ways(cells: list[tuple[float, float]]) -> None:
    points = points_of(cells)
    found = distances_km(points, points)
    by_geopy = [[great_circle(a, b, radius=EARTH_RADIUS_KM).km for b in cells] for a in cells]
    # Within a metre and a millionth; near the antipode, where a target is nothing anyhow, within 10 km.
    expected = torch.tensor(by_geopy, dtype=torch.float32)
    near = expected < 15_000
    torch.testing.assert_close(found[near], expected[near], atol=0.003, rtol=3e-6)
    torch.testing.assert_close(found, expected, atol=10, rtol=0)
    torch.testing.assert_close(found, found.T, atol=0.001, rtol=0)


@pytest.mark.parametrize("autocast", [False, True])
def test_a_target_is_what_the_formula_says_also_under_autocast(*, autocast: bool) -> None:
    points = torch.from_numpy(unit_vectors(LATITUDES, LONGITUDES))
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        targets = soft_targets(points, torch.tensor([0, 3]), 500)
    for row, cell in zip(targets, (0, 3), strict=True):
        weights = np.exp(-great_circle_km(LATITUDES[cell], LONGITUDES[cell], LATITUDES, LONGITUDES) / 500)
        np.testing.assert_allclose(row.numpy(), weights / weights.sum(), rtol=1e-4, atol=1e-12)


def test_cells_across_the_antimeridian_are_neighbours() -> None:
    points = points_of([(0.0, 179.9), (0.0, -179.9), (0.0, 170.0)])
    assert soft_targets(points, torch.tensor([0]), 50)[0].argsort(descending=True).tolist() == [0, 1, 2]


def test_a_photo_without_a_label_teaches_nothing() -> None:
    assert not soft_targets(points_of([(0.0, 0.0), (1.0, 1.0)]), torch.tensor([-1]), 50).any()


def test_as_tau_goes_to_nothing_the_loss_becomes_plain_cross_entropy() -> None:
    labels = torch.tensor([[0, 1, 2], [1, 3, -1]])
    logits = [torch.randn(2, classes) for classes in geography().num_classes]
    plain = head_losses(logits, labels).means()
    by_tau = [
        head_losses(logits, labels, LabelSmoothing(geography(), dict.fromkeys(geography().names, tau))(labels)).means()
        for tau in (1000.0, 100.0, 1.0)
    ]
    torch.testing.assert_close(by_tau[-1], plain)
    assert (by_tau[0] - plain).abs().max() > 0.01


def test_a_soft_target_is_learnt_best_by_the_logits_that_predict_it() -> None:
    targets = LabelSmoothing(geography(), {"middle": 800.0})(torch.tensor([[0, 1, 1]]))[1]
    assert targets is not None
    logits = targets.log().requires_grad_()
    functional.cross_entropy(logits, targets).backward()
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad, torch.zeros_like(logits), atol=1e-6, rtol=0)


def test_only_named_partitionings_are_smoothed() -> None:
    targets = LabelSmoothing(geography(), {"middle": 75.0})(torch.tensor([[0, 1, 1]]))
    assert [target is None for target in targets] == [True, False, True]


def test_the_cells_points_stand_in_no_checkpoint() -> None:
    assert LabelSmoothing(geography(), {"fine": 75.0}).state_dict() == {}


def test_an_unknown_partitioning_is_answered_with_those_that_exist() -> None:
    message = r"label_smoothing_km: found region, expected coarse, middle, fine"
    with pytest.raises(InputError, match=message):
        LabelSmoothing(geography(), {"region": 75.0})
