from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import pytest

from geo_pipeline.errors import InputError
from geo_pipeline.source_code import PACKAGE, code_behind
from geo_pipeline.world import fingerprint
from geo_pipeline.world.fingerprint import world_fingerprint
from geo_pipeline.world.settings import WorldSettings
from geo_pipeline_tests.world.conftest import WORLD


def test_a_copy_of_the_lists_is_the_same_world(small_world: WorldSettings, tmp_path: Path) -> None:
    shutil.copytree(small_world.lists, tmp_path / "copy")
    assert world_fingerprint(tmp_path / "copy") == world_fingerprint(small_world.lists) != world_fingerprint(WORLD)


def test_one_changed_digit_is_another_world(small_world: WorldSettings) -> None:
    before = world_fingerprint(small_world.lists)
    path = small_world.lists / "world_train_metadata.csv"
    path.write_text(path.read_text().replace("1", "2", 1))
    assert world_fingerprint(small_world.lists) != before


def test_another_version_of_the_rendering_is_another_world(
    small_world: WorldSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = world_fingerprint(small_world.lists)
    package = shutil.copytree(PACKAGE, tmp_path / "geo_pipeline", ignore=shutil.ignore_patterns("__pycache__"))
    views = package / "world" / "views.py"
    other = views.read_text("utf-8").replace("    return ", "    _ = None\n    return ", 1)
    views.write_text(other, encoding="utf-8")
    monkeypatch.setattr(fingerprint, "code_behind", partial(code_behind, package=package))
    assert world_fingerprint(small_world.lists) != before


def test_a_folder_without_lists_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"{tmp_path}: no .*_metadata.csv"):
        world_fingerprint(tmp_path)
