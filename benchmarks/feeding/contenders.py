"""Who feeds: the bare loop, we, webdataset and litdata.

The one idea: all decode with simplejpeg and resize with the same filter, and all but us are given the crops of the
epoch for nothing, so that what is compared is everything around it. Each yields (images uint8[n, 3, s, s], rows).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import simplejpeg
import torch
from feeding.photos import Case, as_chunks, as_shards, as_tar
from torch import Tensor

from geo_pipeline.model.preprocessing import resize
from geo_pipeline.training.augmentation import Crops, random_crops
from geo_pipeline.training.data import LabelledPhotos
from geo_pipeline.training.loader import PhotoLoader, training_loader

SHUFFLE_BUFFER = 1000
"""Photos among which webdataset shuffles, as its documentation does; litdata shuffles chunks and inside them."""


@dataclass(frozen=True)
class CropTable:
    """The crop of each row in an epoch."""

    crops: Crops
    image_size: int

    @classmethod
    def of(cls, case: Case, epoch: int = 0) -> CropTable:
        """Those that our loader finds."""
        params, rows = case.params(), np.arange(case.num_photos)
        sizes = np.broadcast_to(case.size, (case.num_photos, 2))
        crops = random_crops(sizes, rows, params.augmentation, seed=params.seed, epoch=epoch)
        return cls(Crops(crops.boxes.tolist(), crops.flips.tolist()), case.image_size)

    def cropped(self, encoded: bytes, row: int) -> Tensor:
        """uint8[3, s, s] of a photo."""
        left, top, right, bottom = self.crops.boxes[row]
        pixels = simplejpeg.decode_jpeg(encoded)
        image = resize(pixels[top:bottom, left:right], self.image_size, self.image_size)[0]
        return image.flip(2) if self.crops.flips[row] else image


Batches = Iterator[tuple[Tensor, Tensor]]


class Bare:
    """A loop over records in memory: decode, crop, and nothing else."""

    def __init__(self, photos: list[bytes], table: CropTable) -> None:
        order = np.random.default_rng(0).permutation(len(photos)).tolist()
        self._records = [(photos[row], row) for row in order]
        self._table = table

    def __iter__(self) -> Batches:
        for encoded, row in self._records:
            yield self._table.cropped(encoded, row), torch.tensor(row)


class Ours:
    """The training's loader."""

    def __init__(self, photos: LabelledPhotos, case: Case, num_workers: int) -> None:
        self._loader: PhotoLoader = training_loader(photos, case.params(num_workers=num_workers, augment_on="worker"))

    def __iter__(self) -> Batches:
        for batch in self._loader:
            yield batch.images, batch.coordinates[:, 0].long()


class WebDataset:
    """webdataset as its documentation has it: shuffle in a buffer, crop, make batches in the worker."""

    def __init__(self, archive: str, table: CropTable, batch_size: int, num_workers: int) -> None:
        import webdataset

        samples = webdataset.WebDataset(archive, shardshuffle=100, empty_check=False).shuffle(SHUFFLE_BUFFER)
        batches = samples.map(_TarSample(table)).batched(batch_size)
        self._loader = webdataset.WebLoader(
            batches, batch_size=None, num_workers=num_workers, persistent_workers=num_workers > 0
        )

    def __iter__(self) -> Batches:
        for images, rows in self._loader:
            yield images, torch.as_tensor(rows)


class _TarSample:
    """One of webdataset's samples -> (image, row)."""

    def __init__(self, table: CropTable) -> None:
        self._table = table

    def __call__(self, sample: dict[str, bytes | str]) -> tuple[Tensor, int]:
        row = int(sample["__key__"])
        return self._table.cropped(sample["jpg"], row), row


class LitData:
    """litdata as its documentation has it: chunks on the local disk, transformed as they are read, its own loader."""

    def __init__(self, chunks: str, table: CropTable, batch_size: int, num_workers: int) -> None:
        import litdata

        dataset = litdata.StreamingDataset(chunks, shuffle=True, drop_last=False, transform=_ChunkSample(table))
        self._loader = litdata.StreamingDataLoader(
            dataset, batch_size=batch_size, num_workers=num_workers, persistent_workers=num_workers > 0
        )

    def __iter__(self) -> Batches:
        yield from self._loader


class _ChunkSample:
    """One of litdata's samples -> (image, row)."""

    def __init__(self, table: CropTable) -> None:
        self._table = table

    def __call__(self, sample: dict[str, bytes | int]) -> tuple[Tensor, int]:
        return self._table.cropped(sample["image"], sample["row"]), sample["row"]


@dataclass(frozen=True)
class Formats:
    """The same photos in each format that can be written here."""

    photos: list[bytes]
    shards: LabelledPhotos
    archive: str | None
    chunks: str | None

    @classmethod
    def written(cls, photos: list[bytes], folder: Path) -> Formats:
        """Write them."""
        return cls(
            photos,
            as_shards(folder, photos),
            as_tar(folder, photos) if find_spec("webdataset") else None,
            as_chunks(folder, photos) if find_spec("litdata") else None,
        )


def contenders(case: Case, formats: Formats, num_workers: int) -> dict[str, Iterable[tuple[Tensor, Tensor]]]:
    """By name, those that are installed; the bare loop only where there are no workers."""
    table, batch_size = CropTable.of(case), case.params().batch_size
    made: dict[str, Iterable[tuple[Tensor, Tensor]]] = {}
    if not num_workers:
        made["bare loop"] = Bare(formats.photos, table)
    made["ours"] = Ours(formats.shards, case, num_workers)
    if formats.archive:
        made["webdataset"] = WebDataset(formats.archive, table, batch_size, num_workers)
    if formats.chunks:
        made["litdata"] = LitData(formats.chunks, table, batch_size, num_workers)
    return made
