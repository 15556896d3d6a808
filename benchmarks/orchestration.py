"""What Dagster costs: the whole job by `geo-pipeline materialize`, against the same library functions called in a row.

Floor: plain Python in one process, without events, staleness, checks or steps of their own; training is a process of
its own there as well, and every table, picture and report is made and written. Each run starts in a fresh home. Prints
both wall times and the ratio of each pair, and fails unless both gave the same accuracy table. The floor's process
imports dagster too (about a second), because the report's contents are gathered in a module that does.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from geo_pipeline.cells.assignment import assign_classes
from geo_pipeline.cells.hierarchy import cell_hierarchy
from geo_pipeline.cells.partitioning import make_partitionings
from geo_pipeline.cells.published import read_cells_csv
from geo_pipeline.cells.settings import PublishedPartitioning
from geo_pipeline.crawl.bucket import Bucket, BucketResult, crawl_buckets, import_folder
from geo_pipeline.defs.assets.cells import training_places
from geo_pipeline.defs.metrics import read_metrics
from geo_pipeline.defs.pictures import photo_sheet_picture
from geo_pipeline.defs.reporting import report_contents
from geo_pipeline.defs.resources import Experiment, PhotoServer
from geo_pipeline.evaluation.accuracy import accuracy_table
from geo_pipeline.evaluation.cell_page import render_cell_page
from geo_pipeline.evaluation.figures import cells_map, error_distribution, error_map, loss_curves
from geo_pipeline.evaluation.report import render_report
from geo_pipeline.evaluation.truth import with_truth
from geo_pipeline.model.prediction import predict_photos
from geo_pipeline.model.predictor import PredictionOptions
from geo_pipeline.photos.joins import downloaded_and_labelled, downloaded_with_coordinates, mark_duplicates
from geo_pipeline.photos.settings import Role
from geo_pipeline.profile import MANIFEST_FILE, Layout, layout_of, load_profile, profile_path
from geo_pipeline.store import read_table, write_csv, write_table, write_text
from geo_pipeline.training.job import TrainingJob

RUN = "base"
PARTITIONINGS = ("coarse", "middle", "fine")


def main() -> None:
    """Measure and print."""
    options = _parser().parse_args()
    if options.library:
        run_library(options.profile)
        return
    pairs = []
    for number in range(1, options.pairs + 1):
        plain, without = measure([sys.executable, __file__, "--library", "--profile", options.profile], options.profile)
        dagster, orchestrated = measure(
            [sys.executable, "-m", "geo_pipeline.cli", "--profile", options.profile, "materialize"], options.profile
        )
        assert orchestrated.equals(without), f"different accuracy tables:\n{orchestrated}\n{without}"
        pairs.append((plain, dagster))
        print(f"pair {number}: plain {plain:.1f} s, Dagster {dagster:.1f} s, ratio {dagster / plain:.2f}", flush=True)
    ratios = sorted(dagster / plain for plain, dagster in pairs)
    print(
        f"whole job, profile {options.profile}: Dagster takes {statistics.median(ratios):.2f} times as long as plain "
        f"Python (median of {len(pairs)}, from {ratios[0]:.2f} to {ratios[-1]:.2f}); the accuracy tables are equal"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="The whole job with Dagster and without.")
    parser.add_argument("--profile", default="world", help="a name in resources/ (default: world)")
    parser.add_argument("--pairs", type=int, default=1, help="how often to run both (default: 1)")
    parser.add_argument("--library", action="store_true", help=argparse.SUPPRESS)
    return parser


def measure(command: Sequence[str], profile: str) -> tuple[float, pa.Table]:
    """(wall time in seconds, accuracy table) of a process that does the whole job in a fresh home."""
    with tempfile.TemporaryDirectory(prefix="orchestration-") as home:
        begun = time.perf_counter()
        subprocess.run(command, check=True, env=os.environ | {"GEO_PIPELINE_HOME": home})
        seconds = time.perf_counter() - begun
        layout = Layout(Path(home) / load_profile(profile_path(profile)).name)
        return seconds, read_table(layout.table("benchmark_accuracy"))


def run_library(name: str) -> None:
    """The whole job in plain Python: what the assets do, in their order."""
    profile = load_profile(profile_path(name))
    experiment = Experiment(profile, layout_of(profile))
    write_url_lists(experiment)
    crawl(experiment)
    manifest, metadata = manifest_table(experiment), metadata_table(experiment)
    cells = cells_tables(experiment, metadata)
    write_labelled_photos(experiment, manifest, metadata, classes_table(experiment, metadata, cells))
    train(experiment)
    predictions = predictions_table(experiment, manifest, metadata)
    accuracy = accuracy_of(experiment, predictions)
    write_report(experiment, accuracy, predictions, cells, manifest, metadata)


def kept(experiment: Experiment, name: str, table: pa.Table) -> pa.Table:
    """Write a table where the asset of that name has it; the same table."""
    write_table(experiment.layout.table(name), table)
    return table


def write_url_lists(experiment: Experiment) -> None:
    """url_lists: each bucket's list and each set's rejected rows."""
    experiment.profile.require_inputs()
    for name in experiment.profile.photo_sets:
        photo_set = experiment.profile.photo_set(name)
        listed = photo_set.listed()
        write_table(experiment.layout.table("url_list_rejects", name), listed.rejects)
        for key, photos in photo_set.by_bucket(listed):
            write_table(experiment.layout.table("url_lists", key), photos)


def crawl(experiment: Experiment) -> None:
    """photo_shards: all buckets, with the photo server running. Raises the error of a bucket that failed."""
    server = PhotoServer(experiment.profile.world, experiment.layout.folder / "logs" / "photo_server.log")
    with server.serving():
        for result in _crawled(experiment):
            if result.error is not None:
                raise result.error


def _crawled(experiment: Experiment) -> Iterator[BucketResult]:
    """Folders are imported, lists are crawled all at once."""
    profile, layout = experiment.profile, experiment.layout
    listed = []
    for key in profile.bucket_keys():
        bucket = Bucket(key, read_table(layout.table("url_lists", key)), layout.bucket(key))
        folder = profile.photo_sets[key.rpartition("-")[0]].image_dir
        if folder is None:
            listed.append(bucket)
        else:
            yield import_folder(bucket, folder, profile.crawl)
    yield from crawl_buckets(listed, profile.crawl)


def manifest_table(experiment: Experiment) -> pa.Table:
    """photo_manifest, and the sheet of sample photos."""
    manifests = []
    for key in experiment.profile.bucket_keys():
        manifest = read_table(experiment.layout.bucket(key) / MANIFEST_FILE)
        for name, value in (("bucket", key), ("photo_set", key.rpartition("-")[0])):
            manifest = manifest.add_column(1, name, pa.repeat(value, manifest.num_rows))
        manifests.append(manifest)
    marked = mark_duplicates(pa.concat_tables(manifests))
    photo_sheet_picture(marked, experiment.layout.shards)
    return kept(experiment, "photo_manifest", marked)


def metadata_table(experiment: Experiment) -> pa.Table:
    """photo_metadata, and its rejected rows."""
    read = [experiment.profile.photo_set(name).metadata() for name in experiment.profile.photo_sets]
    kept(experiment, "photo_metadata_rejects", pa.concat_tables(each.rejects for each in read))
    return kept(experiment, "photo_metadata", pa.concat_tables(each.photos for each in read))


def cells_tables(experiment: Experiment, metadata: pa.Table) -> dict[str, pa.Table]:
    """cells_coarse, cells_middle, cells_fine with their maps, and cell_hierarchy."""
    places = training_places(experiment.profile, metadata)
    cells = {}
    for name, source in experiment.profile.partitionings.items():
        if isinstance(source, PublishedPartitioning):
            table = read_cells_csv(source.csv)
        else:
            table = make_partitionings(*places, [source])[0]
        cells_map({name: table})
        cells[name] = kept(experiment, f"cells_{name}", table)
    kept(experiment, "cell_hierarchy", cell_hierarchy(cells))
    return cells


def classes_table(experiment: Experiment, metadata: pa.Table, cells: dict[str, pa.Table]) -> pa.Table:
    """photo_classes."""
    places = metadata["latitude"].to_numpy(), metadata["longitude"].to_numpy()
    classes = metadata.select(["photo_id", "photo_set"])
    for name, table in cells.items():
        labels = assign_classes(*places, table)
        classes = classes.append_column(name, pa.array(labels, pa.int32(), mask=labels < 0))
    return kept(experiment, "photo_classes", classes)


def write_labelled_photos(experiment: Experiment, manifest: pa.Table, metadata: pa.Table, classes: pa.Table) -> None:
    """training_photos and validation_photos."""
    for role, name in ((Role.TRAIN, "training_photos"), (Role.VALIDATION, "validation_photos")):
        photos = downloaded_and_labelled(manifest, metadata, classes, experiment.profile.sets_of(role))
        kept(experiment, name, photos)


def train(experiment: Experiment) -> None:
    """geo_model: the training process, and the loss curves."""
    layout = experiment.layout
    job = TrainingJob(
        config=experiment.profile.training,
        training_photos=layout.table("training_photos"),
        validation_photos=layout.table("validation_photos"),
        cells={name: layout.table(f"cells_{name}") for name in PARTITIONINGS},
        hierarchy=layout.table("cell_hierarchy"),
        shards_root=layout.shards,
        run_dir=layout.run(RUN),
    )
    job_file = job.write(layout.run(RUN) / "job.json")
    subprocess.run([sys.executable, "-m", "geo_pipeline.training", "--job", str(job_file)], check=True)
    loss_curves(read_metrics(layout.run(RUN) / "metrics.jsonl"))


def predictions_table(experiment: Experiment, manifest: pa.Table, metadata: pa.Table) -> pa.Table:
    """benchmark_predictions."""
    profile, layout, tables = experiment.profile, experiment.layout, []
    for name in profile.sets_of(Role.BENCHMARK):
        photos = downloaded_with_coordinates(manifest, metadata, name)
        checkpoint = layout.run(RUN) / "best.ckpt"
        crops, combine = profile.evaluation.crops, profile.evaluation.combine
        answers = predict_photos(checkpoint, photos, layout.shards, PredictionOptions(crops=crops, combine=combine))
        tables.append(with_truth(answers, photos, benchmark=name, model=RUN))
    return kept(experiment, "benchmark_predictions", pa.concat_tables(tables))


def accuracy_of(experiment: Experiment, predictions: pa.Table) -> pa.Table:
    """benchmark_accuracy, and the distribution of the errors of each benchmark."""
    for name in experiment.profile.sets_of(Role.BENCHMARK):
        error_distribution(_rows(predictions, benchmark=name))
    return kept(experiment, "benchmark_accuracy", accuracy_table(predictions, experiment.profile.evaluation))


def write_report(
    experiment: Experiment,
    accuracy: pa.Table,
    predictions: pa.Table,
    cells: dict[str, pa.Table],
    manifest: pa.Table,
    metadata: pa.Table,
) -> None:
    """The report with its CSVs, and the map of each benchmark's errors."""
    layout = experiment.layout
    metrics = read_metrics(layout.run(RUN) / "metrics.jsonl")
    contents = report_contents(
        experiment,
        accuracy=accuracy,
        predictions=predictions,
        cells=cells,
        manifest=manifest,
        metadata=metadata,
        run_metrics=metrics,
    )
    write_text(layout.reports / contents.cell_page, render_cell_page(cells, f"{contents.title}: S2 cells"))
    write_text(layout.reports / "report.html", render_report(contents))
    write_csv(layout.reports / "accuracy.csv", accuracy)
    write_csv(layout.reports / "predictions.csv", predictions)
    for name in experiment.profile.sets_of(Role.BENCHMARK):
        error_map(_rows(predictions, benchmark=name, p_key="hierarchy"))


def _rows(table: pa.Table, **values: str) -> pa.Table:
    """The rows that have these values."""
    for column, value in values.items():
        table = table.filter(pc.equal(table[column], value))
    return table


if __name__ == "__main__":
    main()
