"""A batch's pictures from the shards: the work of a loader's worker.

Here live reading, decoding, cropping and resizing of a batch into one tensor. It imports what that takes and nothing
more, because every worker pays for it. The one idea: an order says which photos and where they lie, so a worker
knows nothing of the data set but the names of its shards.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset, get_worker_info

from geo_pipeline.errors import InputError
from geo_pipeline.model.decoding import HwcPixels, UndecodableError, decode, picture_size, reduced
from geo_pipeline.model.preprocessing import crops_for_test, divisor_for, resize
from geo_pipeline.model.settings import NetworkSettings
from geo_pipeline.shards.format import DamagedRecordError
from geo_pipeline.shards.reader import Places, ShardReader
from geo_pipeline.training.augmentation import random_crops, smallest_extents
from geo_pipeline.training.config import ModelParams
from geo_pipeline.training.damage import Damage
from geo_pipeline.training.order import Rows, Visit

Plan = TypeVar("Plan")
Sizes: TypeAlias = npt.NDArray[np.int64]
BoxAndFlip: TypeAlias = tuple[Sequence[int], bool]


class Order(NamedTuple):
    """The photos to show: a step's visit and where the pictures lie."""

    visit: Visit
    places: Places


class Pictures(NamedTuple):
    """What came of an order: images uint8[m, 3, s, s] and rows int64[m] of the photos that could be read."""

    images: Tensor
    rows: Rows
    damaged: tuple[Damage, ...]


class Failure(NamedTuple):
    """A mistake of the user that ends the training, e.g. a shard that is not there; an error would lose its words."""

    message: str


class View(Protocol[Plan]):
    """How photos are shown; a `Plan` is what is decided for one of them before it is decoded."""

    image_size: int

    def plans(self, sizes: Sizes, visit: Visit) -> Iterable[tuple[int, Plan]]:
        """For each photo by its size, int64[n, 2] (width, height): the decoder's divisor, and the plan."""

    def show(self, pixels: HwcPixels, plan: Plan, image: Tensor) -> None:
        """Write a decoded picture into uint8[1, 3, image_size, image_size]."""


class RandomCrops:
    """The view of training: a random crop, perhaps mirrored."""

    def __init__(self, params: ModelParams) -> None:
        self.image_size = params.image_size
        self._augmentation = params.augmentation
        self._seed = params.seed

    def plans(self, sizes: Sizes, visit: Visit) -> Iterable[tuple[int, BoxAndFlip]]:
        """The divisor that leaves the smallest possible crop as large as the network's input; box and flip."""
        smallest = smallest_extents(sizes, self._augmentation).min(axis=1)
        divisors = [divisor_for(available, self.image_size) for available in smallest.tolist()]
        decoded = reduced(sizes, np.array(divisors, dtype=np.int64)[:, None])
        crops = random_crops(decoded, visit.rows, self._augmentation, seed=self._seed, epoch=visit.epoch)
        return zip(divisors, zip(crops.boxes.tolist(), crops.flips.tolist(), strict=True), strict=True)

    def show(self, pixels: HwcPixels, plan: BoxAndFlip, image: Tensor) -> None:
        """The crop, resized."""
        (left, top, right, bottom), flip = plan
        crop = resize(pixels[top:bottom, left:right], self.image_size, self.image_size)
        image.copy_(crop.flip(3) if flip else crop)


class CentreCrop:
    """The view of validation: the centre, as at test."""

    def __init__(self, settings: NetworkSettings) -> None:
        self.image_size = settings.image_size
        self._settings = settings

    def plans(self, sizes: Sizes, visit: Visit) -> Iterable[tuple[int, None]]:  # noqa: ARG002
        """The whole picture, as at test."""
        return ((1, None) for _ in sizes)

    def show(self, pixels: HwcPixels, plan: None, image: Tensor) -> None:  # noqa: ARG002
        """The crop."""
        image.copy_(torch.from_numpy(crops_for_test(pixels, self._settings, 1)))


class PictureBatches(Dataset[Pictures | Failure]):
    """Order -> Pictures, or the Failure that ends the training."""

    def __init__(self, shards_root: Path, shard_names: Sequence[str], view: View[Any]) -> None:
        self._reader = ShardReader(shards_root)
        self._shard_names = shard_names
        self._view = view

    def __getitem__(self, order: Order) -> Pictures | Failure:
        try:
            return self._pictures(order)
        except InputError as error:
            return Failure(str(error))

    def _pictures(self, order: Order) -> Pictures:
        """The pictures that can be read and decoded."""
        places = list(zip(*(column.tolist() for column in order.places), strict=True))
        damaged: dict[int, str] = {}
        records = self._records(places, damaged)
        sizes = np.array([size for _, _, size in records], dtype=np.int64).reshape(-1, 2)
        found = [place for place, _, _ in records]
        visit = Visit(order.visit.epoch, order.visit.rows[found])
        images = _empty_images(len(records), self._view.image_size)
        shown: list[int] = []
        for (place, encoded, _), (divisor, plan) in zip(records, self._view.plans(sizes, visit), strict=True):
            try:
                pixels = decode(encoded, divisor)
            except UndecodableError as error:
                damaged[place] = str(error)
                continue
            self._view.show(pixels, plan, images[len(shown) : len(shown) + 1])
            shown.append(place)
        described = tuple(
            Damage(self._shard_names[places[place][0]], places[place][1], text) for place, text in damaged.items()
        )
        return Pictures(images[: len(shown)], order.visit.rows[shown], described)

    def _records(
        self, places: Sequence[tuple[int, int, int]], damaged: dict[int, str]
    ) -> list[tuple[int, bytes, tuple[int, int]]]:
        """(place, encoded picture, size) of what can be read; the others go to `damaged` with what was found."""
        records = []
        for place, (shard, offset, length) in enumerate(places):
            try:
                encoded = self._reader.image(self._shard_names[shard], offset, length)
                records.append((place, encoded, picture_size(encoded)))
            except (DamagedRecordError, UndecodableError) as error:
                damaged[place] = error.found
        return records


def _empty_images(num_images: int, size: int) -> Tensor:
    """uint8[n, 3, size, size] as channels last; a worker's lie where the training process can see them."""
    num_bytes = num_images * size * size * 3
    if get_worker_info() is None:
        flat = torch.empty(num_bytes, dtype=torch.uint8)
    else:  # as torch's own collate does it: a tensor elsewhere would be copied when it is sent
        shared = torch.UntypedStorage._new_shared(num_bytes)  # type: ignore[no-untyped-call] # noqa: SLF001
        flat = torch.empty(0, dtype=torch.uint8).set_(shared)
    return flat.view(num_images, size, size, 3).permute(0, 3, 1, 2)
