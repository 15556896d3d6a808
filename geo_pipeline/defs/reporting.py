"""What the report shows of an experiment: its tables, some benchmark photos, and where everything came from.

Not here: the page (evaluation.report). The one idea: photos are chosen by the hash of their ids, so that the sample is
neither the best nor the worst.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from geo_pipeline.defs.lineage import versions
from geo_pipeline.defs.resources import Experiment
from geo_pipeline.photos.joins import downloaded_with_coordinates, query_tables
from geo_pipeline.photos.settings import Role
from geo_pipeline.photos.url_lists import id_hashes
from geo_pipeline.profile import Layout

if TYPE_CHECKING:
    from geo_pipeline.evaluation.report_contents import CrawlOutcome, ReportContents, SamplePhoto

SAMPLES_OF_EACH_BENCHMARK = 12


def report_contents(
    experiment: Experiment,
    *,
    accuracy: pa.Table,
    predictions: pa.Table,
    cells: dict[str, pa.Table],
    manifest: pa.Table,
    metadata: pa.Table,
    run_metrics: Sequence[Mapping[str, Any]],
) -> ReportContents:
    """Everything that the report of an experiment shows, from its tables and shards."""
    from geo_pipeline.evaluation.report_contents import ReportContents

    profile = experiment.profile
    return ReportContents(
        title=profile.name,
        description=profile.description,
        accuracy=accuracy,
        predictions=predictions,
        cells=cells,
        titles={name: each.title for name, each in profile.photo_sets.items() if each.title},
        cell_page="cells.html",
        game_page=_game_page(experiment.layout),
        samples=[
            sample
            for name in profile.sets_of(Role.BENCHMARK)
            for sample in _samples(name, predictions, manifest, metadata, experiment.layout)
        ],
        outcomes=list(_outcomes(manifest)),
        metrics=run_metrics,
        provenance={
            "profile": profile.name,
            "written": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            "model code": versions(profile)["geo_model"].text,
            "versions": ", ".join(f"{name} {version(name)}" for name in ("geo_pipeline", "dagster", "torch")),
            "machine": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        },
    )


def _game_page(layout: Layout) -> str:
    """The game's page as the report leads to it; empty where none was built."""
    page = layout.game / "index.html"
    return page.relative_to(layout.reports).as_posix() if page.exists() else ""


def _samples(
    benchmark: str, predictions: pa.Table, manifest: pa.Table, metadata: pa.Table, layout: Layout
) -> Iterator[SamplePhoto]:
    """Some photos of a benchmark with the answers of f*."""
    from geo_pipeline.evaluation.report_contents import SamplePhoto
    from geo_pipeline.shards.reader import ShardReader

    stored = downloaded_with_coordinates(manifest, metadata, benchmark)
    chosen = id_hashes(stored["photo_id"].to_pylist()).argsort(kind="stable")[:SAMPLES_OF_EACH_BENCHMARK]
    reader = ShardReader(layout.shards)
    of_f_star = pc.and_(pc.equal(predictions["benchmark"], benchmark), pc.equal(predictions["p_key"], "hierarchy"))
    answers = {row["photo_id"]: row for row in predictions.filter(of_f_star).to_pylist()}
    for photo in stored.take(pa.array(chosen)).to_pylist():
        answer = answers[photo["photo_id"]]
        yield SamplePhoto(
            benchmark=benchmark,
            photo_id=photo["photo_id"],
            jpeg=reader.image(photo["shard"], photo["offset"], photo["length"]),
            true_latitude=answer["true_latitude"],
            true_longitude=answer["true_longitude"],
            latitude=answer["latitude"],
            longitude=answer["longitude"],
            distance_km=answer["distance_km"],
        )


def _outcomes(manifest: pa.Table) -> Iterator[CrawlOutcome]:
    """How many photos of each set ended with each status."""
    from geo_pipeline.evaluation.report_contents import CrawlOutcome

    counts = query_tables(
        "select photo_set, status, count(*) as num_photos from manifest group by all order by all", manifest=manifest
    )
    for row in counts.to_pylist():
        yield CrawlOutcome(**row)
