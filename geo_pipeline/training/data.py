"""What is known of the photos of a training besides their pictures.

Here live the table of labelled photos as arrays and the batch that the network gets. Reading the pictures is
`pictures.py`, bringing both together is `loader.py`. The one idea: a few numbers for each photo, in arrays of the
training process; workers hold nothing for a photo.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from torch import Tensor

from geo_pipeline.errors import InputError
from geo_pipeline.model.geography import Geography
from geo_pipeline.model.stored_photos import StoredPhotos
from geo_pipeline.training.loss import NO_LABEL

Labels = npt.NDArray[np.int32]


class Batch(NamedTuple):
    """Photos: images uint8[n, 3, h, w], labels int64[n, heads] (-1: none), coordinates float64[n, 2], degrees.

    A damaged photo is left out, so n may be smaller than asked for, even 0.
    """

    images: Tensor
    labels: Tensor
    coordinates: Tensor


class LabelledPhotos:
    """A table of photos with labels int32[n, heads] and coordinates float64[n, 2], its pictures in the shards."""

    def __init__(self, photos: pa.Table, shards_root: Path, geography: Geography) -> None:
        self.stored = StoredPhotos(photos, shards_root)
        self.labels = labels_of(photos, geography)
        self.coordinates = np.stack([photos["latitude"].to_numpy(), photos["longitude"].to_numpy()], axis=1)

    def __len__(self) -> int:
        return len(self.stored)


def labels_of(photos: pa.Table, geography: Geography) -> Labels:
    """int32[n, heads], -1 where a photo lies in no cell.

    Raises InputError for a partitioning without its column, and for a label that the partitioning does not have.
    """
    columns = []
    for name, num_classes in zip(geography.names, geography.num_classes, strict=True):
        if name not in photos.column_names:
            raise InputError(f"the photos have no labels for partitioning {name}; they have {photos.column_names}")
        labels = photos[name].combine_chunks().fill_null(NO_LABEL).to_numpy().astype(np.int32)
        if len(labels) and labels.max() >= num_classes:
            raise InputError(f"partitioning {name} has {num_classes} cells, a photo has class label {labels.max()}")
        columns.append(labels)
    return np.stack(columns, axis=1)
