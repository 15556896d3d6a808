"""Running sums of an epoch: losses and answers.

The one idea: sums and counts are kept, means are made once at the end.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, distributed

from geo_pipeline.model.prediction import Answer
from geo_pipeline.training.loss import HeadLosses, in_several_processes


@dataclass
class LossTally:
    """Sums of the heads' losses over the photos of an epoch, on the device where the losses are.

    sums: float32[heads]; counts: int64[heads], photos with a label; num_photos: all of them.
    """

    sums: Tensor
    counts: Tensor
    num_photos: int = 0

    @classmethod
    def empty(cls, num_heads: int) -> Self:
        """Of no photo."""
        return cls(torch.zeros(num_heads), torch.zeros(num_heads, dtype=torch.int64))

    def add(self, losses: HeadLosses, num_photos: int) -> None:
        """Add a batch."""
        self.sums = self.sums.to(losses.sums.device) + losses.sums.detach()
        self.counts = self.counts.to(losses.counts.device) + losses.counts
        self.num_photos += num_photos

    def means(self) -> Tensor:
        """Mean loss of each head over its labelled photos, float32[heads], on the CPU."""
        return HeadLosses(self.sums, self.counts).means().cpu()

    def of_all_processes(self, device: torch.device) -> Self:
        """The sums over all processes; every process must call this."""
        if not in_several_processes():
            return self
        sums, counts = self.sums.to(device, copy=True), self.counts.to(device, copy=True)
        photos = torch.tensor(self.num_photos, device=device)
        for each in (sums, counts, photos):
            distributed.all_reduce(each)
        return type(self)(sums, counts, int(photos))

    def to_state(self) -> dict[str, Any]:
        """Tensors on the CPU and plain values, for a checkpoint; `LossTally(**state)` is the inverse."""
        return {"sums": self.sums.cpu(), "counts": self.counts.cpu(), "num_photos": self.num_photos}


@dataclass
class AnswerTally:
    """The answers of a validation so far, with the true coordinates."""

    answers: list[dict[str, Answer]] = field(default_factory=list)
    coordinates: list[npt.NDArray[np.float64]] = field(default_factory=list)

    def of_all_processes(self) -> Self:
        """The answers of all processes, those of the first one first; every process must call this."""
        if not in_several_processes():
            return self
        parts: list[Self] = [self] * distributed.get_world_size()
        distributed.all_gather_object(parts, self)
        answers = [answer for part in parts for answer in part.answers]
        return type(self)(answers, [coordinate for part in parts for coordinate in part.coordinates])
