import json
import time
from pathlib import Path

import dagster as dg

from geo_pipeline.defs.metrics import observation_metadata, observations_of_run, read_metrics


def test_an_epochs_numbers_become_flat_metadata() -> None:
    line = {"epoch": 3, "train": {"loss": 1.5}, "accuracy": {"hierarchy": {"200": 50.0}}, "learning_rate": None}
    assert observation_metadata(line) == {"epoch": 3, "train_loss": 1.5, "accuracy_hierarchy_200": 50.0}


def test_a_half_written_line_waits_until_it_is_whole(tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    assert read_metrics(file) == []
    file.write_text('{"epoch": 0}\n{"epo')
    assert read_metrics(file) == [{"epoch": 0}]


def test_each_new_epoch_is_observed_while_the_training_runs_and_old_ones_are_not(tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    file.write_text(json.dumps({"epoch": 0}) + "\n")
    seen_while_running: list[int] = []

    @dg.asset
    def geo_model(context: dg.AssetExecutionContext) -> None:
        with observations_of_run(context, tmp_path):
            with file.open("a") as stream:
                stream.write(json.dumps({"epoch": 1}) + "\n")
            time.sleep(2.5)
            records = context.instance.fetch_observations(dg.AssetKey("geo_model"), limit=10).records
            seen_while_running.append(len(records))
            (tmp_path / "progress.jsonl").write_text(json.dumps({"epoch": 2, "step": 7}) + "\n")
            with file.open("a") as stream:
                stream.write(json.dumps({"epoch": 2}) + "\n")

    with dg.instance_for_test() as instance:
        result = dg.materialize([geo_model], instance=instance)
        observations = instance.fetch_observations(dg.AssetKey("geo_model"), limit=10).records
        found = [
            tuple(value.value for value in record.asset_observation.metadata.values())
            for record in observations
            if record.asset_observation
        ]
    assert result.success
    assert seen_while_running == [1]
    assert sorted(found) == [(1,), (2,), (2, 7)]
