from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from geo_pipeline.errors import InputError, explain
from geo_pipeline.lock import exclusive
from geo_pipeline.model.prediction import predict_photos
from geo_pipeline.store import read_table, write_table
from geo_pipeline.training import run
from geo_pipeline.training.config_file import learned_settings, load_config
from geo_pipeline.training.job import Earlier, TrainingJob
from geo_pipeline.training.run import train
from geo_pipeline_tests.training import small_runs

STEPS_PER_EPOCH = 4


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> TrainingJob:
    job = small_runs.job(tmp_path_factory.mktemp("finished"))
    train(job)
    return job


def test_a_run_leaves_its_files(finished: TrainingJob) -> None:
    names = {path.name for path in finished.run_dir.iterdir() if not path.name.startswith(".")}
    assert names == {"hparams.yaml", "metrics.jsonl", "metrics.csv", "last.ckpt", "best.ckpt", "model_card.md"}


def test_every_epoch_tells_the_loss_of_each_head_and_the_accuracy_of_each_p_key(finished: TrainingJob) -> None:
    lines = small_runs.epochs(finished.run_dir)
    assert [line["epoch"] for line in lines] == [0, 1]
    for split in ("train", "validation"):
        heads = lines[1][split]
        assert heads["loss"] == pytest.approx(heads["coarse"] + heads["middle"] + heads["fine"], rel=1e-5)
    assert list(lines[0]["accuracy"]) == ["coarse", "middle", "fine", "hierarchy"]
    assert list(lines[0]["accuracy"]["hierarchy"]) == ["25", "200", "750"]


def test_the_network_learns_what_colours_say(tmp_path: Path) -> None:
    job = small_runs.job(tmp_path)
    longer = job.resolved_config().model_copy(
        update={"trainer_params": job.resolved_config().trainer_params | {"max_epochs": 8}}
    )
    train(job.model_copy(update={"config": longer}))
    photos = read_table(job.validation_photos)
    answers = predict_photos(job.run_dir / "best.ckpt", photos, job.shards_root)
    told = [row["class_label"] for row in answers.to_pylist() if row["p_key"] == "hierarchy"]
    right = [a == b for a, b in zip(told, photos["middle"].to_pylist(), strict=True)]
    assert sum(right) >= 18
    assert small_runs.epochs(job.run_dir)[-1]["accuracy"]["hierarchy"]["25"] >= 80


def test_the_runs_settings_are_kept_with_versions_and_data(finished: TrainingJob) -> None:
    hparams = yaml.safe_load((finished.run_dir / "hparams.yaml").read_text())
    assert hparams["model_params"]["batch_size"] == 16
    assert hparams["versions"]["torch"] == torch.__version__
    assert set(hparams["versions"]) >= {"python", "torchvision", "lightning", "numpy", "geo_pipeline", "commit"}
    assert hparams["machine"]["precision"] == "32-true"
    assert hparams["fingerprint"] == finished.identity().fingerprint
    assert hparams["inputs"] == finished.input_hashes()


def test_the_model_card_counts_photos_and_cells(finished: TrainingJob) -> None:
    card = (finished.run_dir / "model_card.md").read_text()
    assert "- training: 60 listed\n- validation: 20 listed\n" in card
    assert "coarse 2, middle 4, fine 4" in card
    assert "Intended use" in card
    assert "Not measured yet." in card


def test_the_same_job_gives_the_same_numbers(finished: TrainingJob) -> None:
    again = finished.model_copy(update={"run_dir": finished.run_dir.with_name("again")})
    train(again)
    assert small_runs.epochs(again.run_dir) == small_runs.epochs(finished.run_dir)


def test_label_smoothing_of_a_partitioning_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"label_smoothing_km: found region"):
        train(small_runs.job(tmp_path, label_smoothing_km={"region": 75.0}))


def test_the_hparams_of_a_run_are_a_config_that_repeats_it(finished: TrainingJob) -> None:
    config = load_config(finished.run_dir / "hparams.yaml")
    assert config == finished.resolved_config()
    assert learned_settings(config) == finished.identity().settings


def test_a_finished_run_is_left_as_it_is_and_its_card_is_written_if_that_is_left_to_do(
    tmp_path: Path, finished: TrainingJob
) -> None:
    job = finished.model_copy(update={"run_dir": Path(shutil.copytree(finished.run_dir, tmp_path / "run"))})
    before = (job.run_dir / "best.ckpt").stat().st_mtime_ns
    (job.run_dir / "model_card.md").unlink()
    train(job)
    assert (job.run_dir / "best.ckpt").stat().st_mtime_ns == before
    assert (job.run_dir / "model_card.md").exists()


@pytest.mark.parametrize("earlier", [Earlier.REPEAT, Earlier.FRESH])
def test_a_finished_run_is_trained_again_if_the_job_says_so(
    tmp_path: Path, finished: TrainingJob, earlier: Earlier
) -> None:
    folder = Path(shutil.copytree(finished.run_dir, tmp_path / "run"))
    job = finished.model_copy(update={"run_dir": folder, "earlier": earlier})
    before = (job.run_dir / "best.ckpt").stat().st_mtime_ns
    train(job)
    assert (job.run_dir / "best.ckpt").stat().st_mtime_ns > before
    assert small_runs.epochs(job.run_dir) == small_runs.epochs(finished.run_dir)


def test_another_training_gives_way_if_the_job_says_so(tmp_path: Path, finished: TrainingJob) -> None:
    folder = Path(shutil.copytree(finished.run_dir, tmp_path / "run"))
    config = small_runs.config(seed=5)
    other = finished.model_copy(update={"run_dir": folder, "config": config, "earlier": Earlier.REPEAT})
    fresh = other.model_copy(update={"run_dir": tmp_path / "fresh"})
    train(other)
    train(fresh)
    assert small_runs.epochs(other.run_dir) == small_runs.epochs(fresh.run_dir)


