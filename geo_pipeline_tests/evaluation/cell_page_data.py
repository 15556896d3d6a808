"""What a map of cells holds, read back from its file as the page's own script reads it."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class ShownCells:
    """A partitioning of the page: a value for each cell; rings of [longitude, latitude] in degrees by cell."""

    name: str
    tokens: list[str]
    levels: np.ndarray
    labels: np.ndarray
    photos: np.ndarray
    means: np.ndarray
    rings: dict[int, list[np.ndarray]]


def page_data(page: str) -> dict[str, Any]:
    """The data block."""
    (block,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, flags=re.DOTALL)
    data: dict[str, Any] = json.loads(block)
    return data


def shown_cells(page: str) -> list[ShownCells]:
    """The partitionings of a page."""
    return [_shown(each) for each in page_data(page)["partitionings"]]


def shown_rings(shapes: dict[str, Any]) -> list[np.ndarray]:
    """Rings of [longitude, latitude] in degrees."""
    points = _numbers(shapes["points"], f"<i{shapes['bits'] // 8}").reshape(-1, 2) / shapes["units_per_degree"]
    return np.split(points, np.cumsum(_numbers(shapes["sizes"], "<u2").astype(int))[:-1])


def _shown(packed: dict[str, Any]) -> ShownCells:
    rings: dict[int, list[np.ndarray]] = {}
    for owner, ring in zip(_numbers(packed["owners"], "<u4").tolist(), shown_rings(packed["shapes"]), strict=True):
        rings.setdefault(owner, []).append(ring)
    return ShownCells(
        packed["name"],
        packed["tokens"].split(" "),
        _numbers(packed["levels"], "<u1"),
        _numbers(packed["labels"], "<i4"),
        _numbers(packed["photos"], "<u4"),
        _numbers(packed["means"], "<i4").reshape(-1, 2) / packed["mean_units_per_degree"],
        rings,
    )


def _numbers(text: str, kind: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), dtype=kind)
