"""What must be known of a network besides its weights to use it.

Here lives the part of the training config that travels with every checkpoint. It imports no torch, so that a profile
can be read without it. Not here: how a network is trained (geo_pipeline.training.config).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

RULES_KM: Mapping[str, int] = MappingProxyType({"mass25": 25, "mass200": 200, "mass750": 750})
"""Rules of decision by name: of the mean points of fine cells the one with the most probability within so many km."""

CONFIDENCE_RADIUS_KM = 200.0
"""The radius of `confidence`, unless another is asked for: that of a region in the papers' tables."""


class NetworkSettings(BaseModel):
    """The network's architecture and the size of the pictures that it sees."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    architecture: str = Field(
        default="resnet50",
        description="small_resnet, or a classification network of torchvision or timm by its name there (resnet50, "
        "convnext_tiny, timm/vit_small_patch16_224 …)",
    )
    image_size: int = Field(default=224, ge=16, description="width and height of the network's input, pixels")
    resize_size: int = Field(default=256, ge=16, description="short side before the crops at validation and test")

    @model_validator(mode="after")
    def _crops_fit(self) -> Self:
        if self.resize_size < self.image_size:
            raise ValueError(f"resize_size: found {self.resize_size}, expected at least image_size {self.image_size}")
        return self


class SceneClassifierSettings(NetworkSettings):
    """A network that says which scene a photo shows. Paths are relative to the profile."""

    checkpoint: Path = Field(
        description="its weights with its classifier, a local file: torchvision's or timm's state dict, also as "
        "Places365 publishes it, or safetensors"
    )
    classes: Path | None = Field(
        default=None,
        description="CSV `class,scene`: the scenes of each of its classes, counted from 0; absent: its classes are the "
        "profile's scenes, in order",
    )
