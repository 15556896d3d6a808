from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from geo_pipeline.errors import InputError
from geo_pipeline.world.faults import PASSING_FAULTS, Fault, fault_of
from geo_pipeline.world.lists import METADATA_HEADER, author_of, make_lists, metadata_csv, photos_of, urls_csv
from geo_pipeline.world.photo_sets import PHOTO_SETS
from geo_pipeline.world.places import read_places
from geo_pipeline.world.settings import DEFAULT_PORT
from geo_pipeline.world.views import JPEG_BYTES, render_view
from geo_pipeline_tests.world.conftest import SMALL_SETS, WORLD, Row, make_small_world

SETS = {photo_set.name: photo_set for photo_set in PHOTO_SETS}
URL_SETS = [name for name, photo_set in SETS.items() if not photo_set.as_folder]

Metadata = Callable[[str], list[Row]]


def ids(rows: list[Row]) -> list[str]:
    return [row["IMG_ID"].removesuffix(".jpg") for row in rows]


@pytest.mark.parametrize("name", URL_SETS)
def test_making_the_url_lists_again_gives_the_same_bytes(name: str) -> None:
    photos = photos_of(name, read_places(WORLD / "places.csv")[name])
    assert urls_csv(photos, DEFAULT_PORT).encode() == (WORLD / f"{name}_urls.csv").read_bytes()


@pytest.mark.parametrize("name", ["world_1k", "world_300", "world_train"])
def test_making_metadata_again_gives_the_same_bytes(name: str) -> None:
    photos = photos_of(name, read_places(WORLD / "places.csv")[name])
    made = metadata_csv(SETS[name], photos[:300]).encode()
    assert (WORLD / f"{name}_metadata.csv").read_bytes().startswith(made)


@pytest.mark.parametrize("name", SETS)
def test_metadata_is_in_the_original_form_and_ordered_by_id(metadata: Metadata, name: str) -> None:
    rows = metadata(name)
    assert len(rows) == SETS[name].num_photos
    assert list(rows[0]) == METADATA_HEADER
    assert ids(rows) == sorted(ids(rows))
    assert all(row["IMG_ID"].endswith(".jpg") == SETS[name].as_folder for row in rows)


@pytest.mark.parametrize("name", SETS)
def test_the_label_is_the_largest_share_and_shares_add_up_to_one(metadata: Metadata, name: str) -> None:
    shares = np.array([[float(row[column]) for column in METADATA_HEADER[-3:]] for row in metadata(name)])
    labels = np.array([int(row["S3_Label"]) for row in metadata(name)])
    np.testing.assert_allclose(shares.sum(axis=1), 1.0, atol=1e-9)
    np.testing.assert_array_equal(labels, shares.argmax(axis=1))
    assert np.bincount(labels, minlength=3).min() > 0.05 * len(labels)


def test_no_id_occurs_twice(metadata: Metadata) -> None:
    everything = list(itertools.chain.from_iterable(ids(metadata(name)) for name in SETS))
    assert len(set(everything)) == len(everything)


@pytest.mark.parametrize("name", URL_SETS)
def test_a_url_says_nothing_but_the_id(metadata: Metadata, name: str) -> None:
    with (WORLD / f"{name}_urls.csv").open(newline="") as stream:
        rows = list(csv.reader(stream))
    assert [row[0] for row in rows] == ids(metadata(name))
    assert all(url == f"http://127.0.0.1:8731/photos/{photo_id}.jpg" for photo_id, url in rows)


@pytest.mark.parametrize("name", SETS)
def test_ids_order_authors_and_faults_are_unrelated_to_the_place(metadata: Metadata, name: str) -> None:
    rows = metadata(name)
    places = np.array([(float(row["LAT"]), float(row["LON"])) for row in rows])
    benchmark = SETS[name].benchmark
    signals = {
        "id": [int(photo_id, 16) for photo_id in ids(rows)],
        "order": list(range(len(rows))),
        "author": [int(row["AUTHOR"].rpartition("_")[2]) for row in rows],
        "fault": [fault_of(photo_id, benchmark=benchmark) is None for photo_id in ids(rows)],
    }
    for signal, values in signals.items():
        for degrees in places.T:
            correlation = np.corrcoef(np.array(values, np.float64), degrees)[0, 1]
            assert abs(correlation) < 4 / len(rows) ** 0.5, signal


