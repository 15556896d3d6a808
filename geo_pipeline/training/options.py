"""The options of a training on a command line.

Here lives what `geo-pipeline train` and `python -m geo_pipeline.training` have in common. Not here: what becomes of the
files that they name (command.py). It imports little: every command of `geo-pipeline` waits for it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from geo_pipeline.errors import InputError

TABLES = ("photos", "validation_photos", "cells", "shards")
"""Options that describe the data; all of them, or none where there is a profile."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Give a parser the options of a training."""
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="training config, YAML in two parts: see the README"
    )
    parser.add_argument(
        "--set",
        dest="changes",
        nargs="+",
        action="extend",
        default=[],
        metavar="KEY=VALUE",
        help="change the config: model.optimizer.learning_rate=0.1 trainer.max_epochs=3 (values are YAML)",
    )
    parser.add_argument(
        "--photos",
        type=Path,
        metavar="TABLE",
        help="training photos, CSV or Parquet: photo_id, latitude, longitude (or IMG_ID, LAT, LON), a column of class "
        "labels for each file of --cells, and perhaps shard, offset, length",
    )
    parser.add_argument("--validation-photos", type=Path, metavar="TABLE", help="the same of the validation photos")
    parser.add_argument(
        "--cells", type=Path, nargs="+", metavar="FILE", help="tables of cells, CSV or Parquet, the coarsest first"
    )
    parser.add_argument("--shards", type=Path, metavar="DIR", help="folder of the shards, of a download say")
    parser.add_argument(
        "--validation-shards", type=Path, metavar="DIR", help="of the validation photos (default: same)"
    )
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="the run's folder; run again to go on where it ended"
    )
    parser.add_argument("--fresh", action="store_true", help="begin anew, whatever an earlier run has left")
    parser.add_argument(
        "--from-weights", type=Path, metavar="CKPT", help="begin with the weights of a checkpoint of geo-pipeline"
    )


def given_tables(options: argparse.Namespace) -> bool:
    """Whether the options describe the data. Raises InputError if only some of them are there."""
    given = [name for name in TABLES if getattr(options, name)]
    missing = [f"--{name.replace('_', '-')}" for name in TABLES if name not in given]
    if given and missing:
        raise InputError(f"{', '.join(missing)}: missing; tables of your own come with all of them")
    return bool(given)
