"""Group benchmarks: predictions for every benchmark photo, the accuracy table, the report.

Not here: the forward pass (model room), the statistics and the drawing (evaluation room).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc

from geo_pipeline.defs.assets.training import RUN
from geo_pipeline.defs.inputs import SCENE_CLASSIFIER
from geo_pipeline.defs.io_managers import table_result
from geo_pipeline.defs.making import asset_function
from geo_pipeline.defs.metrics import read_metrics
from geo_pipeline.defs.pictures import png
from geo_pipeline.defs.reporting import report_contents
from geo_pipeline.defs.resources import Experiment
from geo_pipeline.defs.staleness import FILES, file_sizes
from geo_pipeline.photos.joins import downloaded_with_coordinates
from geo_pipeline.photos.settings import Role
from geo_pipeline.profile import Profile, scene_checkpoints
from geo_pipeline.store import file_hash, text_hash, write_csv, write_text
from geo_pipeline.training.model_card import write_benchmarks

GROUP, ISN = "benchmarks", "isn"


def build_benchmark_assets(profile: Profile) -> list[dg.AssetsDefinition]:
    """The assets of the group; the networks of scenes are judged too, where the profile trains them."""
    networks = ["geo_model", *(["scene_models"] if profile.scene_training else [])]
    # besides what is in the functions' arguments; Dagster takes no such dependencies later, as of other input files
    deps = [*networks, *([SCENE_CLASSIFIER] if profile.scene_classifier else [])]
    return [_calibration(deps), _benchmark_predictions(deps), benchmark_accuracy, report]


def _calibration(deps: list[str]) -> dg.AssetsDefinition:
    @dg.asset(group_name=GROUP, deps=deps, kinds={"pytorch"}, pool="gpu")
    @asset_function
    def calibration(
        experiment: dg.ResourceParam[Experiment], validation_photos: pa.Table
    ) -> dg.MaterializeResult[None]:
        """Honest probabilities: temperatures of each network, fitted on validation photos; files beside checkpoints."""
        from geo_pipeline.defs.calibrating import calibrate_model, calibration_pictures
        from geo_pipeline.model.calibration import FILE

        layout, settings = experiment.layout, experiment.profile.evaluation
        photos = {layout.checkpoint: validation_photos, **_photos_by_scene(experiment, validation_photos)}
        fitted = {
            path: calibrate_model(path, table, layout.shards, settings) for path, table in photos.items() if len(table)
        }
        files = [path.with_name(FILE) for path in fitted]
        for file, each in zip(files, fitted.values(), strict=True):
            each.calibration.write(file)
        return dg.MaterializeResult(
            data_version=dg.DataVersion(text_hash(" ".join(map(file_hash, files)))[:32]),
            metadata={
                "calibration": dg.MetadataValue.path(files[0]),
                FILES: file_sizes(layout.folder, *files),
                **calibration_pictures(fitted[layout.checkpoint]),
            },
        )

    return calibration


def _benchmark_predictions(deps: list[str]) -> dg.AssetsDefinition:
    @dg.asset(group_name=GROUP, deps=[*deps, "calibration"], kinds={"pytorch", "parquet"}, pool="gpu")
    @asset_function
    def benchmark_predictions(
        experiment: dg.ResourceParam[Experiment], photo_manifest: pa.Table, photo_metadata: pa.Table
    ) -> dg.MaterializeResult[pa.Table]:
        """Where the models place every benchmark photo: coarse, middle, fine and f* (`hierarchy`), with the distance.

        Model `base` is geo_model; `isn` is the network of each photo's most probable scene by its metadata or the
        profile's scene classifier, and geo_model for photos of which no scene is known.
        """
        tables: list[pa.Table] = []
        for name in _benchmark_names(experiment):
            photos = downloaded_with_coordinates(photo_manifest, photo_metadata, name)
            tables += _predictions(experiment, name, photos)
        return table_result(pa.concat_tables(tables))

    return benchmark_predictions


def _predictions(experiment: Experiment, benchmark: str, photos: pa.Table) -> Iterator[pa.Table]:
    """The answers of each model for the photos of a benchmark, with the truth."""
    from geo_pipeline.defs.calibrating import calibration_of
    from geo_pipeline.evaluation.truth import with_truth
    from geo_pipeline.model.calibration import calibration_beside
    from geo_pipeline.model.prediction import predict_by_scene, predict_photos
    from geo_pipeline.model.predictor import PredictionOptions

    settings, layout = experiment.profile.evaluation, experiment.layout
    options = PredictionOptions(crops=settings.crops, combine=settings.combine)

    def predict(checkpoint: Path, some: pa.Table) -> pa.Table:
        fitted = calibration_beside(checkpoint, settings.crops, settings.combine)
        return predict_photos(checkpoint, some, layout.shards, options, calibration=fitted, rules=settings.rules)

    calibration_of(layout.checkpoint, settings)  # must be there; a scene that no validation photo is of has none
    yield with_truth(predict(layout.checkpoint, photos), photos, benchmark=benchmark, model=RUN)
    scenes = scene_checkpoints(experiment.profile, layout)
    if scenes:
        answers = predict_by_scene(scenes, layout.checkpoint, _with_scenes(experiment, photos), predict)
        yield with_truth(answers, photos, benchmark=benchmark, model=ISN)


def _photos_by_scene(experiment: Experiment, photos: pa.Table) -> dict[Path, pa.Table]:
    """The photos that each scene's network would answer for, by its checkpoint."""
    from geo_pipeline.model.scenes import pick_scene

    scenes = scene_checkpoints(experiment.profile, experiment.layout)
    if not scenes:
        return {}
    picked = pick_scene(_with_scenes(experiment, photos), list(scenes))
    return {path: photos.filter(pa.array(picked == k)) for k, path in enumerate(scenes.values())}


