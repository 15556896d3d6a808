"""What the report shows of an experiment: its tables, some benchmark photos, and where everything came from.

Not here: the page (evaluation.report). The one idea: besides the nearest and the farthest answers, photos are chosen by
the hash of their ids, so that the sample is neither the best nor the worst.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import dagster as dg
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from geo_pipeline.defs.history import History, Place
from geo_pipeline.defs.lineage import versions
from geo_pipeline.defs.resources import Experiment
from geo_pipeline.photos.joins import downloaded_with_coordinates, query_tables
from geo_pipeline.photos.settings import Role
from geo_pipeline.photos.url_lists import id_hashes
from geo_pipeline.profile import Layout

if TYPE_CHECKING:
    from geo_pipeline.evaluation.report_contents import AssetVersion, CrawlOutcome, ReportContents, SamplePhoto

SAMPLES_OF_EACH_KIND = 8
_MODELS = ("isn", "base")  # the model whose photos are shown: the first one that answered
_BEHIND_THE_PAGE = (
    *("photo_manifest", "photo_metadata", "cells_coarse", "cells_middle", "cells_fine", "training_photos"),
    *("validation_photos", "geo_model", "calibration", "benchmark_predictions", "benchmark_accuracy"),
)
_DATE = "%Y-%m-%d %H:%M UTC"


def report_contents(
    experiment: Experiment,
    instance: dg.DagsterInstance,
    *,
    accuracy: pa.Table,
    predictions: pa.Table,
    cells: dict[str, pa.Table],
    manifest: pa.Table,
    metadata: pa.Table,
    run_metrics: Sequence[Mapping[str, Any]],
) -> ReportContents:
    """Everything that the report of an experiment shows, from its tables and shards and the instance's events."""
    from geo_pipeline.evaluation.report_contents import ReportContents

    profile = experiment.profile
    benchmarks = profile.sets_of(Role.BENCHMARK)
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
            for name in benchmarks
            for sample in _samples(name, predictions, manifest, metadata, experiment.layout)
        ],
        surroundings=_surroundings(benchmarks, profile.sets_of(Role.TRAIN), manifest, metadata),
        outcomes=list(_outcomes(manifest)),
        metrics=run_metrics,
        provenance={
            "profile": profile.name,
            "written": datetime.now(UTC).strftime(_DATE),
            "versions": ", ".join(f"{name} {version(name)}" for name in ("geo_pipeline", "dagster", "torch")),
            "machine": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
            "code version of this page": versions(profile)["report"].text,
        },
        versions=list(_versions(History(instance))),
    )


def _versions(history: History) -> Iterator[AssetVersion]:
    """What Dagster's events say of the assets behind the page."""
    from geo_pipeline.evaluation.report_contents import AssetVersion

    for asset in _BEHIND_THE_PAGE:
        event = history.latest(asset).get(Place(asset))
        if event is not None:
            made = datetime.fromtimestamp(event.timestamp, UTC).strftime(_DATE)
            yield AssetVersion(asset, event.data_version, event.code_version or "", made)


def _game_page(layout: Layout) -> str:
    """The game's page as the report leads to it; empty where none was built."""
    page = layout.game / "index.html"
    return page.relative_to(layout.reports).as_posix() if page.exists() else ""


def _surroundings(benchmarks: Sequence[str], train: Sequence[str], manifest: pa.Table, metadata: pa.Table) -> pa.Table:
    """What is known of the benchmarks' photos apart from the answers."""
    from geo_pipeline.evaluation.surroundings import surroundings

    training = query_tables(
        """
        select d.latitude, d.longitude from manifest m join metadata d using (photo_set, photo_id)
        where m.status = 'ok' and list_contains($train, d.photo_set)
        """,
        manifest=manifest,
        metadata=metadata,
        train=list(train),
    )
    photos = {name: metadata.filter(pc.equal(metadata["photo_set"], name)) for name in benchmarks}
    return pa.concat_tables([surroundings(name, table, training) for name, table in photos.items()])


def _samples(
    benchmark: str, predictions: pa.Table, manifest: pa.Table, metadata: pa.Table, layout: Layout
) -> Iterator[SamplePhoto]:
    """The nearest and the farthest answers of f* for a benchmark, and some photos drawn by their ids."""
    from geo_pipeline.evaluation.report_contents import SamplePhoto
    from geo_pipeline.evaluation.sheet import thumbnail
    from geo_pipeline.shards.reader import ShardReader

    stored = downloaded_with_coordinates(manifest, metadata, benchmark)
    answers = _answers_of_f_star(predictions, benchmark)
    reader = ShardReader(layout.shards)
    photos = stored.take(pc.index_in(answers["photo_id"], stored["photo_id"].combine_chunks()))
    for kind, chosen in _chosen(answers).items():
        for photo, answer in zip(photos.take(chosen).to_pylist(), answers.take(chosen).to_pylist(), strict=True):
            yield SamplePhoto(
                benchmark=benchmark,
                kind=kind,
                photo_id=answer["photo_id"],
                jpeg=thumbnail(reader.image(photo["shard"], photo["offset"], photo["length"])),
                true_latitude=answer["true_latitude"],
                true_longitude=answer["true_longitude"],
                latitude=answer["latitude"],
                longitude=answer["longitude"],
                distance_km=answer["distance_km"],
            )


def _answers_of_f_star(predictions: pa.Table, benchmark: str) -> pa.Table:
    """The answers of the best known model, one for each photo, ordered by photo id."""
    of_f_star = pc.and_(pc.equal(predictions["benchmark"], benchmark), pc.equal(predictions["p_key"], "hierarchy"))
    rows = predictions.filter(of_f_star)
    model = next(name for name in (*_MODELS, *rows["model"].to_pylist()) if name in rows["model"].to_pylist())
    return rows.filter(pc.equal(rows["model"], model)).sort_by("photo_id")


def _chosen(answers: pa.Table) -> dict[str, pa.Array]:
    """Rows of the answers to show, by what the page calls them."""
    by_distance = np.argsort(answers["distance_km"].to_numpy(), kind="stable")
    by_hash = id_hashes(answers["photo_id"].to_pylist()).argsort(kind="stable")
    kinds = {
        "the nearest answers": by_distance,
        "the farthest answers": by_distance[::-1],
        "a sample, drawn by the hash of the ids": by_hash,
    }
    return {kind: pa.array(rows[:SAMPLES_OF_EACH_KIND]) for kind, rows in kinds.items()}


def _outcomes(manifest: pa.Table) -> Iterator[CrawlOutcome]:
    """How many photos of each set ended with each status."""
    from geo_pipeline.evaluation.report_contents import CrawlOutcome

    counts = query_tables(
        "select photo_set, status, count(*) as num_photos from manifest group by all order by all", manifest=manifest
    )
    for row in counts.to_pylist():
        yield CrawlOutcome(**row)
