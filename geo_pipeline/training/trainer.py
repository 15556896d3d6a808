"""Lightning's Trainer as we use it.

Here live our defaults, the check of what a config passes to it, and the quiet around it. Not here: what a training does
with it (run.py). The one idea: whoever trains or measures a step has the same Trainer.
"""

from __future__ import annotations

import inspect
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning
import lightning.pytorch as pl

from geo_pipeline.errors import InputError
from geo_pipeline.training.callbacks import AtomicCheckpointIO
from geo_pipeline.training.hardware import fast_defaults, require_accelerator, resolve_precision, use_tensor_cores
from geo_pipeline.training.ranks import placement
from geo_pipeline.typed_yaml import unknown_key


def build_trainer(trainer_params: Mapping[str, Any], run_dir: Path, callbacks: Sequence[pl.Callback]) -> pl.Trainer:
    """Lightning's trainer. Raises InputError for parameters that it does not know or that the machine cannot do."""
    require_accelerator(trainer_params)
    use_tensor_cores()
    ours: dict[str, Any] = {
        "logger": False,  # reports.py logs
        "enable_checkpointing": False,  # RunFiles writes them
        "enable_progress_bar": False,  # reports.py shows one
        "callbacks": list(callbacks),
        "plugins": [AtomicCheckpointIO()],
    }
    defaults: dict[str, Any] = {
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
        "use_distributed_sampler": False,  # the order is our own
        "default_root_dir": run_dir,
        "precision": "auto",
        **fast_defaults(trainer_params),
    }
    wanted = defaults | placement(_known_parameters(trainer_params)) | ours
    wanted["precision"] = resolve_precision(wanted["precision"])
    try:
        with quiet_lightning():
            return pl.Trainer(**wanted)
    except (ValueError, TypeError, lightning.fabric.utilities.exceptions.MisconfigurationException) as error:
        raise InputError(f"trainer_params: Lightning refuses them: {error}") from error


def _known_parameters(trainer_params: Mapping[str, Any]) -> dict[str, Any]:
    """The same parameters. Raises InputError naming those that the trainer of this Lightning does not have."""
    known = sorted(set(inspect.signature(pl.Trainer.__init__).parameters) - {"self", "callbacks", "plugins"})
    unknown = [unknown_key(f"trainer_params.{name}", name, known) for name in trainer_params if name not in known]
    if unknown:
        raise InputError(
            "\n".join([*unknown, f"these are the parameters of Lightning {lightning.__version__}'s Trainer"])
        )
    return dict(trainer_params)


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Keep Lightning's advice off the log: each of these is answered by design.

    Workers: a small picture is decoded faster than it is sent. Resuming: the order of photos is our own and goes on in
    the middle of an epoch. LeafSpec: Lightning 2.6 calls torch in a form that newer versions deprecate.
    """
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*dataloader is not resumable.*")
        warnings.filterwarnings("ignore", message=".*LeafSpec.*")
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
