"""The first profile for somebody's own lists: look at the files, divide them where needed, write the profile.

Here lives what `geo-pipeline init` does. Not here: the counting (survey.py), the numbers (suggestions.py) and the words
(profile_text.py). The one idea: nothing is written before everything was read, and nothing is ever written over.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from geo_pipeline.errors import InputError
from geo_pipeline.photos.settings import PhotoSetSettings, Role
from geo_pipeline.planning.division import Division, divide
from geo_pipeline.planning.holdout import BORDER_KM, Share, close_pairs
from geo_pipeline.planning.lists import Contents, common_scenes, read_contents
from geo_pipeline.planning.profile_text import Findings, SeenPlaces, profile_yaml, summary_text
from geo_pipeline.planning.suggestions import suggest_partitionings
from geo_pipeline.planning.survey import survey
from geo_pipeline.profile import load_profile
from geo_pipeline.store import write_text

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_HELD_OUT = {Role.BENCHMARK: Share.BENCHMARK, Role.VALIDATION: Share.VALIDATION}


@dataclass(frozen=True)
class FirstProfileRequest:
    """What a person gives: a name, where the profile is to be written, and lists.

    `url_csv` and `metadata_csv` are the training photos. `image_dir` with `image_metadata_csv` is a benchmark, or the
    training photos where no URL list is given. Sets that are not given are held out of the training photos.
    """

    name: str
    output: Path
    url_csv: Path | None = None
    metadata_csv: Path | None = None
    image_dir: Path | None = None
    image_metadata_csv: Path | None = None
    validation_url_csv: Path | None = None
    validation_metadata_csv: Path | None = None
    benchmark_url_csv: Path | None = None
    benchmark_metadata_csv: Path | None = None
    contact: str | None = None


@dataclass(frozen=True)
class FirstProfile:
    """What was written: the profile, the divided lists, and a summary to print."""

    path: Path
    lists: tuple[Path, ...]
    text: str


def first_profile(request: FirstProfileRequest) -> FirstProfile:
    """Write a commented profile to `request.output`, and divided lists into the folder of its name beside it.

    Raises InputError for a bad name, missing, swapped or unusable files, a file that would be written over, and photos
    that lie too close together to be divided.
    """
    given = _given_sets(request)
    output = request.output.expanduser().resolve()
    _refuse_existing([output])
    scenes = common_scenes(each.metadata_csv for each in given.values())
    contents = [read_contents(name, settings, scenes) for name, settings in given.items()]
    division = _division(request.name, contents, output.parent / request.name)
    lists = division.files() if division else []
    _refuse_existing(lists)
    sets = [*division.parts.values(), *contents[1:]] if division else contents
    found = _findings(request, output, scenes, sets, division)
    with _all_or_nothing([*lists, output]):
        if division:
            division.write()
        write_text(output, profile_yaml(found))
        load_profile(output).training_config()
    return FirstProfile(output, tuple(lists), summary_text(found, lists))


def _given_sets(request: FirstProfileRequest) -> dict[str, PhotoSetSettings]:
    """The photo sets that were given, the training set first. Raises InputError for options that do not fit."""
    if not _NAME.fullmatch(request.name):
        raise InputError(
            f"--name: found {request.name!r}, expected small letters, digits and _, beginning with a letter: it names "
            "the profile and a folder"
        )
    if request.output.suffix not in {".yaml", ".yml"}:
        raise InputError(f"--output: found {request.output}, expected a path that ends in .yaml")
    train = _set("", Role.TRAIN, request.url_csv, request.metadata_csv)
    pictures = _pictures(request, Role.BENCHMARK if train else Role.TRAIN)
    if train is None and pictures is None:
        raise InputError(
            "no photos: give --url-csv and --metadata-csv (the training photos), or --image-dir and "
            "--image-metadata-csv if all your photos are in a folder"
        )
    validation = _set("validation-", Role.VALIDATION, request.validation_url_csv, request.validation_metadata_csv)
    benchmark = _set("benchmark-", Role.BENCHMARK, request.benchmark_url_csv, request.benchmark_metadata_csv)
    sets = {
        f"{request.name}_train": train or pictures,
        f"{request.name}_validation": validation,
        f"{request.name}_benchmark": benchmark,
        f"{request.name}_pictures": pictures if train else None,
    }
    return {name: settings for name, settings in sets.items() if settings}


def _set(prefix: str, role: Role, url_csv: Path | None, metadata_csv: Path | None) -> PhotoSetSettings | None:
    """The settings of a set that is a list; None if it is not given. Raises InputError if half of it is."""
    if url_csv is None and metadata_csv is None:
        return None
    if url_csv is None or metadata_csv is None:
        missing = "url" if url_csv is None else "metadata"
        raise InputError(f"--{prefix}{missing}-csv: missing; a list needs both its URLs and its metadata")
    return PhotoSetSettings(role=role, url_csv=_absolute(url_csv), metadata_csv=_absolute(metadata_csv))


def _pictures(request: FirstProfileRequest, role: Role) -> PhotoSetSettings | None:
    """The settings of the set that is a folder; None if it is not given. Raises InputError if half of it is."""
    folder, metadata_csv = request.image_dir, request.image_metadata_csv
    if folder is None and metadata_csv is None:
        return None
    if folder is None or metadata_csv is None:
        missing = "dir" if folder is None else "metadata-csv"
        raise InputError(f"--image-{missing}: missing; a folder of pictures needs --image-dir and --image-metadata-csv")
    return PhotoSetSettings(role=role, image_dir=_absolute(folder), metadata_csv=_absolute(metadata_csv))


def _absolute(path: Path) -> Path:
    return path.expanduser().resolve()


def _refuse_existing(paths: Sequence[Path]) -> None:
    """Raise InputError if a file is there already."""
    for path in paths:
        if path.exists():
            raise InputError(f"{path}: exists already and is not written over; move it away or choose another name")


def _division(name: str, contents: Sequence[Contents], folder: Path) -> Division | None:
    """The training photos divided into the roles that no given set has; None if each has one."""
    roles = {each.settings.role for each in contents}
    shares = [share for role, share in _HELD_OUT.items() if role not in roles]
    return divide(contents[0], shares, folder, name) if shares else None


def _findings(
    request: FirstProfileRequest,
    output: Path,
    scenes: dict[str, str],
    sets: Sequence[Contents],
    division: Division | None,
) -> Findings:
    """Everything that the profile's text tells."""
    train = next(each for each in sets if each.settings.role is Role.TRAIN)
    return Findings(
        name=request.name,
        output=output,
        contact=request.contact,
        scenes=scenes,
        surveys=[survey(each) for each in sorted(sets, key=lambda each: list(Role).index(each.settings.role))],
        partitionings=suggest_partitionings(*train.coordinates()),
        division=division,
        seen_places=[_seen_places(train, each) for each in sets if each.settings.role is Role.BENCHMARK],
    )


def _seen_places(train: Contents, benchmark: Contents) -> SeenPlaces:
    """How many places of a benchmark are also places of the training photos."""
    near, _ = close_pairs(benchmark.coordinates(), train.coordinates(), BORDER_KM)
    return SeenPlaces(benchmark.name, int(np.count_nonzero(near)), len(near))


@contextmanager
def _all_or_nothing(paths: Sequence[Path]) -> Iterator[None]:
    """Remove what was written of `paths` if the block does not end well; none of them was there before."""
    try:
        yield
    except BaseException:
        for path in paths:
            path.unlink(missing_ok=True)
        raise
