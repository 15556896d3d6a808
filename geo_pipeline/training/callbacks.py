"""What happens around the steps of a training: metrics, checkpoints, and leaving when asked to.

The one idea: an epoch ends with its line in `metrics.jsonl`, then `best.ckpt` if it is the best, then `last.ckpt`; a
kill between any two of them loses nothing that the next run does not do again.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Any, cast

import lightning.pytorch as pl
import torch
from lightning.fabric.plugins import TorchCheckpointIO

from geo_pipeline.model.checkpoint import SECTION
from geo_pipeline.store import atomic_file
from geo_pipeline.training.metrics import METRICS_FILE, EpochMetrics, append_epoch
from geo_pipeline.training.module import GeoModule

LAST_CHECKPOINT = "last.ckpt"
BEST_CHECKPOINT = "best.ckpt"


class TrainingInterruptedError(Exception):
    """A training that was asked to leave; `signal_number` says how. Its state is saved."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(signal_number).name}; the next run continues from here")
        self.signal_number = signal_number


class AtomicCheckpointIO(TorchCheckpointIO):
    """Checkpoints as whole files or not at all, on the disk when the call returns."""

    def save_checkpoint(
        self, checkpoint: Mapping[str, Any], path: str | Path, storage_options: object | None = None
    ) -> None:
        """Write a checkpoint atomically."""
        if storage_options is not None:
            raise TypeError("checkpoints are written to local disk, which has no storage options")
        with atomic_file(Path(path)) as stream:
            torch.save(checkpoint, stream)


class RunFiles(pl.Callback):
    """Writes the epoch's metrics and checkpoints into the run's folder.

    `best` is the least validation loss so far, `None` before the first epoch.
    """

    def __init__(self, run_dir: Path, fingerprint: str, best: float | None = None) -> None:
        self._run_dir = run_dir
        self._fingerprint = fingerprint
        self._best = best
        self._batches_done = 0
        self._seconds = 0.0
        self._started = 0.0
        self._photos_before = 0

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        """Start the epoch's clock; its photos may have begun in an interrupted run."""
        self._photos_before = _geo_module(pl_module).train_tally.num_photos
        self._started = time.monotonic()

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,  # noqa: ARG002
        pl_module: pl.LightningModule,  # noqa: ARG002
        outputs: object,  # noqa: ARG002
        batch: object,  # noqa: ARG002
        batch_idx: int,
    ) -> None:
        """Remember how far the epoch is."""
        self._batches_done = batch_idx + 1

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        """Stop the epoch's clock."""
        self._seconds = time.monotonic() - self._started

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the line, the best and the last checkpoint, in this order."""
        module = _geo_module(pl_module)
        metrics = self._metrics(trainer, module)
        append_epoch(self._run_dir / METRICS_FILE, metrics)
        module.begin_training_tally()
        self._batches_done = 0
        loss = metrics.validation["loss"]
        if self._best is None or loss < self._best:
            self._best = loss
            trainer.save_checkpoint(self._run_dir / BEST_CHECKPOINT, weights_only=True)
        self.save_last(trainer)

    def save_last(self, trainer: pl.Trainer) -> None:
        """Write the checkpoint from which a training resumes."""
        trainer.save_checkpoint(self._run_dir / LAST_CHECKPOINT)

    def on_save_checkpoint(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,  # noqa: ARG002
        checkpoint: dict[str, Any],
    ) -> None:
        """Add what resuming needs to know before Lightning reads the rest."""
        epochs_done = trainer.current_epoch + (self._batches_done == 0)
        checkpoint.setdefault(SECTION, {})["progress"] = {
            "fingerprint": self._fingerprint,
            "epoch": epochs_done,
            "batch": self._batches_done,
            "best": self._best,
            "finished": epochs_done >= (trainer.max_epochs or 0),
        }

    def _metrics(self, trainer: pl.Trainer, module: GeoModule) -> EpochMetrics:
        photos = module.train_tally.num_photos - self._photos_before
        return EpochMetrics(
            epoch=trainer.current_epoch,
            train=module.losses_by_name(module.train_tally),
            validation=module.losses_by_name(module.validation_tally),
            accuracy=module.validation_accuracy(),
            learning_rate=trainer.optimizers[0].param_groups[0]["lr"],
            photos_per_second=photos / self._seconds,
            seconds=self._seconds,
        )


class LeaveOnSignal(pl.Callback):
    """SIGINT and SIGTERM: finish the step, save `last.ckpt`, leave with TrainingInterruptedError.

    After an epoch's last step it finishes the validation first (a state between the two cannot be resumed without
    losing the epoch's numbers); after the last epoch there is nothing to stop.
    """

    def __init__(self, files: RunFiles) -> None:
        self._files = files
        self._received: int | None = None
        self._previous: dict[int, Any] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        """Listen, instead of Lightning; only a main thread can."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._receive)

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,  # noqa: ARG002
        outputs: object,  # noqa: ARG002
        batch: object,  # noqa: ARG002
        batch_idx: int,  # noqa: ARG002
    ) -> None:
        """Save and leave if asked to."""
        if self._received is not None and not trainer.is_last_batch:
            self._files.save_last(trainer)
            raise TrainingInterruptedError(self._received)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        """Leave if asked to; RunFiles has saved the epoch."""
        if self._received is not None and trainer.current_epoch + 1 < (trainer.max_epochs or 0):
            raise TrainingInterruptedError(self._received)

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:  # noqa: ARG002
        """Give the signals back."""
        while self._previous:
            signal.signal(*self._previous.popitem())

    def _receive(self, number: int, _: FrameType | None) -> None:
        self._received = number


def _geo_module(module: pl.LightningModule) -> GeoModule:
    """Lightning types its hooks for any module; run.py gives it ours."""
    return cast("GeoModule", module)
