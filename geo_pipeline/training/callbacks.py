"""What happens around the steps of a training: metrics, checkpoints, and leaving when asked to.

The one idea: an epoch ends with its line in `metrics.jsonl`, then `best.ckpt` if it is the best, then `last.ckpt`; a
kill between any two of them loses nothing that the next run does not do again.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.fabric.plugins import TorchCheckpointIO

from geo_pipeline.model.checkpoint import SECTION
from geo_pipeline.store import atomic_file
from geo_pipeline.training.loader import PhotoLoader
from geo_pipeline.training.metrics import METRICS_FILE, EpochMetrics, append_epoch
from geo_pipeline.training.module import GeoModule, geo_module
from geo_pipeline.training.pace import Pace
from geo_pipeline.training.ranks import Agreement
from geo_pipeline.training.reports import Listener
from geo_pipeline.training.start import BEST_CHECKPOINT, LAST_CHECKPOINT, Start
from geo_pipeline.training.stopping import StopSignals, TrainingInterruptedError


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


class SeededSteps(pl.Callback):
    """Makes what torch draws in a step (dropout, stochastic depth) a function of seed, epoch and batch.

    So no state of a random generator has to survive an interruption, and whatever is drawn between two steps does not
    matter.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def on_train_batch_start(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,  # noqa: ARG002
        batch: object,  # noqa: ARG002
        batch_idx: int,
    ) -> None:
        """Seed the step; each process draws for its own photos."""
        place = [self._seed, trainer.current_epoch, batch_idx, trainer.global_rank]
        torch.manual_seed(int(np.random.SeedSequence(place).generate_state(1)[0]))


