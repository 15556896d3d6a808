"""Group cells: the partitionings of the earth, their hierarchy, and the class of every photo.

Not here: the method (cells room). The one idea: cells are made from the *listed* training photos, downloaded or not,
and never from validation or benchmark photos.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import dagster as dg
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from geo_pipeline.cells.settings import PartitioningSettings, PublishedPartitioning
from geo_pipeline.defs.cells_page import (
    classes_metadata,
    hierarchy_metadata,
    partitioning_metadata,
    repairs_metadata,
)
from geo_pipeline.defs.inputs import input_deps
from geo_pipeline.defs.io_managers import table_result
from geo_pipeline.defs.making import asset_function
from geo_pipeline.defs.resources import Experiment
from geo_pipeline.photos.settings import Role
from geo_pipeline.profile import Profile

if TYPE_CHECKING:
    from geo_pipeline.cells.repair import Repair

GROUP = "cells"
MADE_HERE = (
    "made here: adaptive S2 cells over the listed training photos, split while they hold more than `img_max` photos, "
    "kept where they hold more than `img_min`"
)


def training_places(profile: Profile, photo_metadata: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    """Latitudes and longitudes (float64[n], degrees) of the listed training photos."""
    chosen = pc.is_in(photo_metadata["photo_set"], pa.array(profile.sets_of(Role.TRAIN)))
    photos = photo_metadata.filter(chosen)
    return photos["latitude"].to_numpy(), photos["longitude"].to_numpy()


def build_cells_assets(profile: Profile) -> list[dg.AssetsDefinition]:
    """The assets of the partitionings. One that is published depends on its file.

    The dependency stands here and is not merged in later like other input files: to an asset whose function has
    arguments Dagster (1.13) cannot add one.
    """
    inputs = input_deps(profile)
    return [
        _cells_asset(name, [inputs[f"cells_{name}"]], "as published: S2 cells with the labels of their table")
        if isinstance(source, PublishedPartitioning)
        else _cells_asset(name, [], MADE_HERE)
        for name, source in profile.partitionings.items()
    ]


def _cells_asset(name: str, deps: Sequence[str], description: str) -> dg.AssetsDefinition:
    """The asset of one partitioning."""

    @dg.asset(
        name=f"cells_{name}",
        group_name=GROUP,
        deps=deps,
        kinds={"s2", "parquet"},
        description=f"The {name} partitioning, {description}.",
    )
    @asset_function
    def cells(experiment: dg.ResourceParam[Experiment], photo_metadata: pa.Table) -> dg.MaterializeResult[pa.Table]:
        from geo_pipeline.cells.assignment import NO_CLASS, assign_classes

        places = training_places(experiment.profile, photo_metadata)
        table, repairs = make_or_read_cells(experiment.profile.partitionings[name], places)
        kept = int(np.count_nonzero(assign_classes(*places, table) != NO_CLASS))
        told = partitioning_metadata(name, table, kept, len(places[0]))
        return table_result(table, **told, **repairs_metadata(repairs))

    return cells


def make_or_read_cells(
    source: PartitioningSettings | PublishedPartitioning, places: tuple[np.ndarray, np.ndarray]
) -> tuple[pa.Table, Sequence[Repair]]:
    """The cells of a partitioning, and what had to be restored in a published one.

    places: latitudes and longitudes (float64[n], degrees) of the listed training photos.
    """
    from geo_pipeline.cells.partitioning import make_partitionings
    from geo_pipeline.cells.published import read_cells_csv
    from geo_pipeline.cells.repair import repair_cells_csv

    if isinstance(source, PartitioningSettings):
        return make_partitionings(*places, [source])[0], ()
    if not source.repair:
        return read_cells_csv(source.csv), ()
    repaired = repair_cells_csv(source.csv)
    return repaired.cells, repaired.repairs


@dg.asset(group_name=GROUP, kinds={"s2", "parquet"}, required_resource_keys={"experiment"})
@asset_function
def cell_hierarchy(
    cells_coarse: pa.Table, cells_middle: pa.Table, cells_fine: pa.Table
) -> dg.MaterializeResult[pa.Table]:
    """For each fine cell the middle and the coarse cell that contain it, by their S2 tokens."""
    from geo_pipeline.cells.hierarchy import cell_hierarchy as ancestors

    coarser = {"coarse": cells_coarse, "middle": cells_middle}
    hierarchy = ancestors({**coarser, "fine": cells_fine})
    return table_result(hierarchy, **hierarchy_metadata(hierarchy, coarser))


@dg.asset(group_name=GROUP, kinds={"s2", "parquet"}, required_resource_keys={"experiment"})
@asset_function
def photo_classes(
    photo_metadata: pa.Table, cells_coarse: pa.Table, cells_middle: pa.Table, cells_fine: pa.Table
) -> dg.MaterializeResult[pa.Table]:
    """The class label of every photo in every partitioning: the cell that contains it, or none."""
    from geo_pipeline.cells.assignment import assign_all_classes

    places = photo_metadata["latitude"].to_numpy(), photo_metadata["longitude"].to_numpy()
    classes = photo_metadata.select(["photo_id", "photo_set"])
    found = assign_all_classes(*places, [cells_coarse, cells_middle, cells_fine])
    for name, labels in zip(("coarse", "middle", "fine"), found, strict=True):
        classes = classes.append_column(name, pa.array(labels, pa.int32(), mask=labels < 0))
    return table_result(classes, **classes_metadata(classes))
