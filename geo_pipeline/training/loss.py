"""The loss: cross-entropies of the heads.

The one idea: a photo without a cell in one partitioning still teaches the others, so each head ignores its own missing
labels instead of the photo being dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

NO_LABEL = -1
"""The label of a photo that lies in no cell of a partitioning."""


def head_losses(logits: Sequence[Tensor], labels: Tensor) -> Tensor:
    """Mean cross-entropy of each head over its labelled photos, float32[heads]; 0 for a head that has none.

    logits: float32[n, classes] for each head; labels: int64[n, heads], -1 where a photo has no label.
    """
    sums = [
        functional.cross_entropy(head, labels[:, i], ignore_index=NO_LABEL, reduction="sum")
        for i, head in enumerate(logits)
    ]
    return torch.stack(sums) / (labels != NO_LABEL).sum(dim=0).clamp(min=1)


def combined_loss(losses: Tensor, combine: Literal["sum", "mean"]) -> Tensor:
    """The loss that is minimised, from float32[heads]: their sum (the paper's) or their mean."""
    return losses.sum() if combine == "sum" else losses.mean()
