from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from geo_pipeline.training.metrics import EpochMetrics, append_epoch
from geo_pipeline.training.reports import CsvLog, Progress, epoch_text, pace_text, tensorboard_log

EPOCH = EpochMetrics(
    epoch=0,
    train={"loss": 12.345, "fine": 5.0},
    validation={"loss": 13.5, "fine": 6.0},
    accuracy={"hierarchy": {"25": 1.25, "200": 50.0, "750": 82.0}},
    learning_rate=0.1,
    photos_per_second=1234.5,
    seconds=61.2,
    waiting_share=0.034,
)
PROGRESS = Progress(
    epoch=2, step=10, steps_per_epoch=40, train_loss=3.25, learning_rate=0.1, photos_per_second=812.4, minutes_left=43.4
)


def test_an_epoch_is_one_line_with_losses_accuracy_and_pace() -> None:
    assert epoch_text(EPOCH, 16) == (
        "epoch 1/16: loss 12.35, validation 13.5, f* within 25/200/750 km 1.2 50.0 82.0 %, 1,234 photos/s, "
        "waiting 3%, 61 s"
    )


def test_an_epoch_that_was_not_validated_tells_nothing_of_it() -> None:
    unvalidated = replace(EPOCH, validation={}, accuracy={}, waiting_share=None)
    assert epoch_text(unvalidated, 16) == "epoch 1/16: loss 12.35, 1,234 photos/s, 61 s"


def test_the_time_that_is_left_is_told_in_minutes_and_then_in_seconds() -> None:
    assert pace_text(PROGRESS) == "loss 3.25, 812 photos/s, 43 min left"
    assert pace_text(replace(PROGRESS, minutes_left=0.5)) == "loss 3.25, 812 photos/s, 30 s left"


def test_the_csv_has_a_row_for_each_epoch_and_a_column_for_each_number(tmp_path: Path) -> None:
    log = CsvLog(tmp_path)
    for epoch in (EPOCH, replace(EPOCH, epoch=1, validation={}, accuracy={})):
        append_epoch(tmp_path / "metrics.jsonl", epoch)
        log.epoch(epoch)
    with (tmp_path / "metrics.csv").open(newline="") as stream:
        first, second = csv.DictReader(stream)
    assert (first["epoch"], second["epoch"]) == ("0", "1")
    assert (first["train_fine"], first["accuracy_hierarchy_200"]) == ("5", "50")
    assert (second["validation_loss"], second["train_loss"]) == ("", "12.345")


def test_tensorboard_gets_a_point_for_each_number_of_each_epoch(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    (log,) = tensorboard_log(tmp_path, 0)
    for epoch in (0, 1):
        log.epoch(replace(EPOCH, epoch=epoch))
    log.close()
    (resumed,) = tensorboard_log(tmp_path, 1)  # the second epoch is done again
    resumed.epoch(replace(EPOCH, epoch=1, learning_rate=0.5))
    resumed.close()
    written = accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    written.Reload()
    assert [(each.step, each.value) for each in written.Scalars("learning_rate")] == [
        (0, pytest.approx(0.1)),
        (1, pytest.approx(0.5)),
    ]
    assert "accuracy_hierarchy_750" in written.Tags()["scalars"]
