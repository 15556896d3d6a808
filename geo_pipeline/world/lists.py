"""The maker of the world's lists: URL lists, metadata, and a folder of pictures.

Here lives what the files under `resources/world/` are made from and how. Which places there are is `places`. The one
idea: ids, authors and the order of rows come from seeded hashes that never see a place, so only the picture tells of
it; nobody has photos in two sets; and the same places always give the same bytes.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from geo_pipeline.errors import InputError
from geo_pipeline.store import write_bytes, write_text
from geo_pipeline.world.faults import body_with, fault_of
from geo_pipeline.world.photo_sets import PHOTO_SETS, PhotoSet
from geo_pipeline.world.places import Coordinates
from geo_pipeline.world.scenes import scene_shares
from geo_pipeline.world.views import encode_view, plain_view, render_view

METADATA_HEADER = ["IMG_ID", "AUTHOR", "LAT", "LON", "S3_Label", "Prob_water", "Prob_vegetation", "Prob_bare"]

_AUTHORS_OF_A_SET = 500
_MOODS = ("amber", "brave", "calm", "dusty", "early", "fond", "gentle", "hazy", "idle", "jolly", "keen", "late")
_BIRDS = ("auk", "bittern", "crane", "dunlin", "egret", "finch", "grebe", "heron", "ibis", "jay", "kite", "lark")


@dataclass(frozen=True)
class WorldPhoto:
    """A photo of the world before it is rendered; degrees."""

    photo_id: str
    latitude: float
    longitude: float


def photo_id(photo_set: str, index: int) -> str:
    """The opaque id of the photo at the `index`-th place of a photo set: 12 hexadecimal digits."""
    return hashlib.sha256(f"geo_pipeline photo 1\0{photo_set}\0{index}".encode()).hexdigest()[:12]


def author_of(photo_set: str, photo_id: str) -> str:
    """The pseudonym of a photo's author: a few authors have many photos, most have few, all in one photo set."""
    digest = hashlib.sha256(b"geo_pipeline author 1\0" + photo_id.encode()).digest()
    rank = int(_AUTHORS_OF_A_SET * (int.from_bytes(digest[:8], "big") / 2.0**64) ** 2)
    number = rank * len(PHOTO_SETS) + [each.name for each in PHOTO_SETS].index(photo_set)
    mood, bird = _MOODS[number % len(_MOODS)], _BIRDS[number // len(_MOODS) % len(_BIRDS)]
    return f"{mood}_{bird}_{number:04d}"


def photos_of(photo_set: str, places: Coordinates) -> list[WorldPhoto]:
    """The photos of a photo set in the order of their ids, which says nothing about the places."""
    photos = [
        WorldPhoto(photo_id(photo_set, index), latitude, longitude)
        for index, (latitude, longitude) in enumerate(places.tolist())
    ]
    return sorted(photos, key=lambda photo: photo.photo_id)


def metadata_csv(photo_set: PhotoSet, photos: Iterable[WorldPhoto]) -> str:
    """The metadata of a photo set in the original project's form; ids carry `.jpg` where pictures lie in a folder."""
    suffix = ".jpg" if photo_set.as_folder else ""
    return _csv([METADATA_HEADER, *(_metadata_row(photo_set.name, photo, suffix) for photo in photos)])


def _metadata_row(photo_set: str, photo: WorldPhoto, suffix: str) -> list[str | float]:
    """One row of `METADATA_HEADER`; the label is the scene with the largest share."""
    shares = scene_shares(plain_view(photo.latitude, photo.longitude))
    author = author_of(photo_set, photo.photo_id)
    return [photo.photo_id + suffix, author, photo.latitude, photo.longitude, shares.index(max(shares)), *shares]


def urls_csv(photos: Iterable[WorldPhoto], port: int) -> str:
    """The URL list of a photo set in the original project's form: `image_id,url` without a header."""
    return _csv([photo.photo_id, f"http://127.0.0.1:{port}/photos/{photo.photo_id}.jpg"] for photo in photos)


def _csv(rows: Iterable[Iterable[str | float]]) -> str:
    """Rows as CSV text with Unix line ends."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def pictures(photos: Iterable[WorldPhoto]) -> Iterator[tuple[str, bytes]]:
    """File name and content of each picture of a benchmark that is a folder; lost photos have none."""
    for photo in photos:
        picture = encode_view(render_view(photo.photo_id, photo.latitude, photo.longitude))
        body = body_with(fault_of(photo.photo_id, benchmark=True), picture)
        if body is not None:
            yield f"{photo.photo_id}.jpg", body


def make_lists(
    places: Mapping[str, Coordinates], output: Path, port: int, photo_sets: tuple[PhotoSet, ...] = PHOTO_SETS
) -> None:
    """Write the lists of each photo set, and the folder of pictures of those that are one, into `output`.

    Raises InputError naming the photo set whose places are missing.
    """
    for photo_set in photo_sets:
        if photo_set.name not in places:
            raise InputError(f"{photo_set.name}: no places of this photo set are given; there are {sorted(places)}")
        photos = photos_of(photo_set.name, places[photo_set.name])
        write_text(output / f"{photo_set.name}_metadata.csv", metadata_csv(photo_set, photos))
        if photo_set.as_folder:
            _write_pictures(output / photo_set.name, photos)
        else:
            write_text(output / f"{photo_set.name}_urls.csv", urls_csv(photos, port))


def _write_pictures(folder: Path, photos: Iterable[WorldPhoto]) -> None:
    """Make the folder hold exactly the pictures of these photos."""
    written = set()
    for name, content in pictures(photos):
        write_bytes(folder / name, content)
        written.add(name)
    for path in folder.glob("*.jpg"):
        if path.name not in written:
            path.unlink()
