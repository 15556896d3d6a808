"""Dividing one supplied list into training, validation and benchmark: its contents, and its rows on disk.

Not here: which photos go where (holdout.py). The one idea: rows are copied as they stand, with every column; a bad row
stays with the training list, where the checks will find it, and only the border is left out.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from geo_pipeline.photos.csv_rows import read_first_row
from geo_pipeline.photos.metadata import Metadata
from geo_pipeline.photos.settings import PhotoSetSettings, Role
from geo_pipeline.photos.url_lists import UrlList
from geo_pipeline.planning.holdout import Share, hold_out
from geo_pipeline.planning.lists import Contents
from geo_pipeline.store import atomic_file

HELD_OUT_PART = 20
"""One of so many photos is held out for a set, up to the set's most."""

MOST_HELD_OUT = {Share.BENCHMARK: 3_000, Share.VALIDATION: 25_000}
"""As many as the sets of the paper have: Im2GPS3k and YFCC25600."""

_ROLES = {Share.TRAIN: Role.TRAIN, Share.VALIDATION: Role.VALIDATION, Share.BENCHMARK: Role.BENCHMARK}


@dataclass(frozen=True)
class Division:
    """A source and the sets that come of it: `parts` by share, whose settings name files that are still to be written.

    `ids`: string[n], the photo ids of each share but the training's; `num_border` counts photos of the border that
    have list entry and coordinate.
    """

    source: Contents
    parts: Mapping[Share, Contents]
    ids: Mapping[Share, pa.Array]
    num_border: int

    def files(self) -> list[Path]:
        """The files that `write` makes."""
        settings = [part.settings for part in self.parts.values()]
        return [path for each in settings for path in (each.url_csv, each.metadata_csv) if path]

    def write(self) -> None:
        """Write the rows of every part."""
        whole, parts = self.source.settings, {share: part.settings for share, part in self.parts.items()}
        share_of_id = {photo_id: share for share, ids in self.ids.items() for photo_id in ids.to_pylist()}
        first = [value.strip() for value in read_first_row(whole.metadata_csv)]
        targets = {share: settings.metadata_csv for share, settings in parts.items()}
        copy_rows(whole.metadata_csv, first.index("IMG_ID"), share_of_id, targets, has_header=True)
        if whole.url_csv:
            has_header = read_first_row(whole.url_csv)[1].strip().lower() == "url"
            targets = {share: settings.url_csv for share, settings in parts.items() if settings.url_csv}
            copy_rows(whole.url_csv, 0, share_of_id, targets, has_header=has_header)


def divide(source: Contents, shares: Sequence[Share], folder: Path, name: str) -> Division:
    """Hold `shares` out of a source; the lists of all parts, the training's too, are to lie in `folder`.

    Raises InputError as `hold_out` does.
    """
    counted = source.has_both()
    held_out = max(1, int(np.count_nonzero(counted)) // HELD_OUT_PART)
    wanted = {share: min(held_out, MOST_HELD_OUT[share]) for share in shares}
    share_of_row = hold_out(*source.coordinates(), counted, wanted)
    ids = {
        share: source.metadata.photos["photo_id"].combine_chunks().filter(pa.array(share_of_row == share))
        for share in (*shares, Share.BORDER)
    }
    not_training = pa.concat_arrays(list(ids.values()))
    parts = {Share.TRAIN: _part(source, not_training, _settings(source, Share.TRAIN, folder, name), name, inside=False)}
    for share in shares:
        parts[share] = _part(source, ids[share], _settings(source, share, folder, name), name, inside=True)
    return Division(source, parts, ids, int(np.count_nonzero(counted & (share_of_row == Share.BORDER))))


def copy_rows(
    source: Path, id_column: int, share_of_id: Mapping[str, Share], targets: Mapping[Share, Path], *, has_header: bool
) -> None:
    """Copy each row of a CSV, as it stands, to the target of its share; to the training's if its id is not named.

    A header goes to every target, a share without a target nowhere.
    """
    with ExitStack() as stack:
        streams = {share: stack.enter_context(atomic_file(path)) for share, path in targets.items()}
        lines = stack.enter_context(source.open(encoding="utf-8-sig", newline=""))
        if has_header:
            header = next(lines).encode()
            for stream in streams.values():
                stream.write(header)
        for line in lines:
            share = share_of_id.get(_value(line, id_column), Share.TRAIN)
            if share in streams:
                streams[share].write(line.encode())


def _value(line: str, column: int) -> str:
    """One value of a CSV line; an empty text if the line is too short."""
    cells = next(csv.reader([line]), []) if '"' in line else line.rstrip("\r\n").split(",", column + 1)
    return cells[column] if column < len(cells) else ""


def _settings(source: Contents, share: Share, folder: Path, name: str) -> PhotoSetSettings:
    """Where the lists of a part will lie; the pictures of a folder stay where they are."""
    role = _ROLES[share]
    return source.settings.model_copy(
        update={
            "role": role,
            "metadata_csv": folder / f"{name}_{role}_metadata.csv",
            "url_csv": folder / f"{name}_{role}_urls.csv" if source.settings.url_csv else None,
        }
    )


def _part(source: Contents, ids: pa.Array, settings: PhotoSetSettings, name: str, *, inside: bool) -> Contents:
    """The rows of a source whose photo ids are among `ids`, or the others with those that have none.

    Every part of a folder lists all its pictures: a folder cannot be divided, only its metadata.
    """

    def rows(table: pa.Table) -> pa.Table:
        found = pc.is_in(table["photo_id"], ids)
        return table.filter(found if inside else pc.invert(found))

    whole = source.listed
    listed = UrlList(rows(whole.photos), rows(whole.rejects)) if settings.url_csv else whole
    metadata = Metadata(rows(source.metadata.photos), rows(source.metadata.rejects))
    return Contents(f"{name}_{settings.role}", settings, listed, metadata)
