from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo_pipeline.errors import InputError
from geo_pipeline.photos.removals import Removals, read_removals, removed_ids, without_removed


def write(folder: Path, content: str | bytes) -> Path:
    path = folder / "removals.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def photos_table(*rows: tuple[str, str]) -> pa.Table:
    return pa.Table.from_pylist([{"photo_id": photo_id, "url": url} for photo_id, url in rows])


@pytest.mark.parametrize("name", ["photo_id", "IMG_ID", "image_id", " Photo_ID ", "\ufeffphoto_id"])
def test_an_id_is_read_under_each_of_its_spellings(tmp_path: Path, name: str) -> None:
    assert read_removals(write(tmp_path, f"{name}\na\nb\na\n")) == Removals(frozenset("ab"))


def test_every_filled_cell_is_a_request(tmp_path: Path) -> None:
    text = (
        "date,url,AUTHOR,IMG_ID,photo_id\n2026-01-02,http://h/a,,,\n"
        ',"http://h/b,1",me,,\n\n2026-01-02,,"A, B",x,y\n,, me ,,\n'
    )
    assert read_removals(write(tmp_path, text)) == Removals(
        photo_ids=frozenset({"x", "y"}),
        authors=frozenset({"me", "A, B"}),
        urls=frozenset({"http://h/a", "http://h/b,1"}),
    )


def test_a_list_without_rows_asks_for_nothing(tmp_path: Path) -> None:
    assert read_removals(write(tmp_path, "photo_id,author\n")) == Removals()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("name,mail\nme,m@example.org\n", "the header has name, mail; expected one or more of the columns photo_id"),
        ("photo_id;author\na;me\n", "the header has photo_id;author; expected"),
        ("photo_id,author,reason\na,,\n\n,,mine\n", "row 4: asks for nothing"),
        ("photo_id,author\n , \n", "row 2: asks for nothing"),
        ("author,url\nme, myself,http://h/a\n", "row 2: expected 2 values, found 3; put"),
        ("author,url\nme\n", "row 2: expected 2 values, found 1"),
        ('author\nme\n"you\nthem\n', "row 4: cannot be read as CSV"),
        (b"author\nme\nJ\xf6rg\n", "not UTF-8"),
        ("", "the first line is empty"),
    ],
)
def test_a_request_that_is_not_clear_is_an_error_with_file_and_row(
    tmp_path: Path, content: str | bytes, message: str
) -> None:
    with pytest.raises(InputError) as raised:
        read_removals(write(tmp_path, content))
    assert str(raised.value).startswith(str(tmp_path / "removals.csv"))
    assert message in str(raised.value)


def test_bytes_far_into_the_file_that_are_no_utf_8_are_an_error(tmp_path: Path) -> None:
    content = b"author\n" + b"me\n" * 50_000 + b"J\xf6rg\n"
    with pytest.raises(InputError, match=r"after row \d+: not UTF-8"):
        read_removals(write(tmp_path, content))


def test_an_absent_list_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.csv: no such file"):
        read_removals(tmp_path / "absent.csv")


few = st.sampled_from(["a", "b", "c", "d", " a", "b ", "ä", ""])
asked = st.frozensets(st.sampled_from(["a", "b", "c", "ä", "z"]))


@settings(deadline=None)  # the first call loads Arrow's kernels
@given(
    photo_ids=asked,
    authors=asked,
    urls=asked,
    listed=st.lists(st.tuples(few, few)),
    described=st.none() | st.lists(st.tuples(few, st.none() | few)),
)
def test_a_photo_goes_if_its_id_its_author_or_its_url_was_asked_for(
    photo_ids: frozenset[str],
    authors: frozenset[str],
    urls: frozenset[str],
    listed: list[tuple[str, str]],
    described: list[tuple[str, str | None]] | None,
) -> None:
    schema = pa.schema([("photo_id", pa.string()), ("url", pa.string())])
    photos = pa.Table.from_pylist([{"photo_id": i, "url": url} for i, url in listed], schema=schema)
    metadata = None
    if described is not None:
        schema = pa.schema([("photo_id", pa.string()), ("author", pa.string())])
        metadata = pa.Table.from_pylist([{"photo_id": i, "author": name} for i, name in described], schema=schema)
    expected = set(photo_ids)
    expected |= {i.strip() for i, url in listed if url.strip() in urls}
    expected |= {i.strip() for i, name in described or [] if name is not None and name.strip() in authors}

    ids = removed_ids(Removals(photo_ids, authors, urls), photos=photos, metadata=metadata)

    assert ids.to_pylist() == sorted(expected)
    kept = [(i, url) for i, url in listed if i.strip() not in expected]
    assert without_removed(photos, ids).to_pylist() == [{"photo_id": i, "url": url} for i, url in kept]
    if metadata is not None:
        assert without_removed(metadata, ids).num_rows == sum(i.strip() not in expected for i, _ in described or [])


def test_photos_in_many_chunks_lose_the_same_rows() -> None:
    whole = photos_table(("a", "1"), ("b", "2"), ("c", "3"))
    pieces = pa.concat_tables([whole.slice(0, 1), whole.slice(1, 0), whole.slice(1)])
    ids = removed_ids(Removals(urls=frozenset("2")), photos=pieces, metadata=None)
    assert without_removed(pieces, ids)["photo_id"].to_pylist() == ["a", "c"]
