"""`geo-pipeline create-cells`, `assign-classes`, `filter-downloaded`: files to files, without a profile.

Here live their options, the order of the steps and what they print. Not here: any of the steps (cells, photos,
shards). The one idea: everything is read and found good before a file gets its name.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from geo_pipeline.cells.settings import PartitioningSettings
from geo_pipeline.errors import InputError
from geo_pipeline.store import csv_bytes, table_stream, write_together

if TYPE_CHECKING:
    import pyarrow as pa

    from geo_pipeline.cells.assignment import CellIndex, ClassRanges
    from geo_pipeline.photos.dataset import BadRows, Columns, Part

COMMANDS = ("create-cells", "assign-classes", "filter-downloaded")
_PHOTO_ID = "IMG_ID"


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the commands."""
    for name, run, add_options, text in (
        ("create-cells", create_cells, _create_options, "make partitionings from the coordinates of photos"),
        ("assign-classes", assign_classes, _assign_options, "find the class of each photo in some partitionings"),
        ("filter-downloaded", filter_downloaded, _filter_options, "keep the labels of photos that are in shards"),
    ):
        parser = commands.add_parser(name, help=text, description=f"{text}; needs no profile")
        parser.set_defaults(command=None, without_profile=run, parser=parser)
        add_options(parser)


def _create_options(parser: argparse.ArgumentParser) -> None:
    fields = PartitioningSettings.model_fields
    _dataset_options(parser)
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder of cells_<min>_<max>.csv")
    parser.add_argument("--img-min", type=int, required=True, metavar="N", help=fields["img_min"].description)
    parser.add_argument(
        "--img-max",
        type=int,
        required=True,
        nargs="+",
        action="extend",
        metavar="N",
        help=f"{fields['img_max'].description}; several make several partitionings from one reading",
    )
    for name in ("lvl_min", "lvl_max"):
        text = f"{fields[name].description} (default: {fields[name].default})"
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=fields[name].default, help=text)
    parser.add_argument("-v", "--verbose", action="store_true", help="print levels, photos left out, time of each step")


def _assign_options(parser: argparse.ArgumentParser) -> None:
    _dataset_options(parser)
    parser.add_argument("--cells", type=Path, nargs="+", required=True, metavar="CSV", help="tables of cells")
    add_repair_option(parser)
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="ends in .csv or .parquet")


def _filter_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--labels", type=Path, required=True, metavar="FILE", help="CSV or Parquet with a row for each photo"
    )
    parser.add_argument("--downloaded", type=Path, nargs="+", required=True, metavar="DIR", help="folders of shards")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="has the ending of the labels")
    parser.add_argument("--column-img-path", default=_PHOTO_ID, metavar="NAME", help="column of ids (default: IMG_ID)")


def add_repair_option(parser: argparse.ArgumentParser) -> None:
    """The option of commands that read tables of cells."""
    parser.add_argument(
        "--repair", action="store_true", help="restore tokens that a spreadsheet ruined, where one answer is left"
    )


def _dataset_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dataset", type=Path, required=True, metavar="FILE", help="CSV or Parquet with coordinates")
    parser.add_argument("--column-img-path", metavar="NAME", help="column of photo ids (default: IMG_ID)")
    parser.add_argument("--column-lat", default="LAT", metavar="NAME", help="column of latitudes (default: LAT)")
    parser.add_argument("--column-lng", default="LON", metavar="NAME", help="column of longitudes (default: LON)")
    parser.add_argument("--skip-bad-rows", action="store_true", help="leave them out and write them beside the output")


