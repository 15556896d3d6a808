"""The report: one HTML file that says how good the model is and what it was made from.

Here lives the gathering of everything that the page shows; how it looks is in report.html.jinja. Not here: reading
tables and choosing sample photos (the caller), the statistics (accuracy.py). The one idea: the page is a pure function
of its inputs and needs nothing outside itself: no script, no font, no network.
"""

from __future__ import annotations

import base64
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import jinja2
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from geo_pipeline.evaluation import charts, maps
from geo_pipeline.evaluation.accuracy import HIERARCHY, AccuracyRow, head_label
from geo_pipeline.evaluation.land import land_path
from geo_pipeline.evaluation.metrics import MetricRow, accuracy_series, loss_series
from geo_pipeline.evaluation.theme import NEAR_TO_FAR, svg

_TEMPLATE = "report.html.jinja"
_DOWNLOADED = "ok"


@dataclass(frozen=True)
class SamplePhoto:
    """A benchmark photo to show: its JPEG, where it was taken and where the model places it (degrees)."""

    benchmark: str
    photo_id: str
    jpeg: bytes
    true_latitude: float
    true_longitude: float
    latitude: float
    longitude: float
    distance_km: float

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
class ReportContents:
    """Everything that the page shows. Sections whose input is empty are left out.

    title: name of the experiment; accuracy: `benchmark_accuracy`; predictions: `benchmark_predictions`; cells: tables
    of cells by partitioning, coarse first; samples: photos to show; outcomes: the crawl; metrics: the lines of
    `metrics.jsonl`; provenance: what the page was made from, as text by name (profile, versions, dates); cell_page: the
    file beside the page that shows the cells on a map (cell_page.py).
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
    cell_page: str = ""


@dataclass(frozen=True)
class _Benchmark:
    """The part of the page on one benchmark and model; rows are lines of its table, the last one the best known."""

    name: str
    model: str
    rows: Sequence[AccuracyRow]
    best: AccuracyRow
    median_km: float
    distribution: str
    error_map: str
    bands: Sequence[tuple[str, str, int]]


@dataclass(frozen=True)
class _Cells:
    """A partitioning on the page."""

    name: str
    num_cells: int
    num_photos: int
    fewest: int
    most: int
    picture: str


@dataclass(frozen=True)
class _PhotoSet:
    """What was crawled of a photo set and what was lost, by status, the most frequent first."""

    name: str
    listed: int
    downloaded: int
    lost: Sequence[tuple[str, int]]


def render_report(contents: ReportContents) -> str:
    """The page as HTML: self-contained, light and dark, readable on a phone."""
    radii = list(dict.fromkeys(contents.accuracy["radius_km"].to_pylist()))
    return _template().render(
        contents=contents,
        radii=radii,
        benchmarks=list(_benchmarks(contents, radii)),
        cells=[_cells(name, table) for name, table in contents.cells.items()],
        photo_sets=_photo_sets(contents.outcomes),
        training=_training_figures(contents.metrics),
        land=land_path(),
        band_colours=NEAR_TO_FAR,
    )


def _benchmarks(contents: ReportContents, radii: Sequence[int]) -> Iterator[_Benchmark]:
    """Each benchmark and model of the accuracy table."""
    groups: dict[tuple[str, str], list[AccuracyRow]] = defaultdict(list)
    for row in AccuracyRow.from_table(contents.accuracy):
        groups[row.benchmark, row.model].append(row)
    for (name, model), rows in groups.items():
        best = next((row for row in rows if row.p_key == HIERARCHY), rows[-1])
        predictions = _where(contents.predictions, benchmark=name, model=model)
        answers = _where(predictions, p_key=best.p_key)
        distances = answers["distance_km"].to_numpy()
        counts = np.bincount(maps.error_bands(distances), minlength=len(NEAR_TO_FAR)).tolist()
        yield _Benchmark(
            name=name,
            model=model,
            rows=rows,
            best=best,
            median_km=float(np.median(distances)),
            distribution=svg(
                charts.error_distribution_figure(predictions, radii),
                f"Distance of the answers on {name}: share of photos by kilometres, a curve for each head",
            ),
            error_map=svg(
                maps.error_figure(answers, titled=False), f"World map of the errors of {best.label} on {name} ({model})"
            ),
            bands=list(zip(maps.band_names(), NEAR_TO_FAR, counts, strict=True)),
        )


def _where(table: pa.Table, **values: str) -> pa.Table:
    """The rows in which each named column has the given value."""
    for name, value in values.items():
        table = table.filter(pc.equal(table[name], value))
    return table


def _cells(name: str, table: pa.Table) -> _Cells:
    photos = table["imgs_per_cell"].to_numpy()
    return _Cells(
        name=name,
        num_cells=table.num_rows,
        num_photos=int(photos.sum()),
        fewest=int(photos.min()),
        most=int(photos.max()),
        picture=svg(maps.cells_figure({name: table}, titled=False), f"World map of the cells of {name}"),
    )


def _photo_sets(outcomes: Sequence[CrawlOutcome]) -> list[_PhotoSet]:
    statuses: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for outcome in outcomes:
        statuses[outcome.photo_set][outcome.status] += outcome.num_photos
    return [
        _PhotoSet(
            name=name,
            listed=sum(counts.values()),
            downloaded=counts.get(_DOWNLOADED, 0),
            lost=sorted(((s, n) for s, n in counts.items() if s != _DOWNLOADED), key=lambda pair: (-pair[1], pair[0])),
        )
        for name, counts in statuses.items()
    ]


def _training_figures(rows: Sequence[MetricRow]) -> list[tuple[str, str]]:
    """Title and figure of the curves for which the rows hold numbers."""
    losses, shares = (read(rows) for read in (loss_series, accuracy_series))
    figures = []
    if losses[1]:
        figures.append(("Loss", svg(charts.loss_figure(*losses), "Training and validation loss by epoch")))
    if shares[1]:
        title = f"Validation accuracy of {head_label(HIERARCHY)}"
        figures.append((title, svg(charts.accuracy_figure(*shares), f"{title} by epoch")))
    return figures


@cache
def _template() -> jinja2.Template:
    """The page's template; text is escaped, figures are marked safe there."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"place": place, "km": kilometres}
    return environment.get_template(_TEMPLATE)


def place(latitude: float, longitude: float) -> str:
    """A coordinate for people, to a tenth of a degree: `48.9° N, 2.4° E`."""
    north, east = ("N" if latitude >= 0 else "S"), ("E" if longitude >= 0 else "W")
    return f"{abs(latitude):.1f}° {north}, {abs(longitude):.1f}° {east}"


def kilometres(distance_km: float) -> str:
    """A distance for people: two digits below 10 km, none above."""
    return f"{distance_km:.1f} km" if distance_km < 10 else f"{distance_km:,.0f} km"
