from __future__ import annotations

import numpy as np
import pytest

from geo_pipeline.evaluation.bootstrap import interval_over_photos, intervals_over_authors


def test_the_interval_over_photos_is_the_spread_of_the_binomial_distribution() -> None:
    low, high = interval_over_photos(300, 1000, samples=20_000, seed=0)
    spread = 1.96 * np.sqrt(0.3 * 0.7 / 1000) * 100
    assert (low, high) == (pytest.approx(30 - spread, abs=0.2), pytest.approx(30 + spread, abs=0.2))
    assert interval_over_photos(0, 50, samples=100, seed=0) == (0, 0)
    assert interval_over_photos(50, 50, samples=100, seed=0) == (100, 100)


def test_the_interval_over_authors_agrees_with_drawing_authors_one_by_one() -> None:
    rng = np.random.default_rng(1)
    authors = np.sort(rng.integers(0, 30, 400))
    hits = np.stack([rng.random(400) < 0.2 + 0.6 * (authors % 2), rng.random(400) < 0.5], axis=1)
    ends = intervals_over_authors(hits, authors, samples=4000, seed=0)
    of_author = [hits[authors == author] for author in range(30)]
    drawn = [np.concatenate([of_author[k] for k in rng.integers(0, 30, 30)]).mean(axis=0) for _ in range(4000)]
    np.testing.assert_allclose(ends, 100 * np.percentile(drawn, (2.5, 97.5), axis=0), atol=1.5)


def test_photos_of_authors_of_their_own_give_the_interval_over_photos() -> None:
    hits = (np.arange(500) % 5 == 0)[:, None]
    ends = intervals_over_authors(hits, np.arange(500), samples=5000, seed=2)[:, 0]
    assert ends.tolist() == pytest.approx(interval_over_photos(100, 500, samples=5000, seed=2), abs=0.5)


def test_alike_photos_of_few_authors_widen_it_and_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    authors = np.repeat(np.arange(20), 50)
    hits = (authors % 2 == 0)[:, None]
    low, high = intervals_over_authors(hits, authors, samples=1000, seed=0)[:, 0]
    photos_low, photos_high = interval_over_photos(500, 1000, samples=1000, seed=0)
    assert high - low > 4 * (photos_high - photos_low)
    monkeypatch.setattr("geo_pipeline.evaluation.bootstrap._DRAWS_AT_ONCE", 70)
    assert intervals_over_authors(hits, authors, samples=1000, seed=0)[:, 0].tolist() == pytest.approx([low, high])
