"""The model card: what a trained model is made of and meant for, as Markdown beside its checkpoint.

Here live its text, and the section that the benchmarks fill in later. It imports no torch. The one idea: that section
belongs to one checkpoint, whose hash stands in it; a card that is written anew for the same checkpoint keeps it.

Source of the form: Mitchell et al. 2019, Model Cards for Model Reporting.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from geo_pipeline.store import file_hash, write_text
from geo_pipeline.training.config import TrainingConfig
from geo_pipeline.training.selection import Selection

if TYPE_CHECKING:
    from geo_pipeline.model.geography import Geography
    from geo_pipeline.training.metrics import EpochMetrics

CARD_FILE = "model_card.md"

_BENCHMARKS = "<!-- benchmarks of {} -->\n{}\n<!-- end of benchmarks -->"
_SECTION = re.compile(_BENCHMARKS.format(r"(\w*)", "(.*?)"), re.DOTALL)
_NOT_MEASURED = "Not measured yet."
_USE = """\
## Intended use and limits

For research on photo geolocation and for teaching. The model answers with the mean coordinate of a cell of training
photos: it knows only places where those photos were taken, and its errors are often continental. It is not meant, and
not good enough, to locate persons or to decide anything about them.
"""


def model_card(
    name: str, config: TrainingConfig, geography: Geography, photos: Mapping[str, Selection], best: EpochMetrics
) -> str:
    """The card as Markdown, not measured yet. `photos`: how many each role really had; `best`: the kept epoch."""
    params = config.model_params
    cells = ", ".join(f"{name} {n:,}" for name, n in zip(geography.names, geography.num_classes, strict=True))
    optimizer = params.optimizer
    learning = f"epochs: {config.trainer_params['max_epochs']}, batch {params.batch_size}, seed {params.seed}"
    rate = f"{optimizer.name} with a largest learning rate of {optimizer.learning_rate}"
    lines = [
        f"# Model card: {name}",
        "",
        f"- network: {params.architecture} on pictures of {params.image_size} pixels",
        f"- cells: {cells}",
        f"- training: {learning}, {rate}; everything else in hparams.yaml",
        "",
        "## Photos",
        "",
        *(f"- {role}: {selection}" for role, selection in photos.items()),
        "",
        *_validation(best),
        "## Accuracy on benchmarks",
        "",
        _BENCHMARKS.format("", _NOT_MEASURED),
        "",
        _USE,
    ]
    return "\n".join(lines)


def write_card(run_dir: Path, card: str, checkpoint: Path) -> None:
    """Write the card of a checkpoint; what was measured of the same checkpoint before stays."""
    path = run_dir / CARD_FILE
    earlier = _SECTION.search(path.read_text(encoding="utf-8")) if path.exists() else None
    if earlier is not None and earlier.group(1) == file_hash(checkpoint):
        card = _with_section(card, earlier.group(0))
    write_text(path, card)


def write_benchmarks(run_dir: Path, checkpoint: Path, table: str) -> None:
    """Put the accuracy of a checkpoint (a table in Markdown) into its card; nothing to do where there is no card."""
    path = run_dir / CARD_FILE
    if path.exists():
        section = _BENCHMARKS.format(file_hash(checkpoint), table.strip())
        write_text(path, _with_section(path.read_text(encoding="utf-8"), section))


def _with_section(card: str, section: str) -> str:
    return _SECTION.sub(lambda _: section, card, count=1)


def _validation(best: EpochMetrics) -> list[str]:
    """The validation accuracy of the kept epoch as a table."""
    if not best.validation:
        return []
    radii = list(next(iter(best.accuracy.values())))
    header = "| answer | " + " | ".join(f"{radius} km" for radius in radii) + " |"
    rows = [
        f"| {p_key} | " + " | ".join(f"{within[radius]:.1f} %" for radius in radii) + " |"
        for p_key, within in best.accuracy.items()
    ]
    title = f"## Validation after epoch {best.epoch + 1} (share of photos within)"
    return [title, "", header, "| --- " * (len(radii) + 1) + "|", *rows, ""]
