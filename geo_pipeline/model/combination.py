"""Combining what a network says: over crops, and over partitionings by their hierarchy.

The one idea: everything is a logarithm of a probability, so that products over the hierarchy are sums and nothing
underflows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

Combine = Literal["max", "mean"]


def combine_crops(log_probabilities: Tensor, combine: Combine) -> Tensor:
    """float32[n, crops, classes] -> float32[n, classes]: the maximum or the mean of the crops' *probabilities*.

    After `max` the probabilities of a photo no longer sum to 1; `best_class` divides by their sum.
    """
    if combine == "max":
        return log_probabilities.amax(dim=1)
    return log_probabilities.logsumexp(dim=1) - math.log(log_probabilities.shape[1])


def hierarchical_scores(log_probabilities: Sequence[Tensor], hierarchy: Tensor) -> Tensor:
    """f*: log of p_f(i) · p_m(ancestor of i) · p_c(ancestor of i), float32[n, fine classes].

    log_probabilities: float32[n, classes] for each partitioning, coarse first; hierarchy: int64[fine classes,
    partitionings], the class of each fine cell's ancestor-or-self in each partitioning. Source: Müller-Budack et al.
    2018, section 3.3.
    """
    scores = log_probabilities[0][:, hierarchy[:, 0]]
    for level, values in enumerate(log_probabilities[1:], start=1):
        scores = scores + values[:, hierarchy[:, level]]
    return scores


def best_class(scores: Tensor) -> tuple[Tensor, Tensor]:
    """The class of the greatest score (int64[n]) and its share of the sum over all classes (float32[n], 0 to 1)."""
    best, labels = scores.max(dim=1)
    return labels, torch.exp(best - scores.logsumexp(dim=1))
