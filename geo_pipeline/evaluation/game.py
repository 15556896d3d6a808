"""The game against the model: which benchmark photos are in it, what the model answered, what a guess is worth.

Here live the rules and the choice of the model and of the photos. Not here: the page (game_page.py), its folder
(game_folder.py) and the joining of tables (the caller). The one idea: all is fixed when the game is built, from photos
of benchmarks alone; a photo that cannot be shown is left out and told of, and ends nothing.
"""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from geo_pipeline.cells.distance import Kilometres
from geo_pipeline.errors import InputError
from geo_pipeline.evaluation.accuracy import HIERARCHY
from geo_pipeline.shards.format import DamagedRecordError
from geo_pipeline.shards.jpeg import foreign_content

ROUNDS: Final = 5
MOST_POINTS: Final = 5000
SCALE_KM: Final = 2000.0

PREFERRED_MODELS: Final = ("isn", "base")
"""The first of these that answered every benchmark plays: ISN(M, f*, S3) is the paper's best."""

_REMEDY = "materialize benchmark_predictions, then build the game again"


@dataclass(frozen=True)
class Benchmark:
    """A benchmark as the game needs it.

    title: its name for people; photos: the downloaded ones, `photo_id, latitude, longitude` (the truth, degrees);
    authors: by photo id, where known; pictures: JPEGs by photo id, which may raise as PhotoReader does.
    """

    name: str
    title: str
    photos: pa.Table
    authors: Mapping[str, str]
    pictures: Mapping[str, bytes]


@dataclass(frozen=True)
class GamePhoto:
    """A photo of the game: where it was taken, and where the model places it with which probability (degrees)."""

    benchmark: str
    photo_id: str
    author: str
    true_latitude: float
    true_longitude: float
    latitude: float
    longitude: float
    probability: float
    jpeg: bytes


@dataclass(frozen=True)
class LeftOut:
    """A photo that is not in the game, and why."""

    benchmark: str
    photo_id: str
    reason: str

    def __str__(self) -> str:
        return f"{self.benchmark}, photo {self.photo_id}: {self.reason}"


@dataclass(frozen=True)
class Choice:
    """Whose answers are played, the photos in the order of their numbers, and those that were left out on the way."""

    model: str
    photos: Sequence[GamePhoto]
    left_out: Sequence[LeftOut]


def points(distances_km: Kilometres) -> np.ndarray[Any, np.dtype[np.int64]]:
    """What guesses so far from the truth are worth (int64): 5000 * exp(-distance / 2000 km), halves rounded up."""
    return np.floor(MOST_POINTS * np.exp(-np.asarray(distances_km) / SCALE_KM) + 0.5).astype(np.int64)


def choose_photos(benchmarks: Sequence[Benchmark], predictions: pa.Table, num_photos: int, seed: int) -> Choice:
    """Up to `num_photos` photos of some benchmarks that have an answer of f* and a sound picture.

    predictions: `benchmark_predictions`. Which photos, and their order, depends on the seed and on their ids alone.
    Raises InputError if no model answered every benchmark, if fewer photos are left than a game has rounds, or if a
    shard is gone.
    """
    answers = predictions.filter(pc.equal(predictions["p_key"], HIERARCHY))
    model = _model(answers, [each.name for each in benchmarks])
    answers = answers.filter(pc.equal(answers["model"], model))
    left_out: list[LeftOut] = []
    candidates = [pair for each in benchmarks for pair in _candidates(each, answers, left_out)]
    candidates.sort(key=lambda pair: _rank(pair[0].name, pair[1]["photo_id"], seed))
    photos = list(_with_pictures(candidates, num_photos, left_out))
    if len(photos) < ROUNDS:
        raise InputError(_too_few(len(photos), benchmarks, left_out))
    return Choice(model, photos, left_out)


