"""The loss: cross-entropies of the heads.

The one idea: a photo without a cell in one partitioning still teaches the others, so each head ignores its own missing
labels instead of the photo being dropped, and what travels is each head's sum and count, never a mean of means.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, distributed
from torch.nn import functional

NO_LABEL = -1
"""The label of a photo that lies in no cell of a partitioning."""


class HeadLosses(NamedTuple):
    """Cross-entropies summed over each head's labelled photos, float32[heads], and how many these are, int64[heads]."""

    sums: Tensor
    counts: Tensor

    def means(self) -> Tensor:
        """Mean cross-entropy of each head over its labelled photos, float32[heads]; 0 for a head that has none."""
        return self.sums / self.counts.clamp(min=1)


def parts_of_means(losses: HeadLosses) -> Tensor:
    """What this process adds to the mean of each head over all processes' photos, float32[heads].

    Times the number of processes: DDP averages their gradients, and so does whoever averages these. Alone it is
    `losses.means()`. Every process must call this.
    """
    if not in_several_processes():
        return losses.means()
    counts = losses.counts.clone()
    distributed.all_reduce(counts)
    return losses.sums * distributed.get_world_size() / counts.clamp(min=1)


def in_several_processes() -> bool:
    """Whether this process trains together with others."""
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1


def head_losses(logits: Sequence[Tensor], labels: Tensor, targets: Sequence[Tensor | None] | None = None) -> HeadLosses:
    """The cross-entropies of a batch.

    logits: float32[n, classes] for each head; labels: int64[n, heads], -1 where a photo has no label; targets: instead
    of a head's labels the probabilities that it shall learn, float32[n, classes], rows of zeros where there is no label
    (label_smoothing.py).
    """
    targets = targets or [None] * len(logits)
    sums = [_cross_entropy(*head) for head in zip(logits, labels.unbind(dim=1), targets, strict=True)]
    return HeadLosses(torch.stack(sums), (labels != NO_LABEL).sum(dim=0))


def _cross_entropy(logits: Tensor, labels: Tensor, targets: Tensor | None) -> Tensor:
    """Sum over the labelled photos of one head."""
    if targets is not None:
        return functional.cross_entropy(logits, targets, reduction="sum")
    return functional.cross_entropy(logits, labels, ignore_index=NO_LABEL, reduction="sum")


def combined_loss(losses: Tensor, combine: Literal["sum", "mean"]) -> Tensor:
    """The loss that is minimised, from float32[heads]: their sum (the paper's) or their mean."""
    return losses.sum() if combine == "sum" else losses.mean()
