"""How fast an epoch goes, and what it waits for.

Here live the clock of an epoch and what is read from it. The one idea: a number that a machine does not have is None,
never a guess. Not here: writing them down (callbacks.py).
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import lightning.pytorch as pl
import torch

from geo_pipeline.training.data import Batch
from geo_pipeline.training.module import geo_module
from geo_pipeline.training.utilisation import peak_flops, training_flops


@dataclass(frozen=True)
class EpochPace:
    """The pace of an epoch, or of what an interrupted one had left; times are those of training, without validation.

    `waiting_share`: of these seconds, for the next batch (on a GPU, which computes meanwhile, that is the most it can
    have been idle for want of data); `peak_memory_bytes`: of the GPU; `model_flops_utilisation`: arithmetic done, as a
    share of what the GPU could do, 0 to 1. Photos are those of all processes, the rest is of this one and its GPU.
    """

    seconds: float
    photos_per_second: float
    waiting_share: float
    peak_memory_bytes: int | None
    model_flops_utilisation: float | None


class Pace(pl.Callback):
    """The clock. It must be the last callback: what others do after a step is no waiting for data."""

    def __init__(self) -> None:
        self._started = 0.0
        self._seconds = 0.0
        self._waiting = 0.0
        self._asked = 0.0
        self._photos = 0
        self._num_processes = 1
        self._photos_at_peak: float | None = None
        self._device = torch.device("cpu")

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:  # noqa: ARG002
        """Find how many photos a second the GPU could learn from, before the network is compiled."""
        self._device, self._num_processes = trainer.strategy.root_device, trainer.world_size
        if self._device.type == "cuda":
            peak = peak_flops(torch.cuda.get_device_name(self._device), str(trainer.precision))
            needed = training_flops(geo_module(pl_module).network, geo_module(pl_module).params.image_size)
            self._photos_at_peak = peak / needed if peak and needed else None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock, also in the middle of an epoch, where Lightning starts none."""
        self.on_train_epoch_start(trainer, pl_module)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        """Start the epoch's clock, perhaps in the middle of an epoch that an interrupted run began."""
        self._photos = 0
        self._waiting = 0.0
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
        self._started = self._asked = time.monotonic()

    def on_train_batch_start(
        self,
        trainer: pl.Trainer,  # noqa: ARG002
        pl_module: pl.LightningModule,  # noqa: ARG002
        batch: object,  # noqa: ARG002
        batch_idx: int,  # noqa: ARG002
    ) -> None:
        """The batch is there."""
        self._waiting += time.monotonic() - self._asked

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,  # noqa: ARG002
        outputs: object,  # noqa: ARG002
        batch: Batch,
        batch_idx: int,  # noqa: ARG002
    ) -> None:
        """The next batch is asked for; after the last one a GPU may have work left."""
        self._photos += len(batch.images)
        if trainer.is_last_batch and self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        self._asked = time.monotonic()
        self._seconds = self._asked - self._started

    def of_epoch(self) -> EpochPace:
        """The pace so far; of several processes, which keep in step, this one's share of the photos stands for all."""
        seconds = max(self._seconds, 1e-9)
        photos_per_second = self._photos / seconds
        on_gpu = self._device.type == "cuda"
        return EpochPace(
            seconds=self._seconds,
            photos_per_second=photos_per_second * self._num_processes,
            waiting_share=self._waiting / seconds,
            peak_memory_bytes=torch.cuda.max_memory_allocated(self._device) if on_gpu else None,
            model_flops_utilisation=photos_per_second / self._photos_at_peak if self._photos_at_peak else None,
        )
