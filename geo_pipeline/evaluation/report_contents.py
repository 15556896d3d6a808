"""What the report is made from: everything that its page shows, gathered by the caller.

Here live the records only. Not here: the page (report.py), its sections (report_sections.py).
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from geo_pipeline.evaluation import maps
from geo_pipeline.evaluation.metrics import MetricRow


@dataclass(frozen=True)
class SamplePhoto:
    """A benchmark photo to show: its JPEG, where it was taken and where the model places it (degrees).

    `kind`: why it was chosen, as the page calls such photos.
    """

    benchmark: str
    photo_id: str
    jpeg: bytes
    true_latitude: float
    true_longitude: float
    latitude: float
    longitude: float
    distance_km: float
    kind: str = "a sample"

    @property
    def data_uri(self) -> str:
        """The picture as the source of an `<img>`."""
        return "data:image/jpeg;base64," + base64.b64encode(self.jpeg).decode()

    @property
    def band(self) -> int:
        """The index of the error's band, 0 for the nearest."""
        return int(maps.error_bands(np.array([self.distance_km]))[0])


@dataclass(frozen=True)
class CrawlOutcome:
    """How many photos of a photo set ended with a status of the manifest."""

    photo_set: str
    status: str
    num_photos: int


@dataclass(frozen=True)
class AssetVersion:
    """What an asset held when the page was made: the versions of its data and of its code, and when it was made."""

    asset: str
    data_version: str
    code_version: str
    made: str


@dataclass(frozen=True)
class ReportContents:
    """Everything that the page shows. Sections whose input is empty are left out.

    title: name of the experiment; accuracy: `benchmark_accuracy`; predictions: `benchmark_predictions`; cells: tables
    of cells by partitioning, coarse first; samples: photos to show; outcomes: the crawl; metrics: the lines of
    `metrics.jsonl`; provenance: what the page was made from, as text by name (profile, versions, dates); titles: what
    to call a photo set, by its name, where it has a title; cell_page, game_page: the files beside the page that show
    the cells on a map (cell_page.py) and play the game (game_page.py), if there are any; surroundings: what is known
    of the benchmarks' photos (surroundings.py); versions: the assets behind the page.
    """

    title: str
    accuracy: pa.Table
    predictions: pa.Table
    description: str = ""
    cells: Mapping[str, pa.Table] = field(default_factory=dict)
    samples: Sequence[SamplePhoto] = ()
    outcomes: Sequence[CrawlOutcome] = ()
    metrics: Sequence[MetricRow] = ()
    provenance: Mapping[str, str] = field(default_factory=dict)
    titles: Mapping[str, str] = field(default_factory=dict)
    cell_page: str = ""
    game_page: str = ""
    surroundings: pa.Table | None = None
    versions: Sequence[AssetVersion] = ()
