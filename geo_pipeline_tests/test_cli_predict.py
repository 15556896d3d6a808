"""`geo-pipeline predict`: what it writes, prints and refuses, on folders as people have them."""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from geo_pipeline.cli import main
from geo_pipeline.cli_predict import PRECISIONS
from geo_pipeline.model.areas import LEVELS
from geo_pipeline.model.network import GeoModel
from geo_pipeline.model.pictures import photo_ids_of
from geo_pipeline.model.prediction import predict_photos
from geo_pipeline.model.predictor import PredictionOptions
from geo_pipeline.profile import layout_of, load_profile
from geo_pipeline.shards.reader import ShardReader
from geo_pipeline.store import read_table
from geo_pipeline_tests.model.made_up import geography, photos
from geo_pipeline_tests.model.picture_files import broken_files, encoded, good_files, scene, write
from geo_pipeline_tests.model.test_checkpoint import save

HEADER = ["img_id", "p_key", "pred_class", "pred_lat", "pred_lng"]
P_KEYS = ["coarse", "middle", "fine", "hierarchy"]


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    torch.manual_seed(4)
    (tmp_path / "run").mkdir()
    return save(tmp_path / "run" / "best.ckpt", GeoModel("small_resnet", geography().num_classes))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "pictures", {**good_files(), **broken_files()})
    return tmp_path / "pictures"


@pytest.fixture
def predict(checkpoint: Path, folder: Path, tmp_path: Path) -> Callable[..., int]:
    def run(*arguments: object) -> int:
        where = ["--checkpoint", checkpoint, "--image-dir", folder, "--output", tmp_path / "out.csv", "--no-gpu"]
        return main(["predict", *map(str, [*where, *arguments])])

    return run


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_the_command_knows_the_choices_of_the_library() -> None:
    assert tuple(LEVELS) == PRECISIONS


