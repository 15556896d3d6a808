"""Photos of a table, read from the shards.

Here lives the random access that training and prediction share. The one idea: what is kept for a photo are three
numbers in arrays and no Python object, so that millions of rows cost a loader's worker nothing.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from geo_pipeline.model.preprocessing import NumCrops, Pixels, crops_for_test, decode
from geo_pipeline.model.settings import NetworkSettings
from geo_pipeline.shards.format import DamagedRecordError
from geo_pipeline.shards.reader import ShardReader


class StoredPhotos:
    """The pictures of a table's rows; `photos` has the columns `shard, offset, length`. Picklable."""

    def __init__(self, photos: pa.Table, shards_root: Path) -> None:
        shards = pc.dictionary_encode(photos["shard"].combine_chunks())
        self._shards: list[str] = shards.dictionary.to_pylist()
        self._shard_of = shards.indices.to_numpy()
        self._offsets = photos["offset"].to_numpy()
        self._lengths = photos["length"].to_numpy()
        self._reader = ShardReader(shards_root)

    def __len__(self) -> int:
        return len(self._offsets)

    def image(self, row: int) -> Image.Image:
        """The decoded picture of a row. Raises DamagedRecordError naming shard and offset."""
        shard, offset = self._shards[self._shard_of[row]], int(self._offsets[row])
        jpeg = self._reader.image(shard, offset, int(self._lengths[row]))
        try:
            return decode(jpeg)
        except (OSError, SyntaxError, Image.DecompressionBombError) as error:
            found = f"a picture that cannot be decoded ({error})"
            raise DamagedRecordError(self._reader.root / shard, offset, found) from error


class TestCrops:
    """A map-style dataset: row -> uint8[crops, 3, image_size, image_size]."""

    __test__ = False  # pytest takes the name for a test class

    def __init__(self, photos: StoredPhotos, settings: NetworkSettings, crops: NumCrops) -> None:
        self._photos = photos
        self._settings = settings
        self._crops = crops

    def __len__(self) -> int:
        return len(self._photos)

    def __getitem__(self, row: int) -> Pixels:
        return crops_for_test(self._photos.image(row), self._settings, self._crops)
