"""What `evaluate` measures on: folders of pictures with metadata, or the benchmarks of a profile.

Not here: the command and the measuring. The one idea: every photo of a benchmark can be answered or stands in a list
with the reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from geo_pipeline.errors import InputError
from geo_pipeline.evaluation.matching import match_pictures
from geo_pipeline.model.crop_batches import PictureSource
from geo_pipeline.model.pictures import ENDINGS, PictureFiles, find_pictures
from geo_pipeline.model.stored_photos import StoredPhotos
from geo_pipeline.photos.joins import downloaded_with_coordinates
from geo_pipeline.photos.metadata import read_metadata_csv
from geo_pipeline.photos.rejects import refusal
from geo_pipeline.photos.settings import Role
from geo_pipeline.profile import Layout, Profile
from geo_pipeline.store import read_table

_NO_METADATA, _NO_PICTURE = "a picture without metadata", "metadata without a picture"


@dataclass(frozen=True)
class Benchmark:
    """Photos with known places.

    `photos`: `photo_id, author, latitude, longitude`, a row for each picture of the source; `left_out`: photo id or
    file -> why it cannot be answered.
    """

    name: str
    photos: pa.Table
    source: PictureSource
    left_out: Mapping[str, str]


def benchmarks_of_folders(
    folders: Sequence[Path], metadata: Sequence[Path], short_side: int, *, skip_bad_rows: bool
) -> list[Benchmark]:
    """Folders of pictures with the metadata of each; short_side: what the network's pictures are resized to, pixels.

    Raises InputError for a folder and a file that do not belong together, and for bad rows unless they are skipped.
    """
    triples = zip(_names(folders), folders, metadata, strict=True)
    return [_of_folder(*each, short_side, skip_bad_rows=skip_bad_rows) for each in triples]


def _names(folders: Sequence[Path]) -> list[str]:
    """Each folder's own name, or its whole path where another has the same."""
    counts = Counter(folder.resolve().name for folder in folders)
    return [folder.resolve().name if counts[folder.resolve().name] == 1 else str(folder) for folder in folders]


def _of_folder(name: str, folder: Path, metadata_csv: Path, short_side: int, *, skip_bad_rows: bool) -> Benchmark:
    """A folder of pictures with its metadata. Raises InputError if they do not fit together."""
    names = find_pictures(folder)
    read = read_metadata_csv(name, metadata_csv, {})
    if read.rejects.num_rows and not skip_bad_rows:
        raise InputError(refusal(metadata_csv, read.rejects.num_rows, read.rejects))
    found = match_pictures(folder, names, metadata_csv, read.photos["photo_id"].to_pylist(), ENDINGS)
    photos = read.photos.filter(pc.is_in(read.photos["photo_id"], pa.array(list(found.pictures))))
    source = PictureFiles(folder, list(found.pictures.values()), short_side)
    left_out = dict.fromkeys(found.without_metadata, _NO_METADATA) | dict.fromkeys(found.without_picture, _NO_PICTURE)
    bad = {f"{metadata_csv.name}, row {row['row']}": row["reason"] for row in read.rejects.to_pylist()}
    return Benchmark(name, photos, source, left_out | bad)


def benchmarks_of_profile(profile: Profile, layout: Layout) -> Iterator[Benchmark]:
    """The benchmarks of a profile: their downloaded photos that have a place."""
    manifest, metadata = (read_table(layout.table(name)) for name in ("photo_manifest", "photo_metadata"))
    for name in profile.sets_of(Role.BENCHMARK):
        photos = downloaded_with_coordinates(manifest, metadata, name)
        yield Benchmark(name, photos, StoredPhotos(photos, layout.shards), _not_there(name, manifest, metadata, photos))


def _not_there(name: str, manifest: pa.Table, metadata: pa.Table, photos: pa.Table) -> dict[str, str]:
    """Photos of a set that cannot be answered: not downloaded, with the outcome, or without metadata."""
    answered = set(photos["photo_id"].to_pylist())
    listed, known = (table.filter(pc.equal(table["photo_set"], name)) for table in (manifest, metadata))
    outcomes = dict(zip(listed["photo_id"].to_pylist(), listed["status"].to_pylist(), strict=True))
    without_picture = {i: outcomes.get(i, _NO_PICTURE) for i in known["photo_id"].to_pylist() if i not in answered}
    places = set(known["photo_id"].to_pylist())
    return without_picture | {i: _NO_METADATA for i, status in outcomes.items() if status == "ok" and i not in places}
