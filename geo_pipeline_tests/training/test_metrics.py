from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from geopy.distance import great_circle

from geo_pipeline.model.prediction import Answer
from geo_pipeline.training.metrics import (
    EpochMetrics,
    accuracy_percent,
    append_epoch,
    best_epoch,
    concatenated,
    distances_km,
    keep_epochs_before,
)
from geo_pipeline_tests.model import made_up

EPOCH = EpochMetrics(0, {"loss": 2.0}, {"loss": 3.0}, {"fine": {"25": 1.0}}, 0.1, 600.0, 20.0)


def answer(*labels: int) -> Answer:
    return Answer(np.array(labels), np.ones(len(labels), dtype=np.float32))


def test_distances_are_measured_to_the_mean_of_the_chosen_cell() -> None:
    truth = np.array([[10.5, 5.5], [51.0, -170.0]])
    distances = distances_km({"fine": answer(0, 3), "coarse": answer(0, 1)}, truth, made_up.geography())
    kilometres = [great_circle((10.0, 5.0), truth[0]).km, great_circle((-34.0, 110.0), truth[1]).km]
    np.testing.assert_allclose(distances["fine"], kilometres, rtol=1e-5)  # geopy's earth: 6371.009 km
    assert distances["coarse"][0] == pytest.approx(great_circle((11.0, 7.0), truth[0]).km, rel=1e-5)


def test_accuracy_is_the_percent_of_photos_within_each_radius() -> None:
    truth = np.array([[10.1, 5.0], [11.0, 5.0], [15.0, 5.0], [60.0, 5.0]])  # 11, 111, 556, 5560 km away
    accuracy = accuracy_percent({"hierarchy": answer(0, 0, 0, 0)}, truth, made_up.geography())
    assert accuracy == {"hierarchy": {"25": 25.0, "200": 50.0, "750": 75.0}}


def test_answers_of_batches_are_joined_in_order() -> None:
    joined = concatenated([{"fine": answer(1, 2)}, {"fine": answer(3)}])
    assert joined["fine"].class_labels.tolist() == [1, 2, 3]
    assert len(joined["fine"].probabilities) == 3


def test_each_epoch_is_one_line_of_json(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    for epoch in range(3):
        append_epoch(path, replace(EPOCH, epoch=epoch))
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [0, 1, 2]
    assert lines[0]["accuracy"]["fine"]["25"] == 1.0


def test_resuming_removes_later_epochs_and_an_unfinished_line(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    for epoch in range(3):
        append_epoch(path, replace(EPOCH, epoch=epoch))
    with path.open("a") as stream:
        stream.write('{"epoch": 3, "tra')
    keep_epochs_before(path, 2)
    assert [json.loads(line)["epoch"] for line in path.read_text().splitlines()] == [0, 1]


def test_a_first_run_begins_with_an_empty_file(tmp_path: Path) -> None:
    keep_epochs_before(tmp_path / "metrics.jsonl", 0)
    assert (tmp_path / "metrics.jsonl").read_text() == ""


def test_the_best_epoch_has_the_least_validation_loss(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    for epoch, loss in enumerate([3.0, 1.5, 2.0]):
        append_epoch(path, replace(EPOCH, epoch=epoch, validation={"loss": loss}))
    assert best_epoch(path).epoch == 1
