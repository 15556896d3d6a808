"""Tables of somebody's own on the made-up earth: CSV files of photos and cells, and a download with its manifest."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import yaml

from geo_pipeline.cells.leaf import leaf_ids
from geo_pipeline.cells.published import write_cells_csv
from geo_pipeline.cells.table import cells_table
from geo_pipeline.store import write_csv, write_table
from geo_pipeline_tests.model import made_up
from geo_pipeline_tests.training import small_runs

ALIASES = {"photo_id": "IMG_ID", "latitude": "LAT", "longitude": "LON"}


@dataclass(frozen=True)
class OwnTables:
    """The files of a training without a profile."""

    folder: Path

    @property
    def options(self) -> dict[str, list[str]]:
        """Options of the command with their values."""
        return {
            "--config": [str(self.folder / "small.yml")],
            "--photos": [str(self.folder / "photos.csv")],
            "--validation-photos": [str(self.folder / "validation.csv")],
            "--cells": [str(self.folder / f"{name}.csv") for name in ("coarse", "middle", "fine")],
            "--shards": [str(self.folder / "shards")],
            "--output": [str(self.folder / "run")],
        }

    def arguments(self, *more: str, without: tuple[str, ...] = ()) -> list[str]:
        """The options as a command line."""
        given = [(name, *values) for name, values in self.options.items() if name not in without]
        return [*(word for words in given for word in words), *more]


def write_own_tables(folder: Path) -> OwnTables:
    """40 training and 20 validation photos, of which two are not downloaded and one has no class at all."""
    (folder / "shards").mkdir()
    manifests = []
    for name, count, seed in (("photos", 40, 1), ("validation", 20, 2)):
        table = made_up.photos(folder / "shards", count, seed=seed)
        manifests.append(_manifest(table))
        labels = table.drop_columns(["shard", "offset", "length"]).rename_columns(
            [ALIASES.get(column, column) for column in table.column_names[:-3]]
        )
        write_csv(folder / f"{name}.csv", _with_one_unlabelled(labels))
    write_table(folder / "shards" / "manifest.parquet", pa.concat_tables(manifests))
    for name, cells in real_cells().items():
        write_cells_csv(folder / f"{name}.csv", cells)
    content = small_runs.config().model_dump(mode="json")
    (folder / "small.yml").write_text(yaml.safe_dump(content), encoding="utf-8")
    return OwnTables(folder)


def real_cells() -> dict[str, pa.Table]:
    """The made-up earth's cells with tokens of places that hold the photos: level 8 below level 1."""
    leaves = leaf_ids(made_up.LATITUDES, made_up.LONGITUDES)
    fine = _cells(leaves, 8, made_up.LATITUDES, made_up.LONGITUDES)
    first = [0, 2]
    return {
        "coarse": _cells(leaves[first], 1, made_up.LATITUDES[first], made_up.LONGITUDES[first]),
        "middle": fine,
        "fine": fine,
    }


def _cells(leaves: np.ndarray, level: int, latitudes: np.ndarray, longitudes: np.ndarray) -> pa.Table:
    lowest = np.uint64(1) << np.uint64(2 * (30 - level))
    ids = (leaves & ~(lowest * np.uint64(2) - np.uint64(1))) | lowest
    return cells_table(ids, range(len(ids)), [9] * len(ids), latitudes, longitudes)


def _manifest(photos: pa.Table) -> pa.Table:
    """All photos but the first two, which were not found."""
    is_stored = pa.array([row >= 2 for row in range(photos.num_rows)])
    status = pa.array(["ok" if row >= 2 else "not_found" for row in range(photos.num_rows)])
    columns = {name: pa.compute.if_else(is_stored, photos[name], None) for name in ("shard", "offset", "length")}
    return pa.table({"photo_id": photos["photo_id"], "status": status, **columns})


def _with_one_unlabelled(labels: pa.Table) -> pa.Table:
    """The same with no class for the last photo."""
    for name in ("coarse", "middle", "fine"):
        values = labels[name].to_pylist()
        labels = labels.set_column(labels.column_names.index(name), name, pa.array([*values[:-1], None], pa.int32()))
    return labels
