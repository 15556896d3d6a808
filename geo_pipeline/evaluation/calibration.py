"""Making probabilities honest: temperatures, fitted on validation photos.

Not here: applying temperatures (model.calibration) and how honest they are (reliability.py). The one idea: the
temperature that makes the true cells most likely brings probabilities close to the shares of right answers with one
number (Guo et al. 2017); how close is told on other photos than it was fitted on.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from torch import Tensor
from torch.nn import functional

from geo_pipeline.cells.distance import great_circle_km
from geo_pipeline.evaluation.reliability import Reliability, reliability
from geo_pipeline.model.calibration import HeadCalibration
from geo_pipeline.model.crop_batches import PictureSource
from geo_pipeline.model.geography import HIERARCHY, Geography
from geo_pipeline.model.places import Places, share_within
from geo_pipeline.model.predictor import Predictor

MAX_PHOTOS = 2000
"""So many photos tell a temperature to a few percent, and their scores over 36,000 classes take 300 MB."""

LIMITS = (0.05, 20.0)
"""Temperatures beyond these say that something else is wrong (a network that is right of every photo, or of none)."""

_STEPS, _PRECISION, _GRID = 60, 1e-7, 97
_ROWS_AT_ONCE = 256


def fit_temperature(scores: Tensor, labels: Tensor) -> float:
    """The temperature that makes the true classes most likely, within `LIMITS`; 1 where no class is known.

    scores: float32[n, classes], logarithms of probabilities up to a constant for each photo; labels: int64[n], -1 where
    the class is not known. The negative log likelihood is convex in the inverse temperature, so its slope has at most
    one root, sought by Newton's steps within a bracket that they may not leave.
    """
    known = labels >= 0
    if not bool(known.any()):
        return 1.0
    scores, labels = scores[known], labels[known]
    low, high = 1 / LIMITS[1], 1 / LIMITS[0]
    inverse = 1.0
    for _ in range(_STEPS):
        slope, curvature = _slope(scores, labels, inverse)
        low, high = (inverse, high) if slope < 0 else (low, inverse)
        step = inverse - slope / max(curvature, 1e-12)
        following = step if low < step < high else (low + high) / 2
        if abs(following - inverse) < _PRECISION * inverse:
            break
        inverse = following
    return 1 / inverse


def negative_log_likelihood(scores: Tensor, labels: Tensor, temperature: float) -> float:
    """Mean of -log p of the true classes at a temperature, over the photos whose class is known (label not -1)."""
    known = labels >= 0
    losses = (
        functional.cross_entropy(part.double() / temperature, truth, reduction="sum").item()
        for part, truth in _parts(scores[known], labels[known])
    )
    return sum(losses) / int(known.sum())


def calibrate(scores: Tensor, labels: Tensor) -> HeadCalibration:
    """Fit the temperature of one head, and say what it changes; as for `fit_temperature`."""
    known = labels >= 0
    scores, labels = scores[known], labels[known]
    temperature = fit_temperature(scores, labels)
    likelihoods = [negative_log_likelihood(scores, labels, t) if len(labels) else None for t in (1.0, temperature)]
    errors = [reliability_of(scores, labels, t).expected_error for t in (1.0, temperature)]
    return HeadCalibration(
        temperature=temperature,
        num_photos=len(labels),
        nll_before=likelihoods[0],
        nll_after=likelihoods[1],
        ece_before=errors[0],
        ece_after=errors[1],
    )


def calibrate_within(shares: Tensor, scores: Tensor, came_true: npt.NDArray[np.bool_]) -> HeadCalibration:
    """Fit the temperature by which the probability within a radius of an answer says best how often the truth is there.

    shares: float32[n, classes], which share of each cell lies within the radius of a photo's answer; scores: as for
    `fit_temperature`; came_true: bool[n]. The loss need not be convex: of a grid over `LIMITS` the best is taken.
    """
    grid = [1.0, *np.geomspace(*LIMITS, _GRID).tolist()]
    masses = [(shares * torch.softmax(scores / t, dim=1)).sum(dim=1).double().numpy() for t in grid]
    losses = [_log_loss(mass, came_true) for mass in masses]
    best = int(np.argmin(losses))
    before, after = (reliability(np.minimum(masses[k], 1.0), came_true).expected_error for k in (0, best))
    return HeadCalibration(
        temperature=grid[best],
        num_photos=len(came_true),
        nll_before=losses[0],
        nll_after=losses[best],
        ece_before=before,
        ece_after=after,
    )


def within(
    radius_km: float, scores: Tensor, photos: pa.Table, geography: Geography
) -> tuple[Tensor, Tensor, npt.NDArray[np.bool_]]:
    """What `calibrate_within` takes, for the answers of f*.

    scores: float32[n, fine classes]; photos: `latitude, longitude`, degrees.
    """
    finest, labels = geography.partitioning_of(HIERARCHY), scores.argmax(dim=1)
    cells = Places.of(finest, scores.device)
    parts = [share_within(cells.vectors[part, None], cells, radius_km)[:, 0] for part, _ in _parts(labels, labels)]
    answers = finest.latitudes[labels.numpy()], finest.longitudes[labels.numpy()]
    distances = great_circle_km(photos["latitude"].to_numpy(), photos["longitude"].to_numpy(), *answers)
    return torch.cat(parts), scores, distances <= radius_km


def scores_of(predictor: Predictor, source: PictureSource) -> dict[str, Tensor]:
    """The scores of all photos of a source, float32[n, classes] by `p_key`, on the CPU; memory grows with n."""
    parts = [batch.beliefs.scores for batch in predictor.beliefs(source)]
    return {p_key: torch.cat([part[p_key].cpu() for part in parts]) for p_key in predictor.geography.p_keys}


def true_classes(photos: pa.Table, geography: Geography) -> dict[str, Tensor]:
    """The classes of photos by `p_key`, int64[n], -1 where there is none. photos: a column for each partitioning."""
    columns = {name: photos[name].fill_null(-1).to_numpy().astype(np.int64) for name in geography.names}
    labels = {name: torch.from_numpy(column) for name, column in columns.items()}
    return {**labels, HIERARCHY: labels[geography.names[-1]]}


def reliability_of(scores: Tensor, labels: Tensor, temperature: float) -> Reliability:
    """How often the most probable class is the true one, by its probability; photos without a class are left out."""
    known = labels >= 0
    best, answers = torch.softmax(scores[known] / temperature, dim=1).max(dim=1)
    return reliability(best.double().numpy(), (answers == labels[known]).numpy())


def _log_loss(probabilities: npt.NDArray[np.float64], came_true: npt.NDArray[np.bool_]) -> float:
    """Mean of -log of the probability of what happened; a probability of 0 or 1 that was wrong costs 14."""
    of_truth = np.where(came_true, probabilities, 1 - probabilities)
    return float(-np.log(of_truth.clip(1e-6)).mean())


def _parts(scores: Tensor, labels: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Some rows at a time, so that what is computed of them takes little memory."""
    for first in range(0, len(labels), _ROWS_AT_ONCE):
        rows = slice(first, first + _ROWS_AT_ONCE)
        yield scores[rows], labels[rows]


def _slope(scores: Tensor, labels: Tensor, inverse: float) -> tuple[float, float]:
    """First and second derivative of the mean negative log likelihood by the inverse temperature.

    The mean under the network's distribution minus the score of the truth, and the variance.
    """
    slope = curvature = 0.0
    for part, truth in _parts(scores, labels):
        centred = part.double() - part.double().amax(dim=1, keepdim=True)
        shares = torch.softmax(inverse * centred, dim=1)
        means = (shares * centred).sum(dim=1)
        slope += float((means - centred.gather(1, truth[:, None])[:, 0]).sum())
        curvature += float(((shares * centred.square()).sum(dim=1) - means.square()).sum())
    return slope / len(labels), curvature / len(labels)
