"""Backbones: from a picture to a feature vector.

Here live the small ResNet of our own, the choice of a backbone by name, and weights from a local file. Not here: the
heads (network.py). The one idea: a backbone is a module that maps float32[n, 3, h, w] to float32[n, num_features] and
says how many features it has. torchvision is imported only where one of its networks is asked for: that takes
seconds, and small_resnet needs nothing of it.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from geo_pipeline.errors import InputError

SMALL_RESNET = "small_resnet"
_CLASSIFIER_PREFIX = "fc."
_MAX_NAMED_KEYS = 5


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut (He et al. 2016); the shortcut averages before it strides (ResNet-D)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(out_channels)
        nn.init.zeros_(self.norm2.weight)  # a block begins as its shortcut
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            pool = nn.AvgPool2d(stride) if stride != 1 else nn.Identity()
            project = nn.Conv2d(in_channels, out_channels, 1, bias=False)
            self.shortcut = nn.Sequential(pool, project, nn.BatchNorm2d(out_channels))

    def forward(self, features: Tensor) -> Tensor:
        """float32[n, in, h, w] -> float32[n, out, h / stride, w / stride]."""
        inner = functional.relu(self.norm1(self.conv1(features)), inplace=True)
        return functional.relu(self.norm2(self.conv2(inner)) + self.shortcut(features), inplace=True)


class SmallResNet(nn.Module):
    """`small_resnet`: a ResNet-10 for pictures of about 64 pixels, 1.2 M parameters without the heads.

    A 3x3 stem of stride 2, four stages of one block with 16, 64, 128 and 256 channels, the mean over the last
    feature map (4x4 for 64 pixels). Narrow where the maps are large: that is where a CPU's time goes.
    """

    stage_widths = (16, 64, 128, 256)

    def __init__(self) -> None:
        super().__init__()
        width = self.stage_widths[0]
        self.stem = nn.Conv2d(3, width, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        blocks = []
        for stage, out_channels in enumerate(self.stage_widths):
            blocks.append(ResidualBlock(width, out_channels, stride=1 if stage == 0 else 2))
            width = out_channels
        self.stages = nn.Sequential(*blocks)

    def forward(self, images: Tensor) -> Tensor:
        """float32[n, 3, h, w] -> float32[n, 256]."""
        features = functional.relu(self.norm(self.stem(images)), inplace=True)
        pooled: Tensor = self.stages(features).mean(dim=(2, 3))
        return pooled


def build_backbone(architecture: str) -> tuple[nn.Module, int]:
    """A backbone with fresh weights and its number of features.

    Raises InputError for a name that is neither `small_resnet` nor a torchvision ResNet.
    """
    if architecture == SMALL_RESNET:
        return SmallResNet(), SmallResNet.stage_widths[-1]
    if architecture not in torchvision_resnets():
        known = ", ".join([SMALL_RESNET, *torchvision_resnets()])
        raise InputError(f"architecture: found {architecture!r}, expected one of {known}")
    from torchvision import models

    resnet = models.get_model(architecture, weights=None)
    num_features = resnet.fc.in_features
    resnet.fc = nn.Identity()
    return resnet, num_features


def torchvision_resnets() -> list[str]:
    """Names of torchvision's classification networks of the ResNet family."""
    from torchvision import models

    names = models.list_models(module=models)
    return [name for name in names if models.get_model_builder(name).__module__ == models.resnet.__name__]


def load_backbone_weights(backbone: nn.Module, path: Path) -> None:
    """Fill a backbone from a local torchvision state dict; the file's classifier (`fc.*`) is left out.

    Raises InputError if the file is absent, is no state dict, or belongs to another architecture (its missing and
    unexpected keys are named).
    """
    state = {key: value for key, value in _state_dict(path).items() if not key.startswith(_CLASSIFIER_PREFIX)}
    expected = backbone.state_dict()
    missing, unexpected = sorted(expected.keys() - state.keys()), sorted(state.keys() - expected.keys())
    reshaped = sorted(key for key in expected.keys() & state.keys() if expected[key].shape != state[key].shape)
    if missing or unexpected or reshaped:
        raise InputError(
            f"{path}: weights of another architecture: missing {_named(missing)}; unexpected {_named(unexpected)}; "
            f"of another shape {_named(reshaped)}. Set `architecture` to the network that the file is from"
        )
    backbone.load_state_dict(state)


def _state_dict(path: Path) -> Mapping[str, Tensor]:
    """The tensors of a file written by `torch.save(model.state_dict())`."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such weights file; weights are never downloaded, put the file there") from error
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise InputError(f"{path}: not a PyTorch state dict ({type(error).__name__})") from error
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise InputError(f"{path}: expected a state dict of tensors, as torch.save(model.state_dict()) writes it")
    return state


def _named(keys: list[str]) -> str:
    """The first few of some keys, for a message."""
    more = f" and {len(keys) - _MAX_NAMED_KEYS} more" if len(keys) > _MAX_NAMED_KEYS else ""
    return (", ".join(keys[:_MAX_NAMED_KEYS]) or "none") + more
