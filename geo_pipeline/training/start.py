"""Where a training begins: anew, or where an earlier process left it.

Here lives the reading of `last.ckpt`, and the refusal of one that is another training's. Not here: writing it
(callbacks.py). The one idea: whether a checkpoint can be continued is decided by the identity that it carries, and a
refusal names every difference.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from geo_pipeline.errors import InputError
from geo_pipeline.model.checkpoint import SECTION, load_network, read_checkpoint
from geo_pipeline.training.identity import FROM_WEIGHTS, Identity
from geo_pipeline.training.job import Earlier, TrainingJob
from geo_pipeline.training.module import GeoModule
from geo_pipeline.training.ranks import num_ranks

LAST_CHECKPOINT = "last.ckpt"
BEST_CHECKPOINT = "best.ckpt"

_REMEDY = (
    "take the same settings and data, or begin anew with --fresh, or from its weights with --from-weights, or name "
    "another folder with --output"
)
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Start:
    """The epoch and the batch to do next, and the least validation loss so far.

    `checkpoint`: to be resumed; None begins anew. `is_finished`: no epoch is left to do.
    """

    identity: Identity
    epoch: int = 0
    batch: int = 0
    best: float | None = None
    checkpoint: Path | None = None
    is_finished: bool = False


def find_start(job: TrainingJob) -> Start:
    """Where the job begins.

    Raises InputError for a checkpoint of another training that does not give way, naming the differences, and for one
    that cannot be read.
    """
    identity = job.identity(num_ranks())
    path = job.run_dir / LAST_CHECKPOINT
    left = None if job.earlier is Earlier.FRESH or not path.exists() else _left(path, job)
    if left is None:
        return Start(identity)
    theirs = Identity.from_state(left["identity"])
    identity = _with_their_first_weights(identity, theirs, job)
    differences = theirs.differences(identity)
    if differences and job.earlier is Earlier.CONTINUE and job.from_weights is None:
        told = "\n".join(f"  - {line}" for line in differences)
        raise InputError(f"{path}: holds another training:\n{told}\n{_REMEDY}")
    if differences:
        _log.warning("%s gives way, it holds another training: %s", path, "; ".join(differences))
        return Start(identity)
    if left["finished"] and (job.earlier is Earlier.REPEAT or not (job.run_dir / BEST_CHECKPOINT).exists()):
        return Start(identity)
    return Start(identity, left["epoch"], left["batch"], left["best"], path, left["finished"])


def load_first_weights(module: GeoModule, checkpoint: Path) -> None:
    """Give a network that is not trained yet the weights of a checkpoint, its heads only those of the same cells.

    Raises InputError for a network of another architecture.
    """
    trained = load_network(checkpoint, torch.device("cpu"))
    ours, theirs = module.params.architecture, trained.settings.architecture
    if ours != theirs:
        raise InputError(f"{checkpoint}: holds weights of {theirs}; the config's model_params.architecture is {ours}")
    parts = ["backbone", *(["heads"] if trained.geography.has_cells_of(module.geography) else [])]
    for part in parts:
        getattr(module.network, part).load_state_dict(getattr(trained.network, part).state_dict())
    _log.info("begins with %s of %s", " and ".join(parts), checkpoint)


def _left(path: Path, job: TrainingJob) -> dict[str, Any] | None:
    """What the last checkpoint says of its training; None if it cannot be read and is to give way."""
    try:
        return _progress(path)
    except InputError as error:
        if job.earlier is Earlier.CONTINUE:
            best = job.run_dir / BEST_CHECKPOINT
            raise InputError(f"{error}; --fresh begins anew, --from-weights {best} with the best epoch's") from error
        _log.warning("%s; it gives way", error)
        return None


def _progress(path: Path) -> dict[str, Any]:
    """How far a checkpoint's training is. Raises InputError for a file from which none can go on."""
    progress = read_checkpoint(path)[SECTION].get("progress", {})
    if "identity" not in progress:
        raise InputError(f"{path}: a checkpoint that no training can continue, of an older version or no last.ckpt")
    return dict(progress)


def _with_their_first_weights(ours: Identity, theirs: Identity, job: TrainingJob) -> Identity:
    """Our identity; where a training goes on, the file that it once began with need be neither named nor unchanged."""
    named = job.from_weights
    own_file = named is not None and named.resolve().parent == job.run_dir.resolve()
    if FROM_WEIGHTS in theirs.inputs and (own_file or (named is None and job.earlier is Earlier.CONTINUE)):
        return replace(ours, inputs={**ours.inputs, FROM_WEIGHTS: theirs.inputs[FROM_WEIGHTS]})
    return ours
