from __future__ import annotations

import multiprocessing
import os
import resource
import signal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from geo_pipeline.errors import InputError, explain
from geo_pipeline.store import atomic_file, read_table, table_hash, write_bytes, write_json, write_table

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
