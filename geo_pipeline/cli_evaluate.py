"""`geo-pipeline evaluate`: how good a network is, on folders of pictures or on the benchmarks of the profile.

Here live its options, the loop over benchmarks, and what it prints. Not here: what is measured on (cli_benchmarks.py),
the network (model) and the table (evaluation).
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from geo_pipeline.cli_network import (
    add_network_options,
    add_rule_option,
    calibration_text,
    load_predictor,
    progress_bar,
    rules_of,
)
from geo_pipeline.errors import InputError
from geo_pipeline.evaluation.settings import EvaluationSettings
from geo_pipeline.profile import Layout, Profile, layout_of, load_profile, profile_path, scene_checkpoints

if TYPE_CHECKING:
    import pyarrow as pa

    from geo_pipeline.cli_benchmarks import Benchmark
    from geo_pipeline.model.decisions import Decider
    from geo_pipeline.model.predictor import Predictor

LEFT_OUT = "left_out.csv"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Give a parser the options of the command."""
    parser.add_argument(
        "--image-dirs",
        type=Path,
        nargs="+",
        default=[],
        metavar="DIR",
        help="folders of pictures (default: the benchmarks of the profile, from its shards)",
    )
    parser.add_argument(
        "--meta-files",
        type=Path,
        nargs="+",
        default=[],
        metavar="CSV",
        help="metadata of each folder, in the same order: at least IMG_ID,LAT,LON",
    )
    add_network_options(parser)
    add_rule_option(parser)
    parser.add_argument("--skip-bad-rows", action="store_true", help="leave bad rows of metadata out and list them")
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("evaluation"),
        metavar="DIR",
        help="folder of accuracy and predictions, each as CSV and Parquet (default: %(default)s)",
    )


def run(options: argparse.Namespace) -> int:
    """Answer, measure, write and print; the exit code."""
    import pyarrow as pa

    from geo_pipeline.evaluation.accuracy import accuracy_table
    from geo_pipeline.model.decisions import Decider

    if len(options.image_dirs) != len(options.meta_files):
        raise InputError(
            f"--image-dirs names {len(options.image_dirs)} folders, --meta-files {len(options.meta_files)} files: give "
            "the metadata of each folder, in the same order"
        )
    predictor, calibration = load_predictor(options)
    benchmarks, settings = _benchmarks(options, predictor)
    decider = Decider(predictor.geography, predictor.device, rules_of(options, settings.rules))
    model = predictor.checkpoint.resolve().parent.name
    measured = [_measure(benchmark, predictor, decider, model) for benchmark in benchmarks]
    tables = [table for table, _ in measured] + (
        [] if options.image_dirs else _by_scene(options, benchmarks, predictor)
    )
    predictions = pa.concat_tables(tables)
    accuracy = accuracy_table(predictions, settings)
    _write(options.output, accuracy, predictions, left_out := pa.concat_tables([lines for _, lines in measured]))
    print("\n".join([*_report(accuracy), calibration_text(calibration), *_left_out_lines(options.output, left_out)]))
    return 0


def _benchmarks(options: argparse.Namespace, predictor: Predictor) -> tuple[list[Benchmark], EvaluationSettings]:
    """What to measure on, and how."""
    from geo_pipeline.cli_benchmarks import benchmarks_of_folders, benchmarks_of_profile

    if options.image_dirs:
        short_side = predictor.model.settings.resize_size
        found = benchmarks_of_folders(
            options.image_dirs, options.meta_files, short_side, skip_bad_rows=options.skip_bad_rows
        )
        return found, EvaluationSettings()
    profile = load_profile(profile_path(options.profile))
    _require_cells_of_profile(predictor, profile, layout_of(profile))
    return list(benchmarks_of_profile(profile, layout_of(profile))), profile.evaluation


def _require_cells_of_profile(predictor: Predictor, profile: Profile, layout: Layout) -> None:
    """Raise InputError if a network answers with other cells than the profile's."""
    from geo_pipeline.store import read_table

    for each in predictor.geography.partitionings:
        path = layout.table(f"cells_{each.name}")
        expected = read_table(path).sort_by("class_label")["hex_id"].to_pylist()
        if list(each.hex_ids) != expected:
            raise InputError(
                f"{predictor.checkpoint}: a network of another profile: its {len(each.hex_ids):,} cells of {each.name} "
                f"are not the {len(expected):,} of profile {profile.name} ({path}); choose the profile with --profile "
                "before the command, or measure on pictures of your own with --image-dirs and --meta-files"
            )


