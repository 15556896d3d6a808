from __future__ import annotations

import pickle
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from geo_pipeline.errors import InputError
from geo_pipeline.model.decoding import decode
from geo_pipeline.model.pictures import BrokenPictureError, PictureFiles, find_pictures, photo_ids_of, read_picture
from geo_pipeline_tests.model.picture_files import (
    SHAPE,
    broken_files,
    encoded,
    good_files,
    scene,
    sixteen_bits,
    write,
)


@pytest.mark.parametrize("name", good_files())
def test_a_picture_of_any_form_shows_what_it_shows(tmp_path: Path, name: str) -> None:
    write(tmp_path, {name: good_files()[name]})
    image = read_picture(tmp_path / name, short_side=256)
    assert (image.mode, image.size) == ("RGB", (SHAPE[1], SHAPE[0]))
    difference = np.abs(np.asarray(image, np.int16) - np.asarray(scene(), np.int16))
    assert difference.mean() < (9 if name in {"some.gif", "animated.gif", "few colours.png", "print.jpg"} else 3)


@pytest.mark.parametrize("name", broken_files())
def test_a_broken_picture_is_a_sentence(tmp_path: Path, name: str) -> None:
    write(tmp_path, {name: broken_files()[name]})
    with pytest.raises(BrokenPictureError) as error:
        read_picture(tmp_path / name, short_side=64)
    assert str(error.value).strip()


def test_sixteen_bits_are_not_clipped(tmp_path: Path) -> None:
    write(tmp_path, {"deep.png": sixteen_bits()})
    pixels = np.asarray(read_picture(tmp_path / "deep.png", short_side=64))
    assert (pixels[0, 0, 0], pixels[-1, 0, 0]) == (0x20, 0xC0)


def test_a_plain_jpeg_has_the_very_pixels_of_a_stored_photo(tmp_path: Path) -> None:
    content = encoded(scene((700, 500)), "JPEG", quality=85)
    write(tmp_path, {"photo.jpg": content})
    image = read_picture(tmp_path / "photo.jpg", short_side=32)
    assert np.array_equal(np.asarray(image), np.asarray(decode(content)))


def test_a_large_picture_is_reduced_while_it_is_decoded(tmp_path: Path) -> None:
    write(tmp_path, {"large.png": encoded(scene((3000, 4000)), "PNG")})
    tracemalloc.start()
    image = read_picture(tmp_path / "large.png", short_side=64)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert image.size == (171, 128)
    assert most < 20_000_000  # of Python's own memory: the 36 MB of pixels stay in Pillow
    expected = np.asarray(scene((128, 171)), np.int16)
    assert np.abs(np.asarray(image, np.int16) - expected).mean() < 2


def test_what_a_header_announces_is_refused_before_it_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, {"large.png": encoded(scene((300, 400)), "PNG")})
    monkeypatch.setattr("geo_pipeline.model.pictures.MAX_DECODE_BYTES", 400 * 300)
    with pytest.raises(BrokenPictureError, match="too large: 400 x 300 pixels"):
        read_picture(tmp_path / "large.png", short_side=64)


def test_a_heic_file_without_its_decoder_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("geo_pipeline.model.pictures._formats", lambda: ("JPEG",))
    write(tmp_path, {"photo.heic": broken_files()["photo.heic"]})
    with pytest.raises(BrokenPictureError, match=r"pip install 'geo_pipeline\[heic\]'"):
        read_picture(tmp_path / "photo.heic", short_side=64)


def test_heic_pictures_are_read_where_the_decoder_is(tmp_path: Path) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.from_pillow(scene()).save(tmp_path / "photo.HEIC", quality=95)
    image = read_picture(tmp_path / "photo.HEIC", short_side=64)
    assert np.abs(np.asarray(image, np.int16) - np.asarray(scene(), np.int16)).mean() < 4


def test_pictures_are_found_in_any_depth_and_nothing_else_is(tmp_path: Path) -> None:
    write(tmp_path, dict.fromkeys(["b/x.JPG", "a.png", ".hidden.jpg", ".git/y.jpg", "notes.txt", "b/c/z.heic"], b"x"))
    assert find_pictures(tmp_path) == ["a.png", "b/c/z.heic", "b/x.JPG"]


@pytest.mark.parametrize(
    ("name", "words"),
    [("absent", "no such folder"), ("file", "a file, expected a folder"), ("empty", "no picture in it or below it")],
)
def test_a_folder_without_pictures_says_what_was_expected(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "empty" / "inner").mkdir(parents=True)
    with pytest.raises(InputError, match=words):
        find_pictures(tmp_path / name)


def test_ids_are_paths_without_the_ending_unless_nothing_else_tells_two_files_apart() -> None:
    names = ["a.jpg", "b/a.jpg", "b/a.png", "c.d.webp"]
    assert photo_ids_of(names) == ["a", "b/a.jpg", "b/a.png", "c.d"]


def test_a_folders_pictures_can_be_sent_to_another_process(tmp_path: Path) -> None:
    write(tmp_path, {"a.png": encoded(scene(), "PNG")})
    files = pickle.loads(pickle.dumps(PictureFiles(tmp_path, ["a.png"], 64)))  # noqa: S301 -- our own bytes
    assert len(files) == 1
    assert files.image(0).size == scene().size
