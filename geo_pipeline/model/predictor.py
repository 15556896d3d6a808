"""A network at work: photos in, beliefs out, one batch after another.

Here lives the forward pass over crops. Not here: loading (crop_batches.py), what is decided (decisions.py) and tables
(prediction.py). The one idea: a photo's answer depends on its own pixels alone, to the last bit. On a CPU the network
sees the same number of pictures every time, whatever the size of a batch: another number takes another path through
its arithmetic.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import torch
from torch import Tensor

from geo_pipeline.errors import InputError
from geo_pipeline.model.calibration import Beliefs, Calibration, beliefs_of
from geo_pipeline.model.checkpoint import load_network
from geo_pipeline.model.combination import Combine, combine_crops
from geo_pipeline.model.crop_batches import CropBatch, PictureSource, in_groups, load_crops
from geo_pipeline.model.geography import Geography
from geo_pipeline.model.network import GeoModel
from geo_pipeline.model.preprocessing import NumCrops

Precision = Literal["32", "16", "bf16"]

PICTURES_AT_ONCE = 40
"""Crops in one forward pass on a CPU; a multiple of 8, so that no row takes a path for remainders."""

_MAX_WORKERS = 8
_AUTOCAST: Mapping[str, torch.dtype] = MappingProxyType({"16": torch.float16, "bf16": torch.bfloat16})


@dataclass(frozen=True)
class PredictionOptions:
    """How photos go through a network.

    `batch_size`: photos loaded at a time, and on a GPU also shown to the network at a time; `num_workers`: processes
    that decode, None for what suits the device; `device`: of torch, None for the accelerator if there is one.
    """

    crops: NumCrops = 5
    combine: Combine = "max"
    batch_size: int = 64
    num_workers: int | None = None
    device: str | None = None
    precision: Precision = "32"


@dataclass(frozen=True)
class BatchBeliefs:
    """What a network believes of the photos in some rows of a source, and why other rows gave no picture."""

    rows: Sequence[int]
    beliefs: Beliefs
    faults: Mapping[int, str]


class Predictor:
    """The network of a checkpoint, ready to look at photos.

    Raises InputError for a file that is no checkpoint of ours and for a GPU that is not there.
    """

    def __init__(self, checkpoint: Path, options: PredictionOptions, calibration: Calibration | None = None) -> None:
        self.checkpoint, self.options = checkpoint, options
        self.device = _device(options.device)
        self.model = load_network(checkpoint, self.device)
        self._hierarchy = torch.from_numpy(self.geography.hierarchy).to(self.device)
        self._calibration = calibration

    @property
    def geography(self) -> Geography:
        """What the class labels mean."""
        return self.model.geography

    def beliefs(self, source: PictureSource) -> Iterator[BatchBeliefs]:
        """What the network believes of each photo of a source, in order, some at a time."""
        options, on_gpu = self.options, self.device.type != "cpu"
        num_workers = options.num_workers if options.num_workers is not None else _num_workers(self.device)
        batches = load_crops(
            source, self.model.settings, options.crops, batch_size=options.batch_size, num_workers=num_workers
        )
        at_once = options.batch_size if on_gpu else max(1, PICTURES_AT_ONCE // options.crops)
        for batch in in_groups(batches, at_once):
            yield BatchBeliefs(batch.rows, self._beliefs(batch, at_once), batch.faults)

    @torch.inference_mode()
    def _beliefs(self, batch: CropBatch, at_once: int) -> Beliefs:
        """The beliefs about one group."""
        try:
            heads = self._heads(batch.crops, at_once)
        except torch.OutOfMemoryError as error:
            raise InputError(
                f"the GPU's memory is too small for {at_once} photos of {self.options.crops} crops at once; give a "
                f"--batch-size below {at_once}, or --no-gpu"
            ) from error
        return beliefs_of(heads, self.geography, self._hierarchy, self._calibration)

    def _heads(self, crops: Tensor, at_once: int) -> list[Tensor]:
        """Log probabilities of one group, of which the last one of a source is filled up with black pictures."""
        num_photos = len(crops)
        if not num_photos:
            return [torch.zeros((0, classes), device=self.device) for classes in self.geography.num_classes]
        filler = crops.new_zeros((at_once - num_photos, *crops.shape[1:]))
        with self._autocast():
            pixels = torch.cat([crops, filler]).to(self.device)
            heads = log_probabilities(self.model.network, pixels, self.options.combine)
        return [head[:num_photos] for head in heads]

    def _autocast(self) -> AbstractContextManager[object]:
        dtype = _AUTOCAST.get(self.options.precision)
        return torch.autocast(self.device.type, dtype) if dtype else nullcontext()


def log_probabilities(network: GeoModel, crops: Tensor, combine: Combine) -> list[Tensor]:
    """uint8[n, crops, 3, h, w] -> log probabilities float32[n, classes] for each partitioning, crops combined."""
    num_photos, num_crops = crops.shape[:2]
    heads = network(crops.flatten(0, 1))
    return [combine_crops(head.log_softmax(dim=1).unflatten(0, (num_photos, num_crops)), combine) for head in heads]


def _device(name: str | None) -> torch.device:
    """The device of a name, or the accelerator if there is one."""
    if name and name.startswith("cuda") and not torch.cuda.is_available():
        raise InputError(f"device {name}: PyTorch finds no CUDA GPU on this machine; use the CPU (--no-gpu)")
    return torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))


def _num_workers(device: torch.device) -> int:
    """None on a CPU, which the network keeps busy; beside a GPU one for each core but one."""
    return 0 if device.type == "cpu" else min(_MAX_WORKERS, max(1, (os.cpu_count() or 1) - 1))
