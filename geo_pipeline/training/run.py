"""One training from its job to its run folder.

Here lives the assembly: tables and config in; hparams.yaml, metrics.jsonl, checkpoints and the model card out. The
one idea: `train` can be called again after any end, and does what is left to do.
"""

from __future__ import annotations

import inspect
import logging
import platform
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import lightning
import lightning.pytorch as pl
import pyarrow as pa
import torch
import yaml

from geo_pipeline.errors import InputError
from geo_pipeline.model.checkpoint import SECTION, read_checkpoint
from geo_pipeline.model.geography import Geography
from geo_pipeline.store import read_table, write_text
from geo_pipeline.training.callbacks import (
    LAST_CHECKPOINT,
    AtomicCheckpointIO,
    LeaveOnSignal,
    RunFiles,
)
from geo_pipeline.training.config import TrainingConfig
from geo_pipeline.training.data import LabelledPhotos, training_loader, validation_loader
from geo_pipeline.training.hardware import resolve_precision
from geo_pipeline.training.job import TrainingJob
from geo_pipeline.training.metrics import METRICS_FILE, best_epoch, keep_epochs_before
from geo_pipeline.training.model_card import model_card
from geo_pipeline.training.module import GeoModule


@dataclass(frozen=True)
class Progress:
    """Where a training stands: the epoch and the batch to do next, and the least validation loss so far."""

    epoch: int = 0
    batch: int = 0
    best: float | None = None


def train(job: TrainingJob) -> None:
    """Train, or continue the training that an interruption left in the job's run folder.

    Raises InputError for a mistake in the job, its config or its tables, TrainingInterruptedError after a signal.
    """
    config, fingerprint = job.resolved_config(), job.fingerprint()
    geography = _geography(job)
    training = _photos(job, "training_photos", geography)
    validation = _photos(job, "validation_photos", geography)
    progress = _progress(job, fingerprint)
    job.run_dir.mkdir(parents=True, exist_ok=True)
    write_text(job.run_dir / "hparams.yaml", _hparams(job, config, fingerprint))
    keep_epochs_before(job.run_dir / METRICS_FILE, progress.epoch)

    params = config.model_params
    torch.manual_seed(params.seed)
    batches = training_loader(training, params, first_epoch=progress.epoch, first_batch=progress.batch)
    module = GeoModule(params, geography, steps_per_epoch=len(batches), max_epochs=config.trainer_params["max_epochs"])
    with _quiet_lightning():
        trainer = _trainer(job, config, fingerprint, progress)
        resumed = job.run_dir / LAST_CHECKPOINT if progress != Progress() else None
        trainer.fit(module, batches, validation_loader(validation, params), ckpt_path=resumed, weights_only=True)
    best = best_epoch(job.run_dir / METRICS_FILE)
    card = model_card(config, geography, {"training": len(training), "validation": len(validation)}, best)
    write_text(job.run_dir / "model_card.md", card)


def _geography(job: TrainingJob) -> Geography:
    cells = {name: read_table(path) for name, path in job.cells.items()}
    return Geography.from_tables(cells, read_table(job.hierarchy))


def _photos(job: TrainingJob, role: str, geography: Geography) -> LabelledPhotos:
    """The photos of a role. Raises InputError if there are none."""
    table: pa.Table = read_table(getattr(job, role))
    if table.num_rows == 0:
        raise InputError(
            f"{getattr(job, role)}: no photo is left after joining labels and downloads; look at the manifest"
        )
    return LabelledPhotos(table, job.shards_root, geography)


def _progress(job: TrainingJob, fingerprint: str) -> Progress:
    """Where an interrupted run of the same job stands; a finished run or another job's begins anew."""
    path = job.run_dir / LAST_CHECKPOINT
    if not path.exists():
        return Progress()
    left = read_checkpoint(path)[SECTION]["progress"]
    if left["fingerprint"] != fingerprint or left["finished"]:
        return Progress()
    return Progress(left["epoch"], left["batch"], left["best"])


def _trainer(job: TrainingJob, config: TrainingConfig, fingerprint: str, progress: Progress) -> pl.Trainer:
    """Lightning's trainer. Raises InputError for parameters that it does not know or that the machine cannot do."""
    files = RunFiles(job.run_dir, fingerprint, progress.best)
    defaults: dict[str, Any] = {
        "logger": False,  # metrics.jsonl is the log
        "enable_checkpointing": False,  # RunFiles writes them
        "enable_model_summary": False,
        "enable_progress_bar": sys.stderr.isatty(),
        "num_sanity_val_steps": 0,
        "use_distributed_sampler": False,  # the order is our own
        "default_root_dir": job.run_dir,
        "callbacks": [files, LeaveOnSignal(files)],
        "plugins": [AtomicCheckpointIO()],
        "precision": "auto",
    }
    wanted = defaults | _known_parameters(config.trainer_params)
    wanted["precision"] = resolve_precision(wanted["precision"])
    try:
        return pl.Trainer(**wanted)
    except (ValueError, TypeError, lightning.fabric.utilities.exceptions.MisconfigurationException) as error:
        raise InputError(f"trainer_params: Lightning refuses them: {error}") from error


def _known_parameters(trainer_params: dict[str, Any]) -> dict[str, Any]:
    """The same parameters. Raises InputError naming those that the trainer of this Lightning does not have."""
    known = set(inspect.signature(pl.Trainer.__init__).parameters) - {"self", "callbacks", "plugins"}
    unknown = sorted(trainer_params.keys() - known)
    if unknown:
        raise InputError(
            f"trainer_params: unknown {', '.join(unknown)}; Lightning {lightning.__version__} knows {sorted(known)}"
        )
    return trainer_params


def _hparams(job: TrainingJob, config: TrainingConfig, fingerprint: str) -> str:
    """The resolved config with everything that a repetition needs to know, as YAML."""
    versions = {"python": platform.python_version(), "torch": torch.__version__, "lightning": lightning.__version__}
    content = {
        **config.model_dump(mode="json"),
        "fingerprint": fingerprint,
        "inputs": job.input_hashes(),
        "versions": {name: str(version) for name, version in versions.items()},
    }
    return yaml.safe_dump(content, sort_keys=False)


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Keep Lightning's advice off the log: each of these is answered by design.

    Workers: a small picture is decoded faster than it is sent. Resuming: the order of photos is our own and goes on in
    the middle of an epoch. LeafSpec: Lightning 2.6 calls torch in a form that newer versions deprecate.
    """
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*dataloader is not resumable.*")
        warnings.filterwarnings("ignore", message=".*LeafSpec.*")
        try:
            yield
        finally:
            logger.setLevel(level)
