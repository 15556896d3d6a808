"""Photo sets that are a folder of pictures: the same decoding, the same shards, the same manifest, no network.

The one idea: files are cheap to read, so every listed one is read each time, and only one whose bytes changed is
decoded again.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pyarrow.compute as pc

from geo_pipeline.crawl.clock import utc_now
from geo_pipeline.crawl.photo import RefusedPictureError, store_picture
from geo_pipeline.crawl.planning import removed_photos
from geo_pipeline.crawl.progress import BucketResult
from geo_pipeline.crawl.settings import CrawlSettings
from geo_pipeline.crawl.storage import Bucket, BucketStore
from geo_pipeline.shards.manifest import ManifestRow, Status


def import_folder(
    bucket: Bucket, folder: Path, settings: CrawlSettings, now: Callable[[], datetime] = utc_now
) -> BucketResult:
    """Store the pictures of a folder: each photo's `url` is a path relative to `folder`.

    A missing file is `not_found`, a path that leads out of the folder `invalid_url`; neither is read. Files that are
    unchanged since the last import are left as they are stored, unless settings that decide how pictures are stored
    have changed; size suffix and refreshing are for URLs only. Raises OSError and InputError as a store does.
    """
    settings = settings.for_folder()
    store = BucketStore(bucket, settings, now())
    with contextlib.closing(store), ThreadPoolExecutor(settings.decode_threads) as threads:
        importer = _Importer(folder.resolve(), settings, now, store.settled_sources())
        kept = store.photos.filter(pc.invert(removed_photos(store.photos)))
        listed = zip(kept["photo_id"].to_pylist(), kept["url"].to_pylist(), strict=True)
        for imported in threads.map(importer.import_photo, listed):
            if imported is not None:
                store.record(*imported)
        manifest, has_changed = store.finish()
    return BucketResult(bucket.key, manifest, importer.num_read, importer.num_bytes, has_changed)


class _Importer:
    """Reads and decodes single files of one folder, in several threads; `settled` is what is stored already."""

    def __init__(
        self,
        folder: Path,
        settings: CrawlSettings,
        now: Callable[[], datetime],
        settled: Mapping[tuple[str, str], tuple[Status, str | None]],
    ) -> None:
        self._folder, self._settings, self._now, self._settled = folder, settings, now, settled
        self.num_read = self.num_bytes = 0

    def import_photo(self, listed: tuple[str, str]) -> tuple[ManifestRow, bytes | None] | None:
        """The row and the stored JPEG of a (photo id, path), None if what is known still holds."""
        photo_id, name = listed
        row = ManifestRow(photo_id, name, Status.PENDING, attempts=1, fetched_at=self._now(), final_url=name)
        body = self._read(name)
        source = None if isinstance(body, Status) else hashlib.sha256(body).hexdigest()
        status, known_source = self._settled.get(listed, (Status.PENDING, None))
        if isinstance(body, Status):
            return None if status is body else (replace(row, status=body), None)
        if source == known_source:
            return None
        row = replace(row, bytes_received=len(body), source_sha256=source)
        try:
            picture = store_picture(body, self._settings)
        except RefusedPictureError as refusal:
            return replace(row, status=refusal.status, error=str(refusal)), None
        row = replace(row, status=Status.OK, image_sha256=picture.image_sha256)
        return replace(row, width=picture.width, height=picture.height), picture.jpeg

    def _read(self, name: str) -> bytes | Status:
        """The bytes of a file in the folder, or why there are none."""
        path = (self._folder / name).resolve()
        if not path.is_relative_to(self._folder):
            return Status.INVALID_URL
        if not path.is_file():
            return Status.NOT_FOUND
        size = path.stat().st_size
        if size > self._settings.max_bytes:
            return Status.TOO_LARGE
        self.num_read += 1
        self.num_bytes += size
        return path.read_bytes() if size else Status.EMPTY
