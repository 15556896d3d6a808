"""Whether photos that a model is judged by stand among those it learnt from: by id, by author, by picture.

Not here: reading photos and telling (defs room). The one idea: two pictures of one photo differ in size, quality and a
few gray levels, but hardly in where it grows brighter; so 64 comparisons along the rows and 64 along the columns of a
tiny gray copy are enough to know them (dHash, N. Krawetz 2013), and pictures that agree in all but four of each are
found without comparing all pairs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePosixPath

import numpy as np
import numpy.typing as npt
from PIL import Image

Hashes = npt.NDArray[np.uint64]

MAX_DISTANCE = 4
"""So many of 64 comparisons may differ, along the rows and along the columns."""

FLAT = 4.0
"""Pictures whose tiny copies vary less (standard deviation, of 255 levels) are left out: noise decides their hashes."""

_SIDE = 8
_BANDS = MAX_DISTANCE + 1
_PAIRS_AT_ONCE = 1 << 22
_FLICKR_ID = re.compile(r"\d{6,}(?=_|$)")


@dataclass(frozen=True)
class PictureHashes:
    """Hashes of n pictures: `rows`, `columns`: uint64[n]; `flat`: bool[n], those without a contrast to speak of."""

    rows: Hashes
    columns: Hashes
    flat: npt.NDArray[np.bool_]

    def __getitem__(self, chosen: npt.NDArray[np.int64]) -> PictureHashes:
        """The hashes of some pictures."""
        return PictureHashes(self.rows[chosen], self.columns[chosen], self.flat[chosen])


def photo_key(photo_id: str) -> str:
    """What ids of one photo share: its name without folders and ending, of Flickr's names the number of the photo.

    MP-16 calls a photo `45/77/3228511372.jpg`, Im2GPS `3228511372_7410c654ba_19_19355699@N00.jpg`.
    """
    name = PurePosixPath(photo_id).stem
    found = _FLICKR_ID.match(name)
    return found.group() if found else name


def shared_photos(training: Iterable[str], others: Iterable[str]) -> list[tuple[str, str]]:
    """(other id, training id) of all others that are training photos by their key, in the order of the others."""
    keys = {photo_id: photo_key(photo_id) for photo_id in others}
    wanted = set(keys.values())
    learnt = {key: photo_id for photo_id in training if (key := photo_key(photo_id)) in wanted}
    return [(photo_id, learnt[key]) for photo_id, key in keys.items() if key in learnt]


def shared_authors(training: Iterable[str | None], others: Mapping[str, str | None]) -> dict[str, str]:
    """Photo id -> author of all others whose author is known and has training photos."""
    known = {author for author in training if author}
    return {photo_id: author for photo_id, author in others.items() if author and author in known}


def hash_picture(pixels: npt.NDArray[np.uint8]) -> tuple[int, int, bool]:
    """The hashes along rows and columns, and whether the picture is flat. pixels: uint8[height, width, 3], RGB."""
    gray = Image.fromarray(pixels).convert("L")
    along_rows, along_columns = (
        np.asarray(gray.resize(size, Image.Resampling.BOX), np.int16)
        for size in ((_SIDE + 1, _SIDE), (_SIDE, _SIDE + 1))
    )
    brighter = along_rows[:, 1:] > along_rows[:, :-1], along_columns[1:] > along_columns[:-1]
    rows, columns = (int.from_bytes(np.packbits(each.ravel()).tobytes(), "big") for each in brighter)
    return rows, columns, bool(along_rows.std() < FLAT)


def near_duplicates(training: PictureHashes, others: PictureHashes) -> npt.NDArray[np.int64]:
    """Pairs (other, training) of pictures whose hashes differ in at most `MAX_DISTANCE` bits each: int64[pairs, 2].

    Ordered by the other picture, then by training picture; flat pictures are in no pair. Of two hashes that differ in
    four bits one of five bands is equal (pigeonhole), so only pictures that share a band are compared; memory is
    bounded, whatever the number of pictures.
    """
    theirs, ours = np.flatnonzero(~others.flat), np.flatnonzero(~training.flat)
    found = [np.empty((0, 2), dtype=np.int64)]
    for band in _bands():
        for pairs in _sharing(others.rows[theirs] & band, training.rows[ours] & band):
            candidates = np.stack([theirs[pairs[:, 0]], ours[pairs[:, 1]]], axis=1)
            found.append(candidates[_are_near(others[candidates[:, 0]], training[candidates[:, 1]])])
    return np.unique(np.concatenate(found), axis=0)


def _bands() -> list[np.uint64]:
    """Masks that cut 64 bits into `_BANDS` nearly equal parts."""
    ends = [64 * k // _BANDS for k in range(_BANDS + 1)]
    return [np.uint64((1 << high) - (1 << low)) for low, high in pairwise(ends)]


def _sharing(others: Hashes, training: Hashes) -> Iterator[npt.NDArray[np.int64]]:
    """Index pairs (other, training) of equal values, int64[some, 2], some at a time."""
    order = np.argsort(training, kind="stable")
    ordered = training[order]
    first, last = (np.searchsorted(ordered, others, side=side) for side in ("left", "right"))
    counts = last - first
    ends = np.cumsum(counts)
    begin = 0
    while begin < len(others):
        done = ends[begin - 1] if begin else 0
        end = max(begin + 1, int(np.searchsorted(ends, done + _PAIRS_AT_ONCE, side="right")))
        owners = np.repeat(np.arange(begin, end), counts[begin:end])
        within = np.arange(len(owners)) - np.repeat(ends[begin:end] - counts[begin:end] - done, counts[begin:end])
        yield np.stack([owners, order[first[owners] + within]], axis=1)
        begin = end


def _are_near(a: PictureHashes, b: PictureHashes) -> npt.NDArray[np.bool_]:
    """bool[n]: which pictures differ in few enough bits along rows and along columns."""
    rows, columns = np.bitwise_count(a.rows ^ b.rows), np.bitwise_count(a.columns ^ b.columns)
    near: npt.NDArray[np.bool_] = (rows <= MAX_DISTANCE) & (columns <= MAX_DISTANCE)
    return near
