from __future__ import annotations

import numpy as np
import pytest

from geo_pipeline.evaluation.reliability import reliability


def test_honest_probabilities_have_no_error_and_the_bins_say_what_came_true() -> None:
    rng = np.random.default_rng(1)
    probabilities = rng.random(200_000)
    honest = reliability(probabilities, rng.random(200_000) < probabilities)
    assert honest.expected_error < 0.01
    np.testing.assert_allclose(honest.shares, honest.probabilities, atol=0.02)
    assert honest.counts.sum() == 200_000
    boaster = reliability(np.full(100, 0.95), np.arange(100) < 60)
    assert boaster.expected_error == pytest.approx(0.35)
    assert np.isnan(boaster.shares[:9]).all()


def test_the_expected_error_is_that_of_a_plain_loop() -> None:
    rng = np.random.default_rng(3)
    probabilities, came_true = rng.random(500) ** 2, rng.random(500) < 0.4
    total = 0.0
    for low in np.arange(10) / 10:
        inside = [k for k, p in enumerate(probabilities) if low <= p < low + 0.1]
        if inside:
            total += abs(sum(probabilities[inside]) - sum(came_true[inside]))
    assert reliability(probabilities, came_true).expected_error == pytest.approx(total / 500)


def test_a_probability_of_one_is_in_the_last_bin() -> None:
    assert reliability(np.array([1.0, 0.0]), np.array([True, False])).counts.tolist() == [1, *[0] * 8, 1]
