from __future__ import annotations

from pathlib import Path

import pytest

from geo_pipeline.defs.io_managers import content_version
from geo_pipeline.errors import InputError
from geo_pipeline.store import read_table, write_table
from geo_pipeline.training.job import WHERE_STORED, TrainingJob
from geo_pipeline_tests.training import small_runs


def test_a_job_survives_its_file(tmp_path: Path) -> None:
    job = small_runs.job(tmp_path)
    assert TrainingJob.read(job.write(tmp_path / "job.json")) == job


def test_a_job_may_name_its_config_file(tmp_path: Path) -> None:
    (tmp_path / "c.yml").write_text("trainer_params: {max_epochs: 3}", encoding="utf-8")
    job = small_runs.job(tmp_path).model_copy(update={"config": tmp_path / "c.yml"})
    assert TrainingJob.read(job.write(tmp_path / "job.json")).resolved_config().trainer_params == {"max_epochs": 3}


def test_the_identity_follows_content_and_not_names(tmp_path: Path) -> None:
    job = small_runs.job(tmp_path)
    elsewhere = small_runs.job(tmp_path, run="other")
    assert elsewhere.identity() == job.identity()
    assert elsewhere.identity().fingerprint == job.identity().fingerprint
    assert small_runs.job(tmp_path, seed=1).identity().fingerprint != job.identity().fingerprint


@pytest.mark.parametrize("name", ["training_photos", "validation_photos", "fine", "hierarchy"])
def test_a_changed_table_changes_the_identity_and_is_named(tmp_path: Path, name: str) -> None:
    job = small_runs.job(tmp_path)
    before = job.identity()
    path = tmp_path / f"{name}.parquet"
    write_table(path, read_table(path).slice(1))
    (difference,) = before.differences(job.identity())
    assert difference.endswith(f"{name}: has other content")


def test_a_photo_that_moves_to_another_shard_is_the_same_photo(tmp_path: Path) -> None:
    job = small_runs.job(tmp_path)
    before = job.identity()
    table = read_table(job.training_photos)
    moved = table.set_column(table.column_names.index("offset"), "offset", [[0] * table.num_rows])
    write_table(job.training_photos, moved)
    assert job.identity() == before


def test_hashes_of_inputs_begin_with_dagsters_data_versions(tmp_path: Path) -> None:
    job = small_runs.job(tmp_path)
    version = content_version(read_table(job.training_photos), without=WHERE_STORED).value
    assert job.input_hashes()["training_photos"].startswith(version)


def test_weights_count_by_content(tmp_path: Path) -> None:
    for name, content in {"a.pth": "1", "b.pth": "1", "c.pth": "2"}.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    first, same, other = (
        small_runs.job(tmp_path, weights=tmp_path / name).identity() for name in ("a.pth", "b.pth", "c.pth")
    )
    assert first.differences(same) == []
    assert first.differences(other) == ["weights: has other content"]
    assert first.differences(small_runs.job(tmp_path).identity()) == ["weights: was used there, is not here"]


def test_weights_that_are_not_there_are_named(tmp_path: Path) -> None:
    job = small_runs.job(tmp_path).model_copy(update={"from_weights": tmp_path / "absent.ckpt"})
    with pytest.raises(InputError, match=r"absent\.ckpt: no such file of weights"):
        job.identity()


def test_every_missing_table_is_named(tmp_path: Path) -> None:
    job = small_runs.job(tmp_path)
    for name in ("coarse", "hierarchy"):
        (tmp_path / f"{name}.parquet").unlink()
    with pytest.raises(InputError, match=r"(?s)cells_coarse: .*coarse\.parquet.*hierarchy: .*hierarchy\.parquet"):
        job.identity()


@pytest.mark.parametrize("content", ["{", "{}", '{"config": "a.yml", "colour": "red"}'])
def test_a_file_that_is_no_job_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "job.json").write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=r"job\.json: not a training job"):
        TrainingJob.read(tmp_path / "job.json")
