"""The order for one training: which tables, which shards, which config, and where the run's files go.

Here lives what the Dagster asset writes and the training process reads. It imports no torch. The one idea: two jobs
with the same fingerprint are the same training, so the second continues what the first one left.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from geo_pipeline.errors import InputError
from geo_pipeline.store import file_hash, write_text
from geo_pipeline.training.config import TrainingConfig, load_config


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
        """SHA-256 of each input table by its name in the job: the data versions of the training's inputs."""
        tables = {
            "training_photos": self.training_photos,
            "validation_photos": self.validation_photos,
            **{f"cells_{name}": path for name, path in self.cells.items()},
            "hierarchy": self.hierarchy,
        }
        missing = [f"  - {name}: {path}" for name, path in tables.items() if not path.exists()]
        if missing:
            raise InputError("tables of the training job are missing; materialize them first:\n" + "\n".join(missing))
        return {name: file_hash(path) for name, path in tables.items()}

    def fingerprint(self) -> str:
        """SHA-256 over the config and the content of every input table."""
        digest = hashlib.sha256(self.resolved_config().model_dump_json().encode())
        for name, content in self.input_hashes().items():
            digest.update(f"\n{name} {content}".encode())
        return digest.hexdigest()
