"""The sections of the report: what the page says of each benchmark, partitioning and photo set, with their figures.

Not here: the page (report.py), the drawing (charts.py, maps.py), the statistics (accuracy.py). The one idea: a section
is a pure function of tables.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from geo_pipeline.evaluation import charts, maps
from geo_pipeline.evaluation.accuracy import HIERARCHY, AccuracyRow, head_label
from geo_pipeline.evaluation.breakdown import Breakdown, breakdowns
from geo_pipeline.evaluation.metrics import MetricRow, accuracy_series, loss_series
from geo_pipeline.evaluation.reliability import confidence_reliability
from geo_pipeline.evaluation.report_contents import CrawlOutcome, ReportContents
from geo_pipeline.evaluation.theme import NEAR_TO_FAR, svg
from geo_pipeline.model.settings import CONFIDENCE_RADIUS_KM

_DOWNLOADED = "ok"


@dataclass(frozen=True)
class BenchmarkSection:
    """The part of the page on one benchmark and model; rows are lines of its table, the last one the best known.

    `error_map` and `breakdowns` are there for the benchmark's first model alone: one look at a place is enough.
    """

    name: str
    model: str
    rows: Sequence[AccuracyRow]
    best: AccuracyRow
    median_km: float
    distribution: str
    error_map: str
    bands: Sequence[tuple[str, str, int]]
    breakdowns: Sequence[tuple[Breakdown, str]]
    reliability: str


@dataclass(frozen=True)
class CellsSection:
    """A partitioning on the page."""

    name: str
    num_cells: int
    num_photos: int
    fewest: int
    most: int
    picture: str


@dataclass(frozen=True)
class PhotoSetSection:
    """What was crawled of a photo set and what was lost, by status, the most frequent first."""

    name: str
    listed: int
    downloaded: int
    lost: Sequence[tuple[str, int]]


def benchmarks(contents: ReportContents, radii: Sequence[int]) -> Iterator[BenchmarkSection]:
    """Each benchmark and model of the accuracy table."""
    groups: dict[tuple[str, str], list[AccuracyRow]] = defaultdict(list)
    for row in AccuracyRow.from_table(contents.accuracy):
        groups[row.benchmark, row.model].append(row)
    first = dict(reversed(groups))
    for (name, model), rows in groups.items():
        best = next((row for row in rows if row.p_key == HIERARCHY), rows[-1])
        predictions = _where(contents.predictions, benchmark=name, model=model)
        answers = _where(predictions, p_key=best.p_key)
        distances = answers["distance_km"].to_numpy()
        counts = np.bincount(maps.error_bands(distances), minlength=len(NEAR_TO_FAR)).tolist()
        yield BenchmarkSection(
            name=contents.titles.get(name, name),
            model=model,
            rows=rows,
            best=best,
            median_km=float(np.median(distances)),
            distribution=svg(
                charts.error_distribution_figure(predictions, radii),
                f"Distance of the answers on {name}: share of photos by kilometres, a curve for each head",
            ),
            error_map=_error_map(name, answers, best.label) if model == first[name] else "",
            breakdowns=_breakdowns(contents, name, answers, radii) if model == first[name] else [],
            reliability=_reliability(name, answers),
            bands=list(zip(maps.band_names(), NEAR_TO_FAR, counts, strict=True)),
        )


def _error_map(benchmark: str, answers: pa.Table, label: str) -> str:
    return svg(maps.error_figure(answers, titled=False), f"World map of the errors of {label} on {benchmark}")


def shown_radii(radii: Sequence[int]) -> list[int]:
    """Of the radii of the table those by which groups are told apart: city, region, country; else its first three."""
    return [radius for radius in radii if radius in (25, 200, 750)] or list(radii[:3])


def _breakdowns(
    contents: ReportContents, benchmark: str, answers: pa.Table, radii: Sequence[int]
) -> list[tuple[Breakdown, str]]:
    """The accuracy of the answers by groups of photos, each division with its figure."""
    if contents.surroundings is None:
        return []
    known, shown = _where(contents.surroundings, benchmark=benchmark), shown_radii(radii)
    made = breakdowns(answers, known, shown)
    title = f"Percent of the photos of {benchmark} within {', '.join(map(str, shown))} km"
    return [(each, svg(charts.groups_figure(each, shown), f"{title}: {each.title.lower()}")) for each in made]


def _reliability(benchmark: str, answers: pa.Table) -> str:
    """How often answers come true by their confidence, as a figure; empty where the answers have none."""
    if "confidence" not in answers.column_names or answers["confidence"].null_count:
        return ""
    figure = charts.reliability_figure({"f*": confidence_reliability(answers)})
    return svg(figure, f"Share of the answers on {benchmark} within {CONFIDENCE_RADIUS_KM:.0f} km, by their confidence")


def _where(table: pa.Table, **values: str) -> pa.Table:
    """The rows in which each named column has the given value."""
    for name, value in values.items():
        table = table.filter(pc.equal(table[name], value))
    return table


def cells(name: str, table: pa.Table) -> CellsSection:
    """A partitioning and its map."""
    photos = table["imgs_per_cell"].to_numpy()
    return CellsSection(
        name=name,
        num_cells=table.num_rows,
        num_photos=int(photos.sum()),
        fewest=int(photos.min()),
        most=int(photos.max()),
        picture=svg(maps.cells_figure({name: table}, titled=False), f"World map of the cells of {name}"),
    )


def photo_sets(outcomes: Sequence[CrawlOutcome], titles: Mapping[str, str]) -> list[PhotoSetSection]:
    """What was crawled of each photo set."""
    statuses: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for outcome in outcomes:
        statuses[outcome.photo_set][outcome.status] += outcome.num_photos
    return [
        PhotoSetSection(
            name=titles.get(name, name),
            listed=sum(counts.values()),
            downloaded=counts.get(_DOWNLOADED, 0),
            lost=sorted(((s, n) for s, n in counts.items() if s != _DOWNLOADED), key=lambda pair: (-pair[1], pair[0])),
        )
        for name, counts in statuses.items()
    ]


def training_figures(rows: Sequence[MetricRow]) -> list[tuple[str, str]]:
    """Title and figure of the curves for which the rows hold numbers."""
    losses, shares = (read(rows) for read in (loss_series, accuracy_series))
    figures = []
    if losses[1]:
        figures.append(("Loss", svg(charts.loss_figure(*losses), "Training and validation loss by epoch")))
    if shares[1]:
        title = f"Validation accuracy of {head_label(HIERARCHY)}"
        figures.append((title, svg(charts.accuracy_figure(*shares), f"{title} by epoch")))
    return figures
