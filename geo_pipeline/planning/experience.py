"""How long a request takes and how large photos are: measured in earlier crawls, else assumed.

Pure functions. The one idea: a number that was measured here replaces an assumption, and is called what it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from geo_pipeline.crawl.settings import CrawlSettings
from geo_pipeline.planning.origins import count_origins

ASSUMED_SECONDS_PER_REQUEST = 0.5
"""A small file from a server on another continent, its connection kept open: two round trips and the transfer."""

ASSUMED_DOWNLOAD_BYTES = 150_000
"""A JPEG of about 640 x 480 pixels, what photo sites serve as medium size."""

ASSUMED_BYTES_PER_PIXEL = 0.3
"""Of a stored JPEG at quality 90; the stored views of the bundled world have 0.37."""

ENOUGH_PHOTOS = 100
"""Fewer photos say nothing about a rate."""

_PAUSE_SECONDS = 60.0
"""Longer silence means that no crawl was running."""


@dataclass(frozen=True)
class Experience:
    """What a photo is expected to cost: time of a request in flight, bytes to download, bytes in a shard.

    `num_asked` and `num_stored` say from how many photos that was measured; 0: it is assumed.
    """

    seconds_per_request: float
    download_bytes: float
    stored_bytes: float
    num_asked: int
    num_stored: int


def experience(asked: pa.Table, stored: pa.Table, settings: CrawlSettings) -> Experience:
    """From photos that were asked for (`url, fetched_at, bytes_received, length`) and stored ones (`length`).

    `asked` are those of lists only: reading a folder says nothing about requests.
    """
    seconds = active_seconds(asked["fetched_at"])
    is_enough = asked.num_rows >= ENOUGH_PHOTOS and seconds > 0
    slots = crawl_seconds(count_origins(asked["url"]), settings, 1.0) if is_enough else 0.0
    downloaded = asked.filter(pc.is_valid(asked["length"]))
    return Experience(
        seconds_per_request=seconds / slots if slots else ASSUMED_SECONDS_PER_REQUEST,
        download_bytes=pc.mean(downloaded["bytes_received"]).as_py() or ASSUMED_DOWNLOAD_BYTES,
        stored_bytes=pc.mean(stored["length"]).as_py() or assumed_stored_bytes(settings.image_size),
        num_asked=asked.num_rows if slots else 0,
        num_stored=stored.num_rows,
    )


def crawl_seconds(origins: Mapping[str, int], settings: CrawlSettings, seconds_per_request: float) -> float:
    """How long so many requests to each origin take: the busiest origin, or all of them together, is the bottleneck."""
    in_turn = max(origins.values(), default=0) / min(settings.per_host, settings.concurrency)
    return seconds_per_request * max(in_turn, sum(origins.values()) / settings.concurrency)


def assumed_stored_bytes(image_size: int) -> float:
    """Bytes of a stored photo of 4:3 with a short side of `image_size` pixels."""
    return ASSUMED_BYTES_PER_PIXEL * image_size * image_size * 4 / 3


def active_seconds(fetched_at: pa.ChunkedArray) -> float:
    """Seconds between the first and the last of some moments, without the pauses in which no crawl was running."""
    gaps = np.diff(np.sort(fetched_at.cast(pa.int64()).to_numpy())) / 1e6
    return float(gaps[gaps <= _PAUSE_SECONDS].sum())
