"""Photos that cannot be read.

Here live their counting, their log and the end of a training that meets too many. The one idea: a damaged photo is
missing from its batch and never replaced, so that what was learned from is what is told.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from geo_pipeline.errors import InputError

_logger = logging.getLogger(__name__)

_NAMED = 5
_ENOUGH_SEEN = 10_000
"""Photos after which their share is judged before the epoch ends: fewer may be unlucky."""


class Damage(NamedTuple):
    """A photo that cannot be read: the shard's name, the byte where its record begins, and what was found there."""

    shard: str
    offset: int
    found: str


class DamageTally:
    """Counts the damaged photos of an epoch as one process meets them; tells of each once.

    `num_photos`: those of a whole epoch. `num_seen` and `num_damaged` are those of the present epoch.
    """

    def __init__(self, shards_root: Path, max_share: float, num_photos: int) -> None:
        self._root = shards_root
        self._max_share = max_share
        self._judged_from = min(num_photos, _ENOUGH_SEEN)
        self._first: list[Damage] = []
        self._told: set[tuple[str, int]] = set()
        self.num_seen = 0
        self.num_damaged = 0

    def begin_epoch(self) -> None:
        """Count anew."""
        self._first = []
        self.num_seen = 0
        self.num_damaged = 0

    def add(self, num_photos: int, damaged: Sequence[Damage]) -> None:
        """Add a batch of so many photos, the damaged ones included.

        Raises InputError as soon as more of the photos seen than the maximal share are damaged, judged over the first
        10,000 photos or the whole epoch at least.
        """
        self.num_seen += num_photos
        if not damaged:
            return
        self.num_damaged += len(damaged)
        self._first = [*self._first, *damaged][:_NAMED]
        for photo in damaged:
            self._tell(photo)
        if self.num_damaged > self._max_share * max(self.num_seen, self._judged_from):
            raise InputError(self._too_many())

    def _tell(self, photo: Damage) -> None:
        if photo[:2] not in self._told:
            self._told.add(photo[:2])
            _logger.warning("%s: damaged photo at byte %d, left out: %s", self._root / photo.shard, *photo[1:])

    def _too_many(self) -> str:
        named = "\n".join(f"  - {self._root / shard}: byte {offset}: {found}" for shard, offset, found in self._first)
        return (
            f"{self.num_damaged} of the first {self.num_seen} photos of the epoch cannot be read, more than "
            f"model_params.loader.max_damaged_share ({self._max_share:.2%}) allows. The first of them:\n{named}\n"
            "Remove these files and materialize photo_shards for their buckets again: only their photos are fetched "
            "anew"
        )
