import numpy as np
import pyarrow as pa
import pytest

from geo_pipeline.evaluation.accuracy import accuracy_table
from geo_pipeline.evaluation.published import (
    IM2GPS,
    IM2GPS3K,
    comparison_text,
    comparisons,
    published_benchmark,
)
from geo_pipeline.evaluation.settings import EvaluationSettings
from geo_pipeline_tests.evaluation.made_up import predictions


def accuracy(*tables: pa.Table, radii_km: tuple[int, ...] = (1, 25, 200, 750, 2500)) -> pa.Table:
    return accuracy_table(pa.concat_tables(tables), EvaluationSettings(radii_km=radii_km))


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("im2gps",), IM2GPS),
        (("IM2GPS 3k",), IM2GPS3K),
        (("im2gps_3k",), IM2GPS3K),
        (("test_set", "Im2GPS3k"), IM2GPS3K),
        (("im2gps3ktest",), None),
        (("world_1k", "The bundled world"), None),
        (("",), None),
    ],
)
def test_a_benchmark_of_the_papers_is_known_by_its_key_or_its_title(names: tuple[str, ...], expected: object) -> None:
    assert published_benchmark(*names) is expected


@pytest.mark.parametrize("benchmark", [IM2GPS, IM2GPS3K])
def test_published_shares_are_shares_of_whole_photos_and_grow_with_the_radius(benchmark: object) -> None:
    assert isinstance(benchmark, type(IM2GPS))
    for row in benchmark.rows:
        assert list(row.percents) == sorted(row.percents)
        photos = np.array(row.percents) / 100 * benchmark.num_photos
        assert np.abs(photos - photos.round()).max() <= benchmark.num_photos * 0.0005 + 1e-9
    assert [row.p_key for row in benchmark.rows[:4]] == ["coarse", "middle", "fine", "hierarchy"]


def test_our_rows_stand_below_the_published_ones_of_the_same_head() -> None:
    table = accuracy(predictions("im2gps", 230), predictions("im2gps", 230, model="isn"), predictions("other", 50))
    (found,) = comparisons(table, {"im2gps": "Im2GPS"})
    assert (found.benchmark, found.num_photos, found.published.num_photos) == ("Im2GPS", 230, 237)
    assert [line.label for line in found.lines] == [
        "base(M, c)",
        "ours: base, coarse",
        "base(M, m)",
        "ours: base, middle",
        "base(M, f)",
        "ours: base, fine",
        "base(M, f*)",
        "base(M, f*), original",
        "ours: base, f*",
        "ISN(M, f*, S3), original",
        "ours: isn, f*",
    ]
    first = table.slice(0, 5).to_pylist()
    assert {(row["benchmark"], row["model"], row["p_key"]) for row in first} == {("im2gps", "base", "coarse")}
    of_table = {row["radius_km"]: row for row in first}
    ours = found.lines[1]
    for radius, percent in ours.percents.items():
        assert (percent, *ours.intervals[radius]) == tuple(
            of_table[radius][name] for name in ("accuracy_percent", "ci_low", "ci_high")
        )
    assert len(ours.percents) == 5


def test_rules_and_models_that_no_paper_has_are_not_compared() -> None:
    rule = predictions("im2gps", 30).slice(0, 30).set_column(3, "p_key", [["hierarchy_mass200"] * 30])
    (found,) = comparisons(accuracy(rule, predictions("im2gps", 30, model="mine")), {})
    assert not any(line.ours for line in found.lines)


def test_a_radius_that_we_did_not_measure_is_left_open() -> None:
    (found,) = comparisons(accuracy(predictions("im2gps3k", 40), radii_km=(25, 500)), {})
    text = comparison_text(found).splitlines()
    assert text[0] == "im2gps3k: 40 of the 2,997 photos of the papers were there"
    (ours,) = [line.split() for line in text if line.startswith("ours: base, coarse")]
    assert ours[3] == "-"
    assert ours[5:] == ["-", "-", "-", "40"]
    assert text[2].split() == ["base(M,", "c)", "6.2", "24.3", "36.3", "51.7", "67.0", "2,997"]


def test_what_no_paper_knows_is_compared_with_nothing() -> None:
    assert comparisons(accuracy(predictions("world_1k", 20)), {}) == []
