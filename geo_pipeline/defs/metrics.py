"""A running training on the Dagster page: what it writes down while it runs becomes observations of the model's asset.

Not here: writing those files (training room). The one idea: Pipes reports results, a tailed file reports progress.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import dagster as dg

from geo_pipeline.defs.pictures import png

POLL_SECONDS = 1.0
METRICS_FILE = "metrics.jsonl"
FOLLOWED = ("progress.jsonl", METRICS_FILE)
"""Files of a run in which each line is an observation: how far a long epoch is, and the numbers of a complete one."""

SCENE = "scene"
"""Metadata of an observation of one scene's network; the names of its numbers begin with the scene."""

Value = TypeVar("Value")


@contextmanager
def observations_of_run(
    context: dg.AssetExecutionContext, run_folder: Path, scene: str | None = None
) -> Iterator[None]:
    """Log an AssetObservation for each line that a run's files get while the block runs; `scene`: whose run it is."""
    stop = threading.Event()
    seen = {name: len(read_metrics(run_folder / name)) for name in FOLLOWED}
    follow = (context, run_folder, scene, seen, stop)
    tail = threading.Thread(target=_tail, args=follow, name="metrics-tail", daemon=True)
    tail.start()
    try:
        yield
    finally:
        stop.set()
        tail.join()


def read_metrics(metrics_file: Path) -> list[dict[str, Any]]:
    """The complete lines of a metrics file, oldest first; none if it is not there yet."""
    if not metrics_file.exists():
        return []
    complete = metrics_file.read_text(encoding="utf-8").rpartition("\n")[0]
    return [json.loads(line) for line in complete.splitlines()]


def _tail(
    context: dg.AssetExecutionContext, run_folder: Path, scene: str | None, seen: dict[str, int], stop: threading.Event
) -> None:
    """Report new lines until told to stop, and once more after that."""
    finished = False
    while not finished:
        finished = stop.wait(POLL_SECONDS)
        for name in FOLLOWED:
            lines = read_metrics(run_folder / name)
            if len(lines) < seen[name]:  # the training began anew and with it the file
                seen[name] = 0
            for line in lines[seen[name] :]:
                numbers = observation_metadata(line)
                metadata = numbers if scene is None else {SCENE: scene, **of_scene(scene, numbers)}
                context.log_event(dg.AssetObservation(context.asset_key, metadata=metadata))
            seen[name] = len(lines)


def observation_metadata(line: Mapping[str, Any]) -> dict[str, float | int | str]:
    """The numbers of one epoch, flat: nested mappings become `outer_inner`."""
    flat: dict[str, float | int | str] = {}
    for name, value in line.items():
        if isinstance(value, Mapping):
            flat |= {f"{name}_{inner}": number for inner, number in observation_metadata(value).items()}
        elif value is not None:
            flat[name] = value
    return flat


def of_scene(scene: str, metadata: Mapping[str, Value]) -> dict[str, Value]:
    """Metadata by names of one scene's own, so that the page draws a curve for each scene."""
    return {f"{scene}_{name}": value for name, value in metadata.items()}


def finished_run_metadata(run_folder: Path) -> dict[str, dg.MarkdownMetadataValue | float | int | str]:
    """The last epoch's numbers, the curves and the card of a finished run."""
    from geo_pipeline.evaluation.figures import accuracy_curves, head_loss_curves, loss_curves

    lines = read_metrics(run_folder / METRICS_FILE)
    curves = {"curves": png(loss_curves(lines))}
    if all(line["validation"] for line in lines):
        curves |= {"curves_of_heads": png(head_loss_curves(lines)), "curves_of_accuracy": png(accuracy_curves(lines))}
    card = (run_folder / "model_card.md").read_text(encoding="utf-8")
    return {**curves, "model_card": dg.MetadataValue.md(card), **observation_metadata(lines[-1])}
