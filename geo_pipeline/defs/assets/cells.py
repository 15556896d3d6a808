"""Group cells: the partitionings of the earth, their hierarchy, and the class of every photo.

Not here: the method (cells room). The one idea: cells are made from the *listed* training photos, downloaded or not,
and never from validation or benchmark photos.
"""

from __future__ import annotations

import dagster as dg
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from geo_pipeline.cells.settings import PublishedPartitioning
from geo_pipeline.defs.io_managers import table_result
from geo_pipeline.defs.making import asset_function
from geo_pipeline.defs.pictures import png
from geo_pipeline.defs.resources import Experiment
from geo_pipeline.photos.settings import Role
from geo_pipeline.profile import Profile

GROUP = "cells"


def training_places(profile: Profile, photo_metadata: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    """Latitudes and longitudes (float64[n], degrees) of the listed training photos."""
    chosen = pc.is_in(photo_metadata["photo_set"], pa.array(profile.sets_of(Role.TRAIN)))
    photos = photo_metadata.filter(chosen)
    return photos["latitude"].to_numpy(), photos["longitude"].to_numpy()


def _cells_asset(name: str) -> dg.AssetsDefinition:
    """The asset of one partitioning."""

    @dg.asset(
        name=f"cells_{name}",
        group_name=GROUP,
        kinds={"s2", "parquet"},
        description=f"The {name} partitioning: adaptive S2 cells over the listed training photos, split while they "
        "hold more than `img_max` photos, kept where they hold more than `img_min`.",
    )
    @asset_function
    def cells(experiment: dg.ResourceParam[Experiment], photo_metadata: pa.Table) -> dg.MaterializeResult[pa.Table]:
        from geo_pipeline.cells.partitioning import make_partitionings
        from geo_pipeline.cells.published import read_cells_csv
        from geo_pipeline.evaluation.figures import cells_map

        places = training_places(experiment.profile, photo_metadata)
        source = experiment.profile.partitionings[name]
        if isinstance(source, PublishedPartitioning):
            table = read_cells_csv(source.csv)
        else:
            table = make_partitionings(*places, [source])[0]
        return table_result(
            table,
            cells=table.num_rows,
            photos_in_cells=pc.sum(table["imgs_per_cell"]).as_py(),
            listed_training_photos=len(places[0]),
            map=png(cells_map({name: table})),
        )

    return cells


cells_assets = [_cells_asset(name) for name in ("coarse", "middle", "fine")]


@dg.asset(group_name=GROUP, kinds={"s2", "parquet"}, required_resource_keys={"experiment"})
@asset_function
def cell_hierarchy(
    cells_coarse: pa.Table, cells_middle: pa.Table, cells_fine: pa.Table
) -> dg.MaterializeResult[pa.Table]:
    """For each fine cell the middle and the coarse cell that contain it, by their S2 tokens."""
    from geo_pipeline.cells.hierarchy import cell_hierarchy as ancestors

    return table_result(ancestors({"coarse": cells_coarse, "middle": cells_middle, "fine": cells_fine}))


@dg.asset(group_name=GROUP, kinds={"s2", "parquet"}, required_resource_keys={"experiment"})
@asset_function
def photo_classes(
    photo_metadata: pa.Table, cells_coarse: pa.Table, cells_middle: pa.Table, cells_fine: pa.Table
) -> dg.MaterializeResult[pa.Table]:
    """The class label of every photo in every partitioning: the cell that contains it, or none."""
    from geo_pipeline.cells.assignment import assign_classes

    places = photo_metadata["latitude"].to_numpy(), photo_metadata["longitude"].to_numpy()
    classes = photo_metadata.select(["photo_id", "photo_set"])
    without = {}
    for name, cells in (("coarse", cells_coarse), ("middle", cells_middle), ("fine", cells_fine)):
        labels = assign_classes(*places, cells)
        classes = classes.append_column(name, pa.array(labels, pa.int32(), mask=labels < 0))
        without[f"photos_without_{name}_class"] = int(np.count_nonzero(labels < 0))
    return table_result(classes, **without)
