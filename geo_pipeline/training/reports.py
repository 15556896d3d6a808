"""What is told of a training while it runs: between epochs how far it is, after each epoch its numbers.

Here live the record of progress, the callback that makes it, and whoever is told: files, lines, a bar, TensorBoard. Not
here: `metrics.jsonl`, on which resuming depends (callbacks.py). The one idea: one record is made, and each listener
shows it in its own way.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn, Protocol

import lightning.pytorch as pl
import pyarrow as pa
import torch
from tqdm import tqdm

from geo_pipeline.store import write_csv
from geo_pipeline.training.data import Batch
from geo_pipeline.training.metrics import METRICS_FILE, RADII_KM, EpochMetrics, read_epochs

PROGRESS_FILE = "progress.jsonl"
CSV_FILE = "metrics.csv"
TENSORBOARD_FOLDER = "tensorboard"
F_STAR = "hierarchy"
BAR_SECONDS = 1.0
_BAR = "{desc} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} steps in {elapsed}{postfix}"


@dataclass(frozen=True)
class Progress:
    """How far a training is between two epochs' ends; a line of `progress.jsonl`.

    `step` of `steps_per_epoch` of `epoch` are done; `train_loss` and `photos_per_second` are means since the last
    report; `minutes_left` counts steps at this pace, no validation.
    """

    epoch: int
    step: int
    steps_per_epoch: int
    train_loss: float
    learning_rate: float
    photos_per_second: float
    minutes_left: float


class Listener(Protocol):
    """Whoever is told."""

    def progress(self, progress: Progress) -> None:
        """Between two epochs' ends."""

    def epoch(self, metrics: EpochMetrics) -> None:
        """An epoch is complete."""

    def close(self) -> None:
        """The training has ended or was interrupted."""


class Reports(pl.Callback):
    """Tells listeners of progress every `every_seconds`; an epoch that is shorter is told of at its end alone.

    Of several processes the first one tells, and takes the others to be as fast.
    """

    def __init__(self, listeners: Sequence[Listener], every_seconds: float) -> None:
        self._listeners = listeners
        self._every_seconds = every_seconds
        self._since, self._losses, self._photos, self._steps = 0.0, torch.zeros(()), 0, 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        """Start the clock."""
        self._begin(time.monotonic())

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,  # noqa: ARG002
        outputs: Any,  # noqa: ANN401 -- Lightning's: a mapping with the loss
        batch: Batch,
        batch_idx: int,
    ) -> None:
        """Add the batch, and tell if it is time to; asking for the loss waits for the device, so only then."""
        self._losses = self._losses + outputs["loss"].detach() * len(batch.images)
        self._photos += len(batch.images)
        self._steps += 1
        now = time.monotonic()
        if self._listeners and now - self._since >= self._every_seconds:
            progress = self._progress(trainer, batch_idx + 1, now - self._since)
            self._begin(now)
            for listener in self._listeners:
                listener.progress(progress)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        """A validation is no progress of steps."""
        self._begin(time.monotonic())

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:  # noqa: ARG002
        """Tell that nothing follows."""
        for listener in self._listeners:
            listener.close()

    def _begin(self, now: float) -> None:
        """Count from here."""
        self._since, self._losses, self._photos, self._steps = now, torch.zeros(()), 0, 0

    def _progress(self, trainer: pl.Trainer, step: int, seconds: float) -> Progress:
        per_epoch = int(trainer.num_training_batches)
        steps_left = ((trainer.max_epochs or 0) - trainer.current_epoch) * per_epoch - step
        return Progress(
            epoch=trainer.current_epoch,
            step=step,
            steps_per_epoch=per_epoch,
            train_loss=float(self._losses) / max(self._photos, 1),
            learning_rate=trainer.optimizers[0].param_groups[0]["lr"],
            photos_per_second=self._photos * trainer.world_size / seconds,
            minutes_left=steps_left * seconds / self._steps / 60,
        )


class ProgressLines:
    """Appends each progress to `progress.jsonl`, which the Dagster asset follows."""

    def __init__(self, run_dir: Path) -> None:
        self._path = run_dir / PROGRESS_FILE

    def progress(self, progress: Progress) -> None:
        """Append a line."""
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(asdict(progress)) + "\n")

    def epoch(self, metrics: EpochMetrics) -> None:
        """It has a line in `metrics.jsonl`."""

    def close(self) -> None:
        """Each line is there already."""


