import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from geo_pipeline.evaluation.accuracy import (
    ACCURACY_SCHEMA,
    AccuracyRow,
    accuracy_markdown,
    accuracy_table,
    accuracy_text,
    head_label,
    intervals_over_authors_text,
)
from geo_pipeline.evaluation.settings import EvaluationSettings
from geo_pipeline_tests.evaluation.made_up import predictions

SETTINGS = EvaluationSettings()


def of_distances(*distances_km: float, benchmark: str = "b", p_key: str = "fine") -> pa.Table:
    n = len(distances_km)
    keys = {"benchmark": [benchmark] * n, "model": ["base"] * n, "p_key": [p_key] * n}
    return pa.table({**keys, "distance_km": np.array(distances_km, dtype=float)})


def shares(accuracy: pa.Table) -> list[float]:
    return accuracy["accuracy_percent"].to_pylist()


def test_the_shares_agree_with_counting_row_by_row() -> None:
    table = pa.concat_tables([predictions("one", 400), predictions("two", 100, seed=3)])
    rows = table.to_pylist()
    for entry in accuracy_table(table, SETTINGS).to_pylist():
        key = [entry[name] for name in ("benchmark", "model", "p_key")]
        group = [row for row in rows if [row[name] for name in ("benchmark", "model", "p_key")] == key]
        within = [row for row in group if row["distance_km"] <= entry["radius_km"]]
        assert entry["num_photos"] == len(group)
        assert entry["accuracy_percent"] == pytest.approx(100 * len(within) / len(group))


def test_the_table_has_a_row_for_each_group_and_radius_in_order_of_appearance() -> None:
    table = pa.concat_tables([of_distances(3, p_key="z"), of_distances(3, p_key="a"), of_distances(3, benchmark="a")])
    accuracy = accuracy_table(table, EvaluationSettings(radii_km=(1, 25)))
    assert accuracy.schema == ACCURACY_SCHEMA
    assert [tuple(row.values())[:4] for row in accuracy.select(ACCURACY_SCHEMA.names[:4]).to_pylist()] == [
        (benchmark, "base", p_key, radius)
        for benchmark, p_key in (("b", "z"), ("b", "a"), ("a", "fine"))
        for radius in (1, 25)
    ]


def test_an_answer_exactly_at_the_radius_counts() -> None:
    assert shares(accuracy_table(of_distances(25.0, 25.000001), EvaluationSettings(radii_km=(25,)))) == [50.0]


def test_the_interval_agrees_with_drawing_photos_again_one_by_one() -> None:
    rng = np.random.default_rng(11)
    distances = rng.lognormal(5, 1.5, 500)
    (row,) = accuracy_table(
        of_distances(*distances), EvaluationSettings(radii_km=(200,), bootstrap_samples=20_000)
    ).to_pylist()
    hits = distances <= 200
    drawn_again = [100 * hits[rng.integers(0, 500, 500)].mean() for _ in range(4000)]
    assert [row["ci_low"], row["ci_high"]] == pytest.approx(np.percentile(drawn_again, (2.5, 97.5)), abs=0.45)


