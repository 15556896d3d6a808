"""The committed world, small worlds on free ports, and waiting for a port to close."""

from __future__ import annotations

import csv
import socket
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from geo_pipeline.world.lists import make_lists
from geo_pipeline.world.photo_sets import PhotoSet
from geo_pipeline.world.settings import WorldSettings

WORLD = Path(__file__).resolve().parents[2] / "resources" / "world"
SMALL_SETS = (PhotoSet("world_300", 4, benchmark=True, as_folder=True), PhotoSet("world_train", 20))

Row = dict[str, str]


@pytest.fixture(scope="session")
def metadata() -> Callable[[str], list[Row]]:
    """The rows of a committed metadata file by photo set."""

    def read(photo_set: str) -> list[Row]:
        with (WORLD / f"{photo_set}_metadata.csv").open(newline="") as stream:
            return list(csv.DictReader(stream))

    return read


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def make_small_world(folder: Path, port: int, seed: int = 0) -> WorldSettings:
    places = np.random.default_rng(seed).uniform((-60, -180), (70, 180), size=(24, 2)).round(5)
    make_lists({"world_300": places[:4], "world_train": places[4:]}, folder, port, SMALL_SETS)
    return WorldSettings(port=port, lists=folder)


@pytest.fixture
def small_world(tmp_path: Path) -> WorldSettings:
    return make_small_world(tmp_path / "lists", free_port())


def someone_listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except ConnectionError:
        return False
    return True


def closes_within(port: int, seconds: float) -> bool:
    """Whether nobody listens on the port any more before the time is over."""
    deadline = time.monotonic() + seconds
    while someone_listens(port):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
