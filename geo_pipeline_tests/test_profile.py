from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from geo_pipeline.errors import InputError
from geo_pipeline.profile import PROJECT_FOLDER, Layout, home_folder, load_profile, profile_path

MINIMAL: dict[str, Any] = {
    "name": "mine",
    "photo_sets": {
        "a": {"role": "train", "url_csv": "a.csv", "metadata_csv": "a_metadata.csv", "buckets": 3},
        "b": {"role": "validation", "url_csv": "b.csv", "metadata_csv": "b_metadata.csv"},
        "c": {"role": "benchmark", "image_dir": "pictures", "metadata_csv": "c_metadata.csv", "publisher": "the moon"},
    },
    "partitionings": {"coarse": {"img_max": 300}, "middle": {"img_max": 200}, "fine": {"img_max": 100}},
    "training": "train.yml",
}


WHERE = "    where to get them"


def write(folder: Path, content: object) -> Path:
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return path


def changed(**changes: object) -> dict[str, Any]:
    return {**MINIMAL, **changes}


def test_paths_are_taken_from_the_profiles_folder(tmp_path: Path) -> None:
    profile = load_profile(write(tmp_path, MINIMAL))
    assert profile.photo_sets["a"].url_csv == tmp_path / "a.csv"
    assert profile.training == tmp_path / "train.yml"
    assert profile.bucket_keys() == ["a-000", "a-001", "a-002", "b-000", "c-000"]


@pytest.mark.parametrize("name", ["world", "ci", "mp16"])
def test_the_bundled_profiles_load_with_their_training(name: str) -> None:
    profile = load_profile(PROJECT_FOLDER / "resources" / f"{name}.yaml")
    assert profile.name == name
    assert profile.training_config() is not None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (changed(crawll={}), ["crawll: unknown key; did you mean crawl?"]),
        (changed(crawl={"concurency": 3}), ["crawl.concurency: unknown key; did you mean concurrency?"]),
        (changed(crawl={"concurrency": "many"}), ["crawl.concurrency: found 'many'", "integer"]),
        (changed(name="../x"), ["name: found '../x'"]),
        ({key: value for key, value in MINIMAL.items() if key != "training"}, ["training: this key is required"]),
        (changed(partitionings={"coarse": {"img_max": 300}}), ["exactly coarse, middle, fine"]),
        (
            changed(
                partitionings={
                    "coarse": {"img_max": 300, "img_min": 9},
                    "middle": {"img_max": 200, "img_min": 5},
                    "fine": {"img_max": 100},
                }
            ),
            ["img_min no smaller than the coarser one"],
        ),
        (changed(photo_sets={"a": MINIMAL["photo_sets"]["a"]}), ["none has the role validation"]),
        (changed(photo_sets={"a": {"role": "train", "metadata_csv": "m"}}), ["photo_sets.a", "url_csv or image_dir"]),
        (
            changed(photo_sets={"a": {**MINIMAL["photo_sets"]["a"], "bucket": 3}}),
            ["photo_sets.a.bucket: unknown key; did you mean buckets?"],
        ),
        (
            changed(photo_sets={**MINIMAL["photo_sets"], "a": {**MINIMAL["photo_sets"]["a"], "buckets": 98}}),
            ["100 buckets in all, at most 99"],
        ),
        (["a", "list"], ["expected a mapping of settings, found list"]),
    ],
)
def test_a_wrong_profile_is_refused_naming_file_key_and_remedy(
    tmp_path: Path, content: object, words: list[str]
) -> None:
    with pytest.raises(InputError) as caught:
        load_profile(write(tmp_path, content))
    for word in [str(tmp_path / "mine.yaml"), *words]:
        assert word in str(caught.value)


def test_a_profile_that_is_not_there_or_no_yaml_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no such profile; give a path ending in \.yaml or one of: ci, mp16, world"):
        load_profile(profile_path("wrld"))
    (tmp_path / "x.yaml").write_text("a: [")
    with pytest.raises(InputError, match="not valid YAML"):
        load_profile(tmp_path / "x.yaml")


def test_missing_inputs_are_all_named_with_form_and_publisher(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("1,http://h/1\n")
    with pytest.raises(InputError) as caught:
        load_profile(write(tmp_path, MINIMAL)).require_inputs()
    lines = str(caught.value).splitlines()
    assert "input files are missing" in lines[0]
    assert [line.split(": ")[0] for line in lines[1:]] == ["  - a", "  - b", "  - b", "  - c", "  - c", WHERE]
    assert lines[-1] == f"{WHERE}: the moon"


def test_a_missing_table_of_cells_is_named(tmp_path: Path) -> None:
    content = changed(partitionings={**MINIMAL["partitionings"], "middle": {"csv": "cells.csv"}})
    with pytest.raises(InputError, match=rf"partitionings\.middle: {tmp_path}/cells\.csv: a published table of cells"):
        load_profile(write(tmp_path, content)).require_inputs()
    (tmp_path / "cells.csv").touch()
    with pytest.raises(InputError) as caught:
        load_profile(write(tmp_path, content)).require_inputs()
    assert "cells.csv" not in str(caught.value)


def test_the_files_of_a_scene_classifier_are_named_when_missing_and_nothing_else_is_asked_for(tmp_path: Path) -> None:
    scenes = {"scenes": {"urban": "Prob_urban"}, "scene_training": "isn.yml"}
    classifier = {"architecture": "resnet18", "checkpoint": "places.pth"}
    profile = load_profile(write(tmp_path, changed(**scenes, scene_classifier=classifier)))
    with pytest.raises(InputError, match=rf"scene_classifier\.checkpoint: {tmp_path}/places\.pth: its weights with"):
        profile.require_inputs()
    (tmp_path / "places.pth").touch()
    with pytest.raises(InputError) as caught:
        profile.require_inputs()
    assert "scene_classifier" not in str(caught.value)


def test_a_scene_classifier_that_nobody_would_ask_is_refused(tmp_path: Path) -> None:
    content = changed(scene_classifier={"checkpoint": "places.pth"})
    with pytest.raises(InputError, match=r"scene_classifier: nobody would ask it; expected `scene_training` too"):
        load_profile(write(tmp_path, content))


def test_the_papers_profile_names_its_missing_files_and_their_publishers() -> None:
    profile = load_profile(profile_path("mp16"))
    with pytest.raises(InputError) as caught:
        profile.require_inputs()
    for name in ("mp16_urls.csv", "mp16_places365.csv", "yfcc25600_urls.csv", "im2gps3k", "Multimedia Commons", "Hays"):
        assert name in str(caught.value)


def test_the_environment_names_profile_and_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("GEO_PIPELINE_PROFILE", raising=False)
    monkeypatch.delenv("GEO_PIPELINE_HOME", raising=False)
    assert profile_path() == PROJECT_FOLDER / "resources" / "world.yaml"
    assert home_folder() == PROJECT_FOLDER / ".geo_pipeline"
    monkeypatch.setenv("GEO_PIPELINE_PROFILE", str(tmp_path / "p.yaml"))
    monkeypatch.setenv("GEO_PIPELINE_HOME", str(tmp_path))
    assert profile_path() == tmp_path / "p.yaml"
    assert home_folder() == tmp_path


def test_the_layout_is_the_documented_one(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "mine")
    assert layout.table("cells_fine") == tmp_path / "mine/tables/cells_fine.parquet"
    assert layout.table("url_lists", "a_b-000") == tmp_path / "mine/tables/url_lists/a_b-000.parquet"
    assert layout.bucket("a_b-000") == tmp_path / "mine/shards/a_b/a_b-000"
    assert layout.dagster_home == tmp_path / "mine/dagster"