def test_the_interval_holds_the_share_and_shrinks_with_the_number_of_photos() -> None:
    widths = []
    for n in (50, 500, 5000):
        accuracy = accuracy_table(of_distances(*([10.0] * (n * 3 // 5) + [9000.0] * (n * 2 // 5))), SETTINGS)
        row = accuracy.filter(pc.equal(accuracy["radius_km"], 25)).to_pylist()[0]
        assert row["ci_low"] < row["accuracy_percent"] == 60 < row["ci_high"]
        widths.append(row["ci_high"] - row["ci_low"])
    assert widths[0] > 2 * widths[1] > 4 * widths[2]


def test_neither_row_order_nor_other_benchmarks_change_a_number() -> None:
    table = predictions("one", 300)
    alone = accuracy_table(table, SETTINGS)
    assert accuracy_table(table, SETTINGS) == alone
    together = accuracy_table(pa.concat_tables([table, predictions("two", 50)]), SETTINGS)
    assert together.slice(0, alone.num_rows) == alone
    shuffled = table.take(np.random.default_rng(4).permutation(table.num_rows))
    keys = [(name, "ascending") for name in ("p_key", "radius_km")]
    assert accuracy_table(shuffled, SETTINGS).sort_by(keys) == alone.sort_by(keys)


def test_where_authors_are_known_there_is_an_interval_over_them_and_a_photo_without_one_is_its_own() -> None:
    table = predictions("one", 200)
    rng = np.random.default_rng(0)
    of_photo = {f"one-{k:05d}": None if k % 10 == 0 else f"author {rng.integers(0, 20)}" for k in range(200)}
    photo_ids = table["photo_id"].to_pylist()
    known = table.append_column("author", pa.array([of_photo[photo_id] for photo_id in photo_ids], pa.string()))
    accuracy = accuracy_table(known, SETTINGS)
    assert set(accuracy["num_authors"].to_pylist()) == {40}
    plain = ACCURACY_SCHEMA.names[:-3]
    assert accuracy.select(plain) == accuracy_table(table, SETTINGS).select(plain)
    for row in accuracy.to_pylist():
        assert row["author_ci_low"] <= row["accuracy_percent"] <= row["author_ci_high"]
    shuffled = known.take(rng.permutation(known.num_rows))
    keys = [(name, "ascending") for name in ("p_key", "radius_km")]
    assert accuracy_table(shuffled, SETTINGS).sort_by(keys) == accuracy.sort_by(keys)
    lines = intervals_over_authors_text(accuracy).splitlines()
    assert [line.split()[2] for line in lines[1:]] == ["coarse", "middle", "fine", "f*"]
    assert lines[0].split()[-1] == "authors"


def test_where_no_author_is_known_there_is_no_interval_over_authors() -> None:
    table = predictions("one", 20)
    nobody = table.append_column("author", pa.nulls(table.num_rows, pa.string()))
    for accuracy in (accuracy_table(table, SETTINGS), accuracy_table(nobody, SETTINGS)):
        assert accuracy["num_authors"].null_count == accuracy.num_rows
        assert intervals_over_authors_text(accuracy) == ""


def test_a_table_of_before_authors_were_counted_can_still_be_shown() -> None:
    old = accuracy_table(predictions("one", 20), SETTINGS).select(ACCURACY_SCHEMA.names[:8])
    assert len(accuracy_text(old).splitlines()) == 5


@pytest.mark.parametrize(
    ("p_key", "label"), [("hierarchy", "f*"), ("hierarchy_mass200", "f* mass200"), ("fine", "fine")]
)
def test_a_head_is_called_as_in_the_papers_and_a_rule_after_f_star(p_key: str, label: str) -> None:
    assert head_label(p_key) == label


def test_no_predictions_make_an_empty_table() -> None:
    assert accuracy_table(of_distances(), SETTINGS) == ACCURACY_SCHEMA.empty_table()


def test_the_text_has_a_line_for_each_head_and_names_f_star() -> None:
    accuracy = accuracy_table(predictions("one", 40), SETTINGS)
    lines = accuracy_text(accuracy).splitlines()
    assert " ".join(lines[0].split()) == "benchmark model head 1 km 25 km 200 km 750 km 2500 km photos"
    assert [line.split()[2] for line in lines[1:]] == ["coarse", "middle", "fine", "f*"]
    assert len({len(line) for line in lines}) == 1  # the last column is aligned
    assert AccuracyRow.from_table(accuracy)[3].num_photos == 40


def test_the_markdown_is_a_table_with_as_many_columns_in_every_line() -> None:
    lines = accuracy_markdown(accuracy_table(predictions("one", 40), SETTINGS)).splitlines()
    assert len(lines) == 6
    assert {line.count("|") for line in lines} == {10}
    assert set(lines[1]) <= set("|- ")