def create_cells(options: argparse.Namespace) -> int:
    """Make partitionings of the photos of a data set."""
    import pyarrow.compute as pc

    from geo_pipeline.cells.partitioning import make_partitionings
    from geo_pipeline.cells.published import cells_csv_text
    from geo_pipeline.photos.dataset import BadRows, Columns, read_coordinates

    settings = _partitionings(options)
    columns = Columns(options.column_img_path, options.column_lat, options.column_lng)
    bad_rows, steps = BadRows(options.dataset, skip=options.skip_bad_rows), _Steps(shown=options.verbose)
    with steps.timed("read the data set"):
        coordinates = read_coordinates(options.dataset, columns, bad_rows)
    num_photos = len(coordinates[0])
    steps.tell(f"{num_photos:,} photos, {bad_rows.count:,} bad rows")
    with steps.timed("made the partitionings"):
        made = make_partitionings(*coordinates, settings)
    contents, lines = {}, []
    for each, cells in zip(settings, made, strict=True):
        num_kept = pc.sum(cells["imgs_per_cell"]).as_py()
        path = options.output / f"cells_{each.img_min}_{each.img_max}.csv"
        contents[path] = cells_csv_text(cells).encode()
        lines.append(f"{path}: {cells.num_rows:,} cells with {num_kept:,} of {num_photos:,} photos")
        steps.tell(f"{path.stem}: {num_kept:,} photos kept, {num_photos - num_kept:,} left out; {_levels_text(cells)}")
    with steps.timed("wrote the files"):
        rejects = options.output / "cells_rejects.csv"
        write_together({**_rejects(rejects, bad_rows), **contents})
    print("\n".join([*lines, *_told(rejects, bad_rows)]))
    return 0


def assign_classes(options: argparse.Namespace) -> int:
    """Find the cell of each photo of a data set in one or several partitionings."""
    from geo_pipeline.cells.assignment import ClassRanges
    from geo_pipeline.photos.dataset import BadRows, Columns, ending_of, iterate_photos

    columns = Columns(options.column_img_path or _PHOTO_ID, options.column_lat, options.column_lng)
    ending_of(options.output)
    _refuse_overwriting(options.output, [options.dataset, *options.cells])
    indexes = _indexes(options, columns)
    names, ranges = list(indexes), ClassRanges.of(list(indexes.values()))
    bad_rows, counts = BadRows(options.dataset, skip=options.skip_bad_rows), Counter[str]()
    rejects = options.output.with_name(f"{options.output.stem}_rejects.csv")
    with table_stream(options.output) as append:
        for part in iterate_photos(options.dataset, columns, bad_rows):
            append(_classes(part, names, ranges, columns, counts, as_text=ending_of(options.output) == ".csv"))
        write_together(_rejects(rejects, bad_rows))
    lines = [f"{options.output}: {counts['photos']:,} photos"]
    lines += [f"  {name}: {counts[name]:,} with a class" for name in names]
    print("\n".join([*lines, *_told(rejects, bad_rows)]))
    return 0


def filter_downloaded(options: argparse.Namespace) -> int:
    """Keep the rows of a table of labels whose photo is in shards."""
    import pyarrow.compute as pc

    from geo_pipeline.photos.dataset import ending_of
    from geo_pipeline.photos.selection import copy_rows, read_photo_rows
    from geo_pipeline.shards.downloaded import downloaded_photos, statuses_of
    from geo_pipeline.shards.manifest import Status

    if ending_of(options.output) != ending_of(options.labels):
        raise InputError(f"{options.output}: rows are copied as they are; give it the ending of {options.labels}")
    _refuse_overwriting(options.output, [options.labels])
    labels = read_photo_rows(options.labels, options.column_img_path)
    downloaded = downloaded_photos(options.downloaded)
    statuses = statuses_of(labels.ids, downloaded)
    counts = Counter({each["values"]: each["counts"] for each in pc.value_counts(statuses).to_pylist()})
    num_kept = counts.pop(Status.OK.value, 0)
    if not num_kept:
        known = ", ".join(id_.decode("utf-8", "replace") for id_ in downloaded["photo_id"].slice(0, 3).to_pylist())
        raise InputError(
            f"{options.labels}: none of the {len(labels.numbers):,} photos is in the shards; its ids look like "
            f"{', '.join(labels.ids.slice(0, 3).to_pylist())}, those of the shards like {known}"
        )
    copy_rows(options.labels, options.output, labels.numbers[pc.equal(statuses, Status.OK.value).to_numpy()])
    print(f"{options.output}: {num_kept:,} of {len(labels.numbers):,} rows stay, {counts.total():,} went")
    print("".join(f"  {status}: {count:,}\n" for status, count in counts.most_common()), end="")
    return 0


class _Steps:
    """Prints, where it is wanted, what was done and how long it took."""

    def __init__(self, *, shown: bool) -> None:
        self._shown = shown

    @contextmanager
    def timed(self, text: str) -> Iterator[None]:
        """Time the block."""
        begun = time.perf_counter()
        yield
        self.tell(f"{text}: {time.perf_counter() - begun:.2f} s")

    def tell(self, text: str) -> None:
        """Print a line."""
        if self._shown:
            print(text)


