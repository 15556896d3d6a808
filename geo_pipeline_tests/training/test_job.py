from __future__ import annotations

from pathlib import Path

import pytest

from geo_pipeline.errors import InputError
from geo_pipeline.store import read_table, write_table
from geo_pipeline.training.job import TrainingJob
from geo_pipeline_tests.training import small_runs


def test_a_job_survives_its_file(tmp_path: Path) -> None:
    job = small_runs.job(tmp_path)
    assert TrainingJob.read(job.write(tmp_path / "job.json")) == job


def test_a_job_may_name_its_config_file(tmp_path: Path) -> None:
    (tmp_path / "c.yml").write_text("trainer_params: {max_epochs: 3}", encoding="utf-8")
    job = small_runs.job(tmp_path).model_copy(update={"config": tmp_path / "c.yml"})
    assert TrainingJob.read(job.write(tmp_path / "job.json")).resolved_config().trainer_params == {"max_epochs": 3}


def test_the_fingerprint_follows_content_and_not_names(tmp_path: Path) -> None:
    job = small_runs.job(tmp_path)
    elsewhere = small_runs.job(tmp_path, run="other")
    assert elsewhere.fingerprint() == job.fingerprint()
    assert small_runs.job(tmp_path, seed=1).fingerprint() != job.fingerprint()


@pytest.mark.parametrize("name", ["training_photos", "validation_photos", "fine", "hierarchy"])
def test_a_changed_table_changes_the_fingerprint(tmp_path: Path, name: str) -> None:
    job = small_runs.job(tmp_path)
    before = job.fingerprint()
    path = tmp_path / f"{name}.parquet"
    write_table(path, read_table(path).slice(1))
    assert job.fingerprint() != before


def test_every_missing_table_is_named(tmp_path: Path) -> None:
    job = small_runs.job(tmp_path)
    for name in ("coarse", "hierarchy"):
        (tmp_path / f"{name}.parquet").unlink()
    with pytest.raises(InputError, match=r"(?s)cells_coarse: .*coarse\.parquet.*hierarchy: .*hierarchy\.parquet"):
        job.fingerprint()


@pytest.mark.parametrize("content", ["{", "{}", '{"config": "a.yml", "colour": "red"}'])
def test_a_file_that_is_no_job_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "job.json").write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=r"job\.json: not a training job"):
        TrainingJob.read(tmp_path / "job.json")
