import numpy as np
import pyarrow as pa
import pytest

from geo_pipeline.evaluation.accuracy import accuracy_table
from geo_pipeline.evaluation.breakdown import breakdowns
from geo_pipeline.evaluation.settings import EvaluationSettings
from geo_pipeline_tests.evaluation.made_up import predictions


def answers_and_surroundings(scenes: list[str | None]) -> tuple[pa.Table, pa.Table]:
    answers = predictions("b", 200).slice(600, 200)
    continents = ["Asia", "Europe", "Africa", "Europe"]
    near = [0, 3, 250, 40]
    known = pa.table(
        {
            "benchmark": ["b"] * 200,
            "photo_id": answers["photo_id"],
            "continent": [continents[k % 4] for k in range(200)],
            "scene": pa.array([scenes[k % len(scenes)] for k in range(200)], pa.string()),
            "num_training_near": [near[k % 4] for k in range(200)],
        }
    )
    return answers, known.take(np.random.default_rng(0).permutation(200))


def test_each_group_has_the_numbers_of_its_photos_alone() -> None:
    answers, known = answers_and_surroundings(["urban", None])
    by_continent, by_scene, by_near = breakdowns(answers, known, (200, 750))
    assert [group.name for group in by_continent.groups] == ["Europe", "Africa", "Asia"]
    assert [group.num_photos for group in by_continent.groups] == [100, 50, 50]
    assert [(group.name, group.num_photos) for group in by_scene.groups] == [("urban", 100)]
    assert [group.name for group in by_near.groups] == ["none", "1 to 9", "10 to 99", "100 to 999"]
    asia = answers.take(list(range(0, 200, 4)))
    expected = accuracy_table(asia, EvaluationSettings(radii_km=(200, 750))).to_pylist()
    shares = by_continent.groups[2].shares
    names = ("accuracy_percent", "ci_low", "ci_high")
    assert [shares[row["radius_km"]] for row in expected] == [tuple(row[name] for name in names) for row in expected]
    assert by_continent.groups[2].median_km == pytest.approx(np.median(asia["distance_km"].to_numpy()))


def test_without_scenes_there_is_no_division_by_scene() -> None:
    answers, known = answers_and_surroundings([None])
    assert [each.title for each in breakdowns(answers, known, (200,))] == [
        "By continent",
        "By training photos within 200 km",
    ]


def test_photos_of_which_nothing_is_known_are_in_no_group() -> None:
    answers, known = answers_and_surroundings(["urban"])
    for made in breakdowns(answers, known.slice(0, 120), (200,)):
        assert sum(group.num_photos for group in made.groups) == 120
    assert breakdowns(answers, known.slice(0, 0), (200,)) == []
