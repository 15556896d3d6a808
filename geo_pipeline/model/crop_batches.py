"""Batches of test crops from any source of pictures, a few photos in memory at a time.

Here live loading in worker processes and the division of photos into groups of one size. Not here: reading a picture
(pictures.py, stored_photos.py), cutting the crops (preprocessing.py) and the network (prediction.py). The one idea: a
picture that cannot be read leaves a sentence instead of pixels, and the photos around it go on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader

from geo_pipeline.errors import InputError
from geo_pipeline.model.pictures import BrokenPictureError
from geo_pipeline.model.preprocessing import NumCrops, crops_for_test
from geo_pipeline.model.settings import NetworkSettings


class PictureSource(Protocol):
    """Pictures by row; picklable, for worker processes."""

    def __len__(self) -> int: ...

    def image(self, row: int) -> Image.Image:
        """The picture of a row in RGB. Raises BrokenPictureError for one that is to be listed and passed over."""
        ...


@dataclass(frozen=True)
class CropBatch:
    """Some photos in the order of their rows.

    `rows`: those whose pictures are in `crops`, uint8[len(rows), crops, 3, s, s]; `faults`: why the pictures of other
    rows are not; `mistake`: what a user must mend before anything can go on.
    """

    rows: Sequence[int]
    crops: Tensor
    faults: Mapping[int, str] = field(default_factory=dict)
    mistake: str | None = None


class _Loaded(NamedTuple):
    row: int
    crops: Tensor | None = None
    fault: str = ""
    mistake: str | None = None


class _Crops:
    """A map-style dataset: row -> its crops, or why there are none."""

    def __init__(self, source: PictureSource, settings: NetworkSettings, crops: NumCrops) -> None:
        self._source, self._settings, self._crops = source, settings, crops

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, row: int) -> _Loaded:
        try:
            image = self._source.image(row)
        except BrokenPictureError as error:
            return _Loaded(row, fault=str(error))
        except InputError as error:  # raised in a worker it would reach a user as its stack trace
            return _Loaded(row, mistake=str(error))
        return _Loaded(row, torch.from_numpy(crops_for_test(image, self._settings, self._crops)))


def load_crops(
    source: PictureSource, settings: NetworkSettings, crops: NumCrops, *, batch_size: int, num_workers: int
) -> Iterator[CropBatch]:
    """All photos of a source in order, `batch_size` at a time; decoded in `num_workers` processes, or here if 0.

    Raises the InputError that the source raises.
    """
    dataset: Any = _Crops(source, settings, crops)
    for batch in DataLoader(dataset, batch_size=batch_size, num_workers=num_workers, collate_fn=_collate):
        if batch.mistake is not None:
            raise InputError(batch.mistake)
        yield batch


def in_groups(batches: Iterator[CropBatch], num_photos: int) -> Iterator[CropBatch]:
    """The same photos, `num_photos` pictures in every batch but the last; faults go with the batch that follows."""
    rows: list[int] = []
    pictures: list[Tensor] = []
    faults: dict[int, str] = {}
    for batch in batches:
        rows, pictures, faults = [*rows, *batch.rows], [*pictures, *batch.crops], faults | dict(batch.faults)
        while len(rows) >= num_photos:
            yield CropBatch(rows[:num_photos], torch.stack(pictures[:num_photos]), faults)
            rows, pictures, faults = rows[num_photos:], pictures[num_photos:], {}
    if rows or faults:
        yield CropBatch(rows, _stack(pictures), faults)


def _collate(items: Sequence[_Loaded]) -> CropBatch:
    good = [(item.row, item.crops) for item in items if item.crops is not None]
    faults = {item.row: item.fault for item in items if item.crops is None}
    mistake = next((item.mistake for item in items if item.mistake is not None), None)
    return CropBatch([row for row, _ in good], _stack([crops for _, crops in good]), faults, mistake)


def _stack(pictures: Sequence[Tensor]) -> Tensor:
    """uint8[n, crops, 3, s, s]; of no picture an empty one."""
    return torch.stack(list(pictures)) if pictures else torch.empty((0, 1, 3, 1, 1), dtype=torch.uint8)
