"""Leases on real server processes."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from geo_pipeline.errors import InputError
from geo_pipeline.world.fingerprint import world_fingerprint
from geo_pipeline.world.lease import world_server
from geo_pipeline.world.settings import WorldSettings
from geo_pipeline_tests.world.conftest import closes_within, free_port, make_small_world, someone_listens

GRACE_SECONDS = 0.3
HOLDER = """
import os, sys, time
from pathlib import Path
from geo_pipeline.world.lease import world_server
from geo_pipeline.world.settings import WorldSettings
port, lists, log_file, then = sys.argv[1:]
settings = WorldSettings(port=int(port), lists=Path(lists))
with world_server(settings, log_file=Path(log_file), grace_seconds=0.3):
    print("held", flush=True)
    if then == "hold":
        time.sleep(60)
    if then == "fork" and not os.fork():
        time.sleep(20)
        os._exit(0)
    if then == "wait for the others":
        sys.stdin.read()
"""


def holder(settings: WorldSettings, log_file: Path, then: str) -> list[str]:
    """The command of another process that takes a lease."""
    return [sys.executable, "-c", HOLDER, str(settings.port), str(settings.lists), str(log_file), then]


@contextlib.contextmanager
def processes(commands: list[list[str]]) -> Iterator[list[subprocess.Popen[str]]]:
    """Running processes, killed at the end."""
    with contextlib.ExitStack() as stack:
        running = []
        for command in commands:
            process = stack.enter_context(
                subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            )
            stack.callback(process.kill)
            running.append(process)
        yield running


def identity(port: int) -> dict[str, object]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/world")
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return dict(answer)


@pytest.fixture
def log_file(tmp_path: Path) -> Path:
    return tmp_path / "logs" / "world.log"


def test_a_server_is_started_shared_and_ends_with_its_last_user(small_world: WorldSettings, log_file: Path) -> None:
    with world_server(small_world, log_file=log_file, grace_seconds=GRACE_SECONDS) as origin:
        assert origin == f"127.0.0.1:{small_world.port}"
        with world_server(small_world, log_file=log_file, grace_seconds=GRACE_SECONDS):
            assert identity(small_world.port)["fingerprint"] == world_fingerprint(small_world.lists)
        time.sleep(3 * GRACE_SECONDS)
        assert identity(small_world.port)["photos"] == 20
    assert closes_within(small_world.port, 5)
    assert log_file.read_text() == ""


def test_two_processes_at_once_share_one_server(small_world: WorldSettings, log_file: Path) -> None:
    with processes([holder(small_world, log_file, "wait for the others")] * 3) as holders:
        assert [process.stdout.readline() for process in holders if process.stdout] == ["held\n"] * 3
        for process in holders:
            process.communicate(timeout=10)
        assert [process.returncode for process in holders] == [0] * 3
    assert closes_within(small_world.port, 5)
    assert log_file.read_text() == ""


def test_a_lease_ends_when_its_holder_is_killed(small_world: WorldSettings, log_file: Path) -> None:
    with processes([holder(small_world, log_file, "hold")]) as [process]:
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        time.sleep(3 * GRACE_SECONDS)
        assert someone_listens(small_world.port)
        os.kill(process.pid, signal.SIGKILL)
        assert closes_within(small_world.port, 5)


@pytest.mark.slow
def test_a_released_lease_ends_although_a_forked_child_lives_on(small_world: WorldSettings, log_file: Path) -> None:
    with processes([holder(small_world, log_file, "fork")]) as [process]:
        assert process.wait(20) == 0
        assert closes_within(small_world.port, 5)


@pytest.mark.slow
def test_the_server_outlives_its_starter_and_keeps_none_of_its_pipes(
    small_world: WorldSettings, log_file: Path
) -> None:
    with processes([holder(small_world, log_file, "wait for the others")]) as [starter]:
        assert starter.stdout
        assert starter.stdout.readline() == "held\n"
        with world_server(small_world, log_file=log_file):
            # communicate() returns only when nobody holds the other end of the pipe.
            starter.communicate(timeout=10)
            time.sleep(2 * GRACE_SECONDS)
            assert identity(small_world.port)["photos"] == 20
    assert closes_within(small_world.port, 5)


def test_a_port_held_by_another_web_server_is_an_error(small_world: WorldSettings, log_file: Path) -> None:
    server = http.server.HTTPServer(("127.0.0.1", small_world.port), http.server.BaseHTTPRequestHandler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        expected = rf"port {small_world.port} on .*HTTP 501 from BaseHTTP.*make-lists --port N.*world\.port"
        with pytest.raises(InputError, match=expected), world_server(small_world, log_file=log_file):
            pass
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_port_held_by_a_mute_program_is_an_error(small_world: WorldSettings, log_file: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", small_world.port)),
        pytest.raises(InputError, match=f"port {small_world.port} .*no answer within 1 seconds"),
        world_server(small_world, log_file=log_file, wait_seconds=1),
    ):
        pass


def test_a_port_that_is_bound_but_answers_nobody_is_an_error(small_world: WorldSettings, log_file: Path) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", small_world.port))
        with (
            pytest.raises(InputError, match=f"port {small_world.port} .*nothing that answers within 1 seconds"),
            world_server(small_world, log_file=log_file, wait_seconds=1),
        ):
            pass


def test_a_server_of_another_world_is_an_error(small_world: WorldSettings, log_file: Path, tmp_path: Path) -> None:
    other = make_small_world(tmp_path / "other", small_world.port, seed=1)
    with world_server(small_world, log_file=log_file, grace_seconds=GRACE_SECONDS):
        found, expected = world_fingerprint(small_world.lists), world_fingerprint(other.lists)
        message = rf"port {other.port} .*another world \({found}; {expected} is expected\)"
        with pytest.raises(InputError, match=message), world_server(other, log_file=log_file):
            pass
    assert closes_within(small_world.port, 5)


def test_lists_made_for_another_port_are_an_error(small_world: WorldSettings, log_file: Path) -> None:
    other = WorldSettings(port=free_port(), lists=small_world.lists)
    message = rf"world_train_urls\.csv.*127\.0\.0\.1:{small_world.port}.*--port {other.port}"
    with pytest.raises(InputError, match=message), world_server(other, log_file=log_file):
        pass


def test_a_server_that_cannot_start_says_why(small_world: WorldSettings, log_file: Path) -> None:
    path = small_world.lists / "world_train_metadata.csv"
    path.write_text(path.read_text().replace("LAT", "LATITUDE"))
    message = rf"did not start: error: .*world_train_metadata\.csv.*log: {log_file}"
    with pytest.raises(InputError, match=message), world_server(small_world, log_file=log_file):
        pass
    assert not someone_listens(small_world.port)


def test_a_world_whose_lists_are_gone_is_an_error(small_world: WorldSettings, log_file: Path) -> None:
    shutil.rmtree(small_world.lists)
    with pytest.raises(InputError, match=r"no .*_metadata\.csv"), world_server(small_world, log_file=log_file):
        pass


@pytest.mark.slow
def test_the_lease_is_given_back_when_the_block_fails(small_world: WorldSettings, log_file: Path) -> None:
    with (
        pytest.raises(RuntimeError, match="in the block"),
        world_server(small_world, log_file=log_file, grace_seconds=GRACE_SECONDS),
    ):
        raise RuntimeError("in the block")
    assert closes_within(small_world.port, 5)
