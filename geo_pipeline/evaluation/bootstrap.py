"""95 % intervals of a share by drawing again with replacement (Efron 1979, percentile method).

Here live drawing photos and drawing authors with all their photos. Not here: the table (accuracy.py). The one idea: a
photo is a hit or it is not, so drawing photos is drawing from a binomial distribution; photos of one author are alike,
so where authors are known they are what is drawn, and the interval is as wide as it has to be.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

_QUANTILES = (2.5, 97.5)
_DRAWS_AT_ONCE = 1 << 22


def interval_over_photos(hits: int, photos: int, *, samples: int, seed: int) -> tuple[float, float]:
    """The ends of the interval of a share of hits, percent; the same for equal arguments.

    All hits, or none, give an interval of no width.
    """
    rng = np.random.default_rng([seed, hits, photos])
    shares = rng.binomial(photos, hits / photos, size=samples) * (100 / photos)
    low, high = np.percentile(shares, _QUANTILES)
    return float(low), float(high)


def intervals_over_authors(
    hits: npt.NDArray[np.bool_], authors: npt.NDArray[np.int64], *, samples: int, seed: int
) -> npt.NDArray[np.float64]:
    """The ends of the intervals of several shares of the same photos, percent: float64[2, columns].

    hits: bool[photos, columns]; authors: int64[photos], the number of each photo's author, 0 to n-1. Every column sees
    the same draws. Memory is bounded, whatever the number of authors.
    """
    num_authors = int(authors.max()) + 1
    sums = np.stack([np.bincount(authors, column, num_authors) for column in hits.T.astype(np.float64)], axis=1)
    photos = np.bincount(authors, minlength=num_authors).astype(np.float64)
    shares = [100 * (weights @ sums) / (weights @ photos)[:, None] for weights in _weights(num_authors, samples, seed)]
    return np.asarray(np.percentile(np.concatenate(shares), _QUANTILES, axis=0))


def _weights(num_authors: int, samples: int, seed: int) -> Iterator[npt.NDArray[np.float64]]:
    """How often each author is drawn, float64[some samples, authors], until there are `samples` rows."""
    rng = np.random.default_rng([seed, num_authors])
    step = max(1, _DRAWS_AT_ONCE // num_authors)
    for first in range(0, samples, step):
        rows = min(step, samples - first)
        drawn = rng.integers(0, num_authors, (rows, num_authors)) + num_authors * np.arange(rows)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=rows * num_authors)
        yield counts.reshape(rows, num_authors).astype(np.float64)
