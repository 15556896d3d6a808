"""One training from its job to its run folder.

Here lives the assembly: tables and config in; hparams.yaml, metrics, checkpoints and the model card out. The one idea:
`train` can be called again after any end, and does what is left to do.
"""

from __future__ import annotations

import inspect
import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning
import lightning.pytorch as pl
import pyarrow as pa
import torch

from geo_pipeline.errors import InputError
from geo_pipeline.lock import LockedError, exclusive, wait_until_free
from geo_pipeline.model.geography import Geography
from geo_pipeline.store import read_table, remove_leftovers, write_text
from geo_pipeline.training.callbacks import AtomicCheckpointIO, LeaveOnSignal, RunFiles, SeededSteps
from geo_pipeline.training.config import TrainingConfig
from geo_pipeline.training.data import LabelledPhotos
from geo_pipeline.training.divergence import StopWhenDiverged
from geo_pipeline.training.hardware import (
    fast_defaults,
    memory_errors_told,
    require_accelerator,
    resolve_precision,
    use_tensor_cores,
)
from geo_pipeline.training.job import TrainingJob
from geo_pipeline.training.loader import training_loader, validation_loader
from geo_pipeline.training.metrics import METRICS_FILE, best_epoch, keep_epochs_before
from geo_pipeline.training.model_card import model_card
from geo_pipeline.training.module import GeoModule
from geo_pipeline.training.pace import Pace
from geo_pipeline.training.provenance import hparams_text
from geo_pipeline.training.start import Start, find_start, load_first_weights
from geo_pipeline.training.stopping import StopSignals
from geo_pipeline.typed_yaml import unknown_key

RUN_LOCK = ".lock"
"""Held, in the run's folder, by the process that trains there."""

LAST_SAVE_SECONDS = 30.0
"""How long a process that was told to leave may still save what it has."""

_log = logging.getLogger(__name__)


def train(job: TrainingJob, signals: StopSignals | None = None) -> None:
    """Train, or continue the training that an interruption left in the job's run folder.

    `signals`: those of a process that listens already. Raises InputError for a mistake in the job, its config or its
    tables, and if another process trains in the same folder; TrainingInterruptedError after a signal.
    """
    if signals is None:
        with StopSignals() as own:
            train(job, own)
        return
    with _alone(job.run_dir):
        start = find_start(job)
        geography, photos = _geography(job), {}
        for role in ("training", "validation"):
            photos[role] = _photos(job, f"{role}_photos", geography)
        if start.is_finished:
            _log.warning("%s: this training is finished; --fresh trains anew", job.run_dir)
        else:
            remove_leftovers(job.run_dir)
            _fit(job, start, geography, photos, signals)
        best = best_epoch(job.run_dir / METRICS_FILE)
        counts = {role: len(each) for role, each in photos.items()}
        write_text(
            job.run_dir / "model_card.md", model_card(job.model_name, job.resolved_config(), geography, counts, best)
        )


def _fit(
    job: TrainingJob, start: Start, geography: Geography, photos: dict[str, LabelledPhotos], signals: StopSignals
) -> None:
    """The epochs that are left."""
    config = job.resolved_config()
    params = config.model_params
    trainer = _trainer(job, config, start, signals)
    write_text(job.run_dir / "hparams.yaml", hparams_text(job, config, start, str(trainer.precision)))
    keep_epochs_before(job.run_dir / METRICS_FILE, start.epoch)
    torch.manual_seed(params.seed)
    device, part = trainer.strategy.root_device, {"rank": trainer.global_rank, "world_size": trainer.world_size}
    batches = training_loader(
        photos["training"], params, device, **part, first_epoch=start.epoch, first_batch=start.batch
    )
    module = GeoModule(params, geography, steps_per_epoch=len(batches), max_epochs=config.trainer_params["max_epochs"])
    if job.from_weights is not None and start.checkpoint is None:
        load_first_weights(module, job.from_weights)
    validation = validation_loader(photos["validation"], params, device, **part)
    with _quiet_lightning(), memory_errors_told(params):
        trainer.fit(module, batches, validation, ckpt_path=start.checkpoint, weights_only=True)


@contextmanager
def _alone(run_dir: Path) -> Iterator[None]:
    """Keep other processes from training in the folder. Raises InputError if one does and is not about to end."""
    lock = run_dir / RUN_LOCK
    try:
        with exclusive(lock, wait=False, on_wait=lambda _: None):
            yield
            return
    except LockedError as error:
        _log.warning("%s: waiting for another training to save and leave (%s)", run_dir, error)
    if not wait_until_free(lock, LAST_SAVE_SECONDS):
        raise InputError(f"{run_dir}: another training runs there; wait for it or stop it")
    with exclusive(lock, wait=False, on_wait=lambda _: None):
        yield


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


def _trainer(job: TrainingJob, config: TrainingConfig, start: Start, signals: StopSignals) -> pl.Trainer:
    """Lightning's trainer. Raises InputError for parameters that it does not know or that the machine cannot do."""
    pace = Pace()
    files = RunFiles(job.run_dir, start, pace, 60 * config.model_params.checkpoint_minutes)
    steps = SeededSteps(config.model_params.seed)
    require_accelerator(config.trainer_params)
    use_tensor_cores()
    defaults: dict[str, Any] = {
        "logger": False,  # metrics.jsonl is the log
        "enable_checkpointing": False,  # RunFiles writes them
        "enable_model_summary": False,
        "enable_progress_bar": sys.stderr.isatty(),
        "num_sanity_val_steps": 0,
        "use_distributed_sampler": False,  # the order is our own
        "default_root_dir": job.run_dir,
        "callbacks": [steps, StopWhenDiverged(), files, LeaveOnSignal(signals, files), pace],
        "plugins": [AtomicCheckpointIO()],
        "precision": "auto",
        **fast_defaults(config.trainer_params),
    }
    wanted = defaults | _known_parameters(config.trainer_params)
    wanted["precision"] = resolve_precision(wanted["precision"])
    try:
        with _quiet_lightning():
            return pl.Trainer(**wanted)
    except (ValueError, TypeError, lightning.fabric.utilities.exceptions.MisconfigurationException) as error:
        raise InputError(f"trainer_params: Lightning refuses them: {error}") from error


def _known_parameters(trainer_params: dict[str, Any]) -> dict[str, Any]:
    """The same parameters. Raises InputError naming those that the trainer of this Lightning does not have."""
    known = sorted(set(inspect.signature(pl.Trainer.__init__).parameters) - {"self", "callbacks", "plugins"})
    unknown = [unknown_key(f"trainer_params.{name}", name, known) for name in trainer_params if name not in known]
    if unknown:
        raise InputError(
            "\n".join([*unknown, f"these are the parameters of Lightning {lightning.__version__}'s Trainer"])
        )
    return trainer_params


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
