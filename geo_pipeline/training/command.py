"""The job that the options of a training describe.

Not here: the options (options.py), and the profile, which only `geo-pipeline train` knows. It imports no torch. The one
idea: tables of anybody's making become tables as a profile's assets write them, in the run's folder, and from there on
there is one kind of training.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from geo_pipeline.cells.hierarchy import cell_hierarchy
from geo_pipeline.cells.published import read_cells_csv
from geo_pipeline.errors import InputError
from geo_pipeline.store import read_table, write_table
from geo_pipeline.training.config_file import load_config
from geo_pipeline.training.inputs import read_photos
from geo_pipeline.training.job import INPUTS_FOLDER, Earlier, TrainingJob


def job_of_tables(options: argparse.Namespace) -> TrainingJob:
    """The job over tables of one's own, which are brought into our form in the run's folder.

    Raises InputError naming the option or the file that cannot be used.
    """
    _require(options, "config", "output")
    config = load_config(options.config, options.changes)
    cells = _cells(options.cells)
    folder = options.output / INPUTS_FOLDER
    shards = {"photos": options.shards, "validation_photos": options.validation_shards or options.shards}
    tables = {
        name: _absolute(read_photos(getattr(options, name), list(cells), path), path) for name, path in shards.items()
    }
    paths = {name: folder / f"cells_{name}.parquet" for name in cells}
    contents = {
        folder / "training_photos.parquet": tables["photos"],
        folder / "validation_photos.parquet": tables["validation_photos"],
        folder / "hierarchy.parquet": cell_hierarchy(cells),
        **{paths[name]: table for name, table in cells.items()},
    }
    for path, table in contents.items():
        write_table(path, table)
    return TrainingJob(
        config=config,
        training_photos=folder / "training_photos.parquet",
        validation_photos=folder / "validation_photos.parquet",
        cells=paths,
        hierarchy=folder / "hierarchy.parquet",
        shards_root=options.shards.absolute(),
        run_dir=options.output,
        **start_options(options),
    )


def start_options(options: argparse.Namespace) -> dict[str, Earlier | Path | None]:
    """The fields of a job that say how it begins."""
    earlier = Earlier.FRESH if options.fresh else Earlier.CONTINUE
    return {"earlier": earlier, "from_weights": options.from_weights}


def _require(options: argparse.Namespace, *names: str) -> None:
    missing = [f"--{name}" for name in names if getattr(options, name) is None]
    if missing:
        raise InputError(f"{', '.join(missing)}: missing; tables of your own need it")


def _cells(paths: Sequence[Path]) -> dict[str, pa.Table]:
    """Tables of cells by the names of their files, in the order given."""
    twice = [name for name, count in Counter(path.stem for path in paths).items() if count > 1]
    if twice:
        raise InputError(f"--cells: two files are called {twice[0]}; the name is that of the partitioning, rename one")
    tables = {path.stem: read_table(path) if path.suffix == ".parquet" else read_cells_csv(path) for path in paths}
    empty = [path for path in paths if tables[path.stem].num_rows == 0]
    if empty:
        raise InputError(f"{empty[0]}: no cell is in it; expected a row for each cell")
    return tables


def _absolute(photos: pa.Table, shards: Path) -> pa.Table:
    """The same photos with the whole path of each shard: the two tables' shards may lie in different folders."""
    column = photos["shard"].combine_chunks().dictionary_encode()
    paths = pa.array([str((shards / name).absolute()) for name in column.dictionary.to_pylist()], pa.string())
    whole = pa.DictionaryArray.from_arrays(column.indices, paths).cast(pa.string())
    return photos.set_column(photos.schema.get_field_index("shard"), "shard", whole)
