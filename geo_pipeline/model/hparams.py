"""The hparams.yaml of a run, as a second opinion on its checkpoint.

Not here: writing it (geo_pipeline.training). The one idea: a checkpoint of ours carries all that prediction needs, so
the file can only confirm it or show that the two do not belong together.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from geo_pipeline.errors import InputError
from geo_pipeline.model.settings import NetworkSettings

FILE = "hparams.yaml"
"""Its name in the run folder, beside the checkpoint."""


def require_same_network(hparams: Path, checkpoint: Path, settings: NetworkSettings) -> None:
    """Raise InputError if the file cannot be read or describes another network than the checkpoint holds."""
    described = _model_params(hparams)
    for name in NetworkSettings.model_fields:
        found = getattr(settings, name)
        if described.get(name, found) != found:
            raise InputError(
                f"{hparams}: {name} is {described[name]!r}, in {checkpoint} it is {found!r}: they are of different "
                "runs; give the file that was written beside this checkpoint, or leave --hparams out"
            )


def _model_params(hparams: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(hparams.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{hparams}: no such file; a run writes it beside its checkpoint") from error
    except IsADirectoryError as error:
        raise InputError(f"{hparams}: a folder, expected the hparams.yaml of a run") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{hparams}: not valid YAML ({error}); expected the hparams.yaml of a run") from error
    if not isinstance(content, dict) or not isinstance(content.get("model_params"), dict):
        raise InputError(f"{hparams}: no section `model_params`; expected the hparams.yaml of a run")
    return dict(content["model_params"])
