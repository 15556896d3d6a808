"""What the Dagster page says of partitionings, of their hierarchy and of the labelled photos.

Not here: the numbers (cells room) and the drawing (evaluation room).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from geo_pipeline.defs.pictures import markdown_table, png

if TYPE_CHECKING:
    from geo_pipeline.cells.repair import Repair


def partitioning_metadata(name: str, cells: pa.Table, photos_kept: int, photos_listed: int) -> dict[str, object]:
    """Counts, the levels and sizes of the cells, and where they are.

    photos_kept: how many of the `photos_listed` training photos lie in a cell.
    """
    from geo_pipeline.cells.summary import cell_levels, cells_by_level, spread
    from geo_pipeline.evaluation.figures import cells_map, histogram

    photos = cells["imgs_per_cell"].to_numpy()
    return {
        "cells": cells.num_rows,
        "photos_kept": photos_kept,
        "photos_left_out": photos_listed - photos_kept,
        "listed_training_photos": photos_listed,
        **{f"photos_per_cell_{word}": number for word, number in spread(photos).items()},
        "levels": markdown_table(cells_by_level(cells)),
        "levels_histogram": png(histogram(cell_levels(cells), "S2 level", "cells")),
        "photos_per_cell": png(histogram(photos, "photos in a cell", "cells", logarithmic=True)),
        "map": png(cells_map({name: cells})),
    }


def repairs_metadata(repairs: Sequence[Repair]) -> dict[str, object]:
    """The tokens that were restored in a published table, each with its line; nothing if there are none."""
    if not repairs:
        return {}
    rows = pa.Table.from_pylist([asdict(each) for each in repairs])
    return {"repaired_tokens": len(repairs), "repairs": markdown_table(rows)}


def hierarchy_metadata(hierarchy: pa.Table, coarser: Mapping[str, pa.Table]) -> dict[str, object]:
    """How the fine cells spread over the cells of each coarser partitioning."""
    from geo_pipeline.cells.summary import fine_cells_in_each, hierarchy_summary
    from geo_pipeline.evaluation.figures import histogram

    inside = {name: fine_cells_in_each(hierarchy, name, cells.num_rows) for name, cells in coarser.items()}
    return {
        "fine_cells_in_coarser_ones": markdown_table(hierarchy_summary(hierarchy, coarser)),
        **{
            f"in_each_{name}_cell": png(histogram(n, f"fine cells in a {name} cell", f"{name} cells"))
            for name, n in inside.items()
        },
    }


def classes_metadata(classes: pa.Table) -> dict[str, object]:
    """How many photos of each set have a label in each partitioning."""
    from geo_pipeline.cells.summary import labelled_by_photo_set

    labelled = labelled_by_photo_set(classes)
    names = labelled.column_names[2:]
    shares = {
        name: pc.multiply(100.0, pc.divide(labelled[name].cast(pa.float64()), labelled["photos"])) for name in names
    }
    percent = pa.table({"photo_set": labelled["photo_set"], "photos": labelled["photos"], **shares})
    without = {f"photos_without_{name}_class": classes[name].null_count for name in names}
    return {**without, "labelled_photos": markdown_table(labelled), "labelled_percent": markdown_table(percent)}
