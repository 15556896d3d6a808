"""Which picture file belongs to which row of metadata.

Not here: reading either. The one idea: the surest agreement comes first (the same path, the same path but for the
ending, the same name in whatever folder), and where one name could mean two photos nobody guesses.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from geo_pipeline.errors import InputError

_NAMED = 10
_EXAMPLES = 3


@dataclass(frozen=True)
class Matches:
    """`pictures`: photo id -> file name, in the order of the ids; what has no counterpart, in its own order."""

    pictures: Mapping[str, str]
    without_metadata: Sequence[str]
    without_picture: Sequence[str]


def match_pictures(
    folder: Path, names: Sequence[str], metadata: Path, photo_ids: Sequence[str], endings: Collection[str]
) -> Matches:
    """Match files of a folder (paths below it) with the photo ids of a metadata file.

    An id may have an ending of `endings` or none, and folders or none. Raises InputError if nothing matches, and if
    an id could be two files or a file two ids.
    """
    found: dict[str, str] = {}
    for key in _keys(endings):
        taken = set(found.values())
        free_names = _by_key(key, [name for name in names if name not in taken])
        for shared, ids in _by_key(key, [photo_id for photo_id in photo_ids if photo_id not in found]).items():
            files = free_names.get(shared, [])
            if len(files) > 1 or (files and len(ids) > 1):
                raise InputError(_ambiguous(folder, files, metadata, ids))
            found |= dict(zip(ids, files, strict=False))
    if not found:
        raise InputError(_nothing(folder, names, metadata, photo_ids))
    taken = set(found.values())
    return Matches(
        {photo_id: found[photo_id] for photo_id in photo_ids if photo_id in found},
        [name for name in names if name not in taken],
        [photo_id for photo_id in photo_ids if photo_id not in found],
    )


def _keys(endings: Collection[str]) -> tuple[Callable[[str], str], ...]:
    """What two names must share to mean the same photo, the surest first."""

    def bare(name: str) -> str:
        path = PurePosixPath(name)
        return str(path.with_suffix("")) if path.suffix.lower() in endings else name

    return (lambda name: name), bare, (lambda name: PurePosixPath(bare(name)).name)


def _by_key(key: Callable[[str], str], names: Sequence[str]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = defaultdict(list)
    for name in names:
        groups[key(name)].append(name)
    return groups


def _ambiguous(folder: Path, files: Sequence[str], metadata: Path, ids: Sequence[str]) -> str:
    one_id = len(ids) == 1
    several = ", ".join((files if one_id else ids)[:_NAMED])
    what = f"{ids[0]} could be {several}" if one_id else f"{files[0]} could be the photo of {several}"
    return (
        f"{metadata} and {folder}: {what}; rename or remove all but one, or write IMG_ID as the path below the folder"
    )


def _nothing(folder: Path, names: Sequence[str], metadata: Path, photo_ids: Sequence[str]) -> str:
    files, ids = (", ".join(part[:_EXAMPLES]) for part in (names, photo_ids))
    return (
        f"{metadata}: none of its {len(photo_ids):,} photos is among the {len(names):,} pictures of {folder}: ids are "
        f"like {ids}, files like {files}; give the metadata of this folder"
    )