def test_every_picture_has_a_row_for_each_p_key_and_every_broken_one_a_line(
    predict: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict() == 0
    found = rows(tmp_path / "out.csv")
    assert list(found[0]) == HEADER
    ids = photo_ids_of(sorted(good_files()))
    assert [row["p_key"] for row in found] == P_KEYS * len(ids)
    assert [row["img_id"] for row in found[::4]] == ids
    places = geography()
    for row in found:
        partitioning, label = places.partitioning_of(row["p_key"]), int(row["pred_class"])
        assert float(row["pred_lat"]) == partitioning.latitudes[label]
        assert float(row["pred_lng"]) == partitioning.longitudes[label]
    errors = rows(tmp_path / "out_errors.csv")
    assert sorted(row["file"] for row in errors) == sorted(broken_files())
    assert all(row["error"] for row in errors)
    printed = capsys.readouterr().out
    assert f"{tmp_path / 'out.csv'}: {len(ids)} photos" in printed
    assert f"{len(errors)} pictures could not be read" in printed
    assert printed.splitlines()[0].split() == HEADER


def test_an_error_list_of_an_earlier_run_does_not_stay(
    predict: Callable[..., int], folder: Path, tmp_path: Path
) -> None:
    assert predict() == 0
    for name in broken_files():
        (folder / name).unlink()
    assert predict() == 0
    assert not (tmp_path / "out_errors.csv").exists()


def test_neither_batch_size_nor_workers_change_a_byte(predict: Callable[..., int], tmp_path: Path) -> None:
    assert predict("--details") == 0
    expected = (tmp_path / "out.csv").read_bytes()
    assert predict("--details", "--batch_size=2", "--num_workers", 2) == 0
    assert (tmp_path / "out.csv").read_bytes() == expected


def test_the_answers_for_stored_photos_are_those_of_the_benchmarks(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "shards").mkdir()
    table = photos(tmp_path / "shards", 9)
    reader = ShardReader(tmp_path / "shards")
    for row in table.to_pylist():
        write(tmp_path / "jpegs", {f"{row['photo_id']}.jpg": reader.image(row["shard"], row["offset"], row["length"])})
    expected = predict_photos(checkpoint, table, tmp_path / "shards", PredictionOptions(batch_size=4, device="cpu"))
    where = ["--checkpoint", checkpoint, "--image-dir", tmp_path / "jpegs", "--output", tmp_path / "out.parquet"]
    assert main(["predict", *map(str, where), "--details"]) == 0
    found = read_table(tmp_path / "out.parquet")
    names = ["photo_id", "p_key", "class_label", "latitude", "longitude", "confidence"]
    assert found.drop(["radius_km", "top5"]).rename_columns(names) == expected.drop(["probability"])


def test_details_say_how_sure_an_answer_is_and_what_else_it_could_be(
    predict: Callable[..., int], tmp_path: Path
) -> None:
    assert predict("--details", "--radius-km", 500, "--rule", "mass200", "mass750") == 0
    found = rows(tmp_path / "out.csv")
    assert list(found[0]) == [*HEADER, "confidence", "radius_km", "top5"]
    assert [row["p_key"] for row in found[:6]] == [*P_KEYS, "hierarchy_mass200", "hierarchy_mass750"]
    assert {row["radius_km"] for row in found} == {"500"}
    for row in found:
        assert 0 <= float(row["confidence"]) <= 1
        top = [cell.split() for cell in row["top5"].split("; ")]
        assert len(top) == (2 if row["p_key"] == "coarse" else 4)
        shares = [float(share) for *_, share in top]
        assert shares == sorted(shares, reverse=True)
        assert sum(shares) == pytest.approx(1, abs=1e-3)
        if row["p_key"] in P_KEYS:
            assert top[0][0] == row["pred_class"]


def test_an_answer_that_is_not_sure_enough_is_left_empty(predict: Callable[..., int], tmp_path: Path) -> None:
    assert predict("--details") == 0
    before = rows(tmp_path / "out.csv")
    floor = float(np.median([float(row["confidence"]) for row in before]))
    assert predict("--details", "--abstain-below", floor) == 0
    for old, new in zip(before, rows(tmp_path / "out.csv"), strict=True):
        withheld = float(old["confidence"]) < floor
        emptied = dict.fromkeys(["pred_class", "pred_lat", "pred_lng", "top5"], "")
        assert new == (old | emptied if withheld else old)


def test_with_a_limited_precision_no_point_and_no_class_is_told(predict: Callable[..., int], tmp_path: Path) -> None:
    assert predict("--details", "--max-precision", "region", "--abstain-below", 0.0) == 0
    found = rows(tmp_path / "out.csv")
    assert len(found) == len(good_files())
    assert {row["p_key"] for row in found} == {"region"}
    fine_points = set(map(str, geography().partitioning_of("hierarchy").latitudes.tolist()))
    assert not fine_points & {row["pred_lat"] for row in found}
    assert predict("--max-precision", "country", "--abstain-below", 1.0) == 0
    empty = rows(tmp_path / "out.csv")
    assert list(empty[0]) == HEADER
    assert [list(row.values())[1:] for row in empty] == [["none", "", "", ""]] * len(good_files())


def test_without_a_checkpoint_it_is_the_profiles_model(
    write_profile: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    checkpoint: Path,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("GEO_PIPELINE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    profile = write_profile()
    model = layout_of(load_profile(profile)).checkpoint
    assert main(["--profile", str(profile), "predict", "--image-dir", str(folder)]) == 2
    assert "no such checkpoint; materialize geo_model first" in capsys.readouterr().err
    model.parent.mkdir(parents=True)
    checkpoint.rename(model)
    assert main(["--profile", str(profile), "predict", "--image_dir", str(folder)]) == 0
    assert len(rows(tmp_path / "predictions.csv")) == 4 * len(good_files())


def test_hparams_of_another_run_are_refused(
    predict: Callable[..., int], checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hparams = checkpoint.with_name("hparams.yaml")
    hparams.write_text(yaml.safe_dump({"model_params": {"architecture": "resnet50"}}))
    assert predict() == 2
    assert f"{hparams}: architecture is 'resnet50', in {checkpoint} it is 'small_resnet'" in capsys.readouterr().err
    hparams.unlink()
    assert predict("--hparams", hparams) == 2
    assert "no such file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--abstain-below", "1.5"], "--abstain-below 1.5: a probability lies between 0 and 1"),
        (["--radius-km", "0"], "--radius-km 0: expected kilometres above 0"),
        (["--max-precision", "city", "--rule", "mass25"], "give one of the two"),
        (["--output", "here.txt"], "here.txt: the ending is .txt, expected .csv or .parquet"),
        (["--checkpoint", "absent.ckpt"], "absent.ckpt: no such checkpoint"),
        (["--image-dir", "absent"], "absent: no such folder"),
    ],
)
def test_a_mistake_is_one_message_and_exit_code_2(
    predict: Callable[..., int], capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert predict(*arguments) == 2
    message = capsys.readouterr().err
    assert message.startswith("geo-pipeline: ")
    assert words in message


@pytest.mark.parametrize(
    "arguments", [["--batch-size", "0"], ["--num-workers", "-1"], ["--crops", "3"], ["--rule", "x"]]
)
def test_a_value_that_cannot_be_is_exit_code_2(predict: Callable[..., int], arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        predict(*arguments)
    assert exit_.value.code == 2


def test_a_folder_of_broken_pictures_only_is_an_error_that_names_them(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "broken", broken_files())
    where = ["--checkpoint", checkpoint, "--image-dir", tmp_path / "broken", "--output", tmp_path / "out.csv"]
    assert main(["predict", *map(str, where)]) == 2
    message = capsys.readouterr().err
    assert f"none of its {len(broken_files())} pictures can be read; the first:" in message
    assert "empty.jpg: an empty file" in message
    assert not (tmp_path / "out.csv").exists()


def test_a_corrupt_checkpoint_is_named(
    predict: Callable[..., int], checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    assert predict() == 2
    assert f"{checkpoint}: not a whole checkpoint" in capsys.readouterr().err


def test_the_same_name_in_two_folders_gives_two_photos(checkpoint: Path, tmp_path: Path) -> None:
    picture = encoded(scene(), "JPEG")
    write(tmp_path / "twice", {"a/x.jpg": picture, "b/x.jpg": picture, "b/x.png": encoded(scene(), "PNG")})
    where = ["--checkpoint", checkpoint, "--image-dir", tmp_path / "twice", "--output", tmp_path / "out.csv"]
    assert main(["predict", *map(str, where)]) == 0
    assert sorted({row["img_id"] for row in rows(tmp_path / "out.csv")}) == ["a/x", "b/x.jpg", "b/x.png"]


def test_a_map_is_drawn_of_each_photo_of_which_something_is_told(
    predict: Callable[..., int], folder: Path, tmp_path: Path
) -> None:
    for name in list(good_files())[3:]:
        (folder / name).unlink()
    maps = tmp_path / "maps"
    assert predict("--map", maps, "--details") == 0
    told = {row["img_id"] for row in rows(tmp_path / "out.csv")}
    assert {path.relative_to(maps).with_suffix("").as_posix() for path in maps.rglob("*.png")} == told
    sizes = {Image.open(io.BytesIO(path.read_bytes())).size for path in maps.rglob("*.png")}
    assert all(width > 2 * height > 400 for width, height in sizes)
    shutil.rmtree(maps)
    assert predict("--map", maps, "--abstain-below", 1.0) == 0
    assert not maps.exists()
    assert predict("--map", maps, "--max-precision", "country", "--abstain-below", 0.0) == 0
    assert len(list(maps.rglob("*.png"))) == 3
