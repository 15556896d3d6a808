"""One training from its job to its run folder.

Here lives the assembly: tables and config in; hparams.yaml, metrics, checkpoints and the model card out. The one idea:
`train` can be called again after any end, and does what is left to do.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import lightning.pytorch as pl
import pyarrow as pa
import torch

from geo_pipeline.errors import InputError
from geo_pipeline.lock import LockedError, exclusive, wait_until_free
from geo_pipeline.model.geography import Geography
from geo_pipeline.store import read_table, remove_leftovers, write_text
from geo_pipeline.training.callbacks import LeaveOnSignal, RunFiles, SeededSteps
from geo_pipeline.training.config import TrainingConfig
from geo_pipeline.training.data import LabelledPhotos
from geo_pipeline.training.divergence import StopWhenDiverged
from geo_pipeline.training.hardware import memory_errors_told
from geo_pipeline.training.job import TrainingJob
from geo_pipeline.training.loader import training_loader, validation_loader
from geo_pipeline.training.metrics import METRICS_FILE, best_epoch, keep_epochs_before
from geo_pipeline.training.model_card import model_card, write_card
from geo_pipeline.training.module import GeoModule
from geo_pipeline.training.pace import Pace
from geo_pipeline.training.provenance import hparams_text
from geo_pipeline.training.ranks import Agreement, rank
from geo_pipeline.training.reports import (
    BAR_SECONDS,
    PROGRESS_FILE,
    Bar,
    CsvLog,
    Lines,
    Listener,
    ProgressLines,
    Reports,
    tensorboard_log,
)
from geo_pipeline.training.selection import Selection
from geo_pipeline.training.start import BEST_CHECKPOINT, Start, find_start, load_first_weights
from geo_pipeline.training.stopping import StopSignals
from geo_pipeline.training.trainer import build_trainer, quiet_lightning

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
    is_first = rank() == 0
    with _alone(job.run_dir) if is_first else nullcontext():
        start = find_start(job)
        geography = _geography(job)
        tables = {role: _photos(job, f"{role}_photos") for role in ("training", "validation")}
        if start.is_finished:
            _log.warning("%s: this training is finished; --fresh trains anew", job.run_dir)
        else:
            photos = {role: LabelledPhotos(table, job.shards_root, geography) for role, table in tables.items()}
            _fit(job, start, geography, photos, signals)
        if is_first:
            best = best_epoch(job.run_dir / METRICS_FILE)
            selections = {role: Selection.of(table) for role, table in tables.items()}
            card = model_card(job.model_name, job.resolved_config(), geography, selections, best)
            write_card(job.run_dir, card, job.run_dir / BEST_CHECKPOINT)


def _fit(
    job: TrainingJob, start: Start, geography: Geography, photos: dict[str, LabelledPhotos], signals: StopSignals
) -> None:
    """The epochs that are left."""
    config = job.resolved_config()
    params = config.model_params
    callbacks = _callbacks(job, config, start, signals)
    trainer = build_trainer(config.trainer_params, job.run_dir, callbacks)
    if rank() == 0:
        _prepare_folder(job, config, start, trainer)
    torch.manual_seed(params.seed)
    device, part = trainer.strategy.root_device, {"rank": trainer.global_rank, "world_size": trainer.world_size}
    batches = training_loader(
        photos["training"], params, device, **part, first_epoch=start.epoch, first_batch=start.batch
    )
    module = GeoModule(params, geography, steps_per_epoch=len(batches), max_epochs=config.trainer_params["max_epochs"])
    if job.from_weights is not None and start.checkpoint is None:
        load_first_weights(module, job.from_weights)
    validation = validation_loader(photos["validation"], params, device, **part)
    with quiet_lightning(), memory_errors_told(params):
        trainer.fit(module, batches, validation, ckpt_path=start.checkpoint, weights_only=True)


def _prepare_folder(job: TrainingJob, config: TrainingConfig, start: Start, trainer: pl.Trainer) -> None:
    """Say in the run's folder what is trained, and take away what will be done again."""
    remove_leftovers(job.run_dir)
    write_text(job.run_dir / "hparams.yaml", hparams_text(job, config, start, str(trainer.precision)))
    keep_epochs_before(job.run_dir / METRICS_FILE, start.epoch)
    (job.run_dir / PROGRESS_FILE).unlink(missing_ok=True)


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


def _photos(job: TrainingJob, role: str) -> pa.Table:
    """The photos of a role. Raises InputError if there are none."""
    path = getattr(job, role)
    table = read_table(path)
    if table.num_rows == 0:
        raise InputError(f"{path}: no photo is left: {Selection.of(table)}; look at the manifest and the labels")
    return table


def _callbacks(job: TrainingJob, config: TrainingConfig, start: Start, signals: StopSignals) -> list[pl.Callback]:
    """What happens around the steps, in this order."""
    params = config.model_params
    bar, others = _listeners(job, config, start) if rank() == 0 else ([], [])
    pace, agreement = Pace(), Agreement()
    files = RunFiles(job.run_dir, start, pace, agreement, 60 * params.checkpoint_minutes, [*bar, *others])
    return [
        SeededSteps(params.seed),
        StopWhenDiverged(),
        files,
        Reports(bar, BAR_SECONDS),
        Reports(others, 60 * params.report_minutes),
        LeaveOnSignal(signals, files, agreement),
        pace,
    ]


def _listeners(job: TrainingJob, config: TrainingConfig, start: Start) -> tuple[list[Listener], list[Listener]]:
    """A bar, which is told every second, and everybody else."""
    shows_bar = bool(config.trainer_params.get("enable_progress_bar", sys.stderr.isatty()))
    lines = Lines(config.trainer_params["max_epochs"], only_epochs=shows_bar)
    logs = tensorboard_log(job.run_dir, start.epoch) if config.trainer_params.get("logger", True) else ()
    bar = [Bar(config.trainer_params["max_epochs"])] if shows_bar else []
    return [*bar], [lines, ProgressLines(job.run_dir), CsvLog(job.run_dir), *logs]
