from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo_pipeline.errors import InputError
from geo_pipeline.photos.url_lists import bucket_numbers, keep_photos, list_folder, read_url_csv

ids = st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=40, unique=True)


def write(folder: Path, text: str) -> Path:
    path = folder / "urls.csv"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("header", ["", "image_id,url\n", "\ufeffimage_id,url\n"])
def test_a_list_is_read_with_and_without_header(tmp_path: Path, header: str) -> None:
    listed = read_url_csv("s", write(tmp_path, header + 'b,"http://h/b,1.jpg"\na,http://h/a.jpg\n'))
    assert listed.photos.to_pylist() == [
        {"photo_id": "a", "url": "http://h/a.jpg"},
        {"photo_id": "b", "url": "http://h/b,1.jpg"},
    ]
    assert listed.rejects.num_rows == 0


def test_every_bad_row_is_kept_with_its_line_and_reason(tmp_path: Path) -> None:
    text = "image_id,url\na,http://h/a\n\nb\na,http://h/again\n,http://h/c\nd, \ne,http://h/e,x\nf,http://h/f\n"
    listed = read_url_csv("s", write(tmp_path, text))
    assert listed.photos["photo_id"].to_pylist() == ["a", "f"]
    rejects = {row["row"]: row["reason"] for row in listed.rejects.to_pylist()}
    assert list(rejects) == [4, 5, 6, 7, 8]
    assert "expected 2 values, found 1" in rejects[4]
    assert "doubled id" in rejects[5]
    assert "row 2" in rejects[5]
    assert rejects[6] == "empty photo id"
    assert rejects[7] == "empty URL"
    assert "found 3" in rejects[8]


def test_files_that_are_no_lists_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_url_csv("s", tmp_path / "absent.csv")
    with pytest.raises(InputError, match=r"urls\.csv, row 1: expected `image_id,url`, found 3 values"):
        read_url_csv("s", write(tmp_path, "a,b,c\n"))
    with pytest.raises(InputError, match="the first line is empty"):
        read_url_csv("s", write(tmp_path, ""))
    (tmp_path / "latin.csv").write_bytes("ä,http://h/ä\n".encode("latin-1"))
    with pytest.raises(InputError, match="UTF"):
        read_url_csv("s", tmp_path / "latin.csv")


@given(ids, st.integers(1, 99))
def test_a_bucket_depends_on_the_id_alone(photo_ids: list[str], num_buckets: int) -> None:
    numbers = bucket_numbers(pa.chunked_array([photo_ids]), num_buckets)
    expected = [
        int.from_bytes(hashlib.md5(i.encode(), usedforsecurity=False).digest()[:8], "big") % num_buckets
        for i in photo_ids
    ]
    assert numbers.tolist() == expected


def test_buckets_are_about_equally_full() -> None:
    numbers = bucket_numbers(pa.chunked_array([[f"photo {i}" for i in range(20_000)]]), 8)
    assert np.bincount(numbers, minlength=8) == pytest.approx(2500, rel=0.1)


@given(ids, st.integers(1, 40), st.integers(0, 40))
def test_a_larger_trial_contains_a_smaller_one(photo_ids: list[str], few: int, more: int) -> None:
    table = pa.table({"photo_id": photo_ids})
    smaller = keep_photos(table, few)["photo_id"].to_pylist()
    larger = keep_photos(table, few + more)["photo_id"].to_pylist()
    assert len(smaller) == min(few, len(photo_ids))
    assert set(smaller) <= set(larger)
    assert [i for i in photo_ids if i in set(larger)] == larger


def test_a_folder_lists_its_pictures_and_what_its_metadata_names(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    for name in ("b.jpg", "deep/c.PNG", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    listed = list_folder("s", tmp_path, ["a.jpg", "b.jpg"])
    assert listed.photos["photo_id"].to_pylist() == ["a.jpg", "b.jpg", "deep/c.PNG"]
    assert listed.photos["url"] == listed.photos["photo_id"]
    with pytest.raises(InputError, match="no such folder"):
        list_folder("s", tmp_path / "absent", [])
