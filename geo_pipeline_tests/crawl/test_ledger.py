"""The ledger: whatever survives of it, it says only what is true."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from geo_pipeline.crawl.ledger import Ledger
from geo_pipeline.errors import InputError
from geo_pipeline.shards.manifest import ManifestRow, Status

SETTINGS, OTHER_SETTINGS = {"limits": "these"}, {"limits": "others"}
ROWS = [
    ManifestRow(
        "1", "http://x/ü?a=\u2028b", Status.OK, 200, 1, datetime(2026, 1, 1, 2, 3, 4, 5, UTC), shard="s", offset=0
    ),
    ManifestRow("2", "http://x/2", Status.DEFERRED, next_attempt_at=datetime(2026, 1, 2, tzinfo=UTC), error="a\nb"),
    ManifestRow("3", "http://x/3", Status.OK, 200, 2, shard="s", offset=10, length=5, image_sha256="ab"),
]


def write(path: Path, base: str = "base") -> bytes:
    with closing(Ledger(path)) as ledger:
        ledger.begin(base, SETTINGS)
        for row in ROWS:
            ledger.append(row)
    return path.read_bytes()


def recovered(path: Path, base: str = "base", bad: str = "") -> list[ManifestRow]:
    with closing(Ledger(path)) as ledger:
        ledger.recover(base, OTHER_SETTINGS, lambda row, _: row.photo_id != bad)
        rows = list(ledger.rows())
        assert ledger.num_rows == len(rows)
        ledger.append(ROWS[0])
        assert list(ledger.rows()) == [*rows, ROWS[0]]
        return rows


def test_rows_come_back_as_they_were(tmp_path: Path) -> None:
    write(tmp_path / "ledger")
    assert recovered(tmp_path / "ledger") == ROWS


def test_a_ledger_cut_anywhere_keeps_its_whole_lines_and_takes_new_ones(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    content = write(path)
    for cut in range(0, len(content), 7):
        path.write_bytes(content[:cut])
        num_whole = max(0, content[:cut].count(b"\n") - 1)
        assert recovered(path) == ROWS[:num_whole]


def test_rows_from_the_first_bad_record_on_are_forgotten(tmp_path: Path) -> None:
    write(tmp_path / "ledger")
    assert recovered(tmp_path / "ledger", bad="2") == ROWS[:1]


def test_a_ledger_of_another_manifest_is_forgotten(tmp_path: Path) -> None:
    write(tmp_path / "ledger", base="the manifest before")
    assert recovered(tmp_path / "ledger", base="the manifest now") == []


def test_a_ledger_knows_the_settings_that_it_was_begun_with(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    first_line = write(path).splitlines(keepends=True)[0]
    for content, base, expected in (
        (first_line, "base", SETTINGS),
        (b'{"ledger":1,"manifest":"base"}\n', "base", OTHER_SETTINGS),  # as an earlier version began it
        (first_line, "another manifest", OTHER_SETTINGS),
    ):
        path.write_bytes(content)
        with closing(Ledger(path)) as ledger:
            ledger.recover(base, OTHER_SETTINGS, lambda *_: True)
            assert ledger.settings == expected


def test_rows_before_a_sync_mark_are_durable(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    with closing(Ledger(path)) as ledger:
        ledger.begin("base", SETTINGS)
        ledger.append(ROWS[0])
        ledger.append(ROWS[1])
        ledger.mark_synced(1)
    seen = {}
    with closing(Ledger(path)) as ledger:
        ledger.recover("base", SETTINGS, lambda row, is_durable: seen.setdefault(row.photo_id, is_durable) or True)
    assert seen == {"1": True, "2": False}


def test_only_one_process_has_a_ledger(tmp_path: Path) -> None:
    with closing(Ledger(tmp_path / "ledger")), pytest.raises(InputError, match="another process is crawling"):
        Ledger(tmp_path / "ledger")
    Ledger(tmp_path / "ledger").remove()
    assert list(tmp_path.iterdir()) == []
