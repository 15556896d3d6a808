"""Projects of the small world for the tests of the Dagster definitions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pytest

from geo_pipeline_tests.defs.project import Project


@pytest.fixture
def bad_metadata(small_world: tuple[Path, int], tmp_path: Path) -> Path:
    """The training metadata with one more row, whose latitude is 95."""
    path = tmp_path / "bad.csv"
    text = (small_world[0] / "world_train_metadata.csv").read_text("utf-8")
    path.write_text(text + "extra,me,95.0,0,0,1,0,0\n", encoding="utf-8")
    return path


@pytest.fixture
def project(write_profile: Callable[..., Path], tmp_path: Path) -> Iterator[Project]:
    (tmp_path / "dagster").mkdir()
    with dg.instance_for_test(temp_dir=str(tmp_path / "dagster")) as instance:
        yield Project(instance, tmp_path, write_profile())
