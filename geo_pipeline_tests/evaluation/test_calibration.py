from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from geo_pipeline.evaluation.calibration import (
    LIMITS,
    calibrate,
    calibrate_within,
    fit_temperature,
    negative_log_likelihood,
    reliability_of,
    true_classes,
    within,
)
from geo_pipeline.model.places import Places, share_within
from geo_pipeline_tests.model.made_up import geography


def drawn(temperature: float, num_photos: int = 4000, num_classes: int = 30, seed: int = 0) -> tuple[torch.Tensor, ...]:
    """Scores of a network that is sure by a temperature too much, and classes drawn from its honest distribution."""
    rng = np.random.default_rng(seed)
    honest = rng.normal(0, 2, (num_photos, num_classes))
    shares = np.exp(honest) / np.exp(honest).sum(axis=1, keepdims=True)
    labels = (shares.cumsum(axis=1) < rng.random((num_photos, 1))).sum(axis=1)
    return torch.from_numpy(honest * temperature + rng.normal(0, 3, (num_photos, 1))).float(), torch.from_numpy(labels)


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5, 8.0])
def test_the_temperature_by_which_a_network_is_too_sure_is_found(temperature: float) -> None:
    assert fit_temperature(*drawn(temperature)) == pytest.approx(temperature, rel=0.06)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000), st.integers(2, 12), st.integers(1, 40), st.floats(0.1, 30))
def test_no_other_temperature_makes_the_truth_more_likely(seed: int, classes: int, photos: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    scores = torch.from_numpy(rng.normal(0, scale, (photos, classes))).float()
    labels = torch.from_numpy(rng.integers(0, classes, photos))
    found = fit_temperature(scores, labels)
    assert LIMITS[0] <= found <= LIMITS[1] * (1 + 1e-6)
    least = negative_log_likelihood(scores, labels, found)
    for other in np.geomspace(*LIMITS, 40):
        assert least <= negative_log_likelihood(scores, labels, other) + 1e-6


def test_photos_without_a_class_count_for_nothing() -> None:
    scores, labels = drawn(2.0, 500)
    more = torch.cat([scores, 50 * torch.randn(40, 30)]), torch.cat([labels, torch.full((40,), -1)])
    assert fit_temperature(*more) == pytest.approx(fit_temperature(scores, labels), rel=1e-5)
    assert fit_temperature(scores, torch.full((500,), -1)) == 1.0


def test_a_network_that_is_always_right_is_not_made_infinitely_sure() -> None:
    scores = torch.eye(5) * 3
    assert LIMITS[0] * (1 - 1e-6) <= fit_temperature(scores, torch.arange(5)) < 0.2


def test_calibration_lowers_likelihoods_loss_and_error_on_photos_it_has_not_seen() -> None:
    scores, labels = drawn(3.0, 6000)
    fitted, held_out = slice(0, 3000), slice(3000, None)
    head = calibrate(scores[fitted], labels[fitted])
    assert head.num_photos == 3000
    assert head.nll_after is not None
    assert head.nll_before is not None
    assert head.nll_after < head.nll_before
    assert head.ece_after < 0.03
    assert head.ece_before > 0.1
    before, after = (
        reliability_of(scores[held_out], labels[held_out], t).expected_error for t in (1.0, head.temperature)
    )
    assert after < 0.03
    assert before > 0.1


def test_a_head_of_which_no_class_is_known_keeps_its_probabilities() -> None:
    head = calibrate(torch.zeros(4, 3), torch.full((4,), -1))
    assert (head.temperature, head.num_photos, head.nll_after) == (1.0, 0, None)


def test_what_lies_within_a_radius_is_as_probable_as_it_comes_true() -> None:
    honest, labels = drawn(1.0, 3000)
    answers, other = honest.argmax(dim=1), torch.arange(30)
    near = ((other - answers[:, None]).abs() <= 4).float()  # cells in a row: those around the answer are near
    came_true = ((labels - answers).abs() <= 4).numpy()
    for too_sure in (0.4, 1.0, 3.0):
        head = calibrate_within(near, honest * too_sure, came_true)
        assert head.temperature == pytest.approx(too_sure, rel=0.15)
        assert head.num_photos == 3000
        assert head.nll_before is not None
        assert head.nll_after is not None
        assert head.nll_after <= head.nll_before
        assert head.ece_after < 0.04


def test_within_gives_the_shares_around_f_stars_answers_and_which_came_true() -> None:
    scores = torch.eye(4)[[0, 3]]
    photos = pa.table({"latitude": [10.1, 0.0], "longitude": [5.0, 0.0]})
    shares, same, came_true = within(300, scores, photos, geography())
    assert same is scores
    assert came_true.tolist() == [True, False]
    cells = Places.of(geography().partitioning_of("hierarchy"), torch.device("cpu"))
    torch.testing.assert_close(shares[1], share_within(cells.vectors[3:], cells, 300)[0])


def test_true_classes_are_those_of_the_table_and_f_star_has_the_finest() -> None:
    photos = pa.table({name: pa.array([0, None, 1], pa.int32()) for name in ("coarse", "middle", "fine")})
    found = true_classes(photos, geography())
    assert list(found) == ["coarse", "middle", "fine", "hierarchy"]
    assert all(labels.tolist() == [0, -1, 1] for labels in found.values())
