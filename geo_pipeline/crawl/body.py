"""The body of an answer while it arrives.

Here lives what of it is kept. Reading, deadlines and limits are not known here. The one idea: a long body that begins
like no picture is counted to its end but not kept, so that endless and inflated bodies cost no memory.
"""

from __future__ import annotations

from geo_pipeline.crawl.budget import Lease
from geo_pipeline.pixels.any_format import START_BYTES, may_be_picture

LONG_BYTES = 1 << 16
"""A body this long is kept only if it begins like a picture; a shorter one costs nothing worth saving."""


class Body:
    """Bytes that have arrived, held in a lease."""

    def __init__(self, lease: Lease) -> None:
        self._lease = lease
        self._chunks: list[bytes] = []
        self.received = 0
        self.is_kept = True

    def add(self, chunk: bytes) -> bool:
        """Take the next bytes; whether the lease must take its turn before more are read."""
        was_short = self.received < LONG_BYTES
        self.received += len(chunk)
        if not self.is_kept:
            return False
        self._chunks.append(chunk)
        if was_short and self.received >= LONG_BYTES and not may_be_picture(self.start()):
            self._forget()
            return False
        return self._lease.add(len(chunk))

    def start(self) -> bytes:
        """The first bytes, as many as tell a picture from anything else."""
        return b"".join(self._chunks)[:START_BYTES]

    def whole(self) -> bytes:
        """All bytes; only the first ones of a body that is not kept."""
        return b"".join(self._chunks)

    def _forget(self) -> None:
        self.is_kept, self._chunks = False, [self.start()]
        self._lease.drop()