@pytest.mark.parametrize("name", SETS)
def test_neighbours_in_the_list_are_as_far_apart_as_strangers(metadata: Metadata, name: str) -> None:
    angles = np.radians([(float(row["LAT"]), float(row["LON"])) for row in metadata(name)])
    cosines = np.cos(angles[:, 0])
    points = np.stack([cosines * np.cos(angles[:, 1]), cosines * np.sin(angles[:, 1]), np.sin(angles[:, 0])], axis=1)

    def mean_cosine(order: np.ndarray) -> float:
        return float(np.mean(np.sum(points[order[1:]] * points[order[:-1]], axis=1)))

    random = np.random.default_rng(0)
    shuffled = [mean_cosine(random.permutation(len(points))) for _ in range(100)]
    assert abs(mean_cosine(np.arange(len(points))) - np.mean(shuffled)) < 4 * np.std(shuffled)


def test_the_same_id_has_the_same_author_whatever_the_place_and_some_authors_have_many_photos(
    metadata: Metadata,
) -> None:
    rows = metadata("world_train")
    assert all(author_of("world_train", row["IMG_ID"]) == row["AUTHOR"] for row in rows)
    counts = np.unique([row["AUTHOR"] for row in rows], return_counts=True)[1]
    assert counts.max() > 5 * np.median(counts)


def test_nobody_has_photos_in_two_sets(metadata: Metadata) -> None:
    authors = [{row["AUTHOR"] for row in metadata(name)} for name in SETS]
    assert len(set().union(*authors)) == sum(map(len, authors)) > 1000


def test_the_folder_holds_the_pictures_of_the_metadata_less_the_lost_ones(metadata: Metadata) -> None:
    held = {path.stem: path.read_bytes() for path in (WORLD / "world_300").iterdir()}
    faults = {photo_id: fault_of(photo_id, benchmark=True) for photo_id in ids(metadata("world_300"))}
    missing = {Fault.NOT_FOUND, Fault.GONE, Fault.FORBIDDEN}
    assert set(held) == {photo_id for photo_id, fault in faults.items() if fault not in missing}
    for photo_id, content in held.items():
        if faults[photo_id] is None or faults[photo_id] in PASSING_FAULTS:
            assert len(content) == JPEG_BYTES
        else:
            assert len(content) < JPEG_BYTES


def test_a_picture_in_the_folder_is_the_view_of_its_place(metadata: Metadata) -> None:
    for row in metadata("world_300")[::40]:
        photo_id = ids([row])[0]
        if fault_of(photo_id, benchmark=True) is None:
            content = (WORLD / "world_300" / row["IMG_ID"]).read_bytes()
            with Image.open(io.BytesIO(content)) as picture:
                found = np.asarray(picture).astype(np.float64)
            expected = np.asarray(render_view(photo_id, float(row["LAT"]), float(row["LON"]))).astype(np.float64)
            assert np.abs(found - expected).mean() < 4


def test_making_a_world_twice_gives_the_same_files(tmp_path: Path) -> None:
    for name in ("one", "two"):
        make_small_world(tmp_path / name, 9000)
    (tmp_path / "two" / "world_300" / "left_over.jpg").write_bytes(b"from an earlier world")
    make_small_world(tmp_path / "two", 9000)
    files = {path.relative_to(tmp_path / "one"): path for path in (tmp_path / "one").rglob("*.*")}
    assert {path.relative_to(tmp_path / "two") for path in (tmp_path / "two").rglob("*.*")} == set(files)
    for relative, path in files.items():
        assert path.read_bytes() == (tmp_path / "two" / relative).read_bytes()
    assert "http://127.0.0.1:9000/photos/" in (tmp_path / "one" / "world_train_urls.csv").read_text()


def test_a_photo_set_without_places_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="world_300: no places"):
        make_lists({}, tmp_path, 9000, SMALL_SETS)


def test_the_committed_files_stay_small() -> None:
    assert sum(path.stat().st_size for path in WORLD.rglob("*.*")) < 6_000_000
