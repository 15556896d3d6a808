"""What an exported model says of itself: one JSON text, the same in every format.

Here live its form, its writing and its reading back. Not here: the files (export.py, safetensors_file.py). The one
idea: whoever holds the file alone can prepare a picture, name the cell of each class label and place it on the earth.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from geo_pipeline.errors import InputError
from geo_pipeline.model.geography import HIERARCHY, Geography, Partitioning
from geo_pipeline.model.settings import NetworkSettings

DESCRIPTION = "geo_pipeline"
"""The key of the description in a file's own metadata, and the name of the file in a torch.export archive."""

INPUT = "images"
FORMAT = 1


def description_text(settings: NetworkSettings, geography: Geography) -> str:
    """The description as JSON; numbers keep every digit."""
    content = {
        "format": FORMAT,
        "network": {name: getattr(settings, name) for name in NetworkSettings.model_fields},
        "input": _input(settings),
        "preprocessing": _preprocessing(settings),
        "outputs": _outputs(geography),
        "partitionings": [
            {
                "name": each.name,
                "hex_ids": list(each.hex_ids),
                "latitudes": each.latitudes.tolist(),
                "longitudes": each.longitudes.tolist(),
            }
            for each in geography.partitionings
        ],
        HIERARCHY: geography.hierarchy.tolist(),
    }
    return json.dumps(content)


def read_description(text: str | None, where: object) -> tuple[NetworkSettings, Geography]:
    """Settings and geography from a description; `where` names its file in the InputError for any other text."""
    try:
        content = json.loads(text or "{}")
        if content["format"] != FORMAT:
            raise InputError(f"{where}: found an export of format {content['format']}, expected {FORMAT}; export again")
        settings = NetworkSettings.model_validate(content["network"])
        return settings, _geography(content)
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise InputError(
            f"{where}: found no description of a geo_pipeline model in it, expected a file that "
            "`geo-pipeline export` has written"
        ) from error


def _geography(content: Mapping[str, Any]) -> Geography:
    """The cells and hierarchy of a description."""
    partitionings = tuple(
        Partitioning(each["name"], tuple(each["hex_ids"]), np.array(each["latitudes"]), np.array(each["longitudes"]))
        for each in content["partitionings"]
    )
    return Geography(partitionings, np.array(content[HIERARCHY], dtype=np.int64))


def _input(settings: NetworkSettings) -> dict[str, Any]:
    shape = ["n", 3, settings.image_size, settings.image_size]
    return {"name": INPUT, "dtype": "uint8", "shape": shape, "channels": "RGB"}


def _preprocessing(settings: NetworkSettings) -> dict[str, Any]:
    """What has to be done to a picture first: that of `preprocessing.crops_for_test` with one crop."""
    return {
        "decode": "RGB, upright (EXIF orientation applied)",
        "resize_short_side": settings.resize_size,
        "long_side": "in proportion, rounded down",
        "interpolation": "bilinear with antialiasing (PIL.Image.Resampling.BILINEAR)",
        "crop": "centre",
        "crop_size": settings.image_size,
        "normalisation": "inside the model: give bytes, 0 to 255",
    }


def _outputs(geography: Geography) -> dict[str, str]:
    """Each output of the exported graph by its name, in its order, with its meaning."""
    logits = {
        each.name: f"logits float32[n, {len(each.hex_ids)}]: softmax over the cells of partitioning {each.name}"
        for each in geography.partitionings
    }
    finest = geography.partitionings[-1]
    return {
        **logits,
        HIERARCHY: f"f*, log of its probabilities, float32[n, {len(finest.hex_ids)}], over the cells of {finest.name}",
        "class_label": f"int64[n]: the answer of f*, a class label of partitioning {finest.name}",
        "latitude": "float64[n], degrees: mean of the training photos in the answer's cell",
        "longitude": "float64[n], degrees: mean of the training photos in the answer's cell",
        "probability": "float32[n], 0 to 1: the answer's share among all cells, not calibrated",
    }
