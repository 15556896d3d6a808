"""Batches for the network: pictures from the workers, labels from the table.

Here lives the loader of training and validation. What a worker does is `pictures.py`, in which order is `order.py`.
The one idea: a batch is asked for as a few arrays and comes back as one tensor, so that what a photo costs is its
decoding.
"""

from __future__ import annotations

from collections.abc import Iterator
from multiprocessing.util import Finalize
from typing import Any, TypeVar

import torch
from torch.utils.data import DataLoader, Sampler

from geo_pipeline.errors import InputError
from geo_pipeline.training.config import LoaderSettings, ModelParams
from geo_pipeline.training.damage import DamageTally
from geo_pipeline.training.data import Batch, LabelledPhotos
from geo_pipeline.training.order import EpochBatches
from geo_pipeline.training.pictures import CentreCrop, Failure, Order, PictureBatches, Pictures, RandomCrops, View
from geo_pipeline.training.workers import begin_worker, kill_workers, num_workers, worker_context

_Answer = TypeVar("_Answer")

_KILL_BEFORE_JOINING = 10  # priority: multiprocessing waits at exit for workers that it cannot wake


def training_loader(
    photos: LabelledPhotos,
    params: ModelParams,
    *,
    rank: int = 0,
    world_size: int = 1,
    first_epoch: int = 0,
    first_batch: int = 0,
) -> PhotoLoader:
    """Batches of augmented photos, beginning at the given place; the part of one process of `world_size`."""
    batches = EpochBatches(
        len(photos),
        params.batch_size,
        params.seed,
        rank=rank,
        world_size=world_size,
        first_epoch=first_epoch,
        first_batch=first_batch,
    )
    return PhotoLoader(photos, RandomCrops(params), batches, params.loader)


def validation_loader(
    photos: LabelledPhotos, params: ModelParams, *, rank: int = 0, world_size: int = 1
) -> PhotoLoader:
    """Batches of centre crops in the table's order; the part of one process of `world_size`."""
    batches = EpochBatches(len(photos), params.batch_size, None, rank=rank, world_size=world_size)
    return PhotoLoader(photos, CentreCrop(params), batches, params.loader)


class PhotoLoader:
    """Iterates over the batches of one epoch after another; `sampler.set_epoch` chooses which.

    Iterating raises InputError for a shard that is not there and for more damaged photos than the settings allow.
    `damage` counts them.
    """

    batch_sampler = None  # Lightning asks for it before it asks `sampler`

    def __init__(
        self,
        photos: LabelledPhotos,
        view: View[Any],
        batches: EpochBatches,
        settings: LoaderSettings,
    ) -> None:
        self.sampler = batches
        self.damage = DamageTally(photos.stored.root, settings.max_damaged_share, len(photos))
        self._photos = photos
        workers = num_workers(settings, torch.device("cuda" if torch.cuda.is_available() else "cpu"))
        self._loader: DataLoader[Pictures | Failure] = DataLoader(
            PictureBatches(photos.stored.root, photos.stored.shard_names, view),
            batch_size=None,
            sampler=_Orders(batches, photos),
            num_workers=workers,
            prefetch_factor=settings.prefetch_batches if workers else None,
            persistent_workers=workers > 0,
            worker_init_fn=begin_worker,
            multiprocessing_context=worker_context() if workers else None,
            collate_fn=_as_it_is,
            generator=torch.Generator(),  # else each epoch would draw from the generator of the training
        )
        Finalize(self, kill_workers, (self._loader,), exitpriority=_KILL_BEFORE_JOINING)

    def __len__(self) -> int:
        """Batches of a whole epoch."""
        return len(self.sampler)

    def __iter__(self) -> Iterator[Batch]:
        self.damage.begin_epoch()
        return map(self._batch, self._loader)

    def _batch(self, answer: Pictures | Failure) -> Batch:
        """Pictures with what else is known of the photos."""
        if isinstance(answer, Failure):
            raise InputError(answer.message)
        self.damage.add(len(answer.rows) + len(answer.damaged), answer.damaged)
        labels = torch.from_numpy(self._photos.labels[answer.rows]).long()
        return Batch(answer.images, labels, torch.from_numpy(self._photos.coordinates[answer.rows]))


class _Orders(Sampler[Order]):
    """The orders to the workers."""

    def __init__(self, batches: EpochBatches, photos: LabelledPhotos) -> None:
        self._batches = batches
        self._photos = photos

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[Order]:
        for visit in self._batches:
            yield Order(visit, self._photos.stored.places(visit.rows))


def _as_it_is(answer: _Answer) -> _Answer:
    """A worker's answer is a batch already."""
    return answer
