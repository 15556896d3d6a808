from __future__ import annotations

from pathlib import Path

import pytest

from geo_pipeline.defs import versions


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of two rooms and a module."""
    for name in ("cells/a.py", "cells/deep/b.py", "model/a.py", "store.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    monkeypatch.setattr(versions, "PACKAGE", tmp_path)
    versions.code_version.cache_clear()
    return tmp_path


@pytest.mark.parametrize(
    ("changed", "cells", "store"),
    [
        ("cells/a.py", True, False),
        ("cells/deep/b.py", True, False),
        ("model/a.py", False, False),
        ("store.py", False, True),
    ],
)
def test_a_version_changes_with_the_code_it_names_and_with_nothing_else(
    package: Path, changed: str, cells: bool, store: bool
) -> None:
    before = versions.code_version("cells"), versions.code_version("store")
    (package / changed).write_text("new")
    versions.code_version.cache_clear()
    after = versions.code_version("cells"), versions.code_version("store")
    assert [a != b for a, b in zip(after, before, strict=True)] == [cells, store]
