"""A batch's pictures from the shards: the work of a loader's worker.

Here live reading, decoding, cropping and resizing of a batch into one tensor. It imports what that takes and nothing
more, because every worker pays for it. The one idea: an order says which photos and where they lie, so a worker
knows nothing of the data set but the names of its shards.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset, get_worker_info

from geo_pipeline.errors import InputError
from geo_pipeline.model.decoding import HwcPixels, UndecodableError, decode_sized, divisor_for, picture_size, reduced
from geo_pipeline.model.preprocessing import crops_for_test, resize
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


class Cuts(NamedTuple):
    """Crops that are still to be resized: extents int64[m, 2] (width, height), flips bool[m]."""

    extents: npt.NDArray[np.int64]
    flips: npt.NDArray[np.bool_]


class Pictures(NamedTuple):
    """What came of an order: images uint8[m, 3, h, w] and rows int64[m] of the photos that could be read.

    With `cuts`, each image holds a crop in its top left corner and the rest means nothing.
    """

    images: Tensor
    rows: Rows
    damaged: tuple[Damage, ...]
    cuts: Cuts | None


class Failure(NamedTuple):
    """A mistake of the user that ends the training, e.g. a shard that is not there; an error would lose its words."""

    message: str


class View(Protocol[Plan]):
    """How photos are shown; a `Plan` is what is decided for one of them before it is decoded."""

    def plans(self, sizes: Sizes, visit: Visit) -> list[tuple[int, Plan]]:
        """For each photo by its size, int64[n, 2] (width, height): the decoder's divisor, and the plan."""

    def canvas(self, plans: Sequence[Plan]) -> tuple[int, int]:
        """Height and width of a batch's images."""

    def show(self, pixels: HwcPixels, plan: Plan, image: Tensor) -> None:
        """Write a decoded picture into uint8[1, 3, h, w]."""

    def cuts(self, plans: Sequence[Plan]) -> Cuts | None:
        """What is left to do, on the device."""


class RandomCrops:
    """The view of training: a random crop, perhaps mirrored."""

    def __init__(self, params: ModelParams) -> None:
        self._size = params.image_size
        self._augmentation = params.augmentation
        self._seed = params.seed

    def plans(self, sizes: Sizes, visit: Visit) -> list[tuple[int, BoxAndFlip]]:
        """The divisor that leaves the smallest possible crop as large as the network's input; box and flip."""
        smallest = smallest_extents(sizes, self._augmentation).min(axis=1)
        divisors = [divisor_for(available, self._size) for available in smallest.tolist()]
        decoded = reduced(sizes, np.array(divisors, dtype=np.int64)[:, None])
        crops = random_crops(decoded, visit.rows, self._augmentation, seed=self._seed, epoch=visit.epoch)
        return list(zip(divisors, zip(crops.boxes.tolist(), crops.flips.tolist(), strict=True), strict=True))

    def canvas(self, plans: Sequence[BoxAndFlip]) -> tuple[int, int]:  # noqa: ARG002
        """The network's input."""
        return self._size, self._size

    def show(self, pixels: HwcPixels, plan: BoxAndFlip, image: Tensor) -> None:
        """The crop, resized."""
        (left, top, right, bottom), flip = plan
        crop = resize(pixels[top:bottom, left:right], self._size, self._size)
        image.copy_(crop.flip(3) if flip else crop)

    def cuts(self, plans: Sequence[BoxAndFlip]) -> Cuts | None:  # noqa: ARG002
        """Nothing."""
        return None


class RandomCuts(RandomCrops):
    """The same crops, which the device resizes and mirrors."""

    def canvas(self, plans: Sequence[BoxAndFlip]) -> tuple[int, int]:
        """Large enough for the widest and the highest crop."""
        width, height = self.cuts(plans).extents.max(axis=0, initial=1).tolist()
        return height, width

    def show(self, pixels: HwcPixels, plan: BoxAndFlip, image: Tensor) -> None:
        """The crop, as it is."""
        (left, top, right, bottom), _ = plan
        crop = torch.from_numpy(pixels[top:bottom, left:right].transpose(2, 0, 1))
        image[0, :, : bottom - top, : right - left] = crop

    def cuts(self, plans: Sequence[BoxAndFlip]) -> Cuts:
        """All of the resizing."""
        boxes = np.array([box for box, _ in plans], dtype=np.int64).reshape(-1, 4)
        return Cuts(boxes[:, 2:] - boxes[:, :2], np.array([flip for _, flip in plans], dtype=bool))


class CentreCrop:
    """The view of validation: the centre, as at test."""

    def __init__(self, settings: NetworkSettings) -> None:
        self._settings = settings

    def plans(self, sizes: Sizes, visit: Visit) -> list[tuple[int, None]]:  # noqa: ARG002
        """The whole picture, as at test."""
        return [(1, None)] * len(sizes)

    def canvas(self, plans: Sequence[None]) -> tuple[int, int]:  # noqa: ARG002
        """The network's input."""
        return self._settings.image_size, self._settings.image_size

    def show(self, pixels: HwcPixels, plan: None, image: Tensor) -> None:  # noqa: ARG002
        """The crop."""
        image.copy_(torch.from_numpy(crops_for_test(pixels, self._settings, 1)))

    def cuts(self, plans: Sequence[None]) -> Cuts | None:  # noqa: ARG002
        """Nothing."""
        return None


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
        visit = Visit(order.visit.epoch, order.visit.rows[[place for place, _, _ in records]])
        plans = self._view.plans(sizes, visit)
        images = _empty_images(len(records), *self._view.canvas([plan for _, plan in plans]))
        slots = images[:, None].unbind()
        shown: list[tuple[int, Any]] = []
        for (place, encoded, size), (divisor, plan) in zip(records, plans, strict=True):
            try:
                pixels = decode_sized(encoded, size, divisor)
            except UndecodableError as error:
                damaged[place] = error.found
                continue
            self._view.show(pixels, plan, slots[len(shown)])
            shown.append((place, plan))
        return Pictures(
            images[: len(shown)],
            order.visit.rows[[place for place, _ in shown]],
            tuple(self._damage(places[place], found) for place, found in damaged.items()),
            self._view.cuts([plan for _, plan in shown]),
        )

    def _damage(self, place: tuple[int, int, int], found: str) -> Damage:
        shard, offset, _ = place
        return Damage(self._shard_names[shard], offset, found)

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


def _empty_images(num_images: int, height: int, width: int) -> Tensor:
    """uint8[n, 3, height, width] as channels last; a worker's lie where the training process can see them."""
    num_bytes = num_images * height * width * 3
    if get_worker_info() is None:
        flat = torch.empty(num_bytes, dtype=torch.uint8)
    else:  # as torch's own collate does it: a tensor elsewhere would be copied when it is sent
        shared = torch.UntypedStorage._new_shared(num_bytes)  # type: ignore[no-untyped-call] # noqa: SLF001
        flat = torch.empty(0, dtype=torch.uint8).set_(shared)
    return flat.view(num_images, height, width, 3).permute(0, 3, 1, 2)
