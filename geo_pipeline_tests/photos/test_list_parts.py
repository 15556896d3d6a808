"""A list divided into parts holds what the list held, in the order asked for, whatever its length."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo_pipeline.errors import InputError
from geo_pipeline.photos import csv_rows
from geo_pipeline.photos.csv_rows import iterate_csv_rows
from geo_pipeline.photos.list_parts import divide_url_csv
from geo_pipeline.photos.removals import Removals
from geo_pipeline.store import read_table

IDS = st.lists(st.text("abcdefghij/_.0123", min_size=1, max_size=6), unique=True, max_size=40)


def write(path: Path, ids: list[str]) -> Path:
    path.write_text("".join(f"{photo_id},http://x/{photo_id}\n" for photo_id in ["first", *ids]), encoding="utf-8")
    return path


def parts_of(folder: Path, num_parts: int) -> list[list[str]]:
    return [read_table(folder / f"{n}" / "list")["photo_id"].to_pylist() for n in range(num_parts)]


def divide(path: Path, folder: Path, num_parts: int, seed: int | None = None) -> list[list[str]]:
    divide_url_csv(path, lambda number: folder / f"{number}" / "list", num_parts, seed=seed)
    return parts_of(folder, num_parts)


@settings(deadline=None)
@given(ids=IDS, num_parts=st.integers(1, 5))
def test_every_photo_is_in_one_part_in_the_order_of_the_list(
    tmp_path_factory: pytest.TempPathFactory, ids: list[str], num_parts: int
) -> None:
    folder = tmp_path_factory.mktemp("list")
    parts = divide(write(folder / "list.csv", ids), folder / "parts", num_parts)
    assert sorted(photo_id for part in parts for photo_id in part) == sorted(["first", *ids])
    place = {photo_id: number for number, photo_id in enumerate(["first", *ids])}
    assert all([place[photo_id] for photo_id in part] == sorted(place[photo_id] for photo_id in part) for part in parts)


def test_a_seed_gives_a_random_order_that_is_always_the_same(tmp_path: Path) -> None:
    ids = [f"p{number}" for number in range(3000)]
    forward, backward = write(tmp_path / "a.csv", ids), write(tmp_path / "b.csv", ids[::-1])
    [first], [same] = divide(forward, tmp_path / "1", 1, seed=10), divide(backward, tmp_path / "2", 1, seed=10)
    [other] = divide(forward, tmp_path / "3", 1, seed=11)
    assert first == same
    assert sorted(first) == sorted(other)
    neighbours = sum(b == f"p{int(a[1:]) + 1}" for a, b in pairwise(first) if a != "first")
    assert neighbours < 10
    assert sum(a == b for a, b in zip(first, other, strict=True)) < 10


def test_a_list_that_grew_leaves_every_photo_in_its_part(tmp_path: Path) -> None:
    ids = [f"p{number}" for number in range(200)]
    before = divide(write(tmp_path / "list.csv", ids[:100]), tmp_path / "1", 4)
    after = divide(write(tmp_path / "list.csv", ids), tmp_path / "1", 4)
    assert all(set(old) <= set(new) for old, new in zip(before, after, strict=True))


BAD = """a,http://x/a
b,http://x/b,more

c,
,http://x/d
a,http://x/e
f,http://x/f
"""
REASONS = [
    (2, "expected 2 values, found 3"),
    (4, "empty URL"),
    (5, "empty photo id"),
    (6, "doubled id: stands already in row 1"),
]


@pytest.mark.parametrize("header", [0, 1])
def test_bad_rows_are_refused_with_their_lines_or_left_out(tmp_path: Path, header: int) -> None:
    path = tmp_path / "list.csv"
    path.write_text("image_id,url\n" * header + BAD, encoding="utf-8")
    with pytest.raises(InputError, match=rf"4 rows cannot be used(.|\n)*row {2 + header}: expected 2 values, found 3"):
        divide(path, tmp_path / "parts", 3)
    assert not list((tmp_path / "parts").rglob("list"))
    rejects = divide_url_csv(path, lambda n: tmp_path / f"{n}" / "list", 3, seed=None, skip_bad_rows=True)
    expected = [
        (row + header, why if "row 1" not in why else f"doubled id: stands already in row {1 + header}")
        for row, why in REASONS
    ]
    assert [(each["row"], each["reason"]) for each in rejects.to_pylist()] == expected
    assert sorted(photo_id for part in parts_of(tmp_path, 3) for photo_id in part) == ["a", "f"]


def test_photos_that_must_not_be_kept_are_marked(tmp_path: Path) -> None:
    path = write(tmp_path / "list.csv", ["a", "b", "c"])
    removals = Removals(photo_ids=frozenset({"a"}), urls=frozenset({"http://x/c"}))
    divide_url_csv(path, lambda n: tmp_path / f"{n}" / "list", 2, seed=None, removals=removals)
    rows = [row for n in range(2) for row in read_table(tmp_path / f"{n}" / "list").to_pylist()]
    assert {row["photo_id"] for row in rows if row["removed"]} == {"a", "c"}


def test_lines_are_counted_across_blocks(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    lines = ["x,y,z" if number % 97 == 5 else "" if number % 89 == 7 else f"{number},u" for number in range(5000)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    parts = list(iterate_csv_rows(path, ["a", "b"], header=False, wanted=["a", "b"], block_bytes=1000))
    assert len(parts) > 10
    found = [
        (int(row), text) for part in parts for row, text in zip(part.rows, part.columns["a"].to_pylist(), strict=True)
    ]
    assert found == [(n + 1, str(n)) for n in range(5000) if n % 97 != 5 and n % 89 != 7]
    rejected = [reject.row for part in parts for reject in part.rejects]
    assert rejected == [n + 1 for n in range(5000) if n % 97 == 5]
    whole = csv_rows.read_csv_rows(path, ["a", "b"], header=False, wanted=["a"])
    assert whole.rows.tolist() == [row for row, _ in found]
