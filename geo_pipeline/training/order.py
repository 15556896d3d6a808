"""In which order photos are learned from, and which process takes which of them.

The one idea: the order of an epoch is a pure function of (seed, epoch): the same for any number of workers and
processes, every photo exactly once, and any place in it can be returned to.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from torch.utils.data import Sampler

from geo_pipeline.errors import InputError

Rows = npt.NDArray[np.int64]

_FEWEST = 2
"""Photos of a process in a step: batch normalisation cannot estimate a variance from one."""


class Visit(NamedTuple):
    """The photos of one step: the epoch (which seeds their augmentation) and their rows, int64[n]."""

    epoch: int
    rows: Rows


def epoch_order(num_photos: int, seed: int, epoch: int) -> Rows:
    """A permutation of all rows, int64[num_photos]."""
    return np.random.Generator(np.random.PCG64([seed, epoch])).permutation(num_photos)


def num_steps(num_photos: int, batch_size: int, world_size: int = 1) -> int:
    """How many steps an epoch has, the same for each of `world_size` processes that take `batch_size` photos each.

    A step takes `batch_size * world_size` photos together. What is left at the end is a smaller step, unless it is
    less than two photos for each process: then it joins the step before it.
    """
    whole, left = divmod(num_photos, batch_size * world_size)
    return max(whole + (left >= _FEWEST * world_size), 1)


def part_of_step(step: int, num_photos: int, batch_size: int, *, rank: int = 0, world_size: int = 1) -> slice:
    """Which places of the epoch's order the process `rank` visits in a step.

    The photos of a step follow one another in the order; each process takes an equal part of them, in the last step
    equal but for one photo.
    """
    together = batch_size * world_size
    first = step * together
    last = num_photos if step == num_steps(num_photos, batch_size, world_size) - 1 else first + together
    bounds = [first + (last - first) * each // world_size for each in (rank, rank + 1)]
    return slice(*bounds)


class EpochBatches(Sampler[Visit]):
    """The steps of one epoch after another, as one of `world_size` processes sees them; `set_epoch` chooses which.

    Without a seed the order is that of the table. `first_epoch` and `first_batch` say where a resumed training goes
    on: only that epoch begins in its middle. `num_photos` is the share of this process. Raises InputError for fewer
    photos than processes.
    """

    def __init__(
        self,
        num_photos: int,
        batch_size: int,
        seed: int | None,
        *,
        rank: int = 0,
        world_size: int = 1,
        first_epoch: int = 0,
        first_batch: int = 0,
    ) -> None:
        if num_photos < world_size:
            raise InputError(
                f"{num_photos} photos for {world_size} training processes, expected at least one for each: set "
                "trainer_params.devices to fewer, or add photos"
            )
        self.num_photos = num_photos // world_size
        self._num_photos = num_photos
        self._batch_size = batch_size
        self._seed = seed
        self._rank = rank
        self._world_size = world_size
        self._first_batch = {first_epoch: first_batch}
        self._epoch = first_epoch

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next iteration."""
        self._epoch = epoch

    def __len__(self) -> int:
        """Steps of a whole epoch."""
        return num_steps(self._num_photos, self._batch_size, self._world_size)

    def __iter__(self) -> Iterator[Visit]:
        epoch = self._epoch
        order = self._order(epoch)
        for step in range(self._first_batch.get(epoch, 0), len(self)):
            yield Visit(epoch, order[self._part(step)])

    def _order(self, epoch: int) -> Rows:
        if self._seed is None:
            return np.arange(self._num_photos)
        return epoch_order(self._num_photos, self._seed, epoch)

    def _part(self, step: int) -> slice:
        return part_of_step(step, self._num_photos, self._batch_size, rank=self._rank, world_size=self._world_size)
