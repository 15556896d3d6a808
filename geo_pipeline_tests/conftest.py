"""What several rooms' tests share: a small world of its own, served on a free port."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from geo_pipeline.profile import PROJECT_FOLDER

# A shell's background jobs ignore Ctrl-C, and so would every process that a test starts and interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)

SMALL_SETS = {"world_train": 60, "world_validation": 20, "world_1k": 12, "world_300": 8}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def small_world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """A folder with the lists of a hundred photos of the bundled world, and the port in their URLs."""
    from geo_pipeline.world.lists import make_lists
    from geo_pipeline.world.photo_sets import PHOTO_SETS
    from geo_pipeline.world.places import read_places

    folder, port = tmp_path_factory.mktemp("world"), free_port()
    places = read_places(PROJECT_FOLDER / "resources" / "world" / "places.csv")
    few = {name: places[name][:count] for name, count in SMALL_SETS.items()}
    make_lists(few, folder, port, PHOTO_SETS)
    return folder, port


@pytest.fixture
def write_profile(small_world: tuple[Path, int], tmp_path: Path) -> Callable[..., Path]:
    """Writes a profile of the small world, with changes at dotted keys, and gives its path."""
    return profile_writer(small_world, tmp_path / "small.yaml")


@pytest.fixture
def scene_config(tmp_path: Path) -> Path:
    """A config of scene networks for the few photos of the small world."""
    content = yaml.safe_load((PROJECT_FOLDER / "resources" / "training" / "ci_isn.yml").read_text("utf-8"))
    content["scene_params"] = {"min_probability": 0.05, "min_photos": 1}
    path = tmp_path / "isn.yml"
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return path


def profile_writer(world: tuple[Path, int], path: Path) -> Callable[..., Path]:
    """A function that writes a profile of a small world to `path`, with changes at dotted keys."""
    folder, port = world

    def write(**changes: object) -> Path:
        content: dict[str, Any] = yaml.safe_load((PROJECT_FOLDER / "resources" / "ci.yaml").read_text("utf-8"))
        content["name"] = "small"
        content["training"] = str(PROJECT_FOLDER / "resources" / content["training"])
        content.pop("scene_training")  # it would double the time of every test that trains: see `scene_config`
        content["crawl"]["allow_origins"] = [f"127.0.0.1:{port}"]
        content["world"] = {"port": port, "lists": str(folder)}
        content["checks"] = {"min_ok_percent": 50, "max_rejected_percent": 0}
        for name, photo_set in content["photo_sets"].items():
            photo_set.pop("max_photos", None)
            photo_set["metadata_csv"] = str(folder / f"{name}_metadata.csv")
            if "url_csv" in photo_set:
                photo_set["url_csv"] = str(folder / f"{name}_urls.csv")
            else:
                photo_set["image_dir"] = str(folder / name)
        for dotted, value in changes.items():
            *parents, key = dotted.split("__")
            place = content
            for parent in parents:
                place = place[parent]
            place[key] = value
        path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        return path

    return write
