"""Feeding: photos and labels from tables and shards to batches.

Here live the two data sets and their loaders. Reading pictures is `geo_pipeline.model.stored_photos`, their order is
`order.py`. The one idea: map-style over memory-mapped shards, no copy of the data set and no Python object for each
photo; pictures stay uint8 until they are on the device.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from geo_pipeline.errors import InputError
from geo_pipeline.model.geography import Geography
from geo_pipeline.model.preprocessing import Pixels
from geo_pipeline.model.settings import NetworkSettings
from geo_pipeline.model.stored_photos import StoredPhotos, TestCrops
from geo_pipeline.training.augmentation import augmented
from geo_pipeline.training.config import ModelParams
from geo_pipeline.training.loss import NO_LABEL
from geo_pipeline.training.order import EpochBatches, PhotoKey

Labels = npt.NDArray[np.int64]


class Sample(NamedTuple):
    """One photo: pixels uint8[3, s, s], labels int64[heads], and its coordinate float64[2], degrees."""

    pixels: Pixels
    labels: Labels
    coordinate: npt.NDArray[np.float64]


class Batch(NamedTuple):
    """Photos: images uint8[n, 3, s, s], labels int64[n, heads] (-1: none), coordinates float64[n, 2], degrees."""

    images: Tensor
    labels: Tensor
    coordinates: Tensor


class LabelledPhotos:
    """A table of photos with labels and coordinates, its pictures in the shards. Picklable."""

    def __init__(self, photos: pa.Table, shards_root: Path, geography: Geography) -> None:
        self.stored = StoredPhotos(photos, shards_root)
        self.labels = labels_of(photos, geography)
        self.coordinates = np.stack([photos["latitude"].to_numpy(), photos["longitude"].to_numpy()], axis=1)

    def __len__(self) -> int:
        return len(self.stored)

    def sample(self, row: int, pixels: Pixels) -> Sample:
        """The sample of a row with the given pixels."""
        return Sample(pixels, self.labels[row], self.coordinates[row])


def labels_of(photos: pa.Table, geography: Geography) -> Labels:
    """int64[n, heads], -1 where a photo lies in no cell.

    Raises InputError for a partitioning without its column, and for a label that the partitioning does not have.
    """
    columns = []
    for name, num_classes in zip(geography.names, geography.num_classes, strict=True):
        if name not in photos.column_names:
            raise InputError(f"the photos have no labels for partitioning {name}; they have {photos.column_names}")
        labels = photos[name].combine_chunks().fill_null(NO_LABEL).to_numpy().astype(np.int64)
        if len(labels) and labels.max() >= num_classes:
            raise InputError(f"partitioning {name} has {num_classes} cells, a photo has class label {labels.max()}")
        columns.append(labels)
    return np.stack(columns, axis=1)


class TrainingPhotos(Dataset[Sample]):
    """Augmented photos by (epoch, row)."""

    def __init__(self, photos: LabelledPhotos, params: ModelParams) -> None:
        self._photos = photos
        self._params = params

    def __len__(self) -> int:
        return len(self._photos)

    def __getitem__(self, key: PhotoKey) -> Sample:
        random = np.random.Generator(np.random.PCG64([self._params.seed, *key]))
        image = self._photos.stored.image(key.row)
        pixels = augmented(image, self._params.image_size, self._params.augmentation, random)
        return self._photos.sample(key.row, pixels)


class ValidationPhotos(Dataset[Sample]):
    """The centre crop of each photo by row."""

    def __init__(self, photos: LabelledPhotos, settings: NetworkSettings) -> None:
        self._photos = photos
        self._crops = TestCrops(photos.stored, settings, crops=1)

    def __len__(self) -> int:
        return len(self._photos)

    def __getitem__(self, row: int) -> Sample:
        return self._photos.sample(row, self._crops[row][0])


def collate(samples: Sequence[Sample]) -> Batch:
    """Samples as tensors."""
    return Batch(*(torch.from_numpy(np.stack(parts)) for parts in zip(*samples, strict=True)))


def training_loader(
    photos: LabelledPhotos, params: ModelParams, *, first_epoch: int = 0, first_batch: int = 0
) -> DataLoader[Batch]:
    """Batches of augmented photos, beginning at the given place."""
    batches = EpochBatches(
        len(photos), params.batch_size, params.seed, first_epoch=first_epoch, first_batch=first_batch
    )
    return _loader(TrainingPhotos(photos, params), params, batch_sampler=batches)


def validation_loader(photos: LabelledPhotos, params: ModelParams) -> DataLoader[Batch]:
    """Batches of centre crops in the table's order."""
    return _loader(ValidationPhotos(photos, params), params, batch_size=params.batch_size)


def _loader(dataset: Dataset[Sample], params: ModelParams, **sampling: EpochBatches | int) -> DataLoader[Batch]:
    workers = params.num_workers
    loader: DataLoader[Batch] = DataLoader(
        dataset,  # type: ignore[arg-type] # it yields samples, collate makes them batches
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=torch.cuda.is_available(),
        collate_fn=collate,
        **sampling,  # type: ignore[arg-type]
    )
    return loader
