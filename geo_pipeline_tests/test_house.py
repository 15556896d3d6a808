"""The rules of the house (README, architecture), each as a test over the imports that stand in the code."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import geo_pipeline

PACKAGE = Path(geo_pipeline.__file__).parent
ROOMS = ("photos", "pixels", "crawl", "shards", "cells", "model", "training", "evaluation", "world", "planning")
SHARED = {"errors", "store", "source_code", "lock", "typed_yaml", "arguments"}
MAY_IMPORT = {
    "photos": set(),
    "pixels": set(),
    "shards": set(),
    "cells": set(),
    "world": set(),
    "crawl": {"photos", "pixels", "shards"},
    "model": {"cells", "pixels", "shards"},
    "training": {"model", "cells", "shards"},
    "evaluation": {"model", "cells", "shards"},
    "planning": {"profile", "photos", "crawl", "shards", "cells", "training"},
}
LIGHT = {
    "torch",
    "torchvision",
    "lightning",
    "timm",
    "numpy",
    "pandas",
    "pyarrow",
    "msgpack",
    "pydantic",
    "yaml",
    "PIL",
    "safetensors",
    "simplejpeg",
    "tqdm",
}


def imports(path: Path) -> set[str]:
    """Dotted names of the modules that a file imports anywhere."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    return names | {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}


def room_imports(room: str) -> set[str]:
    return set().union(*(imports(path) for path in (PACKAGE / room).rglob("*.py")))


@pytest.mark.parametrize("room", ROOMS)
def test_no_room_but_defs_imports_dagster(room: str) -> None:
    allowed = {"dagster_pipes"} if room == "training" else set()
    assert {name for name in room_imports(room) if name.split(".")[0].startswith("dagster")} <= allowed


@pytest.mark.parametrize("room", ROOMS)
def test_imports_between_rooms_run_one_way(room: str) -> None:
    ours = {name.split(".")[1] for name in room_imports(room) if name.startswith("geo_pipeline.")}
    assert ours <= MAY_IMPORT[room] | SHARED | {room}


@pytest.mark.parametrize("room", ["model", "training"])
def test_model_and_training_need_nothing_that_a_gpu_machine_lacks(room: str) -> None:
    roots = {name.split(".")[0] for name in room_imports(room)}
    foreign = roots - set(sys.stdlib_module_names) - {"geo_pipeline", "dagster_pipes"}
    assert foreign <= LIGHT


@pytest.mark.parametrize("forbidden", ["dagster", "duckdb", "s2sphere"])
def test_training_really_imports_without(forbidden: str) -> None:
    rooms = "geo_pipeline.training.run, geo_pipeline.model.prediction"
    code = f"import sys; sys.modules[{forbidden!r}] = None; import {rooms}"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_importing_the_definitions_leaves_the_heavy_libraries_alone() -> None:
    heavy = ["torch", "torchvision", "lightning", "cv2", "pandas", "matplotlib", "duckdb", "aiohttp"]
    code = f"import sys, geo_pipeline.definitions; print([name for name in {heavy!r} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout.strip() == "[]"


def test_only_the_definitions_read_the_environment_at_import() -> None:
    readers = {
        path.name
        for path in PACKAGE.rglob("*.py")
        for statement in ast.parse(path.read_text(encoding="utf-8")).body
        if not isinstance(statement, ast.FunctionDef | ast.ClassDef)
        for node in ast.walk(statement)
        if (isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv"})
        or (isinstance(node, ast.Name) and node.id in {"profile_path", "home_folder", "layout_of"})
    }
    assert readers == {"definitions.py"}


def test_every_module_says_what_lives_in_it() -> None:
    silent = [path for path in PACKAGE.rglob("*.py") if not ast.get_docstring(ast.parse(path.read_text("utf-8")))]
    assert silent == []


def test_every_data_file_of_the_package_is_installed_with_it() -> None:
    settings = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]
    installed = {path for pattern in settings["package-data"]["geo_pipeline"] for path in PACKAGE.glob(pattern)}
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", PACKAGE.name],  # noqa: S607
        cwd=PACKAGE.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("this is no Git checkout")
    files = {PACKAGE.parent / name for name in listed.stdout.split("\0") if name}
    data = {path for path in files if path.suffix not in {".py", ".md"}}
    assert data - installed == set()
