"""What each asset is made from: the one place that says which code and which keys of the profile matter to it.

Here live the table `ORIGINS` and the versions computed from it. Not here: the history of an asset (history.py) and
whether it is out of date (staleness.py). The one idea: nobody keeps a number by hand. A row names where an asset's
code begins, and `source_code` follows every name from there; a row names keys of the profile, and their values are
part of the version. What upstream assets and input files hold is compared by Dagster's data versions instead.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from geo_pipeline.crawl.settings import CONTENT_SETTINGS
from geo_pipeline.profile import Profile
from geo_pipeline.source_code import code_behind
from geo_pipeline.training.config_file import NOT_LEARNED

MADE_FROM = "made_from"
"""Metadata of every asset and of each of its materializations: code parts and profile values."""


@dataclass(frozen=True)
class Origin:
    """Where an asset's code begins (`module:name`), and the profile keys that it reads (`*` stands for any part)."""

    code: tuple[str, ...]
    settings: tuple[str, ...] = ()


ROLES = "photo_sets.*.role"
TABLES = "defs.assets"
PHOTO_SET = "photos.photo_sets:PhotoSet"  # assets get it from the profile, so no name in them leads to it
PARTITIONING = (f"{TABLES}.cells:_cells_asset", "defs.cell_checks:_partitionings_are_sound")
ORIGINS: Mapping[str, Origin] = {
    "url_lists": Origin((f"{TABLES}.photos:write_url_lists", PHOTO_SET)),  # its settings are observed: see inputs.py
    "photo_shards": Origin(("defs.crawling:crawl_into_shards",), tuple(f"crawl.{name}" for name in CONTENT_SETTINGS)),
    "photo_manifest": Origin(
        (
            f"{TABLES}.photos:photo_manifest",
            "defs.checks:enough_photos_downloaded",
            "defs.checks:url_lists_are_clean",
            "defs.checks:stored_photos_are_sound",
        ),
        ("photo_sets.*.buckets", "checks.min_ok_percent", "checks.max_rejected_percent"),
    ),
    "photo_metadata": Origin(
        (f"{TABLES}.photos:photo_metadata", PHOTO_SET, "defs.checks:metadata_is_clean"),
        ("photo_sets.*.max_photos", "scenes", "checks.max_rejected_percent"),
    ),
    "cells_coarse": Origin(PARTITIONING, ("partitionings.coarse", ROLES)),
    "cells_middle": Origin(PARTITIONING, ("partitionings.middle", ROLES)),
    "cells_fine": Origin(PARTITIONING, ("partitionings.fine", ROLES)),
    "cell_hierarchy": Origin((f"{TABLES}.cells:cell_hierarchy", "defs.cell_checks:labels_are_sound")),
    "photo_classes": Origin((f"{TABLES}.cells:photo_classes", "defs.cell_checks:labels_are_sound")),
    "training_photos": Origin(
        (f"{TABLES}.training:training_photos", "defs.leakage_checks:training_photos_are_unseen"),
        (ROLES, "keep_duplicates"),
    ),
    "validation_photos": Origin((f"{TABLES}.training:validation_photos",), (ROLES, "keep_duplicates")),
    "geo_model": Origin((f"{TABLES}.training:geo_model", "training.run:train"), ("training",)),
    "scene_models": Origin((f"{TABLES}.scenes:scene_models", "training.run:train"), ("scene_training", "scenes")),
    "calibration": Origin(
        (f"{TABLES}.benchmarks:_calibration",), ("evaluation.crops", "evaluation.combine", "scenes", "scene_classifier")
    ),
    "benchmark_predictions": Origin(
        (f"{TABLES}.benchmarks:_benchmark_predictions",),
        ("evaluation.crops", "evaluation.combine", "evaluation.rules", "scenes", "scene_classifier", ROLES),
    ),
    "benchmark_accuracy": Origin(
        (f"{TABLES}.benchmarks:benchmark_accuracy", "defs.checks:accuracy_reaches_its_floor"),
        ("evaluation.radii_km", "evaluation.bootstrap_samples", "evaluation.seed", "checks.accuracy_floors"),
    ),
    "report": Origin((f"{TABLES}.benchmarks:report",), ("name", "description", ROLES, "photo_sets.*.title")),
}
"""Every asset, each after those it depends on."""

