from __future__ import annotations

import errno
import sqlite3

import pytest

from geo_pipeline.errors import InputError, explain


def test_an_input_error_explains_itself_even_as_a_cause() -> None:
    inner = InputError("lists.csv, row 3: doubled id")
    outer = RuntimeError("step failed")
    outer.__cause__ = inner
    assert explain(inner) == explain(outer) == "lists.csv, row 3: doubled id"


@pytest.mark.parametrize(
    ("code", "word"), [(errno.ENOSPC, "full"), (errno.EACCES, "permission"), (errno.EROFS, "read-only")]
)
def test_a_refusal_of_the_machine_names_the_path_and_a_remedy(code: int, word: str) -> None:
    message = explain(OSError(code, "no", "/data/x.parquet"))
    assert message is not None
    assert message.startswith("/data/x.parquet: ")
    assert word in message


def test_a_full_disk_under_dagsters_databases_is_told_as_such() -> None:
    outer = RuntimeError("from the database library")
    outer.__cause__ = sqlite3.OperationalError("database or disk is full")
    assert "free some space" in str(explain(outer))
    assert explain(sqlite3.OperationalError("no such table: runs")) is None


@pytest.mark.parametrize("error", [KeyError("x"), OSError(errno.ECONNRESET, "reset")])
def test_an_error_of_ours_is_not_explained_away(error: Exception) -> None:
    assert explain(error) is None
