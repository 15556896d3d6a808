"""`geo-pipeline predict`: where the photos of a folder were taken.

Here live its options, the loop that writes one batch after another, and what it prints. Not here: the network, the
decisions and the form of a row (model).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from geo_pipeline.cli_network import (
    PictureErrors,
    add_network_options,
    add_rule_option,
    aligned,
    calibration_text,
    load_predictor,
    progress_bar,
    rules_of,
)
from geo_pipeline.errors import InputError
from geo_pipeline.model.settings import CONFIDENCE_RADIUS_KM

if TYPE_CHECKING:
    import pyarrow as pa

    from geo_pipeline.model.predictor import BatchBeliefs, Predictor

PRECISIONS = ("city", "region", "country")
DEFAULT_FLOOR = 0.5
_SHOWN_ROWS = 20


def add_options(parser: argparse.ArgumentParser) -> None:
    """Give a parser the options of the command."""
    parser.add_argument(
        "--image-dir", type=Path, required=True, metavar="DIR", help="the pictures, in folders of any depth"
    )
    add_network_options(parser)
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("predictions.csv"),
        metavar="FILE",
        help="CSV or Parquet: img_id,p_key,pred_class,pred_lat,pred_lng (default: %(default)s)",
    )
    parser.add_argument("--details", action="store_true", help="further columns: confidence, radius_km, top5")
    parser.add_argument(
        "--radius-km",
        type=float,
        default=CONFIDENCE_RADIUS_KM,
        metavar="KM",
        help="confidence is the probability that the truth lies so near to the answer (default: %(default)g)",
    )
    add_rule_option(parser)
    parser.add_argument(
        "--max-precision",
        choices=PRECISIONS,
        help="no points: the smallest S2 cell, of this size or larger, whose probability reaches that of"
        f" --abstain-below (then by default {DEFAULT_FLOOR})",
    )
    parser.add_argument(
        "--abstain-below", type=float, metavar="P", help="leave an answer empty whose confidence is below P (0 to 1)"
    )


def run(options: argparse.Namespace) -> int:
    """Write the predictions; the exit code."""
    import pyarrow as pa

    from geo_pipeline.model.pictures import PictureFiles, find_pictures, photo_ids_of
    from geo_pipeline.photos.dataset import ending_of
    from geo_pipeline.store import table_stream

    _check(options)
    ending_of(options.output)
    names = find_pictures(options.image_dir)
    photo_ids = photo_ids_of(names)
    predictor, calibration = load_predictor(options)
    rows_of, schema = _row_maker(options, predictor)
    source = PictureFiles(options.image_dir, names, predictor.model.settings.resize_size)
    first, errors = schema.empty_table(), PictureErrors(options.image_dir, names)
    with table_stream(options.output) as append, progress_bar(len(names)) as advance:
        append(first)
        for batch in predictor.beliefs(source):
            rows = rows_of([photo_ids[row] for row in batch.rows], batch)
            append(rows)
            errors.add(batch.faults)
            first = pa.concat_tables([first, rows]).slice(0, _SHOWN_ROWS)
            advance(len(batch.rows) + len(batch.faults))
        errors.refuse_if_all()
    errors.write(options.output.with_name(f"{options.output.stem}_errors.csv"))
    print(aligned(first))
    print(
        "\n".join([_summary(len(names) - errors.count, first, options), calibration_text(calibration), *errors.lines()])
    )
    return 0


def _row_maker(
    options: argparse.Namespace, predictor: Predictor
) -> tuple[Callable[[Sequence[str], BatchBeliefs], pa.Table], pa.Schema]:
    """The function that makes the rows of a batch from its photo ids, and their columns."""
    from geo_pipeline.model.areas import Areas
    from geo_pipeline.model.decisions import Decider
    from geo_pipeline.model.prediction_rows import area_rows, areas_schema, point_rows, points_schema

    geography, device, details = predictor.geography, predictor.device, options.details
    if options.max_precision:
        areas = Areas(geography, options.max_precision, device)
        floor = DEFAULT_FLOOR if options.abstain_below is None else options.abstain_below

        def rows_of_areas(photo_ids: Sequence[str], batch: BatchBeliefs) -> pa.Table:
            ranked = areas.decide(batch.beliefs, floor)
            return area_rows(photo_ids, ranked, details=details)

        return rows_of_areas, areas_schema(details=details)
    decider = Decider(geography, device, rules_of(options), options.radius_km)

    def rows_of_points(photo_ids: Sequence[str], batch: BatchBeliefs) -> pa.Table:
        return point_rows(
            photo_ids,
            decider.decide(batch.beliefs),
            batch.beliefs,
            geography,
            radius_km=options.radius_km,
            abstain_below=options.abstain_below or 0.0,
            details=details,
        )

    return rows_of_points, points_schema(details=details)


def _summary(num_photos: int, first: pa.Table, options: argparse.Namespace) -> str:
    more = "" if first.num_rows < _SHOWN_ROWS else "; the first rows are shown above"
    return f"{options.output}: {num_photos:,} photos{more}"


def _check(options: argparse.Namespace) -> None:
    """Raise InputError for options that contradict each other or cannot be."""
    if options.abstain_below is not None and not 0 <= options.abstain_below <= 1:
        raise InputError(f"--abstain-below {options.abstain_below:g}: a probability lies between 0 and 1")
    if not options.radius_km > 0:
        raise InputError(f"--radius-km {options.radius_km:g}: expected kilometres above 0")
    if options.max_precision and options.rule:
        raise InputError("--rule chooses points and --max-precision leaves them out: give one of the two")
