"""The photos of one set as a profile describes it: read, cut to `max_photos`, without what must be removed.

Not here: the reading of single files (url_lists, metadata, removals). The one idea: what a set lists is decided here
alone, so that the asset that writes the lists, the observation that compares them and the plan cannot disagree.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from geo_pipeline.photos.metadata import Metadata, read_metadata_csv
from geo_pipeline.photos.removals import read_removals, removed_ids, without_removed
from geo_pipeline.photos.settings import PhotoSetSettings
from geo_pipeline.photos.url_lists import (
    UrlList,
    bucket_numbers,
    keep_photos,
    list_folder,
    read_url_csv,
    with_content_hashes,
)


@dataclass(frozen=True)
class PhotoSet:
    """A named photo set and what the whole profile says about all of them: scenes and the removal list."""

    name: str
    settings: PhotoSetSettings
    scenes: Mapping[str, str]
    removal_list: Path | None

    def listed(self) -> UrlList:
        """The photos (`photo_id, url`) and the bad rows of the list. Raises InputError for an unusable file."""
        listed = self._list()
        photos = without_removed(listed.photos, self._removed())
        return UrlList(keep_photos(photos, self.settings.max_photos), listed.rejects)

    def metadata(self) -> Metadata:
        """The metadata of the photos and the bad rows of its file. Raises InputError for an unusable file."""
        read = self._metadata()
        photos = without_removed(read.photos, self._removed())
        return Metadata(keep_photos(photos, self.settings.max_photos), read.rejects)

    def with_hashes(self, photos: pa.Table) -> pa.Table:
        """The photos of a folder with `source_sha256`, so that a changed picture changes the list; else as they are."""
        return with_content_hashes(photos, self.settings.image_dir) if self.settings.image_dir else photos

    def split(self, photos: pa.Table) -> Iterator[tuple[str, pa.Table]]:
        """Each bucket's key and photos."""
        numbers = bucket_numbers(photos["photo_id"], self.settings.buckets)
        for number in range(self.settings.buckets):
            yield f"{self.name}-{number:03d}", photos.filter(pa.array(numbers == number))

    def _list(self) -> UrlList:
        """Everything that the list or folder has."""
        if self.settings.url_csv:
            return read_url_csv(self.name, self.settings.url_csv)
        ids = self._metadata().photos["photo_id"]
        return list_folder(self.name, self.settings.image_dir, ids.to_pylist())  # type: ignore[arg-type]

    def _metadata(self) -> Metadata:
        return read_metadata_csv(self.name, self.settings.metadata_csv, self.scenes)

    def _removed(self) -> pa.Array:
        """The ids of the photos that somebody asked to remove, by id, URL or author."""
        if self.removal_list is None:
            return pa.array([], pa.string())
        removals = read_removals(self.removal_list)
        return removed_ids(removals, photos=self._list().photos, metadata=self._metadata().photos)
