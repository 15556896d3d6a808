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
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from geo_pipeline.errors import InputError
from geo_pipeline.training.config import LoaderSettings, ModelParams
from geo_pipeline.training.copying import copied_ahead
from geo_pipeline.training.damage import DamageTally
from geo_pipeline.training.data import Batch, LabelledPhotos
from geo_pipeline.training.device_crops import resized_cuts
from geo_pipeline.training.order import EpochBatches
from geo_pipeline.training.pictures import (
    CentreCrop,
    Failure,
    Order,
    PictureBatches,
    Pictures,
    RandomCrops,
    RandomCuts,
    View,
)
from geo_pipeline.training.workers import begin_worker, kill_workers, num_workers, worker_context

CPU = torch.device("cpu")

_Answer = TypeVar("_Answer")

_KILL_BEFORE_JOINING = 10  # priority: multiprocessing waits at exit for workers that it cannot wake


def training_loader(
    photos: LabelledPhotos,
    params: ModelParams,
    device: torch.device = CPU,
    *,
    rank: int = 0,
    world_size: int = 1,
    first_epoch: int = 0,
    first_batch: int = 0,
) -> PhotoLoader:
    """Batches of augmented photos on the device, beginning at a place; the part of one process of `world_size`."""
    batches = EpochBatches(
        len(photos),
        params.batch_size,
        params.seed,
        rank=rank,
        world_size=world_size,
        first_epoch=first_epoch,
        first_batch=first_batch,
    )
    view = RandomCuts(params) if _augments_on_device(params.loader, device) else RandomCrops(params)
    return PhotoLoader(photos, view, batches, params, device)


def validation_loader(
    photos: LabelledPhotos, params: ModelParams, device: torch.device = CPU, *, rank: int = 0, world_size: int = 1
) -> PhotoLoader:
    """Batches of centre crops on the device in the table's order; the part of one process of `world_size`."""
    batches = EpochBatches(len(photos), params.batch_size, None, rank=rank, world_size=world_size)
    return PhotoLoader(photos, CentreCrop(params), batches, params, device)


def _augments_on_device(settings: LoaderSettings, device: torch.device) -> bool:
    """Whether crops are resized on the device."""
    return settings.augment_on == "device" or (settings.augment_on == "auto" and device.type == "cuda")


class PhotoLoader:
    """Iterates over the batches of one epoch after another; `sampler.set_epoch` chooses which.

    Iterating raises InputError for a shard that is not there, for more damaged photos than the settings allow, and
    for a worker that was killed. `damage` counts the damaged photos.
    """

    batch_sampler = None  # Lightning asks for it before it asks `sampler`

    def __init__(
        self, photos: LabelledPhotos, view: View[Any], batches: EpochBatches, params: ModelParams, device: torch.device
    ) -> None:
        settings = params.loader
        self.sampler = batches
        self.damage = DamageTally(photos.stored.root, settings.max_damaged_share, batches.num_photos)
        self._photos = photos
        self._device = device
        self._image_size = params.image_size
        workers = num_workers(settings, device)
        self._loader: DataLoader[Pictures | Failure] = DataLoader(
            PictureBatches(photos.stored.root, photos.stored.shard_names, view),
            batch_size=None,
            sampler=_Orders(batches, photos),
            num_workers=workers,
            prefetch_factor=settings.prefetch_batches if workers else None,
            persistent_workers=workers > 0,
            pin_memory=device.type == "cuda",
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
        if self._device.type == "cuda":
            return copied_ahead(self._pictures(), self._batch, self._device)
        return map(self._batch, self._pictures())

    def _pictures(self) -> Iterator[Pictures]:
        """The answers to the orders, damage counted."""
        try:
            for answer in self._loader:
                if isinstance(answer, Failure):
                    raise InputError(answer.message)
                self.damage.add(len(answer.rows) + len(answer.damaged), answer.damaged)
                yield answer
        except RuntimeError as error:
            if "DataLoader worker" not in str(error):
                raise
            raise InputError(
                "a process that decodes photos was killed, perhaps because memory ran out: set "
                "model_params.loader.num_workers or prefetch_batches to less"
            ) from error

    def _batch(self, pictures: Pictures) -> Batch:
        """Pictures on the device, with what else is known of the photos."""
        images = self._moved(pictures.images)
        if pictures.cuts is not None:
            images = resized_cuts(images, pictures.cuts, self._image_size)
        labels = self._moved(torch.from_numpy(self._photos.labels[pictures.rows]).long())
        return Batch(images, labels, torch.from_numpy(self._photos.coordinates[pictures.rows]))

    def _moved(self, tensor: Tensor) -> Tensor:
        return tensor.to(self._device, non_blocking=True)


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
