"""The network: a backbone and a linear head for each partitioning.

Not here: what a class label means on the earth (geography.py), and combining the heads (combination.py). The one
idea: pictures enter as uint8 and logits leave as one tensor for each partitioning, coarse first; normalisation and
the layout in memory are the network's own business, so training, prediction and export cannot differ in them.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from geo_pipeline.model.backbone import DEFAULT_IMAGE_SIZE, build_backbone

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""Mean and standard deviation of ImageNet's channels, 0 to 1: what torchvision's weights were trained with."""


class GeoModel(nn.Module):
    """base(M, f*): one backbone, one head for each partitioning (Müller-Budack et al. 2018, section 3.2).

    `num_classes`: number of cells of each partitioning, coarse first; `image_size`: width and height of the pictures in
    pixels, which only some architectures must know. The heads are one matrix product: three small
    ones cost more than one wide one.
    """

    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(self, architecture: str, num_classes: Sequence[int], image_size: int = DEFAULT_IMAGE_SIZE) -> None:
        super().__init__()
        self.num_classes = tuple(num_classes)
        self.backbone, num_features = build_backbone(architecture, image_size)
        self.heads = nn.Linear(num_features, sum(self.num_classes))
        self.register_buffer("pixel_mean", _channels(IMAGENET_MEAN), persistent=False)
        self.register_buffer("pixel_std", _channels(IMAGENET_STD), persistent=False)
        self.to(memory_format=torch.channels_last)  # measured: the faster layout on CPU and GPU

    def forward(self, images: Tensor) -> list[Tensor]:
        """uint8[n, 3, h, w] -> logits float32[n, num_classes] for each partitioning, coarse first."""
        pixels = images.to(dtype=self.pixel_mean.dtype, memory_format=torch.channels_last)
        logits = self.heads(self.backbone((pixels - self.pixel_mean) / self.pixel_std))
        return list(logits.float().split(self.num_classes, dim=1))


def _channels(values: Sequence[float]) -> Tensor:
    """Values of the channels on the scale 0 to 255, ready to broadcast over float32[n, 3, h, w]."""
    return 255.0 * torch.tensor(values, dtype=torch.float32).reshape(1, 3, 1, 1)
