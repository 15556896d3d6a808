"""What a checkpoint carries besides weights, and reading a network back from one.

Here lives the part of a checkpoint that prediction needs: the network's settings and its geography. Not here: the
state of a training (geo_pipeline.training). The one idea: one file, loaded without running code from it, is enough.
"""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from geo_pipeline.errors import InputError
from geo_pipeline.model.geography import Geography
from geo_pipeline.model.network import GeoModel
from geo_pipeline.model.safetensors_file import ENDING, read_safetensors
from geo_pipeline.model.settings import NetworkSettings

FORMAT = 1
SECTION = "geo_pipeline"
"""The key of our own part in a checkpoint, beside those of Lightning."""

NETWORK_PREFIX = "network."
"""What the names of the network's weights begin with in `state_dict`."""

AVERAGED_PREFIX = "averaged.network."
"""The same of the averaged network, which stands beside the learning one in a checkpoint that can be resumed."""


@dataclass(frozen=True)
class TrainedNetwork:
    """A network ready to predict, with the size of its pictures and the meaning of its labels."""

    network: GeoModel
    settings: NetworkSettings
    geography: Geography


def checkpoint_section(settings: NetworkSettings, geography: Geography) -> dict[str, Any]:
    """What `load_network` reads from a checkpoint's `SECTION`."""
    network = {name: getattr(settings, name) for name in NetworkSettings.model_fields}
    return {"format": FORMAT, "network": network, "geography": geography.to_state()}


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The content of a checkpoint of ours, on the CPU. Raises InputError for any other file."""
    try:
        with path.open("rb") as stream:
            content = torch.load(stream, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such checkpoint; materialize geo_model first") from error
    except (pickle.UnpicklingError, zipfile.BadZipFile, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise InputError(f"{path}: not a whole checkpoint ({type(error).__name__}); train the model again") from error
    if not isinstance(content, dict) or content.get(SECTION, {}).get("format") != FORMAT:
        raise InputError(f"{path}: expected a checkpoint of geo_pipeline, format {FORMAT}; train the model again")
    return content


def load_network(path: Path, device: torch.device) -> TrainedNetwork:
    """The network of a checkpoint or of an exported safetensors file, in evaluation mode on `device`.

    Raises InputError as `read_checkpoint` and `read_safetensors` do, and for weights of another network.
    """
    settings, geography, weights = read_safetensors(path) if path.suffix == ENDING else _from_checkpoint(path)
    network = GeoModel(settings.architecture, geography.num_classes, settings.image_size)
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise InputError(
            f"{path}: its weights are not those of the {settings.architecture} it names: {error}"
        ) from error
    return TrainedNetwork(network.to(device).eval(), settings, geography)


def _from_checkpoint(path: Path) -> tuple[NetworkSettings, Geography, dict[str, Tensor]]:
    """Settings, geography and the network's weights by their own names."""
    content = read_checkpoint(path)
    settings = NetworkSettings.model_validate(content[SECTION]["network"])
    geography = Geography.from_state(content[SECTION]["geography"])
    return settings, geography, network_weights(content)


def network_weights(content: Mapping[str, Any]) -> dict[str, Tensor]:
    """The weights of `GeoModel` by their names in it; the averaged ones where a checkpoint holds both."""
    weights = content["state_dict"]
    prefix = AVERAGED_PREFIX if any(key.startswith(AVERAGED_PREFIX) for key in weights) else NETWORK_PREFIX
    return {key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)}