def _partitionings(options: argparse.Namespace) -> list[PartitioningSettings]:
    """Each partitioning once. Raises InputError naming the option of a value that cannot be."""
    levels = {"lvl_min": options.lvl_min, "lvl_max": options.lvl_max}
    try:
        return [
            PartitioningSettings(img_min=options.img_min, img_max=img_max, **levels)
            for img_max in dict.fromkeys(options.img_max)
        ]
    except ValidationError as error:
        raise InputError("\n".join(map(_complaint, error.errors()))) from error


def _complaint(error: Mapping[str, Any]) -> str:
    """What pydantic found, in the words of the command line."""
    if not error["loc"]:
        return str(error["ctx"]["error"]).replace("img_", "--img-").replace("lvl_", "--lvl-")
    return f"--{str(error['loc'][0]).replace('_', '-')}: found {error['input']}: {error['msg']}"


def _levels_text(cells: pa.Table) -> str:
    """The cells of each level."""
    import numpy as np

    from geo_pipeline.cells.cell_id import levels
    from geo_pipeline.cells.table import cell_ids_of

    found, counts = np.unique(levels(cell_ids_of(cells)), return_counts=True)
    by_level = (f"{count:,} of level {level}" for level, count in zip(found.tolist(), counts.tolist(), strict=True))
    return f"{cells.num_rows:,} cells: {', '.join(by_level)}"


def _indexes(options: argparse.Namespace, columns: Columns) -> dict[str, CellIndex]:
    """The partitionings by the names of their files. Raises InputError for a name that cannot be a column's."""
    from geo_pipeline.cells.assignment import CellIndex

    paths: list[Path] = options.cells
    names = [path.stem for path in paths]
    taken = next((name for k, name in enumerate(names) if name in [*columns.names, *names[:k]]), None)
    if taken is not None:
        raise InputError(f"--cells: two columns would be called {taken}, after the file; rename the file")
    return {path.stem: CellIndex.from_table(read_cells(path, repair=options.repair)) for path in paths}


def read_cells(path: Path, *, repair: bool) -> pa.Table:
    """A table of cells; what a repair has restored in it is told on standard error."""
    from geo_pipeline.cells.published import read_cells_csv
    from geo_pipeline.cells.repair import repair_cells_csv

    if not repair:
        return read_cells_csv(path)
    mended = repair_cells_csv(path)
    print("".join(f"{path}: {each}\n" for each in mended.repairs), end="", file=sys.stderr)
    return mended.cells


def _classes(
    part: Part, names: Sequence[str], ranges: ClassRanges, columns: Columns, counts: Counter[str], *, as_text: bool
) -> pa.Table:
    """The columns of the data set and those of the classes, null where there is none; text of CSV stays as it is."""
    import numpy as np
    import pyarrow as pa

    from geo_pipeline.cells.leaf import leaf_ids

    table = part.given
    for name, values in ((columns.latitude, part.latitudes), (columns.longitude, part.longitudes)):
        if not as_text and table[name].type == pa.string():
            table = table.set_column(table.schema.get_field_index(name), name, pa.array(values))
    leaves = leaf_ids(part.latitudes, part.longitudes)
    counts["photos"] += len(leaves)
    for name, labels in zip(names, ranges.labels(leaves), strict=True):
        counts[name] += int(np.count_nonzero(labels >= 0))
        table = table.append_column(name, pa.array(labels, pa.int32(), mask=labels < 0))
    return table


def _refuse_overwriting(output: Path, inputs: Sequence[Path]) -> None:
    """Raise InputError if the output is one of the files that are read."""
    if any(output.exists() and path.exists() and output.samefile(path) for path in inputs):
        raise InputError(f"{output}: is read as well; name another file for the output")


def _rejects(path: Path, bad_rows: BadRows) -> dict[Path, bytes]:
    """The file of the bad rows, if there are any; else an older one goes."""
    if bad_rows.count:
        return {path: csv_bytes(bad_rows.table())}
    path.unlink(missing_ok=True)
    return {}


def _told(path: Path, bad_rows: BadRows) -> list[str]:
    return [f"{path}: {bad_rows.count:,} bad rows were left out"] if bad_rows.count else []
