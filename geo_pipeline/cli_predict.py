"""`geo-pipeline predict`: where the photos of a folder were taken.

Here live its options, the loop that writes one batch after another, and what it prints. Not here: the network, the
decisions and the form of a row (model).
"""

from __future__ import annotations

import argparse
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

    from geo_pipeline.cli_answers import Answers
    from geo_pipeline.model.crop_batches import PictureSource
    from geo_pipeline.model.predictor import BatchBeliefs, Predictor

PRECISIONS = ("city", "region", "country")
DEFAULT_FLOOR = 0.5
_SHOWN_ROWS, _NUM_PLAIN = 20, 5


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
    parser.add_argument(
        "--map", type=Path, metavar="DIR", help="a picture for each photo: itself, the probability on a map, the answer"
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
    answers = _answers(options, predictor)
    columns = answers.schema.names if options.details else answers.schema.names[:_NUM_PLAIN]
    source = PictureFiles(options.image_dir, names, predictor.model.settings.resize_size)
    first, errors = answers.schema.empty_table().select(columns), PictureErrors(options.image_dir, names)
    with table_stream(options.output) as append, progress_bar(len(names)) as advance:
        append(first)
        for batch in predictor.beliefs(source):
            rows = answers.rows([photo_ids[row] for row in batch.rows], batch)
            append(rows.select(columns))
            errors.add(batch.faults)
            first = pa.concat_tables([first, rows.select(columns)]).slice(0, _SHOWN_ROWS)
            if options.map:
                _write_maps(options.map, answers, rows, batch, source)
            advance(len(batch.rows) + len(batch.faults))
        errors.refuse_if_all()
    errors.write(options.output.with_name(f"{options.output.stem}_errors.csv"))
    summary = _summary(len(names) - errors.count, first, options)
    table = aligned(first.select([name for name in columns if name != "top5"]))
    print("\n".join([table, "", summary, calibration_text(calibration), *errors.lines()]))
    return 0


def _answers(options: argparse.Namespace, predictor: Predictor) -> Answers:
    """The way to answer that the options ask for."""
    from geo_pipeline.cli_answers import AreaAnswers, PointAnswers
    from geo_pipeline.model.areas import Areas
    from geo_pipeline.model.decisions import Decider

    if options.max_precision:
        floor = DEFAULT_FLOOR if options.abstain_below is None else options.abstain_below
        return AreaAnswers(Areas(predictor.geography, options.max_precision, predictor.device), floor)
    decider = Decider(predictor.geography, predictor.device, rules_of(options), options.radius_km)
    return PointAnswers(predictor, decider, options.radius_km, options.abstain_below or 0.0)


def _write_maps(folder: Path, answers: Answers, rows: pa.Table, batch: BatchBeliefs, source: PictureSource) -> None:
    """A picture for each photo of a batch of which anything is told."""
    from geo_pipeline.evaluation.prediction_map import prediction_picture
    from geo_pipeline.store import write_bytes

    photo_ids = list(dict.fromkeys(rows["img_id"].to_pylist()))
    for photo_id, row, belief in zip(photo_ids, batch.rows, answers.drawn(rows, batch), strict=True):
        if belief is not None:
            write_bytes(folder / f"{photo_id}.png", prediction_picture(source.image(row), belief))


def _summary(num_photos: int, first: pa.Table, options: argparse.Namespace) -> str:
    more = "" if first.num_rows < _SHOWN_ROWS else "; the first rows are shown above"
    maps = f"; maps in {options.map}" if options.map else ""
    return f"{options.output}: {num_photos:,} photos{more}{maps}"


def _check(options: argparse.Namespace) -> None:
    """Raise InputError for options that contradict each other or cannot be."""
    if options.abstain_below is not None and not 0 <= options.abstain_below <= 1:
        raise InputError(f"--abstain-below {options.abstain_below:g}: a probability lies between 0 and 1")
    if not options.radius_km > 0:
        raise InputError(f"--radius-km {options.radius_km:g}: expected kilometres above 0")
    if options.max_precision and options.rule:
        raise InputError("--rule chooses points and --max-precision leaves them out: give one of the two")
