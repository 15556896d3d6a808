"""In which order photos are learned from.

The one idea: the order of an epoch is a pure function of (seed, epoch): the same for any number of workers, every
photo exactly once, and any place in it can be returned to.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from torch.utils.data import Sampler


class PhotoKey(NamedTuple):
    """A photo's visit: the epoch (which seeds its augmentation) and its row."""

    epoch: int
    row: int


def epoch_order(num_photos: int, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    """A permutation of all rows, int64[num_photos]."""
    return np.random.Generator(np.random.PCG64([seed, epoch])).permutation(num_photos)


class EpochBatches(Sampler[list[PhotoKey]]):
    """The batches of one epoch after another; `set_epoch` chooses which, the last batch may be smaller.

    `first_epoch` and `first_batch` say where a resumed training goes on: only that epoch begins in its middle.
    """

    def __init__(
        self, num_photos: int, batch_size: int, seed: int, *, first_epoch: int = 0, first_batch: int = 0
    ) -> None:
        self._num_photos = num_photos
        self._batch_size = batch_size
        self._seed = seed
        self._first_batch = {first_epoch: first_batch}
        self._epoch = first_epoch

    @property
    def sampler(self) -> EpochBatches:
        """Where Lightning looks for `set_epoch` in a batch sampler."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next iteration."""
        self._epoch = epoch

    def __len__(self) -> int:
        """Batches of a whole epoch."""
        return math.ceil(self._num_photos / self._batch_size)

    def __iter__(self) -> Iterator[list[PhotoKey]]:
        epoch = self._epoch
        order = epoch_order(self._num_photos, self._seed, epoch)
        for batch in range(self._first_batch.get(epoch, 0), len(self)):
            rows = order[batch * self._batch_size : (batch + 1) * self._batch_size]
            yield [PhotoKey(epoch, int(row)) for row in rows]
