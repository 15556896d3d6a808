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
from geo_pipeline.photos.removals import only_removed, read_removals, removed_ids, without_removed
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
        """The photos, the removed ones and the bad rows of the list. Raises InputError for an unusable file."""
        listed, ids = self._list(), self._removed()
        photos = keep_photos(without_removed(listed.photos, ids), self.settings.max_photos)
        return UrlList(photos, listed.rejects, only_removed(listed.photos, ids))

    def metadata(self) -> Metadata:
        """The metadata of the photos and the bad rows of its file. Raises InputError for an unusable file."""
        read = self._metadata()
        photos = without_removed(read.photos, self._removed())
        return Metadata(keep_photos(photos, self.settings.max_photos), read.rejects)

    def by_bucket(self, listed: UrlList) -> Iterator[tuple[str, pa.Table]]:
        """Each bucket's key and list: `photo_id, url, removed`, ordered by photo id.

        Photos of a folder have `source_sha256` as well, so that a changed picture changes the list.
        """
        folder = self.settings.image_dir
        photos = with_content_hashes(listed.photos, folder) if folder else listed.photos
        parts = ((photos, False), (listed.removed, True))
        marked = [table.append_column("removed", pa.repeat(removed, table.num_rows)) for table, removed in parts]
        lists = pa.concat_tables(marked, promote_options="default").sort_by("photo_id")
        numbers = bucket_numbers(lists["photo_id"], self.settings.buckets)
        for number in range(self.settings.buckets):
            yield f"{self.name}-{number:03d}", lists.filter(pa.array(numbers == number))

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
