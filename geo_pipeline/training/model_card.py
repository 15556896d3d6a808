"""The model card: what a trained model is made of and meant for, as Markdown beside its checkpoint.

Source of the form: Mitchell et al. 2019, Model Cards for Model Reporting.
"""

from __future__ import annotations

from collections.abc import Mapping

from geo_pipeline.model.geography import Geography
from geo_pipeline.training.config import TrainingConfig
from geo_pipeline.training.metrics import RADII_KM, EpochMetrics

_USE = """\
## Intended use and limits

For research on photo geolocation and for teaching. The model answers with the mean coordinate of a cell of training
photos: it knows only places where those photos were taken, and its errors are often continental. It is not meant, and
not good enough, to locate persons or to decide anything about them.
"""


def model_card(
    name: str, config: TrainingConfig, geography: Geography, num_photos: Mapping[str, int], best: EpochMetrics
) -> str:
    """The card as Markdown. `num_photos`: how many photos each role really had; `best`: the kept epoch's metrics."""
    params = config.model_params
    cells = ", ".join(f"{name} {n:,}" for name, n in zip(geography.names, geography.num_classes, strict=True))
    photos = ", ".join(f"{n:,} for {role}" for role, n in num_photos.items())
    optimizer = params.optimizer
    learning = f"{config.trainer_params['max_epochs']} epochs, batch {params.batch_size}, seed {params.seed}"
    lines = [
        f"# Model card: {name}",
        "",
        f"- network: {params.architecture} on pictures of {params.image_size} pixels",
        f"- photos (downloaded and labelled): {photos}",
        f"- cells: {cells}",
        f"- training: {learning}, {optimizer.name} with a largest learning rate of {optimizer.learning_rate}",
        "",
        *_validation(best),
        _USE,
    ]
    return "\n".join(lines)


def _validation(best: EpochMetrics) -> list[str]:
    """The validation accuracy of the kept epoch as a table."""
    header = "| answer | " + " | ".join(f"{radius} km" for radius in RADII_KM) + " |"
    rows = [
        f"| {p_key} | " + " | ".join(f"{within[str(radius)]:.1f} %" for radius in RADII_KM) + " |"
        for p_key, within in best.accuracy.items()
    ]
    title = f"## Validation after epoch {best.epoch + 1} (share of photos within)"
    return [title, "", header, "| --- " * (len(RADII_KM) + 1) + "|", *rows, ""]