def _model(answers: pa.Table, benchmarks: Iterable[str]) -> str:
    """The model to play: it must have answered each of the benchmarks. Raises InputError if none has."""
    models: list[set[str]] = []
    for name in benchmarks:
        models.append(set(answers.filter(pc.equal(answers["benchmark"], name))["model"].to_pylist()))
        if not models[-1]:
            raise InputError(f"benchmark_predictions: no answer of f* for benchmark {name}; {_REMEDY}")
    common = set.intersection(*models)
    if not common:
        found = ", ".join(sorted(set.union(*models)))
        raise InputError(f"benchmark_predictions: no model answered all of these benchmarks (found {found}); {_REMEDY}")
    return next((name for name in PREFERRED_MODELS if name in common), min(common))


def _candidates(
    benchmark: Benchmark, answers: pa.Table, left_out: list[LeftOut]
) -> Iterator[tuple[Benchmark, dict[str, Any]]]:
    """The benchmark with each stored photo's truth and answer; photos that lack either are left out."""
    rows = answers.filter(pc.equal(answers["benchmark"], benchmark.name)).to_pylist()
    answer_of = {row["photo_id"]: row for row in rows}
    stored = benchmark.photos.to_pylist()
    if stored and not answer_of.keys() & {photo["photo_id"] for photo in stored}:
        raise InputError(
            f"benchmark_predictions: the answers for {benchmark.name} are to other photos: they begin with "
            f"{rows[0]['photo_id']}, the stored photos with {stored[0]['photo_id']}; {_REMEDY}"
        )
    for photo in stored:
        answer = answer_of.pop(photo["photo_id"], None)
        if answer is None:
            left_out.append(LeftOut(benchmark.name, photo["photo_id"], "the model has not answered it"))
        elif not _is_place(answer["latitude"], answer["longitude"]):
            found = f"{answer['latitude']}, {answer['longitude']}"
            left_out.append(LeftOut(benchmark.name, photo["photo_id"], f"the answer is no coordinate: {found}"))
        else:
            truth = {"true_latitude": photo["latitude"], "true_longitude": photo["longitude"]}
            yield benchmark, answer | truth  # the metadata may have been corrected since the answer
    left_out += [LeftOut(benchmark.name, photo_id, "answered, but not stored (any more)") for photo_id in answer_of]


def _is_place(latitude: float | None, longitude: float | None) -> bool:
    if latitude is None or longitude is None:
        return False
    return math.isfinite(latitude + longitude) and abs(latitude) <= 90 and abs(longitude) <= 180


def _rank(benchmark: str, photo_id: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}/{benchmark}/{photo_id}".encode("utf-8", "surrogateescape")).digest()


def _with_pictures(
    candidates: Iterable[tuple[Benchmark, dict[str, Any]]], num_photos: int, left_out: list[LeftOut]
) -> Iterator[GamePhoto]:
    """The first so many candidates whose picture is sound; no more pictures are read than it takes."""
    taken = 0
    for benchmark, row in candidates:
        if taken == num_photos:
            return
        photo_id = row["photo_id"]
        try:
            jpeg = benchmark.pictures[photo_id]
            problem = foreign_content(jpeg) or _undecodable(jpeg)
        except DamagedRecordError as error:
            problem = f"damaged record in its shard: {error.found}"
        if problem:
            left_out.append(LeftOut(benchmark.name, photo_id, problem))
            continue
        taken += 1
        names = ("true_latitude", "true_longitude", "latitude", "longitude", "probability")
        author = benchmark.authors.get(photo_id) or ""
        yield GamePhoto(benchmark.title, photo_id, author, **{name: row[name] for name in names}, jpeg=jpeg)


def _undecodable(jpeg: bytes) -> str | None:
    """What PIL says of a picture that it cannot decode."""
    try:
        with Image.open(io.BytesIO(jpeg)) as picture:
            picture.load()
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        return f"damaged picture: {error}"
    return None


def _too_few(found: int, benchmarks: Sequence[Benchmark], left_out: Sequence[LeftOut]) -> str:
    names = ", ".join(each.name for each in benchmarks)
    why = "".join(f"\n  - {each}" for each in left_out[:ROUNDS])
    return (
        f"{names}: {found} photos can be shown, a game needs {ROUNDS}; crawl their photos (materialize photo_shards), "
        f"then {_REMEDY}" + (f"; left out, for example:{why}" if why else "")
    )
