"""`geo-pipeline evaluate`: its table, its lists, and what it refuses."""

from __future__ import annotations

import csv
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import torch
from geopy.distance import great_circle

from geo_pipeline.cli import main
from geo_pipeline.evaluation.accuracy import accuracy_table
from geo_pipeline.evaluation.settings import EvaluationSettings
from geo_pipeline.model.network import GeoModel
from geo_pipeline.profile import layout_of, load_profile
from geo_pipeline.store import read_table, write_table
from geo_pipeline_tests.model.made_up import COLOURS, LATITUDES, LONGITUDES, cells, geography, jpeg, photos
from geo_pipeline_tests.model.picture_files import broken_files, write
from geo_pipeline_tests.model.test_checkpoint import save

NUM_PHOTOS = 30


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    torch.manual_seed(4)
    (tmp_path / "my run").mkdir()
    return save(tmp_path / "my run" / "best.ckpt", GeoModel("small_resnet", geography().num_classes))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pictures, one of them broken and one that no metadata knows."""
    rng = np.random.default_rng(6)
    pictures = {f"{k % 3}/photo{k}.jpg": jpeg(COLOURS[k % 4], rng) for k in range(NUM_PHOTOS)}
    write(
        tmp_path / "pictures",
        {**pictures, "broken.png": broken_files()["cut.png"], "unknown.jpg": pictures["0/photo0.jpg"]},
    )
    return tmp_path / "pictures"


@pytest.fixture
def metadata(tmp_path: Path) -> Path:
    """Places of the pictures near the made-up cells, and of one picture that is not there."""
    lines = ["IMG_ID,AUTHOR,LAT,LON"]
    ids = [*(f"photo{k}" + (".jpg" if k % 2 else "") for k in range(NUM_PHOTOS)), "broken", "lost.jpg"]
    for k, photo_id in enumerate(ids):
        latitude, longitude = LATITUDES[k % 4] + 0.01 * k**1.9, LONGITUDES[k % 4]
        lines.append(f"{photo_id},author{k % 7},{latitude},{longitude}")
    path = tmp_path / "metadata.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def evaluate(checkpoint: Path, folder: Path, metadata: Path, tmp_path: Path) -> Callable[..., int]:
    def run(*arguments: object) -> int:
        where = ["--checkpoint", checkpoint, "--image-dirs", folder, "--meta-files", metadata, "--no-gpu"]
        return main(["evaluate", *map(str, [*where, "--output", tmp_path / "out", *arguments])])

    return run


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_the_table_agrees_with_a_few_lines_over_the_predictions(
    evaluate: Callable[..., int], metadata: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate("--rule", "mass200") == 0
    places = {row["IMG_ID"]: (float(row["LAT"]), float(row["LON"])) for row in rows(metadata)}
    hits: dict[tuple[str, int], list[bool]] = {}
    for row in rows(tmp_path / "out" / "predictions.csv"):
        km = great_circle(places[row["photo_id"]], (float(row["latitude"]), float(row["longitude"])), radius=6371.0).km
        assert float(row["distance_km"]) == pytest.approx(km, abs=1e-3)
        for radius in (1, 25, 200, 750, 2500):
            hits.setdefault((row["p_key"], radius), []).append(km <= radius)
    table = rows(tmp_path / "out" / "accuracy.csv")
    assert {(row["p_key"], int(row["radius_km"])) for row in table} == set(hits)
    for row in table:
        found = hits[row["p_key"], int(row["radius_km"])]
        assert int(row["num_photos"]) == len(found) == NUM_PHOTOS
        assert float(row["accuracy_percent"]) == pytest.approx(100 * sum(found) / len(found))
        assert (row["benchmark"], row["model"], row["num_authors"]) == ("pictures", "my run", "7")
    assert len({row["accuracy_percent"] for row in table}) > 3
    printed = capsys.readouterr().out.splitlines()
    assert " ".join(printed[0].split()) == "benchmark model head 1 km 25 km 200 km 750 km 2500 km photos"
    assert [line.split()[3] for line in printed[1:5]] == ["coarse", "middle", "fine", "f*"]
    assert "95 % intervals over authors instead of photos:" in printed


def test_csv_and_parquet_hold_the_same(evaluate: Callable[..., int], tmp_path: Path) -> None:
    assert evaluate() == 0
    for name in ("accuracy", "predictions"):
        table = read_table(tmp_path / "out" / f"{name}.parquet").to_pylist()
        lines = rows(tmp_path / "out" / f"{name}.csv")
        assert [list(row) for row in table] == [list(line) for line in lines]
        for row, line in zip(table, lines, strict=True):
            for column, value in row.items():
                same = float(line[column]) == value if isinstance(value, float) else line[column] == str(value)
                assert same or (isinstance(value, float) and math.isnan(value))


def test_every_photo_is_answered_or_listed_with_the_reason(
    evaluate: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate() == 0
    reasons = {row["photo"]: row["reason"] for row in rows(tmp_path / "out" / "left_out.csv")}
    assert set(reasons) == {"broken", "lost.jpg", "unknown.jpg"}
    assert reasons["lost.jpg"] == "metadata without a picture"
    assert reasons["unknown.jpg"] == "a picture without metadata"
    assert "1 metadata without a picture" in capsys.readouterr().out


def test_neither_batch_size_nor_workers_change_a_byte(evaluate: Callable[..., int], tmp_path: Path) -> None:
    files = [tmp_path / "out" / name for name in ("predictions.csv", "accuracy.csv", "left_out.csv")]
    assert evaluate("--batch-size", 64) == 0
    expected = [path.read_bytes() for path in files]
    assert evaluate("--batch_size", 2, "--num-workers", 1) == 0
    assert [path.read_bytes() for path in files] == expected


def test_bad_rows_of_the_metadata_are_refused_or_listed(
    evaluate: Callable[..., int], metadata: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    metadata.write_text(metadata.read_text() + "photo99,a,95.0,3.0\nphoto1.jpg,a,1,1\n")
    assert evaluate() == 2
    message = capsys.readouterr().err
    assert "2 rows cannot be used" in message
    assert f"{metadata}, row 34: LAT" in message
    assert evaluate("--skip-bad-rows") == 0
    reasons = {row["photo"]: row["reason"] for row in rows(tmp_path / "out" / "left_out.csv")}
    assert "doubled id" in reasons["metadata.csv, row 35"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (["--meta-files"], "--image-dirs names 1 folders, --meta-files 2 files"),
        (["--output", "a file"], "a file stands where a folder is needed"),
    ],
)
def test_a_mistake_is_one_message_and_exit_code_2(
    evaluate: Callable[..., int],
    metadata: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: list[str],
    words: str,
) -> None:
    (tmp_path / "a file").write_text("")
    values = {"--meta-files": [metadata, metadata], "--output": [tmp_path / "a file"]}
    assert evaluate(change[0], *values[change[0]]) == 2
    assert words in capsys.readouterr().err


def test_metadata_of_another_folder_is_refused(
    evaluate: Callable[..., int], metadata: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    metadata.write_text("IMG_ID,LAT,LON\nx1,1,1\n")
    assert evaluate() == 2
    assert "none of its 1 photos is among the 32 pictures" in capsys.readouterr().err


@pytest.fixture
def profile(
    write_profile: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, checkpoint: Path
) -> Path:
    """A profile whose files are made up: a checkpoint, its cells, shards with two benchmarks."""
    monkeypatch.setenv("GEO_PIPELINE_HOME", str(tmp_path / "home"))
    path = write_profile()
    layout = layout_of(load_profile(path))
    layout.checkpoint.parent.mkdir(parents=True)
    checkpoint.rename(layout.checkpoint)
    for name, table in cells().items():
        write_table(layout.table(f"cells_{name}"), table)
    manifests, metadata = [], []
    for seed, name in enumerate(("world_1k", "world_300")):
        (layout.shards / name / f"{name}-000").mkdir(parents=True)
        made = photos(layout.shards / name / f"{name}-000", 12, seed=seed)
        count = made.num_rows
        status = pa.array(["gone" if k == 3 else "ok" for k in range(count)])
        columns = {"photo_set": [name] * count, "bucket": [f"{name}-000"] * count, "status": status}
        stored = made.select(["photo_id", "shard", "offset", "length"])
        manifests.append(pa.table({**columns, **{each: stored[each] for each in stored.column_names}}))
        places = made.select(["photo_id", "latitude", "longitude"])
        known = {"photo_set": [name] * count, "author": [f"a{k % 3}" for k in range(count)]}
        metadata.append(pa.table({**{each: places[each] for each in places.column_names}, **known}))
    write_table(layout.table("photo_manifest"), pa.concat_tables(manifests))
    write_table(layout.table("photo_metadata"), pa.concat_tables(metadata))
    return path


def test_without_arguments_it_is_the_profiles_model_on_its_benchmarks(
    profile: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "measured"
    assert main(["--profile", str(profile), "evaluate", "--output", str(output), "--no-gpu"]) == 0
    accuracy = read_table(output / "accuracy.parquet")
    assert dict.fromkeys(accuracy["benchmark"].to_pylist()) == {"world_1k": None, "world_300": None}
    assert set(accuracy["model"].to_pylist()) == {"base"}
    assert set(accuracy["num_photos"].to_pylist()) == {11}
    predictions = read_table(output / "predictions.parquet")
    assert accuracy_table(predictions, EvaluationSettings()) == accuracy
    assert rows(output / "left_out.csv") == [
        {"benchmark": name, "photo": f"{seed}-3", "reason": "gone"}
        for seed, name in enumerate(("world_1k", "world_300"))
    ]
    assert "world_1k: left out: 1 gone" in capsys.readouterr().out


def test_networks_of_scenes_get_rows_of_their_own_by_the_same_options(
    profile: Path, write_profile: Callable[..., Path], scene_config: Path, tmp_path: Path
) -> None:
    profile = write_profile(scene_training=str(scene_config))
    layout, scenes = layout_of(load_profile(profile)), list(load_profile(profile).scenes)
    metadata = read_table(layout.table("photo_metadata"))
    for place, scene in enumerate(scenes):
        layout.scene_run(scene).mkdir(parents=True)
        shutil.copy(layout.checkpoint, layout.scene_run(scene) / "best.ckpt")
        shares = pa.array([float(row % 3 == place) for row in range(metadata.num_rows)])
        metadata = metadata.append_column(f"probability_{scene}", shares)
    write_table(layout.table("photo_metadata"), metadata)
    options = ["--no-gpu", "--precision", "bf16", "--crops", "1", "--rule", "mass200"]
    assert main(["--profile", str(profile), "evaluate", "--output", str(tmp_path / "measured"), *options]) == 0
    predictions = read_table(tmp_path / "measured" / "predictions.parquet")
    order = [(name, "ascending") for name in ("benchmark", "photo_id", "p_key")]
    base, isn = (
        predictions.filter(pc.equal(predictions["model"], name)).drop_columns("model").sort_by(order)
        for name in ("base", "isn")
    )
    assert base == isn  # the same network for each scene, in the same arithmetic
    assert base.num_rows == 2 * 11 * 5


def test_a_network_of_other_cells_is_not_measured_on_the_profiles_benchmarks(
    profile: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = layout_of(load_profile(profile)).table("cells_fine")
    write_table(path, read_table(path).slice(0, 3))
    assert main(["--profile", str(profile), "evaluate", "--no-gpu"]) == 2
    message = capsys.readouterr().err
    assert "a network of another profile: its 4 cells of fine are not the 3 of profile small" in message


def test_predict_and_evaluate_say_the_same_of_a_photo(
    evaluate: Callable[..., int], checkpoint: Path, folder: Path, tmp_path: Path
) -> None:
    assert evaluate() == 0
    predicted = tmp_path / "predicted.parquet"
    where = ["--checkpoint", checkpoint, "--image-dir", folder, "--output", predicted, "--no-gpu", "--batch-size", 7]
    assert main(["predict", *map(str, where), "--details"]) == 0
    evaluated = read_table(tmp_path / "out" / "predictions.parquet")
    told = {
        (Path(row["img_id"]).name, row["p_key"]): [row[name] for name in ("pred_class", "pred_lat", "confidence")]
        for row in read_table(predicted).to_pylist()
    }
    assert pc.count_distinct(evaluated["photo_id"]).as_py() == NUM_PHOTOS
    for row in evaluated.to_pylist():
        same = [row[name] for name in ("class_label", "latitude", "confidence")]
        assert told[Path(row["photo_id"]).with_suffix("").name, row["p_key"]] == same
