"""The order for one training: which tables, which shards, which config, and where the run's files go.

Here lives what the Dagster asset and the command line write and the training process reads. It imports no torch. The
one idea: two jobs with the same identity are the same training, so the second continues what the first one left.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from geo_pipeline.errors import InputError
from geo_pipeline.store import file_hash, read_table, table_hash, write_text
from geo_pipeline.training.config import TrainingConfig
from geo_pipeline.training.config_file import learned_settings, load_config
from geo_pipeline.training.identity import FROM_WEIGHTS, Identity

INPUTS_FOLDER = "inputs"
"""Where, in a run's folder, tables stand that were made for this run alone."""

WHERE_STORED = ("shard", "offset", "length")
"""Columns that say where a photo lies: a photo that moves to another shard is still the same photo."""


class Earlier(StrEnum):
    """What becomes of a training that an earlier process left in the run's folder.

    One of the same identity that is not finished is continued, unless FRESH says otherwise.
    """

    CONTINUE = "continue"
    """Another training's is refused with the differences; a finished one is left as it is."""
    REPLACE = "replace"
    """Another training's gives way; a finished one is left as it is."""
    REPEAT = "repeat"
    """Another training's gives way; a finished one is trained again."""
    FRESH = "fresh"
    """Whatever is there gives way."""


class TrainingJob(BaseModel):
    """One training. Paths are absolute, or relative to the process's working folder."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    config: Path | TrainingConfig = Field(description="the training config: a YAML file, or its content")
    training_photos: Path = Field(description="Parquet table of labelled photos with shard, offset, length")
    validation_photos: Path = Field(description="the same of the validation photos")
    cells: dict[str, Path] = Field(min_length=1, description="tables of cells by partitioning, coarse first")
    hierarchy: Path = Field(description="table of the cells' ancestors")
    shards_root: Path = Field(description="folder that the tables' `shard` is relative to")
    run_dir: Path = Field(description="folder of the run's files: checkpoints, metrics, model card")
    earlier: Earlier = Field(default=Earlier.CONTINUE, description="what becomes of a training that is there already")
    from_weights: Path | None = Field(
        default=None, description="a checkpoint of ours whose weights are the first ones; heads only for the same cells"
    )
    code: str | None = Field(
        default=None,
        description="a version of the code that trains; with one, no other version's training is continued",
    )
    model_name: str = Field(default="base(M, f*)", description="what the model card calls the network")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a job file. Raises InputError naming the file and what is wrong in it."""
        try:
            return cls.model_validate_json(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise InputError(f"{path}: no such job file") from error
        except (ValidationError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: not a training job: {error}") from error

    def write(self, path: Path) -> Path:
        """Write the job as JSON and return the path."""
        write_text(path, self.model_dump_json(indent=2) + "\n")
        return path

    def resolved_config(self) -> TrainingConfig:
        """The config's content, read from its file if the job names one."""
        return load_config(self.config) if isinstance(self.config, Path) else self.config

    def input_hashes(self) -> dict[str, str]:
        """SHA-256 of the content of each input by its name in the job: the data versions of the training's inputs.

        Of tables that are assets it begins with Dagster's data version. Raises InputError naming missing tables.
        """
        missing = [f"  - {name}: {path}" for name, path in self.tables() if not path.exists()]
        if missing:
            raise InputError("tables of the training job are missing; materialize them first:\n" + "\n".join(missing))
        tables = {name: _content_hash(path) for name, path in self.tables()}
        weights = {"weights": self.resolved_config().model_params.weights, FROM_WEIGHTS: self.from_weights}
        code = {} if self.code is None else {"code": self.code}
        return tables | {name: _weights_hash(path) for name, path in weights.items() if path is not None} | code

    def identity(self, num_processes: int = 1) -> Identity:
        """What the training learns from, and how; each of several processes takes a batch in a step."""
        together = {"processes": num_processes} if num_processes > 1 else {}
        return Identity(learned_settings(self.resolved_config()) | together, self.input_hashes())

    def tables(self) -> Iterator[tuple[str, Path]]:
        """Each input table with its name."""
        yield "training_photos", self.training_photos
        yield "validation_photos", self.validation_photos
        yield from ((f"cells_{name}", path) for name, path in self.cells.items())
        yield "hierarchy", self.hierarchy


def _content_hash(path: Path) -> str:
    """SHA-256 of a table's content, without where photos lie."""
    table = read_table(path)
    return table_hash(table.drop_columns([name for name in WHERE_STORED if name in table.column_names]))


def _weights_hash(path: Path) -> str:
    """SHA-256 of a file of weights. Raises InputError if it is none."""
    if not path.is_file():
        raise InputError(f"{path}: no such file of weights")
    return file_hash(path)
