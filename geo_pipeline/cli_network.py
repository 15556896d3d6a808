"""What `predict` and `evaluate` share: the options of a network, loading it, pictures that cannot be read.

Not here: the commands themselves.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from geo_pipeline.errors import InputError
from geo_pipeline.evaluation.settings import EvaluationSettings
from geo_pipeline.model.settings import RULES_KM
from geo_pipeline.profile import layout_of, load_profile, profile_path

if TYPE_CHECKING:
    import pyarrow as pa

    from geo_pipeline.model.calibration import Calibration
    from geo_pipeline.model.combination import Combine
    from geo_pipeline.model.predictor import Predictor
    from geo_pipeline.model.preprocessing import NumCrops

_NAMED_ERRORS = 10


def add_network_options(parser: argparse.ArgumentParser) -> None:
    """The options of every command that shows photos to a network."""
    parser.add_argument(
        "--checkpoint", type=Path, metavar="FILE", help="best.ckpt of a run (default: that of the profile's geo_model)"
    )
    parser.add_argument(
        "--hparams", type=Path, metavar="FILE", help="must describe the checkpoint (default: hparams.yaml beside it)"
    )
    parser.add_argument(
        "--gpu", action=argparse.BooleanOptionalAction, help="use the GPU, or do not (default: if there is one)"
    )
    parser.add_argument(
        "--precision", choices=("32", "16", "bf16"), default="32", help="of the network's numbers (default: 32)"
    )
    parser.add_argument("--batch-size", type=_positive, default=64, metavar="N", help="photos (default: %(default)s)")
    parser.add_argument("--num-workers", type=_not_negative, metavar="N", help="processes that decode pictures")
    parser.add_argument(
        "--crops", type=int, choices=(1, 5, 10), help="views of each photo (default: the profile's, else 5)"
    )
    parser.add_argument(
        "--combine",
        choices=("max", "mean"),
        help="how their probabilities become one (default: the profile's, else max)",
    )


def add_rule_option(parser: argparse.ArgumentParser) -> None:
    """The option of every command that answers by rules beside f*."""
    parser.add_argument(
        "--rule",
        nargs="+",
        choices=("argmax", *RULES_KM),
        default=[],
        help="answer also with the point that has the most probability within 25, 200 or 750 km, as p_key"
        " hierarchy_mass25 ... (argmax: f* itself, always there)",
    )


def rules_of(options: argparse.Namespace, default: Sequence[str] = ()) -> list[str]:
    """The rules to answer by beside f*."""
    return [rule for rule in options.rule or default if rule != "argmax"]


class PictureErrors:
    """The pictures of a folder that could not be read, and why."""

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self._folder, self._names = folder, names
        self._faults: dict[int, str] = {}
        self._file: Path | None = None

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._faults)

    def add(self, faults: Mapping[int, str]) -> None:
        """Take in faults by the row of the name."""
        self._faults |= faults

    def refuse_if_all(self) -> None:
        """Raise InputError if no picture could be read."""
        if self.count == len(self._names):
            first = [f"  - {self._names[row]}: {fault}" for row, fault in list(self._faults.items())[:_NAMED_ERRORS]]
            head = f"{self._folder}: none of its {self.count:,} pictures can be read; the first:"
            raise InputError("\n".join([head, *first]))

    def write(self, path: Path) -> None:
        """Write the list, `file,error`; without errors that of an earlier run is removed."""
        import pyarrow as pa

        from geo_pipeline.store import write_csv

        if not self._faults:
            path.unlink(missing_ok=True)
            return
        rows = sorted(self._faults.items())
        files, errors = [self._names[row] for row, _ in rows], [" ".join(fault.split()) for _, fault in rows]
        write_csv(path, pa.table({"file": files, "error": errors}))
        self._file = path

    def lines(self) -> list[str]:
        """What there is to tell."""
        return [f"{self._file}: {self.count:,} pictures could not be read"] if self._file else []


def load_predictor(options: argparse.Namespace) -> tuple[Predictor, Calibration | None]:
    """The network that the options name, with its calibration if there is one that fits."""
    from geo_pipeline.model.calibration import calibration_beside
    from geo_pipeline.model.hparams import FILE, require_same_network
    from geo_pipeline.model.predictor import PredictionOptions, Predictor

    checkpoint, defaults = options.checkpoint, EvaluationSettings()
    if checkpoint is None:
        profile = load_profile(profile_path(options.profile))
        checkpoint, defaults = layout_of(profile).checkpoint, profile.evaluation
    crops: NumCrops = options.crops or defaults.crops
    combine: Combine = options.combine or defaults.combine
    device = {None: None, True: "cuda", False: "cpu"}[options.gpu]
    settings = PredictionOptions(crops, combine, options.batch_size, options.num_workers, device, options.precision)
    calibration = calibration_beside(checkpoint, crops, combine)
    predictor = Predictor(checkpoint, settings, calibration)
    hparams = options.hparams or checkpoint.with_name(FILE)
    if options.hparams or hparams.exists():
        require_same_network(hparams, checkpoint, predictor.model.settings)
    return predictor, calibration


def calibration_text(calibration: Calibration | None) -> str:
    """How the probabilities are meant."""
    if calibration is None:
        return "probabilities are the network's own: no calibration of this checkpoint for these crops"
    return f"probabilities are calibrated on {calibration.num_photos:,} validation photos"


@contextmanager
def progress_bar(total: int) -> Iterator[Callable[[int], object]]:
    """A line on a terminal; gives the function that is told of each further number of photos."""
    from tqdm import tqdm

    shown = sys.stderr.isatty()
    with tqdm(total=total, unit=" photos", disable=not shown, file=sys.stderr, dynamic_ncols=True) as bar:
        yield bar.update


def aligned(table: pa.Table) -> str:
    """A small table as text, numbers to the right."""
    rows = [table.column_names, *([_shown(value) for value in row.values()] for row in table.to_pylist())]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    is_text = [str(field.type) == "string" for field in table.schema]
    lines = (
        "  ".join(cell.ljust(w) if left else cell.rjust(w) for cell, w, left in zip(row, widths, is_text, strict=True))
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def _shown(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.5f}" if isinstance(value, float) else str(value)


def _positive(text: str) -> int:
    return _at_least(text, 1)


def _not_negative(text: str) -> int:
    return _at_least(text, 0)


def _at_least(text: str, least: int) -> int:
    number = int(text)
    if number < least:
        raise argparse.ArgumentTypeError(f"{text}: expected at least {least}")
    return number
