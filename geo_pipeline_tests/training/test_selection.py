from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from geo_pipeline.store import read_table, table_hash, write_table
from geo_pipeline.training.selection import Selection

TABLE = pa.table({"photo_id": ["a", "b"]})


def test_the_note_travels_with_the_file_and_changes_no_hash(tmp_path: Path) -> None:
    selection = Selection({"listed": 1000, "downloaded": 3, "labelled": 2})
    noted = selection.attached_to(TABLE)
    write_table(tmp_path / "photos.parquet", noted)
    read = read_table(tmp_path / "photos.parquet")
    assert Selection.of(read) == selection
    assert list(Selection.of(read).counts) == ["listed", "downloaded", "labelled"]
    assert table_hash(read) == table_hash(TABLE)


def test_a_table_without_a_note_is_its_own_list() -> None:
    assert Selection.of(TABLE).counts == {"listed": 2}


def test_counts_read_as_a_sentence() -> None:
    assert str(Selection({"listed": 4_723_695, "downloaded": 5})) == "4,723,695 listed, 5 downloaded"
