"""`geo-pipeline show-cells`: partitionings as a page with a map, and as GeoJSON.

Here live its options, the names under which tables are shown and what it prints. Not here: the page
(evaluation.cell_page) and the polygons (cells.geojson).
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geo_pipeline.cli_cells import add_repair_option, read_cells
from geo_pipeline.errors import InputError
from geo_pipeline.profile import layout_of, load_profile, profile_path
from geo_pipeline.store import read_table, write_text

if TYPE_CHECKING:
    import pyarrow as pa


def add_options(parser: argparse.ArgumentParser) -> None:
    """Give a parser the options of the command."""
    parser.add_argument(
        "--cells",
        type=Path,
        nargs="+",
        action="extend",
        default=[],
        metavar="FILE",
        help="tables of cells, CSV: class_label,hex_id,imgs_per_cell,latitude_mean,longitude_mean"
        " (default: the partitionings of the profile, once they are materialized)",
    )
    add_repair_option(parser)
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="the page, an HTML file")
    parser.add_argument("--geojson", type=Path, metavar="FILE", help="also write the cells as GeoJSON polygons")


def run(options: argparse.Namespace) -> int:
    """Write the page, and on request the polygons; the exit code."""
    from geo_pipeline.cells.geojson import cells_geojson
    from geo_pipeline.evaluation.cell_page import render_cell_page

    _refuse_to_overwrite(options)
    if options.cells:
        title, cells = (
            "S2 cells",
            {name: read_cells(path, repair=options.repair) for name, path in named(options.cells).items()},
        )
    else:
        title, cells = _of_the_profile(options.profile)
    page = render_cell_page(cells, title)
    if options.geojson:
        polygons = _together({name: cells_geojson(table) for name, table in cells.items()})
        write_text(options.geojson, json.dumps(polygons))
    write_text(options.output, page)
    print(f"{options.output}: {sum(table.num_rows for table in cells.values()):,} cells of {', '.join(cells)}")
    return 0


def named(paths: Sequence[Path]) -> dict[str, Path]:
    """Each file by the name to show: its own without the ending, or its whole path where another has the same."""
    files = list(dict.fromkeys(paths))
    stems = Counter(path.stem for path in files)
    return {path.stem if stems[path.stem] == 1 else str(path): path for path in files}


def _of_the_profile(name: str | None) -> tuple[str, dict[str, pa.Table]]:
    """A title that names the profile, and its materialized tables of cells."""
    profile = load_profile(profile_path(name))
    layout = layout_of(profile)
    return f"{profile.name}: S2 cells", {
        each: read_table(layout.table(f"cells_{each}")) for each in profile.partitionings
    }


def _refuse_to_overwrite(options: argparse.Namespace) -> None:
    """Raise InputError if a file to write is one to read or the other one to write."""
    taken = {path.resolve() for path in options.cells}
    for option, path in (("--output", options.output), ("--geojson", options.geojson)):
        if path and path.resolve() in taken:
            raise InputError(f"{option} {path}: would overwrite another file of this command; name a new file")
        taken |= {path.resolve()} if path else set()


def _together(collections: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """One FeatureCollection of several; each feature says its partitioning."""
    features = [
        {**feature, "properties": {"partitioning": name, **feature["properties"]}}
        for name, collection in collections.items()
        for feature in collection["features"]
    ]
    return {"type": "FeatureCollection", "features": features}
