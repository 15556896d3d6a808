"""`geo-pipeline download`, as a person calls it, against a real server."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from geo_pipeline.cli import main
from geo_pipeline.crawl import download
from geo_pipeline.shards.format import iterate_shard
from geo_pipeline.store import read_table
from geo_pipeline_tests.crawl.servers import PhotoServer, picture


@pytest.fixture
def server() -> Iterator[PhotoServer]:
    with closing(PhotoServer()) as running:
        yield running


@pytest.fixture
def run(server: PhotoServer, tmp_path: Path) -> Callable[..., int]:
    """Runs the command on `list.csv` into `out`; photos asked for are counted anew."""

    def call(*options: str) -> int:
        server.asked.clear()
        given = ["--url-csv", str(tmp_path / "list.csv"), "--output", str(tmp_path / "out")]
        return main(["download", *given, "--allow-origin", server.origin, *options])

    return call


def write_list(server: PhotoServer, folder: Path, count: int, header: str = "") -> None:
    rows = [f"p{number},{server.url(f'/photos/{number}.jpg')}\n" for number in range(count)]
    (folder / "list.csv").write_text(header + "".join(rows), encoding="utf-8")


def manifest(folder: Path) -> dict[str, dict[str, Any]]:
    return {row["photo_id"]: row for row in read_table(folder / "out" / "manifest.parquet").to_pylist()}


def check_store(folder: Path) -> dict[str, dict[str, Any]]:
    """The manifest, after comparing it with the shards."""
    rows = manifest(folder)
    stored = {}
    for path in (folder / "out").glob("shard-*.msg"):
        for record in iterate_shard(path):
            assert record.photo_id not in stored
            stored[record.photo_id] = path.name, record.offset, record.length
            assert hashlib.sha256(record.image).hexdigest() == rows[record.photo_id]["image_sha256"]
    placed = {photo_id: (row["shard"], row["offset"], row["length"]) for photo_id, row in rows.items() if row["shard"]}
    assert placed == stored
    assert {photo_id for photo_id, row in rows.items() if row["status"] == "ok"} == stored.keys()
    return rows


def photos_asked(server: PhotoServer) -> list[str]:
    return [path for path in server.paths() if path != "/robots.txt"]


@pytest.mark.parametrize("header", ["", "image_id,url\n"])
def test_a_list_becomes_shards_and_a_manifest_and_running_it_again_asks_for_nothing(
    run: Callable[..., int], server: PhotoServer, tmp_path: Path, capsys: pytest.CaptureFixture[str], header: str
) -> None:
    write_list(server, tmp_path, 30, header)
    server.answer("/photos/4.jpg", 404)
    server.answer("/photos/9.jpg", body=picture(3))
    assert run("--records-per-shard", "8") == 0
    rows = check_store(tmp_path)
    assert list(rows) == [f"p{number}" for number in range(30)]
    assert {photo_id for photo_id, row in rows.items() if row["status"] != "ok"} == {"p4"}
    assert {photo_id: row["duplicate_of"] for photo_id, row in rows.items() if row["duplicate_of"]} == {"p9": "p3"}
    shown = capsys.readouterr().out
    assert "30 photos, 30 requests" in shown
    assert server.origin in shown
    assert run() == 0
    assert photos_asked(server) == []
    assert check_store(tmp_path) == rows


def test_underscores_shuffling_and_the_size_suffix(
    run: Callable[..., int], server: PhotoServer, tmp_path: Path
) -> None:
    write_list(server, tmp_path, 20)
    for number in range(20):
        server.answer(f"/photos/{number}_z.jpg", body=picture(number))
    assert run("--size_suffix", "z", "--shuffle", "--concurrency=1", "--image_size", "50") == 0
    asked = photos_asked(server)
    assert sorted(asked) == sorted(f"/photos/{number}_z.jpg" for number in range(20))
    assert asked != [f"/photos/{number}_z.jpg" for number in range(20)]
    assert {min(row["width"], row["height"]) for row in check_store(tmp_path).values()} == {50}


def test_robots_txt_is_kept_to_unless_told_otherwise(
    run: Callable[..., int], server: PhotoServer, tmp_path: Path
) -> None:
    write_list(server, tmp_path, 3)
    server.answer("/robots.txt", body=b"User-agent: *\nDisallow: /photos/2")
    assert run() == 0
    assert [row["status"] for row in check_store(tmp_path).values()] == ["ok", "ok", "robots_disallowed"]
    assert run("--start-over", "--ignore-robots") == 0
    assert [row["status"] for row in check_store(tmp_path).values()] == ["ok"] * 3


def test_a_long_list_is_crawled_in_parts_and_follows_its_changes(
    run: Callable[..., int], server: PhotoServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "BYTES_OF_A_PART", 500)
    write_list(server, tmp_path, 60)
    assert run() == 0
    assert check_store(tmp_path).keys() == {f"p{number}" for number in range(60)}
    assert len({row["shard"] for row in manifest(tmp_path).values()}) > 3
    write_list(server, tmp_path, 80)
    text = (tmp_path / "list.csv").read_text(encoding="utf-8")
    (tmp_path / "list.csv").write_text("".join(text.splitlines(keepends=True)[10:]), encoding="utf-8")
    assert run("--dry-run") == 0
    assert run() == 0
    assert sorted(photos_asked(server)) == sorted(f"/photos/{number}.jpg" for number in range(60, 80))
    assert check_store(tmp_path).keys() == {f"p{number}" for number in range(10, 80)}


def test_a_dry_run_says_what_is_due_and_asks_for_nothing(
    run: Callable[..., int], server: PhotoServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_list(server, tmp_path, 5)
    assert run("--dry-run") == 0
    assert capsys.readouterr().out == "5 photos listed, 5 due\n"
    assert run() == 0
    capsys.readouterr()
    assert run("--dry-run", "--refresh-after", "0.0000001") == 0
    assert capsys.readouterr().out == "5 photos listed, 5 due, 5 of them only for changes\n"
    assert server.asked == []


def test_a_removed_photo_leaves_the_shards(run: Callable[..., int], server: PhotoServer, tmp_path: Path) -> None:
    write_list(server, tmp_path, 6)
    assert run() == 0
    (tmp_path / "removals.csv").write_text(f"photo_id,url\np2,\n,{server.url('/photos/5.jpg')}\n", encoding="utf-8")
    assert run("--removal-list", str(tmp_path / "removals.csv")) == 0
    rows = check_store(tmp_path)
    assert {photo_id for photo_id, row in rows.items() if row["status"] == "removed"} == {"p2", "p5"}
    assert photos_asked(server) == []


def test_starting_over_asks_for_everything_again(run: Callable[..., int], server: PhotoServer, tmp_path: Path) -> None:
    write_list(server, tmp_path, 4)
    assert run() == 0
    assert run("--start-over") == 0
    assert len(photos_asked(server)) == 4
    check_store(tmp_path)


MISTAKES = {
    "no list": (None, (), "no such file"),
    "one column": ("a\n", (), "expected `image_id,url`"),
    "a doubled id": ("a,http://x/1\na,http://x/2\n", (), "row 2: doubled id"),
    "a quality of 101": ("a,http://x/1\n", ("--quality", "101"), "--quality: found 101"),
    "an origin without a port": ("a,http://x/1\n", ("--allow-origin", "localhost"), "--allow-origin: found"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_with_exit_code_2_and_nothing_is_written(
    name: str, run: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content, options, told = MISTAKES[name]
    if content is not None:
        (tmp_path / "list.csv").write_text(content, encoding="utf-8")
    assert run(*options) == 2
    assert told in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.msg"))
    assert not list(tmp_path.rglob("*.parquet"))


def test_foreign_shards_are_not_touched(
    run: Callable[..., int], server: PhotoServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_list(server, tmp_path, 2)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "shard-00000.msg").write_bytes(b"somebody else's")
    assert run() == 2
    assert "give another folder or --start-over" in capsys.readouterr().err
    assert (tmp_path / "out" / "shard-00000.msg").read_bytes() == b"somebody else's"


def start(server: PhotoServer, folder: Path) -> subprocess.Popen[bytes]:
    given = ["--url-csv", str(folder / "list.csv"), "--output", str(folder / "out"), "--allow-origin", server.origin]
    command = [sys.executable, "-m", "geo_pipeline.cli", "download", *given, "--concurrency", "4"]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ})


def wait_for(server: PhotoServer, count: int) -> None:
    deadline = time.monotonic() + 30
    while len(photos_asked(server)) < count:
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_download_goes_on_where_it_ended(
    number: signal.Signals, run: Callable[..., int], server: PhotoServer, tmp_path: Path
) -> None:
    write_list(server, tmp_path, 80)
    server.delay_seconds = 0.05
    child = start(server, tmp_path)
    wait_for(server, 30)
    begun = time.monotonic()
    child.send_signal(number)
    _, errors = child.communicate(timeout=10)
    assert time.monotonic() - begun < 5
    assert child.returncode == (130 if number == signal.SIGINT else -signal.SIGKILL)
    assert b"Traceback" not in errors
    assert not (tmp_path / "out" / "manifest.parquet").exists()
    asked = len(photos_asked(server))
    server.delay_seconds = 0.0
    assert run() == 0
    assert len(photos_asked(server)) <= 80 - asked + 4
    assert {row["status"] for row in check_store(tmp_path).values()} == {"ok"}


def test_two_downloads_into_one_folder_are_refused(
    run: Callable[..., int], server: PhotoServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_list(server, tmp_path, 40)
    server.delay_seconds = 0.1
    child = start(server, tmp_path)
    wait_for(server, 4)
    assert run() == 2
    assert "being downloaded by process" in capsys.readouterr().err
    server.delay_seconds = 0.0
    child.communicate(timeout=30)
    assert child.returncode == 0