class RunFiles(pl.Callback):
    """Writes the epoch's metrics and checkpoints into the run's folder, and tells `listeners` of the epoch.

    `last.ckpt` is also saved every `checkpoint_seconds`, and before an epoch's last step, so that a validation can be
    interrupted at any time and costs one step to begin again.
    """

    def __init__(
        self,
        run_dir: Path,
        start: Start,
        pace: Pace,
        agreement: Agreement,
        checkpoint_seconds: float,
        listeners: Sequence[Listener],
    ) -> None:
        self._run_dir = run_dir
        self._pace = pace
        self._agreement = agreement
        self._listeners = listeners
        self._identity = start.identity
        self._best = start.best
        self._checkpoint_seconds = checkpoint_seconds
        self._batches_done = 0
        self._saved = 0.0
        self._is_validated = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        """Start the clock of the checkpoints."""
        self._saved = time.monotonic()

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        """No validation yet."""
        self._is_validated = False

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,  # noqa: ARG002
        outputs: object,  # noqa: ARG002
        batch: object,  # noqa: ARG002
        batch_idx: int,
    ) -> None:
        """Remember how far the epoch is, and save it if it is time to."""
        self._batches_done = batch_idx + 1
        if not can_resume_after(trainer, batch_idx):
            return
        is_last_chance = batches_left(trainer, batch_idx) <= trainer.accumulate_grad_batches
        if is_last_chance or self._agreement.largest(self.is_due()):
            self.save_last(trainer)

    def is_due(self) -> bool:
        """Whether the last save was long enough ago."""
        return time.monotonic() - self._saved >= self._checkpoint_seconds

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        """Remember that the epoch has numbers of a validation."""
        self._is_validated = True

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the line, the best and the last checkpoint, in this order."""
        module = geo_module(pl_module)
        metrics = self._metrics(trainer, module)
        if trainer.is_global_zero:
            append_epoch(self._run_dir / METRICS_FILE, metrics)
        for listener in self._listeners:
            listener.epoch(metrics)
        module.begin_training_tally()
        self._batches_done = 0
        loss = metrics.validation.get("loss")
        if self._best is None or (loss is not None and loss < self._best):
            self._best = loss
            trainer.save_checkpoint(self._run_dir / BEST_CHECKPOINT, weights_only=True)
        self.save_last(trainer)

    def save_last(self, trainer: pl.Trainer) -> None:
        """Write the checkpoint from which a training resumes."""
        trainer.save_checkpoint(self._run_dir / LAST_CHECKPOINT)
        self._saved = time.monotonic()

    def on_save_checkpoint(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,  # noqa: ARG002
        checkpoint: dict[str, Any],
    ) -> None:
        """Add what resuming needs to know before Lightning reads the rest."""
        checkpoint.setdefault(SECTION, {})["progress"] = {
            "identity": self._identity.to_state(),
            "epoch": trainer.current_epoch + (self._batches_done == 0),
            "batch": self._batches_done,
            "best": self._best,
            "finished": self._batches_done == 0 and ends_with_this_epoch(trainer),
        }

    def _metrics(self, trainer: pl.Trainer, module: GeoModule) -> EpochMetrics:
        return EpochMetrics(
            epoch=trainer.current_epoch,
            train=module.losses_by_name(module.train_tally),
            validation=module.losses_by_name(module.validation_tally) if self._is_validated else {},
            accuracy=module.validation_accuracy() if self._is_validated else {},
            learning_rate=trainer.optimizers[0].param_groups[0]["lr"],
            **asdict(self._pace.of_epoch()),
            damaged=cast("PhotoLoader", trainer.train_dataloader).damage.num_damaged,
        )


class LeaveOnSignal(pl.Callback):
    """After a signal: finish the step, save `last.ckpt`, leave with TrainingInterruptedError.

    In an epoch's last step and in its validation there is nothing to save: RunFiles has done so before that step.
    """

    def __init__(self, signals: StopSignals, files: RunFiles, agreement: Agreement) -> None:
        self._signals = signals
        self._files = files
        self._agreement = agreement

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        """Listen, instead of Lightning."""
        self._signals.is_deferred = True
        self._signals.listen()

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,  # noqa: ARG002
        outputs: object,  # noqa: ARG002
        batch: object,  # noqa: ARG002
        batch_idx: int,
    ) -> None:
        """Save and leave if asked to; not between two batches of one optimizer step."""
        is_resumable = can_resume_after(trainer, batch_idx)
        if not is_resumable and batches_left(trainer, batch_idx) > 0:
            return
        received = self._received()
        if received and is_resumable:
            self._files.save_last(trainer)
        if received:
            raise TrainingInterruptedError(received)

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,  # noqa: ARG002
        pl_module: pl.LightningModule,  # noqa: ARG002
        outputs: object,  # noqa: ARG002
        batch: object,  # noqa: ARG002
        batch_idx: int,  # noqa: ARG002
        dataloader_idx: int = 0,  # noqa: ARG002
    ) -> None:
        """Leave if asked to."""
        if received := self._received():
            raise TrainingInterruptedError(received)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        """Leave if asked to, unless the training ends here anyway; RunFiles has saved the epoch."""
        if not ends_with_this_epoch(trainer) and (received := self._received()):
            raise TrainingInterruptedError(received)

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:  # noqa: ARG002
        """The training is over: a signal has nothing to wait for any more."""
        self._signals.is_deferred = False

    def _received(self) -> int:
        """The signal that one of the processes that train together has got, 0 if none has."""
        return self._agreement.largest(self._signals.received or 0)


def ends_with_this_epoch(trainer: pl.Trainer) -> bool:
    """Whether the training is complete when the running epoch is."""
    out_of_epochs = trainer.current_epoch + 1 >= (trainer.max_epochs or 0)
    out_of_steps = 0 <= trainer.max_steps <= trainer.global_step
    return out_of_epochs or out_of_steps or trainer.should_stop


def batches_left(trainer: pl.Trainer, batch_idx: int) -> float:
    """Batches of the epoch after this one."""
    return trainer.num_training_batches - (batch_idx + 1)


def can_resume_after(trainer: pl.Trainer, batch_idx: int) -> bool:
    """Whether a checkpoint after this batch is a place to go on from: a whole optimizer step, not the epoch's last."""
    return (batch_idx + 1) % trainer.accumulate_grad_batches == 0 and batches_left(trainer, batch_idx) > 0