def _measure(benchmark: Benchmark, predictor: Predictor, decider: Decider, model: str) -> tuple[pa.Table, pa.Table]:
    """The predictions with the truth for one benchmark, and what was left out of it."""
    import pyarrow as pa

    from geo_pipeline.evaluation.truth import with_truth
    from geo_pipeline.model.prediction import ANSWERS_SCHEMA, answer_photos

    photo_ids, faults = benchmark.photos["photo_id"].to_pylist(), dict[int, str]()
    tables = [ANSWERS_SCHEMA.empty_table()]
    with progress_bar(len(photo_ids)) as advance:
        for batch in answer_photos(predictor, decider, benchmark.source, photo_ids):
            tables.append(batch.answers)
            faults |= batch.faults
            advance(batch.num_photos + len(batch.faults))
    left_out = {**benchmark.left_out, **{photo_ids[row]: " ".join(fault.split()) for row, fault in faults.items()}}
    answers = with_truth(pa.concat_tables(tables), benchmark.photos, benchmark=benchmark.name, model=model)
    names = [benchmark.name] * len(left_out)
    columns = {"benchmark": names, "photo": list(left_out), "reason": list(left_out.values())}
    return answers, pa.table(columns, schema=pa.schema([(name, pa.string()) for name in columns]))


def _by_scene(options: argparse.Namespace, benchmarks: Sequence[Benchmark], predictor: Predictor) -> list[pa.Table]:
    """The predictions of the profile's networks of scenes with the truth, where they were trained and are asked for."""
    from geo_pipeline.evaluation.truth import with_truth
    from geo_pipeline.model.calibration import calibration_beside
    from geo_pipeline.model.prediction import predict_by_scene, predict_photos
    from geo_pipeline.model.scene_classifier import with_scenes

    profile = load_profile(profile_path(options.profile))
    layout = layout_of(profile)
    scenes = scene_checkpoints(profile, layout)
    if options.checkpoint is not None or not scenes or not all(path.exists() for path in scenes.values()):
        return []
    settings, rules = predictor.options, rules_of(options, profile.evaluation.rules)

    def predict(checkpoint: Path, some: pa.Table) -> pa.Table:
        fitted = calibration_beside(checkpoint, settings.crops, settings.combine)
        return predict_photos(checkpoint, some, layout.shards, settings, calibration=fitted, rules=rules)

    found = []
    for each in benchmarks:
        names, classifier = list(profile.scenes), profile.scene_classifier
        photos = with_scenes(each.photos, names, classifier, layout.shards, predictor.device)
        answers = predict_by_scene(scenes, predictor.checkpoint, photos, predict)
        found.append(with_truth(answers, each.photos, benchmark=each.name, model="isn"))
    return found


def _write(folder: Path, accuracy: pa.Table, predictions: pa.Table, left_out: pa.Table) -> None:
    from geo_pipeline.store import write_csv, write_table

    for name, table in (("accuracy", accuracy), ("predictions", predictions)):
        write_csv(folder / f"{name}.csv", table)
        write_table(folder / f"{name}.parquet", table)
    write_csv(folder / LEFT_OUT, left_out)


def _report(accuracy: pa.Table) -> Iterator[str]:
    """The table, the intervals over authors where some are known, and published rows of benchmarks that have some."""
    from geo_pipeline.evaluation.accuracy import accuracy_text, intervals_over_authors_text
    from geo_pipeline.evaluation.published import comparison_text, comparisons

    yield accuracy_text(accuracy)
    over_authors = intervals_over_authors_text(accuracy)
    if over_authors:
        yield f"\n95 % intervals over authors instead of photos:\n{over_authors}"
    for comparison in comparisons(accuracy, {}):
        yield f"\n{comparison_text(comparison)}"
    yield ""


def _left_out_lines(folder: Path, left_out: pa.Table) -> Iterator[str]:
    """How many photos of each benchmark were left out, and why."""
    counts = Counter(zip(left_out["benchmark"].to_pylist(), left_out["reason"].to_pylist(), strict=True))
    for name in dict.fromkeys(left_out["benchmark"].to_pylist()):
        reasons = ", ".join(f"{n:,} {reason}" for (benchmark, reason), n in counts.items() if benchmark == name)
        yield f"{name}: left out: {reasons}"
    yield f"{folder}: accuracy and predictions as CSV and Parquet, {LEFT_OUT}"
