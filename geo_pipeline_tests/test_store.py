from __future__ import annotations

import csv
import errno
import multiprocessing
import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from geo_pipeline.errors import InputError, explain
from geo_pipeline.store import (
    atomic_file,
    csv_bytes,
    read_columns,
    read_table,
    table_hash,
    table_stream,
    write_bytes,
    write_folder,
    write_json,
    write_table,
    write_together,
)

TABLE = pa.table({"photo_id": ["a", "b", None], "latitude": [1.0, float("nan"), -0.0]})


def test_a_table_comes_back_as_it_was_written(tmp_path: Path) -> None:
    write_table(tmp_path / "new" / "t.parquet", TABLE)
    assert read_table(tmp_path / "new" / "t.parquet").schema == TABLE.schema
    assert table_hash(read_table(tmp_path / "new" / "t.parquet")) == table_hash(TABLE)


def test_an_error_while_writing_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"kept": True})
    before = (tmp_path / "x.json").read_bytes()
    with pytest.raises(TypeError, match="bytes-like"), atomic_file(tmp_path / "x.json") as stream:
        stream.writelines([b"half", 1])  # type: ignore[list-item]
    assert (tmp_path / "x.json").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]


def _write_over_the_limit(path: Path) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    try:
        write_bytes(path, bytes(2000))
    except OSError as error:
        os._exit(7 if error.filename == str(path) else 8)
    os._exit(0)


def test_a_file_system_that_takes_no_more_leaves_the_old_file(tmp_path: Path) -> None:
    write_bytes(tmp_path / "x", b"old")
    child = multiprocessing.get_context("fork").Process(target=_write_over_the_limit, args=(tmp_path / "x",))
    child.start()
    child.join()
    assert child.exitcode == 7
    assert (tmp_path / "x").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_a_missing_permission_is_explained_with_the_final_path(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(OSError, match=r"Not a directory|File exists") as caught:
        write_bytes(tmp_path / "file" / "x", b"")
    assert caught.value.filename == str(tmp_path / "file" / "x")
    if os.geteuid() != 0:
        (tmp_path / "locked").mkdir(mode=0o500)
        with pytest.raises(PermissionError) as refused:
            write_bytes(tmp_path / "locked" / "x", b"")
        assert "permission denied" in str(explain(refused.value))


def test_reading_what_is_not_there_or_not_parquet_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"t\.parquet: the table is not there"):
        read_table(tmp_path / "t.parquet")
    (tmp_path / "t.parquet").write_bytes(b"PAR1 but not really")
    with pytest.raises(InputError, match=r"t\.parquet: not a Parquet table"):
        read_table(tmp_path / "t.parquet")


def test_the_hash_of_a_table_sees_values_and_names_but_not_chunks_or_slices() -> None:
    numbers = pa.table({"x": pa.array(np.arange(100))})
    chunked = pa.concat_tables([numbers.slice(0, 33), numbers.slice(33)])
    padded = pa.concat_tables([numbers.slice(99), numbers]).slice(1)
    assert table_hash(numbers) == table_hash(chunked) == table_hash(padded)
    assert table_hash(numbers) != table_hash(numbers.rename_columns(["y"]))
    assert table_hash(numbers) != table_hash(numbers.slice(1))
    assert table_hash(TABLE) != table_hash(TABLE.set_column(0, "photo_id", pa.array(["a", "b", ""])))


def test_files_written_together_are_all_there_or_none(tmp_path: Path) -> None:
    write_together({tmp_path / name: name.encode() for name in ("a", "b")})
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a": "a", "b": "b"}
    with pytest.raises(TypeError, match="bytes-like"):
        write_together({tmp_path / "a": b"new", tmp_path / "c": b"new", tmp_path / "d": 1})  # type: ignore[dict-item]
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a": "a", "b": "b"}


@pytest.mark.parametrize(
    ("texts", "expected"),
    [(["a", "b c"], "id,n\na,1\nb c,2\n"), (["a,b", 'c"'], 'id,n\n"a,b",1\n"c""",2\n')],
)
def test_csv_has_quotes_where_they_are_needed(texts: list[str], expected: str) -> None:
    content = csv_bytes(pa.table({"id": texts, "n": [1, 2]})).decode()
    assert content == expected
    assert [row[0] for row in csv.reader(content.splitlines())][1:] == texts


def test_csv_of_a_table_in_chunks_is_that_of_the_whole() -> None:
    table = pa.table({"id": ["a", "b,c"], "n": [1, 2]})
    for chunks in ([table.slice(0, 0), table], [table.slice(0, 1), table.slice(0, 0), table.slice(1)]):
        assert csv_bytes(pa.concat_tables(chunks)) == csv_bytes(table)
    assert csv_bytes(table.slice(0, 0)) == b"id,n\n"


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_table_written_part_by_part_is_the_whole_table(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"t.{ending}"
    with table_stream(path) as append:
        for start in range(3):
            append(TABLE.slice(start, 1))
        assert not path.exists()
    if ending == "csv":
        assert path.read_bytes() == csv_bytes(TABLE)
    else:
        assert table_hash(read_table(path)) == table_hash(TABLE)


def test_single_columns_can_be_read(tmp_path: Path) -> None:
    write_table(tmp_path / "t.parquet", TABLE)
    assert read_columns(tmp_path / "t.parquet", ["latitude"]).column_names == ["latitude"]
    with pytest.raises(InputError, match="columns longitude are missing"):
        read_columns(tmp_path / "t.parquet", ["latitude", "longitude"])


def test_a_folder_is_written_as_a_whole_and_replaces_the_older_one(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    write_folder(folder, [("a", b"1"), ("deep/er/b", b"2")])
    assert (folder / "a").read_bytes() + (folder / "deep" / "er" / "b").read_bytes() == b"12"
    write_folder(folder, [("c", b"3")])
    assert [path.name for path in folder.iterdir()] == ["c"]
    assert list(folder.parent.iterdir()) == [folder]


def test_a_folder_that_cannot_be_finished_leaves_the_older_one(tmp_path: Path) -> None:
    write_folder(tmp_path / "folder", [("a", b"1")])

    def contents() -> Iterator[tuple[str, bytes]]:
        yield "b", b"2"
        raise OSError(errno.ENOSPC, "No space left on device", "somewhere")

    with pytest.raises(OSError, match="No space left") as caught:
        write_folder(tmp_path / "folder", contents())
    assert caught.value.filename == str(tmp_path / "folder")
    assert [path.name for path in tmp_path.rglob("*")] == ["folder", "a"]


def test_a_folder_whose_place_cannot_be_taken_leaves_the_older_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_folder(tmp_path / "folder", [("a", b"1")])
    rename = Path.rename

    def failing(self: Path, target: Path) -> Path:
        if self.suffix == ".tmp":
            raise OSError(errno.EACCES, "Permission denied", str(self))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OSError, match="Permission denied"):
        write_folder(tmp_path / "folder", [("b", b"2")])
    assert [path.name for path in tmp_path.rglob("*")] == ["folder", "a"]
