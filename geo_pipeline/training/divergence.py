"""A training whose loss is no number any more.

The one idea: it ends with a message that names the step, and no file is written after that step: the last checkpoint
is one from which a training can go on.
"""

from __future__ import annotations

import lightning.pytorch as pl
import torch

from geo_pipeline.errors import InputError
from geo_pipeline.training.module import geo_module

_STEPS_BETWEEN_LOOKS = 50
"""On a GPU, where a look waits for the step to end."""


class StopWhenDiverged(pl.Callback):
    """Raises InputError once a loss is not finite. It must come before the callback that writes files."""

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: object,  # noqa: ARG002
        batch: object,  # noqa: ARG002
        batch_idx: int,
    ) -> None:
        """Look at the sum of the epoch's losses, which stays what it is once one of them was no number."""
        on_gpu = pl_module.device.type != "cpu"
        if not on_gpu or trainer.is_last_batch or batch_idx % _STEPS_BETWEEN_LOOKS == 0:
            _require_finite(trainer, geo_module(pl_module).train_tally.sums, "loss")

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The same of the validation: a network of numbers can still give none."""
        _require_finite(trainer, geo_module(pl_module).validation_tally.sums, "validation loss")

    def on_save_checkpoint(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        checkpoint: dict[str, object],  # noqa: ARG002
    ) -> None:
        """Let no weights be saved that are no numbers: the step after a last finite loss may have made them."""
        module = geo_module(pl_module)
        _require_finite(trainer, module.train_tally.sums, "loss")
        sums = [weights.detach().sum(dtype=torch.float32) for weights in module.parameters()]
        _require_finite(trainer, torch.stack(sums), "sum of the weights")


def _require_finite(trainer: pl.Trainer, values: torch.Tensor, what: str) -> None:
    if torch.isfinite(values).all():
        return
    raise InputError(
        f"the {what} is not finite in epoch {trainer.current_epoch + 1}, at step {trainer.global_step}: the training "
        "has diverged. Lower model_params.optimizer.learning_rate, raise model_params.schedule.warmup_share (cosine), "
        "or set trainer_params.gradient_clip_val, e.g. to 1; last.ckpt is of a step before "
        "this one, --from-weights begins with its weights"
    )
