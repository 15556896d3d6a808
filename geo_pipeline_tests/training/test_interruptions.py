"""Whatever interrupts a training, the next run ends with the numbers of an undisturbed one, to the bit."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch

from geo_pipeline.training import callbacks, run
from geo_pipeline.training.config import LoaderSettings
from geo_pipeline.training.job import TrainingJob
from geo_pipeline.training.module import GeoModule
from geo_pipeline.training.run import train
from geo_pipeline.training.stopping import TrainingInterruptedError
from geo_pipeline_tests.training import small_runs
from geo_pipeline_tests.training.disturbances import at_call, random_losses, saving_often, stop

STEPS_PER_EPOCH = 4
BOTH = [signal.SIGTERM, signal.SIGINT]


def in_three_epochs(job: TrainingJob, **model_params: Any) -> TrainingJob:
    config = job.resolved_config()
    trainer_params = config.trainer_params | {"max_epochs": 3}
    params = config.model_params.model_copy(update=model_params)
    changed = config.model_copy(update={"model_params": params, "trainer_params": trainer_params})
    return job.model_copy(update={"config": changed})


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> TrainingJob:
    """Three epochs in one process."""
    job = in_three_epochs(small_runs.job(tmp_path_factory.mktemp("undisturbed")))
    with random_losses():
        train(job)
    return job


@pytest.fixture
def job(undisturbed: TrainingJob, tmp_path: Path) -> Iterator[TrainingJob]:
    """The same training in another folder."""
    with random_losses():
        yield undisturbed.model_copy(update={"run_dir": tmp_path / "run"})


def require_equal(job: TrainingJob, undisturbed: TrainingJob) -> None:
    """Both trainings have the same losses and the same weights, bit for bit."""
    assert small_runs.epochs(job.run_dir) == small_runs.epochs(undisturbed.run_dir)
    for name in ("best.ckpt", "last.ckpt"):
        ours, theirs = (torch.load(each.run_dir / name, weights_only=True)["state_dict"] for each in (job, undisturbed))
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


@pytest.mark.parametrize("number", BOTH)
@pytest.mark.parametrize("step", [0, 1, STEPS_PER_EPOCH - 1, STEPS_PER_EPOCH, 2 * STEPS_PER_EPOCH + 2])
def test_a_stop_in_any_step(job: TrainingJob, undisturbed: TrainingJob, number: signal.Signals, step: int) -> None:
    handlers = [signal.getsignal(each) for each in BOTH]
    with (
        at_call(GeoModule, "training_step", step, stop(number)) as steps,
        pytest.raises(TrainingInterruptedError, match=number.name),
    ):
        train(job)
    assert steps == [step + 1]
    assert [signal.getsignal(each) for each in BOTH] == handlers
    train(job)
    require_equal(job, undisturbed)


@pytest.mark.parametrize(
    ("target", "name", "number"),
    [
        (GeoModule, "validation_step", 0),
        (GeoModule, "validation_step", 3),
        (torch, "save", 0),
        (torch, "save", 2),
        (callbacks, "append_epoch", 1),
        (run, "training_loader", 0),
        (GeoModule, "configure_optimizers", 0),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_a_stop_at_any_other_moment(
    job: TrainingJob, undisturbed: TrainingJob, target: object, name: str, number: int
) -> None:
    with at_call(target, name, number, stop(signal.SIGTERM)) as calls, pytest.raises(TrainingInterruptedError):
        train(job)
    assert calls[0] > number
    train(job)
    require_equal(job, undisturbed)


def test_a_stop_when_everything_is_done_but_the_card(job: TrainingJob, undisturbed: TrainingJob) -> None:
    with at_call(run, "model_card", 0, stop(signal.SIGTERM)), pytest.raises(TrainingInterruptedError):
        train(job)
    assert not (job.run_dir / "model_card.md").exists()
    train(job)
    assert (job.run_dir / "model_card.md").exists()
    require_equal(job, undisturbed)


def test_a_stop_while_the_last_checkpoint_is_written_changes_nothing(
    job: TrainingJob, undisturbed: TrainingJob
) -> None:
    with at_call(torch, "save", -1, stop(signal.SIGTERM)) as saves:
        train(job.model_copy(update={"run_dir": job.run_dir.with_name("counted")}))
    with at_call(torch, "save", saves[0] - 1, stop(signal.SIGTERM)):
        train(job)
    assert (job.run_dir / "model_card.md").exists()
    require_equal(job, undisturbed)


def test_a_training_that_is_stopped_in_every_second_step(job: TrainingJob, undisturbed: TrainingJob) -> None:
    stops = 0
    while not (job.run_dir / "model_card.md").exists():
        try:
            with at_call(GeoModule, "training_step", 1, stop(signal.SIGINT)):
                train(job)
        except TrainingInterruptedError:
            stops += 1
    assert stops > STEPS_PER_EPOCH
    require_equal(job, undisturbed)


def test_gradients_that_are_still_gathered_are_not_lost(undisturbed: TrainingJob, tmp_path: Path) -> None:
    config = undisturbed.resolved_config()
    gathered = config.model_copy(update={"trainer_params": config.trainer_params | {"accumulate_grad_batches": 2}})
    whole, job = (undisturbed.model_copy(update={"config": gathered, "run_dir": tmp_path / name}) for name in "ab")
    train(whole)
    while not (job.run_dir / "model_card.md").exists():
        with at_call(GeoModule, "training_step", 2, stop(signal.SIGTERM)), suppress(TrainingInterruptedError):
            train(job)
    require_equal(job, whole)


def test_every_option_of_the_loss_goes_on_to_the_bit(tmp_path: Path) -> None:
    whole = small_runs.job(tmp_path, ema_decay=0.9, label_smoothing_km={"fine": 300.0, "coarse": 900.0})
    job = whole.model_copy(update={"run_dir": tmp_path / "stopped"})
    train(whole)
    with (
        at_call(GeoModule, "training_step", STEPS_PER_EPOCH + 1, stop(signal.SIGTERM)),
        pytest.raises(TrainingInterruptedError),
    ):
        train(job)
    train(job)
    require_equal(job, whole)


@pytest.fixture(scope="module")
def killer() -> Iterator[subprocess.Popen[str]]:
    """A process that trains in children, which are killed."""
    command = [sys.executable, "-m", "geo_pipeline_tests.training.killed"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.communicate()


def train_until_killed(killer: subprocess.Popen[str], job: TrainingJob, step: int) -> None:
    """Train in another process, which is killed (-9) in one of its steps, counted from 0."""
    assert killer.stdin is not None
    assert killer.stdout is not None
    killer.stdin.write(f"{step} {job.write(job.run_dir.with_name('job.json'))}\n")
    killer.stdin.flush()
    assert killer.stdout.readline() == f"{signal.SIGKILL.value}\n"


@pytest.mark.parametrize("step", [0, 2, STEPS_PER_EPOCH - 1, STEPS_PER_EPOCH + 2])
def test_a_kill_in_any_step(
    killer: subprocess.Popen[str], job: TrainingJob, undisturbed: TrainingJob, step: int
) -> None:
    train_until_killed(killer, job, step)
    with saving_often():
        train(job)
    require_equal(job, undisturbed)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_an_end_with_processes_that_feed(
    killer: subprocess.Popen[str], job: TrainingJob, undisturbed: TrainingJob, number: signal.Signals
) -> None:
    fed = in_three_epochs(job, loader=LoaderSettings(num_workers=2))
    with saving_often():
        if number == signal.SIGKILL:
            train_until_killed(killer, fed, STEPS_PER_EPOCH + 2)
        else:
            with (
                at_call(GeoModule, "training_step", STEPS_PER_EPOCH + 2, stop(number)),
                pytest.raises(TrainingInterruptedError),
            ):
                train(fed)
        train(fed)
    require_equal(job, undisturbed)


def test_a_checkpoint_is_saved_when_its_time_has_come_and_before_the_last_step(
    undisturbed: TrainingJob, tmp_path: Path
) -> None:
    saved: list[tuple[int, int]] = []

    def note(_: callbacks.RunFiles, trainer: pl.Trainer) -> None:
        saved.append((trainer.current_epoch, trainer.global_step))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(callbacks.RunFiles, "save_last", note)
        train(undisturbed.model_copy(update={"run_dir": tmp_path / "rarely"}))
        assert saved == [(0, 3), (0, 4), (1, 7), (1, 8), (2, 11), (2, 12)]
        saved.clear()
        with saving_often():
            train(undisturbed.model_copy(update={"run_dir": tmp_path / "often"}))
        assert saved == [((step - 1) // STEPS_PER_EPOCH, step) for step in range(1, 3 * STEPS_PER_EPOCH + 1)]
