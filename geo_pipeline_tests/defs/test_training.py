"""The step that trains: the process that it starts, and what reaches the page from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from geo_pipeline.defs.assets.training import train_in_process
from geo_pipeline.defs.failures import USER_ERROR, plain_failures
from geo_pipeline.training.job import TrainingJob
from geo_pipeline_tests.training import small_runs


def job_with(folder: Path, **trainer_params: Any) -> TrainingJob:
    made = small_runs.job(folder, freeze_batch_norm=True)
    config = made.resolved_config()
    changed = config.model_copy(update={"trainer_params": config.trainer_params | trainer_params})
    made.run_dir.mkdir()
    return made.model_copy(update={"config": changed})


def materialize(job: TrainingJob, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    """The result of a step that trains this job."""

    @dg.asset
    @plain_failures
    def geo_model(
        context: dg.AssetExecutionContext, training_process: dg.ResourceParam[dg.PipesSubprocessClient]
    ) -> dg.MaterializeResult[None]:
        train_in_process(context, training_process, [(None, job)])
        return dg.MaterializeResult()

    geo_model_resources = {"training_process": dg.PipesSubprocessClient()}
    return dg.materialize([geo_model], instance=instance, resources=geo_model_resources, raise_on_error=False)


@pytest.mark.slow
def test_a_mistake_is_told_on_the_page_in_the_words_of_the_training(tmp_path: Path) -> None:
    with dg.instance_for_test() as instance:
        result = materialize(job_with(tmp_path, precision="17-true"), instance)
    (event,) = [event for event in result.all_events if event.is_step_failure]
    failure = event.step_failure_data.user_failure_data
    assert failure is not None, event.step_failure_data.error
    assert USER_ERROR in failure.metadata
    assert "Lightning refuses them" in failure.description
    assert "17-true" in failure.description
    assert "Traceback" not in failure.description


@pytest.mark.slow
def test_several_devices_tell_of_each_epoch_once(tmp_path: Path) -> None:
    job = job_with(tmp_path, devices=2)
    with dg.instance_for_test() as instance:
        assert materialize(job, instance).success
        records = instance.fetch_observations(dg.AssetKey("geo_model"), limit=10).records
    told = [record.asset_observation.metadata["epoch"].value for record in records if record.asset_observation]
    assert sorted(told) == [0, 1]
    assert [line["epoch"] for line in small_runs.epochs(job.run_dir)] == [0, 1]
