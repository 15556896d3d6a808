"""Probabilities beside what came true.

Not here: making probabilities honest (calibration.py) and drawing (charts.py). The one idea: of answers with
probability p a share p should be right.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from geo_pipeline.model.settings import CONFIDENCE_RADIUS_KM

NUM_BINS = 10


@dataclass(frozen=True)
class Reliability:
    """Answers by their probability, in bins of equal width.

    `edges`: float64[bins + 1]; for each bin the number of answers, their mean probability and the share that came true
    (NaN in an empty bin).
    """

    edges: npt.NDArray[np.float64]
    counts: npt.NDArray[np.int64]
    probabilities: npt.NDArray[np.float64]
    shares: npt.NDArray[np.float64]

    @property
    def expected_error(self) -> float:
        """Expected calibration error, 0 to 1: the mean distance of the two over all answers (Naeini et al. 2015)."""
        filled = self.counts > 0
        gaps = np.abs(self.probabilities[filled] - self.shares[filled])
        return float((gaps * self.counts[filled]).sum() / max(int(self.counts.sum()), 1))


def reliability(probabilities: npt.NDArray[np.floating], came_true: npt.NDArray[np.bool_]) -> Reliability:
    """Compare probabilities (0 to 1) with what came true, both [n]. A probability of 1 belongs to the last bin."""
    bins = np.minimum((probabilities * NUM_BINS).astype(np.int64), NUM_BINS - 1)
    counts, sums, hits = (
        np.bincount(bins, weights=weights, minlength=NUM_BINS) for weights in (None, probabilities, came_true)
    )
    with np.errstate(invalid="ignore"):
        return Reliability(np.linspace(0, 1, NUM_BINS + 1), counts.astype(np.int64), sums / counts, hits / counts)


def confidence_reliability(predictions: pa.Table) -> Reliability:
    """How often answers lie within `CONFIDENCE_RADIUS_KM`, by their confidence.

    predictions: `confidence, distance_km` of one benchmark, model and p_key.
    """
    within = predictions["distance_km"].to_numpy() <= CONFIDENCE_RADIUS_KM
    return reliability(predictions["confidence"].to_numpy(), within)
