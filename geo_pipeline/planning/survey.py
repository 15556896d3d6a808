"""What the files of a photo set hold, in numbers.

Not here: how it is told (profile_text.py). The one idea: every number that a first profile states is counted here, in
the same tables that the pipeline will read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from geo_pipeline.photos.settings import PhotoSetSettings
from geo_pipeline.planning.lists import Contents
from geo_pipeline.planning.origins import count_origins


@dataclass(frozen=True)
class Box:
    """The smallest and largest coordinates, degrees."""

    south: float
    north: float
    west: float
    east: float


@dataclass(frozen=True)
class Survey:
    """One photo set in numbers.

    `usable` photos have a list entry (or a picture) and a coordinate; `origins` counts the URLs of each, most frequent
    first; `rejects`: the bad rows of list and metadata (`REJECTS_SCHEMA`).
    """

    name: str
    settings: PhotoSetSettings
    num_listed: int
    num_with_metadata: int
    num_usable: int
    origins: Mapping[str, int]
    num_invalid_urls: int
    num_authors: int
    box: Box
    list_rejects: pa.Table
    metadata_rejects: pa.Table


def survey(contents: Contents) -> Survey:
    """Count what a photo set's files hold."""
    listed, metadata = contents.listed.photos, contents.metadata.photos
    origins = count_origins(listed["url"]) if contents.settings.url_csv else {}
    authors = pc.unique(pc.drop_null(metadata["author"]))
    latitudes, longitudes = contents.coordinates()
    return Survey(
        contents.name,
        contents.settings,
        num_listed=listed.num_rows,
        num_with_metadata=metadata.num_rows,
        num_usable=int(np.count_nonzero(contents.has_both())),
        origins=origins,
        num_invalid_urls=listed.num_rows - sum(origins.values()) if contents.settings.url_csv else 0,
        num_authors=pc.sum(pc.not_equal(authors, "")).as_py() or 0,
        box=Box(*(float(f(v)) for v in (latitudes, longitudes) for f in (np.min, np.max))),
        list_rejects=contents.listed.rejects,
        metadata_rejects=contents.metadata.rejects,
    )


def rejected_percent(surveys: list[Survey]) -> float:
    """The greater share of bad rows, of the lists or of the metadata: what the blocking checks compare."""
    of_lists = [(each.list_rejects.num_rows, each.num_listed) for each in surveys]
    of_metadata = [(each.metadata_rejects.num_rows, each.num_with_metadata) for each in surveys]
    return max(_percent(of_lists), _percent(of_metadata))


def _percent(bad_and_good: list[tuple[int, int]]) -> float:
    bad, good = sum(bad for bad, _ in bad_and_good), sum(good for _, good in bad_and_good)
    return 100.0 * bad / max(bad + good, 1)
