"""Photos of a table, read from the shards.

Here lives the random access that training and prediction share. The one idea: what is kept for a photo are three
numbers in arrays and no Python object, so that millions of rows cost next to nothing.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from geo_pipeline.model.decoding import UndecodableError, decode, divisor_for, picture_size
from geo_pipeline.shards.format import DamagedRecordError
from geo_pipeline.shards.reader import Places, ShardReader


class StoredPhotos:
    """The pictures of a table's rows; `photos` has the columns `shard, offset, length`. Picklable."""

    def __init__(self, photos: pa.Table, shards_root: Path) -> None:
        shards = pc.dictionary_encode(photos["shard"].combine_chunks())
        self.shard_names: list[str] = shards.dictionary.to_pylist()
        self._places = Places(shards.indices.to_numpy(), photos["offset"].to_numpy(), photos["length"].to_numpy())
        self._reader = ShardReader(shards_root)

    def __len__(self) -> int:
        return len(self._places.offsets)

    @property
    def root(self) -> Path:
        """The folder that the shards' names are relative to."""
        return self._reader.root

    def places(self, rows: npt.NDArray[np.int64]) -> Places:
        """Where the pictures of some rows lie."""
        shards, offsets, lengths = self._places
        return Places(shards[rows], offsets[rows], lengths[rows])

    def image(self, row: int, least_side: int | None = None) -> Image.Image:
        """The picture of a row in RGB; as small as libjpeg can make it for nothing with sides of at least `least_side`.

        Raises DamagedRecordError naming shard and offset.
        """
        shard, offset, length = (column[row].item() for column in self._places)
        encoded = self._reader.image(self.shard_names[shard], offset, length)
        try:
            divisor = divisor_for(min(picture_size(encoded)), least_side) if least_side else 1
            return Image.fromarray(decode(encoded, divisor))
        except UndecodableError as error:
            raise DamagedRecordError(self.root / self.shard_names[shard], offset, error.found) from error
