"""Backbones: from a picture to a feature vector.

Here lives the choice of a backbone by name: small_resnet, torchvision's classification networks, timm's. Not here: the
heads (network.py), weights from a file (weights.py). The one idea: a backbone is any module that maps
float32[n, 3, h, w] to float32[n, num_features]; how many features, and whether it takes pictures of a size at all, is
found by sending it one without arithmetic. torchvision and timm are imported only where one of their networks is asked
for, nothing is ever downloaded.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from geo_pipeline.errors import InputError
from geo_pipeline.model.small_resnet import SmallResNet

if TYPE_CHECKING:
    from types import ModuleType

SMALL_RESNET = "small_resnet"
TIMM_PREFIX = "timm/"
DEFAULT_IMAGE_SIZE = 224

_IMAGENET_CLASSES = 1000
_AUXILIARY = MappingProxyType({"aux_logits": False, "init_weights": True})
_EXTRA_ARGUMENTS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {"googlenet": _AUXILIARY, "inception_v3": _AUXILIARY}
)
"""What some of torchvision's networks are built with: without the second classifiers that only help their training."""


class RemovedClassifier(nn.Identity):
    """Stands where a network had its classifier; a weights file has keys of its name that are not wanted."""


def build_backbone(architecture: str, image_size: int = DEFAULT_IMAGE_SIZE) -> tuple[nn.Module, int]:
    """A backbone with fresh weights for pictures of image_size x image_size pixels, and its number of features.

    architecture: `small_resnet`, a name of torchvision's classification networks or of timm's; `timm/NAME` takes timm's
    where both have one. Raises InputError for an unknown name, and for a network that does not take such pictures.
    """
    if architecture == SMALL_RESNET:
        return SmallResNet(), SmallResNet.stage_widths[-1]
    with _refusals(architecture, image_size):
        if not architecture.startswith(TIMM_PREFIX) and architecture in torchvision_names():
            backbone = _from_torchvision(architecture, image_size)
        else:
            backbone = _from_timm(architecture, image_size)
        shape = _shape_of_features(backbone, image_size)
    if len(shape) != 2:
        raise InputError(f"architecture: {architecture} gives features of shape {shape}, expected one vector a picture")
    return backbone, shape[1]


@contextmanager
def _refusals(architecture: str, image_size: int) -> Iterator[None]:
    """Errors of a network that is built for, or sent, pictures that it cannot take."""
    try:
        yield
    except InputError:
        raise
    except (RuntimeError, ValueError, AssertionError, TypeError, IndexError, ZeroDivisionError) as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise InputError(
            f"image_size: {architecture} does not take pictures of {image_size} x {image_size} pixels ({reason}); set "
            f"image_size to a size that it is made for{_made_for(architecture)}"
        ) from error


def torchvision_names() -> list[str]:
    """Names of torchvision's classification networks."""
    from torchvision import models

    return list(models.list_models(module=models))


def _from_torchvision(name: str, image_size: int) -> nn.Module:
    """A network of torchvision, its last layer with a thousand outputs replaced."""
    from torchvision import models

    arguments = dict(_EXTRA_ARGUMENTS.get(name, {}))
    if name.startswith("vit_"):
        arguments["image_size"] = image_size
    if name.startswith("maxvit"):
        arguments["input_size"] = (image_size, image_size)
    network: nn.Module = models.get_model(name, weights=None, **arguments)
    parent, _, child = _classifier_name(network).rpartition(".")
    setattr(network.get_submodule(parent), child, RemovedClassifier())
    return network


def _classifier_name(network: nn.Module) -> str:
    """Name of the layer that gives the classes of ImageNet: linear, in squeezenet a convolution."""
    names: list[str] = [name for name, module in network.named_modules() if _num_outputs(module) == _IMAGENET_CLASSES]
    return names[-1]


def _num_outputs(module: nn.Module) -> int:
    """Of a layer that may be a classifier, 0 for others."""
    if isinstance(module, nn.Linear):
        return int(module.out_features)
    return int(module.out_channels) if isinstance(module, nn.Conv2d) else 0


def _from_timm(architecture: str, image_size: int) -> nn.Module:
    """A network of timm without its classifier. Raises InputError if it has none of this name or is not installed."""
    name = architecture.removeprefix(TIMM_PREFIX)
    timm = _timm()
    if timm is None or not timm.is_model(name):
        raise InputError(_unknown(architecture, timm))
    fixed = timm.get_pretrained_cfg(name).fixed_input_size
    sized = {"img_size": image_size} if fixed else {}
    network: nn.Module = timm.create_model(name, pretrained=False, num_classes=0, **sized)
    return network


def _timm() -> ModuleType | None:
    """The package, if it is installed."""
    if find_spec("timm") is None:
        return None
    import timm

    return timm


def _unknown(architecture: str, timm: ModuleType | None) -> str:
    """What to say of a name that nobody knows."""
    names = [SMALL_RESNET, *torchvision_names()]
    others = [f"{TIMM_PREFIX}{name}" for name in timm.list_models()] if timm else []
    near = difflib.get_close_matches(architecture, [*names, *others, *(each[len(TIMM_PREFIX) :] for each in others)], 3)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    more = (
        f"one of the {len(others)} of timm (timm.list_models())"
        if timm
        else "one of timm, which is not installed: pip install 'geo_pipeline[timm]'"
    )
    return f"architecture: found {architecture!r}{hint} Expected one of {', '.join(names)}, or {more}"


def _made_for(architecture: str) -> str:
    """The size that timm's weights of a network were made for, in brackets; nothing for another's."""
    timm, name = _timm(), architecture.removeprefix(TIMM_PREFIX)
    if timm is None or not timm.is_model(name):
        return ""
    return f" (timm's weights: {timm.get_pretrained_cfg(name).input_size[-1]})"


def _shape_of_features(backbone: nn.Module, image_size: int) -> tuple[int, ...]:
    """The shape of what a network makes of two pictures, found without arithmetic where the network allows it."""
    was_training = backbone.training
    backbone.eval()
    try:
        with torch.no_grad():
            return tuple(_answer_without_arithmetic(backbone, image_size).shape)
    except RuntimeError:  # wrong pictures, or a network that looks at values
        with torch.no_grad():
            return tuple(backbone(torch.zeros(2, 3, image_size, image_size)).shape)
    finally:
        backbone.train(was_training)


def _answer_without_arithmetic(backbone: nn.Module, image_size: int) -> Tensor:
    """A tensor without values."""
    tensors = {**dict(backbone.named_parameters()), **dict(backbone.named_buffers())}
    hollow = {name: torch.empty_like(tensor, device="meta") for name, tensor in tensors.items()}
    answer: Tensor = functional_call(backbone, hollow, (torch.empty(2, 3, image_size, image_size, device="meta"),))
    return answer