def _with_scenes(experiment: Experiment, photos: pa.Table) -> pa.Table:
    from geo_pipeline.model.scene_classifier import with_scenes

    profile = experiment.profile
    return with_scenes(photos, list(profile.scenes), profile.scene_classifier, experiment.layout.shards)


@dg.asset(group_name=GROUP, kinds={"numpy", "parquet"})
@asset_function
def benchmark_accuracy(
    experiment: dg.ResourceParam[Experiment], benchmark_predictions: pa.Table
) -> dg.MaterializeResult[pa.Table]:
    """Share of benchmark photos within 1, 25, 200, 750 and 2500 km of the truth, with 95 % bootstrap intervals."""
    from geo_pipeline.defs.calibrating import confidence_picture
    from geo_pipeline.evaluation.accuracy import accuracy_markdown, accuracy_table, over_authors_markdown
    from geo_pipeline.evaluation.figures import error_distribution

    accuracy = accuracy_table(benchmark_predictions, experiment.profile.evaluation)
    of_base = benchmark_predictions.filter(pc.equal(benchmark_predictions["model"], RUN))
    pictures = {
        f"errors_{name}": png(error_distribution(of_benchmark(of_base, name))) for name in _benchmark_names(experiment)
    }
    markdown = accuracy_markdown(accuracy)
    write_benchmarks(experiment.layout.run(RUN), experiment.layout.run(RUN) / "best.ckpt", markdown)
    return table_result(
        accuracy,
        accuracy=dg.MetadataValue.md(markdown),
        intervals_over_authors=dg.MetadataValue.md(over_authors_markdown(accuracy) or "no author is known"),
        confidence=confidence_picture(benchmark_predictions),
        **pictures,
    )


def of_benchmark(table: pa.Table, name: str) -> pa.Table:
    """The rows of one benchmark."""
    return table.filter(pc.equal(table["benchmark"], name))


@dg.asset(
    group_name=GROUP,
    deps=["geo_model"],
    kinds={"html", "matplotlib"},
)
@asset_function
def report(
    context: dg.AssetExecutionContext,
    experiment: dg.ResourceParam[Experiment],
    benchmark_accuracy: pa.Table,
    benchmark_predictions: pa.Table,
    cells_coarse: pa.Table,
    cells_middle: pa.Table,
    cells_fine: pa.Table,
    photo_manifest: pa.Table,
    photo_metadata: pa.Table,
) -> dg.MaterializeResult[None]:
    """HTML that works offline: accuracy, maps of cells and errors, sample photos, what was lost; a map of all cells."""
    from geo_pipeline.evaluation.cell_page import render_cell_page
    from geo_pipeline.evaluation.figures import error_map
    from geo_pipeline.evaluation.report import render_report

    layout = experiment.layout
    cells = {"coarse": cells_coarse, "middle": cells_middle, "fine": cells_fine}
    contents = report_contents(
        experiment,
        context.instance,
        accuracy=benchmark_accuracy,
        predictions=benchmark_predictions,
        cells=cells,
        manifest=photo_manifest,
        metadata=photo_metadata,
        run_metrics=read_metrics(layout.run(RUN) / "metrics.jsonl"),
    )
    path, path_of_cells = layout.reports / "report.html", layout.reports / contents.cell_page
    page, page_of_cells = render_report(contents), render_cell_page(cells, f"{contents.title}: S2 cells")
    write_text(path_of_cells, page_of_cells)
    write_text(path, page)
    tables = [layout.reports / "accuracy.csv", layout.reports / "predictions.csv"]
    for file, table in zip(tables, (benchmark_accuracy, benchmark_predictions), strict=True):
        write_csv(file, table)
    keys = benchmark_predictions["model"], benchmark_predictions["p_key"]
    f_star = benchmark_predictions.filter(pc.and_(pc.equal(keys[0], RUN), pc.equal(keys[1], "hierarchy")))
    maps = {f"errors_{name}": png(error_map(of_benchmark(f_star, name))) for name in _benchmark_names(experiment)}
    return dg.MaterializeResult(
        data_version=dg.DataVersion(text_hash(page.partition('<section id="provenance">')[0] + page_of_cells)[:32]),
        metadata={
            "report": dg.MetadataValue.path(path),
            "map_of_cells": dg.MetadataValue.path(path_of_cells),
            "size_bytes": path.stat().st_size,
            FILES: file_sizes(layout.folder, path, path_of_cells, *tables),
            **maps,
        },
    )


def _benchmark_names(experiment: Experiment) -> list[str]:
    return experiment.profile.sets_of(Role.BENCHMARK)
