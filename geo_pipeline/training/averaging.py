"""An exponential moving average of the network's weights (EMA).

The one idea: the averaged network is a second network beside the one that learns; it is never trained, it is what is
validated and kept as the best.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from geo_pipeline.model.network import GeoModel


class AveragedNetwork(nn.Module):
    """The average of a network's weights over the steps, newer ones counting more.

    Statistics of batch norm are averaged like weights: those of the learning network belong to other weights. Source:
    Polyak and Juditsky 1992; torch.optim.swa_utils.AveragedModel, which asks the device how many steps there were and
    so waits for it in each.
    """

    def __init__(self, network: GeoModel, decay: float) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).requires_grad_(requires_grad=False)
        self._decay = decay

    def begin(self, network: GeoModel) -> None:
        """Take the weights as they are."""
        self.network.load_state_dict(network.state_dict())

    @torch.no_grad()
    def update(self, network: GeoModel, step: int) -> None:
        """Take in the weights after a step, counted from 0."""
        ours, theirs = _tensors(self.network), _tensors(network)
        floating = [i for i, tensor in enumerate(ours) if tensor.is_floating_point()]
        average = get_ema_multi_avg_fn(decay_at(step, self._decay))  # type: ignore[no-untyped-call]
        average([ours[i] for i in floating], [theirs[i] for i in floating], step)
        for i in set(range(len(ours))) - set(floating):  # batch norm's counts of batches
            ours[i].copy_(theirs[i])


def decay_at(step: int, decay: float) -> float:
    """How much of the old average a step keeps, counted from 0: little at first, so that fresh weights are forgotten.

    Source: TensorFlow's ExponentialMovingAverage with num_updates.
    """
    return min(decay, (1 + step) / (10 + step))


def _tensors(network: nn.Module) -> list[Tensor]:
    """Weights and buffers, in an order of their own."""
    return [*(weights.detach() for weights in network.parameters()), *network.buffers()]
