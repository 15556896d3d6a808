"""Weights of a backbone from a local file.

Here live the kinds of file that a training can begin with: a state dict of torchvision's or timm's (`.pth`,
`.safetensors`), alone or in a checkpoint of somebody's, a safetensors file that `geo-pipeline export` has written, a
checkpoint of ours. The one idea: what a file is, is read from its content and never by running code from it; keys of a
classifier are left out, unless they are asked for, every other key must fit.
"""

from __future__ import annotations

import pickle
import re
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from geo_pipeline.errors import InputError
from geo_pipeline.model.backbone import RemovedClassifier
from geo_pipeline.model.checkpoint import SECTION, network_weights

_BACKBONE, _HEADS = "backbone.", "heads."
_AUXILIARY_CLASSIFIERS = ("aux1", "aux2", "AuxLogits")  # of googlenet and inception_v3
_BATCHES_SEEN = "num_batches_tracked"
_OLD_DENSENET = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12]\.)")
_IN_PARALLEL = "module."  # torch.nn.DataParallel's
_MAX_NAMED_KEYS = 5
_SAFETENSORS_HEADER = 8
"""Bytes before the JSON with which a safetensors file begins."""

_UNREADABLE = (
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    SafetensorError,
    RuntimeError,
    EOFError,
    ValueError,
    LookupError,
    AttributeError,
    TypeError,
    OverflowError,
    struct.error,
)


def load_backbone_weights(backbone: nn.Module, path: Path) -> None:
    """Fill a backbone from a local file; the file's classifier, or our heads, are left out.

    Raises InputError if the file is absent, is no weights file, or belongs to another architecture (its missing and
    unexpected keys are named).
    """
    state = _for_backbone(read_weights(path), backbone)
    expected = backbone.state_dict()
    for key in expected.keys() - state.keys():
        if key.endswith(_BATCHES_SEEN):  # older files have none
            state[key] = expected[key]
    missing, unexpected = sorted(expected.keys() - state.keys()), sorted(state.keys() - expected.keys())
    reshaped = [
        f"{key} ({_sizes(state[key])}, expected {_sizes(expected[key])})"
        for key in sorted(expected.keys() & state.keys())
        if expected[key].shape != state[key].shape
    ]
    if missing or unexpected or reshaped:
        raise InputError(
            f"{path}: weights of another architecture: missing {_named(missing)}; unexpected {_named(unexpected)}; of "
            f"another shape {_named(reshaped)}. Set `architecture` to the network that the file is from, and "
            "`image_size` to its size if that is fixed"
        )
    backbone.load_state_dict(state)


def load_classifier(backbone: nn.Module, path: Path) -> nn.Linear:
    """Fill a backbone from a local file as `load_backbone_weights` does; the file's classifier, a linear layer.

    Raises InputError also for a file that has none.
    """
    load_backbone_weights(backbone, path)
    weights = read_weights(path)
    names = [name for name in (_HEADS.rstrip("."), *_classifier_names(backbone)) if f"{name}.weight" in weights]
    weight = weights[f"{names[0]}.weight"] if names else None
    if weight is None or weight.dim() != 2:
        found = "none" if weight is None else f"a layer of {_sizes(weight)}"
        raise InputError(f"{path}: expected the weights of a linear classifier, found {found}")
    classifier = nn.Linear(weight.shape[1], weight.shape[0])
    bias = weights.get(f"{names[0]}.bias", torch.zeros(weight.shape[0]))
    classifier.load_state_dict({"weight": weight, "bias": bias})
    return classifier


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by name, on the CPU; of a checkpoint of ours those of its network.

    Raises InputError for a file that is not there or holds no weights.
    """
    if path.is_dir():
        inside = sorted(each.name for each in path.iterdir() if each.suffix in {".pth", ".pt", ".safetensors", ".bin"})
        raise InputError(f"{path}: a folder, expected a weights file{_such_as(inside)}")
    try:
        content = load_file(path) if _is_safetensors(path) else torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such weights file; weights are never downloaded, put the file there") from error
    except _UNREADABLE as error:
        raise InputError(
            f"{path}: not a whole file of weights, PyTorch's or safetensors ({type(error).__name__}); fetch it again "
            "or name another"
        ) from error
    return _tensors(content, path)


def _is_safetensors(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(_SAFETENSORS_HEADER + 1)[_SAFETENSORS_HEADER:] == b"{"


def _tensors(content: object, path: Path) -> dict[str, Tensor]:
    """The named tensors of what a file holds."""
    if isinstance(content, Mapping) and SECTION in content and isinstance(content.get("state_dict"), Mapping):
        content = network_weights(content)
    elif isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = {str(key).removeprefix(_IN_PARALLEL): value for key, value in content["state_dict"].items()}
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        found = f"a dictionary with {_named(sorted(map(str, content)))}" if isinstance(content, Mapping) else "another"
        raise InputError(
            f"{path}: expected a dictionary of tensors, as torch.save(model.state_dict(), path) writes; found {found}"
        )
    return dict(content)


def _for_backbone(weights: Mapping[str, Tensor], backbone: nn.Module) -> dict[str, Tensor]:
    """The weights that are not of a classifier, by their names in the backbone."""
    if any(key.startswith(_HEADS) for key in weights) and any(key.startswith(_BACKBONE) for key in weights):
        return {key.removeprefix(_BACKBONE): value for key, value in weights.items() if key.startswith(_BACKBONE)}
    left_out = tuple(f"{name}." for name in _classifier_names(backbone))
    return {_OLD_DENSENET.sub(r"\1\2", key): value for key, value in weights.items() if not key.startswith(left_out)}


def _classifier_names(backbone: nn.Module) -> list[str]:
    """Names that the classifiers of a network have in published files."""
    ours = [name for name, module in backbone.named_modules() if isinstance(module, RemovedClassifier)]
    of_timm = getattr(backbone, "pretrained_cfg", {}).get("classifier") or ()
    return [*ours, *([of_timm] if isinstance(of_timm, str) else of_timm), *_AUXILIARY_CLASSIFIERS]


def _such_as(names: list[str]) -> str:
    return f" such as {names[0]} in it" if names else ""


def _sizes(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "one number"


def _named(keys: list[str]) -> str:
    """The first few of some keys, for a message."""
    more = f" and {len(keys) - _MAX_NAMED_KEYS} more" if len(keys) > _MAX_NAMED_KEYS else ""
    return (", ".join(keys[:_MAX_NAMED_KEYS]) or "none") + more
