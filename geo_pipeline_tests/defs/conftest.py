"""Projects of the small world for the tests of the Dagster definitions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pytest

from geo_pipeline_tests.defs.project import Project


@pytest.fixture
def project(write_profile: Callable[..., Path], tmp_path: Path) -> Iterator[Project]:
    (tmp_path / "dagster").mkdir()
    with dg.instance_for_test(temp_dir=str(tmp_path / "dagster")) as instance:
        yield Project(instance, tmp_path, write_profile())
