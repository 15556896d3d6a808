"""What class labels mean on the earth.

Here live the cells and the hierarchy as the network's users need them: as arrays indexed by class label, checked
once, storable in a checkpoint. Not here: making cells (geo_pipeline.cells). The one idea: a checkpoint that carries its
geography needs no other file to place a photo.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from geo_pipeline.errors import InputError

HIERARCHY = "hierarchy"
"""The `p_key` of f*, whose class labels are those of the finest partitioning."""


@dataclass(frozen=True)
class Partitioning:
    """One partitioning by class label: tokens of its cells and the means of their photos (float64[n], degrees)."""

    name: str
    hex_ids: tuple[str, ...]
    latitudes: npt.NDArray[np.float64]
    longitudes: npt.NDArray[np.float64]

    @classmethod
    def from_table(cls, name: str, cells: pa.Table) -> Self:
        """From a table of cells in any order. Raises InputError if it is empty or its labels are not 0 to n-1."""
        cells = cells.sort_by("class_label")
        if cells.num_rows == 0:
            raise InputError(f"partitioning {name}: no cell; lower its img_min or give more training photos")
        labels = cells["class_label"].to_numpy()
        wrong = np.flatnonzero(labels != np.arange(len(labels)))
        if len(wrong):
            found = labels[wrong[0]]
            raise InputError(
                f"partitioning {name}: found class label {found}, expected {wrong[0]}: labels must be 0 … n-1"
            )
        tokens = tuple(cells["hex_id"].to_pylist())
        return cls(name, tokens, cells["latitude_mean"].to_numpy(), cells["longitude_mean"].to_numpy())


@dataclass(frozen=True)
class Geography:
    """The partitionings of a network, coarse first, and the hierarchy: int64[fine cells, partitionings]."""

    partitionings: tuple[Partitioning, ...]
    hierarchy: npt.NDArray[np.int64]

    @classmethod
    def from_tables(cls, cells: Mapping[str, pa.Table], hierarchy: pa.Table) -> Self:
        """From tables of cells by name, coarse first, and their hierarchy.

        Raises InputError if they do not fit together.
        """
        partitionings = tuple(Partitioning.from_table(name, table) for name, table in cells.items())
        names = [partitioning.name for partitioning in partitionings]
        if hierarchy.column_names != names:
            raise InputError(f"the hierarchy has columns {hierarchy.column_names}, expected the partitionings {names}")
        ancestors = np.stack([hierarchy[name].to_numpy().astype(np.int64) for name in names], axis=1)
        counts = [len(partitioning.hex_ids) for partitioning in partitionings]
        if len(ancestors) != counts[-1] or (ancestors < 0).any() or (ancestors >= counts).any():
            raise InputError(
                f"the hierarchy does not belong to these cells: {len(ancestors)} rows for {counts[-1]} cells of "
                f"{names[-1]}; materialize cell_hierarchy again"
            )
        return cls(partitionings, ancestors)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the partitionings, coarse first."""
        return tuple(partitioning.name for partitioning in self.partitionings)

    @property
    def num_classes(self) -> tuple[int, ...]:
        """Number of cells of each partitioning, coarse first."""
        return tuple(len(partitioning.hex_ids) for partitioning in self.partitionings)

    @property
    def p_keys(self) -> tuple[str, ...]:
        """What accuracy is told for: each partitioning, then f*."""
        return (*self.names, HIERARCHY)

    def partitioning_of(self, p_key: str) -> Partitioning:
        """The partitioning of the class labels of a `p_key`'s answers; the finest for f* and the rules beside it."""
        return self.partitionings[-1 if p_key.startswith(HIERARCHY) else self.names.index(p_key)]

    def has_cells_of(self, other: Geography) -> bool:
        """Whether each class label means the same cell in both."""
        ours, theirs = ([(each.name, each.hex_ids) for each in of.partitionings] for of in (self, other))
        return ours == theirs

    def to_state(self) -> dict[str, Any]:
        """Tensors and plain values only, as `torch.load(weights_only=True)` accepts them."""
        return {
            "partitionings": [
                {
                    "name": partitioning.name,
                    "hex_ids": list(partitioning.hex_ids),
                    "latitudes": torch.from_numpy(np.array(partitioning.latitudes)),
                    "longitudes": torch.from_numpy(np.array(partitioning.longitudes)),
                }
                for partitioning in self.partitionings
            ],
            "hierarchy": torch.from_numpy(self.hierarchy),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """The inverse of `to_state`."""
        partitionings = tuple(
            Partitioning(part["name"], tuple(part["hex_ids"]), part["latitudes"].numpy(), part["longitudes"].numpy())
            for part in state["partitionings"]
        )
        return cls(partitionings, state["hierarchy"].numpy())