class CsvLog:
    """Keeps `metrics.csv`: a row for each epoch of `metrics.jsonl`, a column for each number."""

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir

    def progress(self, progress: Progress) -> None:
        """It is no row."""

    def epoch(self, metrics: EpochMetrics) -> None:  # noqa: ARG002 -- the file has it, and those before
        """Write the file anew."""
        rows = [flat(asdict(epoch)) for epoch in read_epochs(self._run_dir / METRICS_FILE)]
        columns = dict.fromkeys(name for row in rows for name in row)
        write_csv(self._run_dir / CSV_FILE, pa.table({name: [row.get(name) for row in rows] for name in columns}))

    def close(self) -> None:
        """The file is whole."""


class Lines:
    """A line on standard output for each epoch; for each report as well, unless a bar shows it."""

    def __init__(self, max_epochs: int, *, only_epochs: bool) -> None:
        self._max_epochs = max_epochs
        self._only_epochs = only_epochs

    def progress(self, progress: Progress) -> None:
        """A line."""
        if not self._only_epochs:
            where = f"epoch {progress.epoch + 1}/{self._max_epochs}"
            done = f"step {progress.step:,}/{progress.steps_per_epoch:,}"
            print(f"{where}, {done}: {pace_text(progress)}", flush=True)  # noqa: T201

    def epoch(self, metrics: EpochMetrics) -> None:
        """A line."""
        print(epoch_text(metrics, self._max_epochs), flush=True)  # noqa: T201

    def close(self) -> None:
        """Each line is there already."""


class Bar:
    """The running epoch on a terminal."""

    def __init__(self, max_epochs: int) -> None:
        self._max_epochs = max_epochs
        self._bar: tqdm[NoReturn] | None = None

    def progress(self, progress: Progress) -> None:
        """Move the bar."""
        self._bar = self._bar or tqdm(
            desc=f"epoch {progress.epoch + 1}/{self._max_epochs}",
            total=progress.steps_per_epoch,
            bar_format=_BAR,
            file=sys.stderr,
            dynamic_ncols=True,
            leave=False,
        )
        self._bar.set_postfix_str(pace_text(progress), refresh=False)
        self._bar.n = progress.step
        self._bar.refresh()

    def epoch(self, metrics: EpochMetrics) -> None:  # noqa: ARG002
        """Take the bar away."""
        self.close()

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class TensorBoardLog:
    """Writes the same numbers for TensorBoard, where that is installed (`tensorboard`)."""

    def __init__(self, run_dir: Path, first_epoch: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(run_dir / TENSORBOARD_FOLDER), purge_step=first_epoch)

    def progress(self, progress: Progress) -> None:
        """Steps are shown by the epochs alone."""

    def epoch(self, metrics: EpochMetrics) -> None:
        """A point on each curve."""
        for name, value in flat(asdict(metrics)).items():
            self._writer.add_scalar(name, value, metrics.epoch)
        self._writer.flush()

    def close(self) -> None:
        """Close its file."""
        self._writer.close()


def tensorboard_log(run_dir: Path, first_epoch: int) -> Iterable[Listener]:
    """The log for TensorBoard; none where it is not installed."""
    try:
        return [TensorBoardLog(run_dir, first_epoch)]
    except ModuleNotFoundError:
        return []


def flat(content: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of nested mappings by `outer_inner`; without those that are None."""
    numbers: dict[str, float] = {}
    for name, value in content.items():
        if isinstance(value, Mapping):
            numbers |= {f"{name}_{inner}": number for inner, number in flat(value).items()}
        elif value is not None:
            numbers[name] = value
    return numbers


def pace_text(progress: Progress) -> str:
    """`loss 12.31, 812 photos/s, 43 min left`."""
    left = f"{progress.minutes_left:.0f} min" if progress.minutes_left >= 1 else f"{60 * progress.minutes_left:.0f} s"
    return f"loss {progress.train_loss:.4g}, {progress.photos_per_second:,.0f} photos/s, {left} left"


def epoch_text(metrics: EpochMetrics, max_epochs: int) -> str:
    """One line for an epoch: losses, what f* places within the radii, pace."""
    parts = [f"loss {metrics.train['loss']:.4g}"]
    if metrics.validation:
        within = " ".join(f"{metrics.accuracy[F_STAR][str(radius)]:.1f}" for radius in RADII_KM)
        radii = "/".join(map(str, RADII_KM))
        parts += [f"validation {metrics.validation['loss']:.4g}", f"f* within {radii} km {within} %"]
    parts.append(f"{metrics.photos_per_second:,.0f} photos/s")
    if metrics.waiting_share is not None:
        parts.append(f"waiting {metrics.waiting_share:.0%}")
    parts.append(f"{metrics.seconds:.0f} s")
    return f"epoch {metrics.epoch + 1}/{max_epochs}: {', '.join(parts)}"
