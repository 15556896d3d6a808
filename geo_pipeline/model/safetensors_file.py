"""A network's weights with its description as one safetensors file, which can hold no code.

The one idea: the tensors have the names of `GeoModel`'s state dict, so any program that reads safetensors can use
them, and a training can begin with them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from geo_pipeline.errors import InputError
from geo_pipeline.model.description import DESCRIPTION, read_description
from geo_pipeline.model.geography import Geography
from geo_pipeline.model.settings import NetworkSettings

ENDING = ".safetensors"


def safetensors_bytes(weights: Mapping[str, Tensor], description: str) -> bytes:
    """The file's content; `weights` is a state dict on any device."""
    plain = {name: value.detach().cpu().contiguous() for name, value in weights.items()}
    return save(plain, {DESCRIPTION: description})


def read_safetensors(path: Path) -> tuple[NetworkSettings, Geography, dict[str, Tensor]]:
    """Settings, geography and weights (on the CPU) of a file. Raises InputError for one that is not ours."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 -- no mapping
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; `geo-pipeline export --format safetensors` writes one") from error
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: not a whole safetensors file ({error}); export the model again") from error
    return *read_description(metadata.get(DESCRIPTION), path), weights