def test_two_processes_do_not_train_in_one_folder(
    finished: TrainingJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = finished.model_copy(update={"run_dir": tmp_path / "run"})
    monkeypatch.setattr(run, "LAST_SAVE_SECONDS", 0.1)
    with (
        exclusive(tmp_path / "run" / run.RUN_LOCK, wait=False, on_wait=print),
        pytest.raises(InputError, match="another training runs there"),
    ):
        train(job)


def test_files_that_a_kill_has_left_half_written_are_removed(tmp_path: Path, finished: TrainingJob) -> None:
    job = finished.model_copy(update={"run_dir": tmp_path / "run"})
    job.run_dir.mkdir()
    (job.run_dir / ".last.ckpt.123.abcd.tmp").write_bytes(b"half")
    train(job)
    assert list(job.run_dir.glob(".*.tmp")) == []


def test_progress_is_told_between_epochs_in_lines_and_in_a_file(
    tmp_path: Path, finished: TrainingJob, capsys: pytest.CaptureFixture[str]
) -> None:
    params = finished.resolved_config().model_params.model_copy(update={"report_minutes": 1e-6})
    config = finished.resolved_config().model_copy(update={"model_params": params})
    job = finished.model_copy(update={"run_dir": tmp_path / "run", "config": config})
    train(job)
    told = [json.loads(line) for line in (job.run_dir / "progress.jsonl").read_text().splitlines()]
    assert [(line["epoch"], line["step"]) for line in told] == [
        (epoch, step) for epoch in (0, 1) for step in (1, 2, 3, 4)
    ]
    assert all(line["steps_per_epoch"] == STEPS_PER_EPOCH for line in told)
    sizes = [16, 16, 16, 12]
    losses = np.average([line["train_loss"] for line in told[:4]], weights=sizes)
    assert losses == pytest.approx(
        small_runs.epochs(job.run_dir)[0]["train"]["loss"], rel=0.05
    )  # a head may have no label
    assert told[-1]["minutes_left"] == 0
    assert told[0]["minutes_left"] > 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines[3:5]] == ["epoch 1/2, step 4/4", "epoch 1/2"]
    train(job.model_copy(update={"earlier": Earlier.FRESH, "config": finished.config}))
    assert not (job.run_dir / "progress.jsonl").exists()


def test_a_bar_is_shown_where_it_is_wanted(
    tmp_path: Path, finished: TrainingJob, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "BAR_SECONDS", 0.0)
    config = finished.resolved_config()
    config = config.model_copy(update={"trainer_params": config.trainer_params | {"enable_progress_bar": True}})
    train(finished.model_copy(update={"run_dir": tmp_path / "run", "config": config}))
    shown = capsys.readouterr()
    assert re.search(r"epoch 1/2  75%\|.*\| 3/4 steps in .*, loss [\d.]+, [\d,]+ photos/s, \d+ s left", shown.err)
    assert [line.partition(":")[0] for line in shown.out.splitlines()] == ["epoch 1/2", "epoch 2/2"]


def test_a_folder_that_cannot_be_is_one_message(tmp_path: Path, finished: TrainingJob) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    job = finished.model_copy(update={"run_dir": tmp_path / "file"})
    with pytest.raises(OSError, match="file") as raised:
        train(job)
    assert "move it away" in str(explain(raised.value))


@pytest.mark.parametrize(
    ("parameters", "validated"),
    [
        ({"check_val_every_n_epoch": 2}, [False, True]),
        ({"limit_val_batches": 0}, [False, False]),
        ({"max_steps": STEPS_PER_EPOCH + 1}, [True, False]),
        ({"accumulate_grad_batches": 3}, [True, True]),
    ],
)
def test_trainer_parameters_that_change_the_course_are_followed(
    tmp_path: Path, finished: TrainingJob, parameters: dict[str, Any], validated: list[bool]
) -> None:
    config = finished.resolved_config()
    config = config.model_copy(update={"trainer_params": config.trainer_params | parameters})
    job = finished.model_copy(update={"run_dir": tmp_path / "run", "config": config})
    train(job)
    lines = small_runs.epochs(job.run_dir)
    assert [bool(line["validation"]) for line in lines] == validated
    before = (job.run_dir / "last.ckpt").stat().st_mtime_ns
    train(job)
    assert (job.run_dir / "last.ckpt").stat().st_mtime_ns == before, "the training was not finished"


def test_no_photo_left_names_the_table(tmp_path: Path) -> None:
    job = small_runs.job(tmp_path)
    write_table(job.training_photos, read_table(job.training_photos).slice(0, 0))
    with pytest.raises(InputError, match=r"training_photos\.parquet: no photo is left"):
        train(job)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"max_epoch": 3}, r"trainer_params.max_epoch: unknown key; did you mean max_epochs\?"),
        ({"callbacks": []}, "trainer_params.callbacks: unknown key"),
        ({"precision": "17-true"}, "Lightning refuses them"),
        ({"accelerator": "abacus"}, "Lightning refuses them"),
    ],
)
def test_trainer_parameters_that_lightning_does_not_take_are_named(
    tmp_path: Path, parameters: dict[str, Any], message: str
) -> None:
    job = small_runs.job(tmp_path)
    config = job.resolved_config().model_copy(update={"trainer_params": {"max_epochs": 1, **parameters}})
    with pytest.raises(InputError, match=message):
        train(job.model_copy(update={"config": config}))