NOT_CONTENT: Mapping[str, str] = {
    "errors": "how mistakes are told",
    "store": "how files are written, not what is in them",
    "profile": "the values count, not how they are read",
    "*.settings": "the values count, not how they are read",
    "typed_yaml": "the values count, not how they are read",
    "arguments": "how options are spelt",
    "training.config": "the values count, not how they are read",
    "training.config_file": "the values count, not how they are read",
    "training.__main__": "the values count, not how they are read",
    "training.options": "the values count, not how they are read",
    "training.command": "the values count, not how they are read",
    "training.inputs": "the values count, not how they are read",
    "training.selection": "counts beside a table",
    "training.job": "which files are read, not what is made of them",
    "training.identity": "which training may go on from a checkpoint",
    "training.process": "how mistakes are told",
    "training.ranks": "how several processes are started and agree; what they learn is compared in the loss",
    "training.stopping": "when a training is interrupted",
    "training.provenance": "what is recorded about a training",
    "training.model_card": "what is told of a model",
    "training.reports": "what is told of a training",
    "source_code": "how versions are made",
    "lock": "who may run",
    "defs.making": "what is recorded about an asset",
    "defs.lineage": "how versions are made",
    "defs.history": "what is recorded about an asset",
    "defs.staleness": "what is recorded about an asset",
    "defs.inputs": "what is observed of input files",
    "defs.input_memory": "what is observed of input files",
    "defs.buckets": "what is recorded about a bucket",
    "defs.bucket_counts": "how many buckets there may be",
    "defs.failures": "how mistakes are told",
    "defs.orphans": "what happens when a run is killed",
    "defs.io_managers": "how tables are written and described",
    "defs.metrics": "progress on the page",
    "defs.pictures": "pictures and tables on the page",
    "defs.resources": "what a step is given to work with",
    "defs.partitions": "names of buckets",
    "evaluation.figures": "pictures on the page",
    "evaluation.sheet": "pictures on the page",
    "defs.cells_page": "counts and pictures on the page",
    "cells.summary": "counts on the page",
    "defs.crawl_page": "progress and outcomes on the page",
    "crawl.progress": "progress of a crawl",
    "crawl.tally": "progress of a crawl",
    "crawl.bar": "progress of a crawl",
    "crawl.summary": "outcomes on the page and at the end of a command",
    "training.workers": "the processes that read photos, not what they read",
    "world.*": "the bundled world's web site: where photos come from, as any other",
}
"""Code that runs in a step and is no part of any version, with the reason (the names are patterns)."""

NOT_READ: Mapping[str, str] = {
    "owners": "shown on the page",
    "photo_sets.*.publisher": "told where a file is missing",
    "photo_sets.*.url_csv": "observed by content, as `url_files`",
    "photo_sets.*.image_dir": "observed by content, as `url_files`",
    "photo_sets.*.metadata_csv": "observed by content, as `metadata_files`",
    "scene_classifier.checkpoint": "observed by content, as `scene_classifier_files`",
    "scene_classifier.classes": "observed by content, as `scene_classifier_files`",
    "removal_list": "observed by content, in `url_files` and `metadata_files`",
    "crawl.*": "how photos are fetched, not what is stored (except those of photo_shards)",
    "checks.verify_again_days": "when stored photos are read again",
    "schedule.*": "when something runs",
    "world*": "where the bundled world's photos are served",
    **{
        f"{config}.{key}": reason
        for config in ("training", "scene_training")
        for key, reason in NOT_LEARNED.items()
        if key != "model_params.weights"
    },
}
"""Keys of a profile that are no part of any version, with the reason. Every other key stands in `ORIGINS`."""


@dataclass(frozen=True)
class Version:
    """The code and the profile values behind an asset."""

    code: Mapping[str, str]
    settings: Mapping[str, Any]

    @property
    def text(self) -> str:
        """`<code>.<settings>`, the code version that Dagster compares."""
        return f"{_digest(self.code)}.{_digest(self.settings)}"

    def as_metadata(self) -> dict[str, Any]:
        """What an event keeps, so that a later change can be named."""
        return {"settings": dict(self.settings), "code": dict(self.code)}


def versions(profile: Profile) -> dict[str, Version]:
    """The version of each asset under a profile."""
    values = flat_settings(profile)
    return {asset: Version(code_parts(origin.code), _read(values, origin)) for asset, origin in ORIGINS.items()}


def code_parts(entries: tuple[str, ...]) -> Mapping[str, str]:
    """A hash for each definition that the code starting at some entries can reach."""
    return code_behind(entries, without=tuple(NOT_CONTENT)).parts


def flat_settings(profile: Profile) -> dict[str, Any]:
    """Every value of a profile and of its training configs by its dotted key; a path is the word `file`."""
    content = {name: getattr(profile, name) for name in type(profile).model_fields}
    scenes = {"scene_training": profile.scene_config()} if profile.scene_training else {}
    return dict(_leaves("", {**content, "training": profile.training_config(), **scenes}))


def reads(key: str, patterns: tuple[str, ...]) -> bool:
    """Whether a dotted key is one of some patterns or lies below one."""
    return any(fnmatchcase(key, pattern) or fnmatchcase(key, f"{pattern}.*") for pattern in patterns)


def _read(values: Mapping[str, Any], origin: Origin) -> dict[str, Any]:
    """The values that an asset reads."""
    ignored = tuple(key for key in NOT_READ if key != "crawl.*")
    return {key: value for key, value in values.items() if reads(key, origin.settings) and not reads(key, ignored)}


def _leaves(prefix: str, value: Any) -> list[tuple[str, Any]]:  # noqa: ANN401 -- any value of a profile
    """(dotted key, plain value) of everything below a value."""
    if isinstance(value, BaseModel):
        value = {name: getattr(value, name) for name in type(value).model_fields}
    if isinstance(value, Mapping):
        start = f"{prefix}." if prefix else ""
        return [leaf for name, inner in value.items() for leaf in _leaves(f"{start}{name}", inner)]
    if isinstance(value, Path):
        return [(prefix, "file")]
    if isinstance(value, Enum):
        return [(prefix, value.value)]
    return [(prefix, list(value) if isinstance(value, tuple) else value)]


def _digest(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
