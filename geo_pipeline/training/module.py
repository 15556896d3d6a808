"""The Lightning module: one training step and one validation step.

Not here: the data (data.py), files (callbacks.py) and assembling a run (run.py). The one idea: the module computes and
sums up; whoever wants the epoch's numbers takes them from its two tallies.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.optim import Optimizer

from geo_pipeline.model.checkpoint import NETWORK_PREFIX, SECTION, checkpoint_section
from geo_pipeline.model.geography import Geography
from geo_pipeline.model.network import GeoModel
from geo_pipeline.model.prediction import answers_of
from geo_pipeline.model.weights import load_backbone_weights
from geo_pipeline.training.averaging import AveragedNetwork
from geo_pipeline.training.config import ModelParams, OptimizerSettings
from geo_pipeline.training.data import Batch
from geo_pipeline.training.hardware import resolve_compile
from geo_pipeline.training.label_smoothing import LabelSmoothing
from geo_pipeline.training.loss import NO_LABEL, HeadLosses, combined_loss, head_losses, parts_of_means
from geo_pipeline.training.metrics import accuracy_percent, concatenated
from geo_pipeline.training.schedule import learning_rate_factor
from geo_pipeline.training.tallies import AnswerTally, LossTally


class GeoModule(pl.LightningModule):
    """base(M, f*) in training: `network` learns; where weights are averaged, `averaged` is validated and kept."""

    def __init__(self, params: ModelParams, geography: Geography, *, steps_per_epoch: int, max_epochs: int) -> None:
        super().__init__()
        self.params = params
        self.geography = geography
        self.network = GeoModel(params.architecture, geography.num_classes, params.image_size)
        if params.weights is not None:
            load_backbone_weights(self.network.backbone, params.weights)
        self.averaged = None if params.ema_decay is None else AveragedNetwork(self.network, params.ema_decay)
        self._smoothing = LabelSmoothing(geography, params.label_smoothing_km)
        self._num_steps = steps_per_epoch * max_epochs
        self._factor = learning_rate_factor(params.schedule, steps_per_epoch, max_epochs)
        self.train_tally = self._empty_tally()
        self.validation_tally = self._empty_tally()
        self.answers = AnswerTally()

    def on_fit_start(self) -> None:
        """Compile the network where that wins; in place, so that its weights keep their names."""
        if resolve_compile(self.params.compile, self.device, self._num_steps):
            self.network.compile()

    def on_train_start(self) -> None:
        """Freeze what shall not learn; let the average begin where the network does, perhaps with weights of a file."""
        if self.params.freeze_batch_norm:
            freeze_batch_norm(self.network)
        if self.averaged is not None and self.trainer.global_step == 0:
            self.averaged.begin(self.network)

    def training_step(self, batch: Batch) -> Tensor:
        """The loss of a batch."""
        losses = self._losses(batch)
        self.train_tally.add(losses, len(batch.images))
        return combined_loss(parts_of_means(losses), self.params.loss)

    def _losses(self, batch: Batch) -> HeadLosses:
        """Of a batch; without a photo (all were damaged) they are nothing, and so are their gradients."""
        if not len(batch.images):
            nothing = 0.0 * torch.stack([weights.sum() for weights in self.network.parameters()]).sum()
            return HeadLosses(nothing.repeat(batch.labels.shape[1]), (batch.labels != NO_LABEL).sum(dim=0))
        return head_losses(self.network(batch.images), batch.labels, self._smoothing(batch.labels))

    def optimizer_step(
        self,
        epoch: int,
        batch_idx: int,
        optimizer: Optimizer | LightningOptimizer,
        optimizer_closure: Callable[[], Any] | None = None,
    ) -> None:
        """Lightning's, after which the average takes in the new weights."""
        super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        if self.averaged is not None:
            self.averaged.update(self.network, step=self.trainer.global_step)  # Lightning counts this one later

    @property
    def kept_network(self) -> GeoModel:
        """The network that is validated and that `best.ckpt` holds."""
        return self.network if self.averaged is None else self.averaged.network

    def validation_step(self, batch: Batch) -> None:
        """Add a batch to the validation's tallies: plain cross-entropies, whatever the training's targets."""
        if not len(batch.images):
            return
        logits = self.kept_network(batch.images)
        self.validation_tally.add(head_losses(logits, batch.labels), len(batch.images))
        self.answers.answers.append(answers_of([head.log_softmax(dim=1) for head in logits], self.geography))
        self.answers.coordinates.append(batch.coordinates.cpu().numpy())

    def on_validation_epoch_start(self) -> None:
        """Begin the validation's tallies anew."""
        self.validation_tally = self._empty_tally()
        self.answers = AnswerTally()

    def losses_by_name(self, tally: LossTally) -> dict[str, float]:
        """The combined loss as `loss`, and each head's, over the photos of all processes."""
        means = tally.of_all_processes(self.device).means()
        heads = dict(zip(self.geography.names, means.tolist(), strict=True))
        return {"loss": combined_loss(means, self.params.loss).item(), **heads}

    def validation_accuracy(self) -> dict[str, dict[str, float]]:
        """Percent of the validation photos within each radius, by `p_key` and radius."""
        tally = self.answers.of_all_processes()
        return accuracy_percent(concatenated(tally.answers), np.concatenate(tally.coordinates), self.geography)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """The optimizer, and the schedule that sets its learning rate before each step."""
        optimizer = build_optimizer(self.network, self.params.optimizer)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self._factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what prediction needs, and the sums of an epoch that is not complete."""
        section = checkpoint_section(self.params, self.geography)
        section["train_tally"] = self.train_tally.of_all_processes(self.device).to_state()
        if "optimizer_states" not in checkpoint:  # to be used, not to be resumed
            checkpoint["state_dict"] = self.kept_network.state_dict(prefix=NETWORK_PREFIX)
        checkpoint[SECTION] = checkpoint.get(SECTION, {}) | section

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on with the sums of the epoch that was interrupted; of several processes the first one has them all."""
        if self.global_rank == 0:
            self.train_tally = LossTally(**checkpoint[SECTION]["train_tally"])

    def begin_training_tally(self) -> None:
        """Forget the sums of the last epoch."""
        self.train_tally = self._empty_tally()

    def _empty_tally(self) -> LossTally:
        return LossTally.empty(len(self.geography.names))


def geo_module(module: pl.LightningModule) -> GeoModule:
    """The module that a callback is given: Lightning types its hooks for any, run.py gives it ours."""
    return cast("GeoModule", module)


def freeze_batch_norm(network: nn.Module) -> None:
    """Let batch norm use the statistics that it has instead of the batch's; Lightning keeps the mode of each layer."""
    for layer in network.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):  # noqa: SLF001 -- the only name of all its forms
            layer.eval()


def build_optimizer(network: GeoModel, settings: OptimizerSettings) -> Optimizer:
    """The optimizer of all the network's weights; fused: one kernel instead of one for each tensor."""
    if settings.name == "adamw":
        return torch.optim.AdamW(
            network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
        )
    return torch.optim.SGD(
        network.parameters(),
        lr=settings.learning_rate,
        momentum=settings.momentum,
        nesterov=settings.nesterov,
        weight_decay=settings.weight_decay,
        fused=True,
    )
