from __future__ import annotations

import http.client
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from geo_pipeline.world.__main__ import main
from geo_pipeline.world.photo_sets import PHOTO_SETS
from geo_pipeline.world.places import read_places
from geo_pipeline.world.process import PORT_TAKEN, listen
from geo_pipeline.world.settings import WorldSettings
from geo_pipeline_tests.world.conftest import WORLD, closes_within, free_port, someone_listens


def test_places_are_chosen_from_a_table_of_coordinates(tmp_path: Path) -> None:
    coordinates = np.random.default_rng(0).uniform((-60, -180), (70, 180), size=(20_000, 2))
    np.savetxt(tmp_path / "all.csv", coordinates, delimiter=",", header="LAT,LON", comments="")
    assert main(["choose-places", str(tmp_path / "all.csv"), "--output", str(tmp_path / "places.csv")]) == 0
    places = read_places(tmp_path / "places.csv")
    assert {name: len(points) for name, points in places.items()} == {one.name: one.num_photos for one in PHOTO_SETS}


@pytest.mark.slow
def test_making_the_whole_world_again_gives_the_committed_bytes(tmp_path: Path) -> None:
    assert main(["make-lists", "--output", str(tmp_path)]) == 0
    for path in tmp_path.glob("*.csv"):
        assert path.read_bytes() == (WORLD / path.name).read_bytes()
    assert {path.name for path in tmp_path.rglob("*.jpg")} == {path.name for path in WORLD.rglob("*.jpg")}


def test_a_mistake_is_one_line_and_exit_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["make-lists", "--places", str(tmp_path / "nowhere.csv")]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {tmp_path / 'nowhere.csv'}: no such file")
    assert error.count("\n") == 1


def test_serving_on_a_taken_port_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    port = free_port()
    with listen(port):
        assert main(["serve", "--port", str(port)]) == PORT_TAKEN
        assert capsys.readouterr().err == f"error: port {port} on 127.0.0.1 is taken\n"
        assert main(["serve", "--port", str(port), "--detach"]) == PORT_TAKEN
        assert capsys.readouterr().err == ""


def test_a_server_without_a_grace_serves_until_it_is_told_to_end(small_world: WorldSettings) -> None:
    options = ["--port", str(small_world.port), "--lists", str(small_world.lists)]
    with subprocess.Popen([sys.executable, "-m", "geo_pipeline.world", "serve", *options]) as process:
        try:
            deadline = time.monotonic() + 20
            while not someone_listens(small_world.port) and time.monotonic() < deadline:
                time.sleep(0.05)
            connection = http.client.HTTPConnection("127.0.0.1", small_world.port, timeout=20)
            connection.request("GET", "/world")
            assert connection.getresponse().status == 200
            connection.close()
            process.terminate()
            assert process.wait(10) == 0
        finally:
            process.kill()
    assert closes_within(small_world.port, 5)


def test_the_server_listens_on_the_loopback_address_only() -> None:
    with listen(free_port()) as listener:
        assert listener.getsockname()[0] == "127.0.0.1"
