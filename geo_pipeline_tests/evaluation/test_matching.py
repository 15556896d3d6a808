from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo_pipeline.errors import InputError
from geo_pipeline.evaluation.matching import Matches, match_pictures

FOLDER, METADATA = Path("pictures"), Path("metadata.csv")
ENDINGS = {".jpg", ".png"}
stems = st.text("abcé.@_", min_size=1, max_size=6).filter(lambda text: text.strip(".") == text)


def match(names: list[str], photo_ids: list[str]) -> Matches:
    return match_pictures(FOLDER, names, METADATA, photo_ids, ENDINGS)


@pytest.mark.parametrize(
    ("name", "photo_id"),
    [
        ("a.jpg", "a.jpg"),
        ("a.jpg", "a"),
        ("a.PNG", "a.jpg"),
        ("deep/er/a.jpg", "a"),
        ("deep/er/a.jpg", "a.jpg"),
        ("a.jpg", "45/77/a.jpg"),
        ("104123223_7410c654ba_19_19355699@N00.jpg", "104123223_7410c654ba_19_19355699@N00"),
        ("a.b.jpg", "a.b"),
    ],
)
def test_an_id_finds_its_picture_with_or_without_ending_and_folder(name: str, photo_id: str) -> None:
    found = match([name, "other.jpg"], ["no such", photo_id])
    assert found.pictures == {photo_id: name}
    assert found.without_metadata == ["other.jpg"]
    assert found.without_picture == ["no such"]


@given(st.sets(stems, min_size=1), st.data())
def test_whatever_is_left_out_of_ids_and_files_comes_back_in_the_lists(
    all_stems: set[str], data: st.DataObject
) -> None:
    names = [f"{stem}.jpg" for stem in sorted(all_stems)]
    kept = data.draw(st.sets(st.sampled_from(sorted(all_stems)), min_size=1))
    found = match(names, [*sorted(kept), "/elsewhere"])
    assert found.pictures == {stem: f"{stem}.jpg" for stem in sorted(kept)}
    assert found.without_metadata == [f"{stem}.jpg" for stem in sorted(all_stems - kept)]
    assert found.without_picture == ["/elsewhere"]


def test_the_surer_agreement_comes_first() -> None:
    names = ["a.jpg", "a.png", "x/a.jpg"]
    assert match(names, ["a.png", "x/a"]).pictures == {"a.png": "a.png", "x/a": "x/a.jpg"}


@pytest.mark.parametrize(
    ("names", "photo_ids", "words"),
    [
        (["a.jpg", "a.png"], ["a"], "a could be a.jpg, a.png"),
        (["x/a.jpg", "y/a.jpg"], ["a"], "a could be x/a.jpg, y/a.jpg"),
        (["a.jpg"], ["x/a", "y/a"], "a.jpg could be the photo of x/a, y/a"),
    ],
)
def test_nobody_guesses_between_two(names: list[str], photo_ids: list[str], words: str) -> None:
    with pytest.raises(InputError, match=words):
        match(names, photo_ids)


def test_metadata_of_another_folder_says_what_both_have() -> None:
    with pytest.raises(InputError) as error:
        match(["a.jpg", "b.jpg"], ["1", "2", "3", "4"])
    assert str(error.value) == (
        "metadata.csv: none of its 4 photos is among the 2 pictures of pictures: ids are like 1, 2, 3, files like "
        "a.jpg, b.jpg; give the metadata of this folder"
    )
