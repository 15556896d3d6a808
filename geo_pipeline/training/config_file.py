"""Reading a training config: the YAML file, and changes given beside it (`--set`).

Here live the reading, and which settings are no part of what a training learns. Not here: the settings themselves and
their defaults (config.py). The one idea: a change is made to the file's content before anything is checked, so that
both are checked alike. It imports no torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, TypeVar

import yaml

from geo_pipeline.errors import InputError
from geo_pipeline.training.config import SceneTrainingConfig, TrainingConfig
from geo_pipeline.typed_yaml import parse_yaml, read_yaml, unknown_key, validated

SECTIONS = {"model": "model_params", "trainer": "trainer_params"}
"""What a changed key may begin with in short, and the section that it means."""

PROVENANCE = ("fingerprint", "inputs", "files", "versions", "machine", "started_from")
"""What a run's hparams.yaml holds beside its config; passed over, so that the file is a config itself."""

SCENE_SECTION = "scene_params"
"""The section that only the config of scene networks has."""

Config = TypeVar("Config", bound=TrainingConfig)

NOT_LEARNED: Mapping[str, str] = {
    "model_params.loader.num_workers": "how photos are fed, not which",
    "model_params.loader.prefetch_batches": "how photos are fed, not which",
    "model_params.loader.augment_on": "where crops are resized, not which",
    "model_params.loader.max_damaged_share": "when a training is given up",
    "model_params.compile": "how fast is computed",
    "model_params.checkpoint_minutes": "when a checkpoint is saved",
    "model_params.report_minutes": "when progress is told",
    "model_params.weights": "compared by its content",
    "trainer_params.accelerator": "where is computed",
    "trainer_params.benchmark": "how fast is computed",
    "trainer_params.default_root_dir": "where Lightning keeps files",
    "trainer_params.detect_anomaly": "what is watched",
    "trainer_params.enable_checkpointing": "ours are always written",
    "trainer_params.enable_model_summary": "what is shown",
    "trainer_params.enable_progress_bar": "what is shown",
    "trainer_params.log_every_n_steps": "what is logged",
    "trainer_params.logger": "what is logged",
    "trainer_params.profiler": "what is watched",
}
"""Settings that may change between a stop and the next start, with the reason (the names may be patterns)."""


def load_config(path: Path, changes: Sequence[str] = ()) -> TrainingConfig:
    """Read a training config, with changes of the form `model.optimizer.learning_rate=0.1` (values are YAML).

    A relative path of weights is taken from the config's folder, in a change from the working folder. The config of
    scene networks is one too: its `scene_params`, which choose among a profile's photos, are passed over. Raises
    InputError naming the file, each wrong key and what was expected.
    """
    return _load(TrainingConfig, path, changes, passed_over=(*PROVENANCE, SCENE_SECTION))


def load_scene_config(path: Path) -> SceneTrainingConfig:
    """Read the config of scene networks. Raises InputError as `load_config` does."""
    return _load(SceneTrainingConfig, path, (), passed_over=PROVENANCE)


def _load(model: type[Config], path: Path, changes: Sequence[str], passed_over: Sequence[str]) -> Config:
    content = read_yaml(path, "no such training config")
    if isinstance(content, dict):
        content = _with_absolute_weights(content, path.parent)
        content = {key: value for key, value in content.items() if key not in passed_over}
        for change in changes:
            content = _changed(content, change)
        content = _with_absolute_weights(content, Path.cwd())
    source = f"{path} with {' '.join(f'--set {change}' for change in changes)}" if changes else str(path)
    config = validated(model, content, source, "training config")
    _require_max_epochs(source, config)
    return config


def learned_settings(config: TrainingConfig) -> dict[str, Any]:
    """Every setting that makes a difference to what is learned: plain values by dotted key."""
    leaves = _leaves("", config.model_dump(mode="json"))
    return {key: value for key, value in leaves if not any(fnmatchcase(key, pattern) for pattern in NOT_LEARNED)}


def _leaves(prefix: str, content: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """(dotted key, value) of everything that is no mapping."""
    leaves: list[tuple[str, Any]] = []
    for name, value in content.items():
        leaves += _leaves(f"{prefix}{name}.", value) if isinstance(value, dict) else [(f"{prefix}{name}", value)]
    return leaves


def _changed(content: Mapping[str, Any], change: str) -> dict[str, Any]:
    """The content with one change made."""
    key, equals, text = change.partition("=")
    section, *inner = key.strip().split(".")
    section = SECTIONS.get(section, section)
    if not equals or not inner:
        raise InputError(f"--set {change}: expected KEY=VALUE with a dotted key, as model.batch_size=64")
    if section not in SECTIONS.values():
        raise InputError(unknown_key(f"--set {key}", section, [*SECTIONS, *SECTIONS.values()]))
    try:
        value = parse_yaml(text)
    except yaml.YAMLError as error:
        raise InputError(f"--set {change}: the value is not valid YAML: {error}") from error
    return _with_value(content, [section, *inner], value)


def _with_value(content: object, keys: Sequence[str], value: object) -> dict[str, Any]:
    """A copy of a mapping with the value at a place that need not be there yet."""
    mapping = dict(content) if isinstance(content, dict) else {}
    mapping[keys[0]] = _with_value(mapping.get(keys[0]), keys[1:], value) if len(keys) > 1 else value
    return mapping


def _require_max_epochs(source: str, config: TrainingConfig) -> None:
    """The schedule needs a known end."""
    found = config.trainer_params.get("max_epochs")
    if not isinstance(found, int) or isinstance(found, bool) or found < 1:
        raise InputError(
            f"{source}: trainer_params.max_epochs: found {found!r}, expected a number of epochs, 1 or more"
        )


def _with_absolute_weights(content: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The same content with a relative path of weights taken from `folder`."""
    params = content.get("model_params")
    if not isinstance(params, dict) or not isinstance(params.get("weights"), str):
        return content
    weights = (folder / Path(params["weights"]).expanduser()).absolute()
    return {**content, "model_params": {**params, "weights": str(weights)}}
