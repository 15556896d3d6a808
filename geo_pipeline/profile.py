"""The typed profile of an experiment, and where its files lie on disk.

Here lives the reading of a profile's YAML into settings that the rooms own, the one place that knows every path
under `GEO_PIPELINE_HOME`, and the clear error for a wrong profile. Not here: what the settings do. The one idea: a
profile that loads is complete and typed; whether the files it names are there is asked when they are needed.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Self, cast

from pydantic import BaseModel, ConfigDict, Field, model_validator

from geo_pipeline.cells.settings import PartitioningSettings, PartitioningSource, PublishedPartitioning
from geo_pipeline.crawl.settings import CrawlSettings
from geo_pipeline.errors import InputError
from geo_pipeline.evaluation.settings import EvaluationSettings
from geo_pipeline.model.settings import SceneClassifierSettings
from geo_pipeline.photos.photo_sets import PhotoSet
from geo_pipeline.photos.settings import PhotoSetSettings, Role
from geo_pipeline.training.config import SceneTrainingConfig, TrainingConfig
from geo_pipeline.training.config_file import load_config, load_scene_config
from geo_pipeline.typed_yaml import read_yaml, validated
from geo_pipeline.world.settings import WorldSettings

PROJECT_FOLDER = Path(__file__).resolve().parents[1]
MANIFEST_FILE = "manifest.parquet"
"""The manifest of a bucket, in the folder of its shards."""

MATERIALIZE_LOCK = "materialize.lock"
"""Held, in the profile's folder, by whoever changes its files from the command line."""

MAX_BUCKETS = 99
"""Above 100 partitions Dagster 1.13 stops comparing partition data versions (DESIGN, measured)."""


class ChecksSettings(BaseModel):
    """What the blocking checks demand."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_ok_percent: float = Field(default=50.0, ge=0, le=100, description="share of `ok` photos of each photo set")
    max_rejected_percent: float = Field(default=1.0, ge=0, le=100, description="share of bad rows of the input files")
    verify_again_days: float = Field(
        default=30.0, ge=0, description="shards that have not changed are read again after so many days; 0: each time"
    )
    accuracy_floors: dict[int, float] = Field(
        default_factory=dict, description="radius in km -> percent that f* must reach on every benchmark"
    )


class ScheduleSettings(BaseModel):
    """When a running Dagster daemon crawls again (the schedule is stopped until a person starts it)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    recrawl_cron: str = Field(default="0 3 * * 0", description="cron expression of the re-crawl")
    timezone: str = Field(default="UTC", description="time zone of the cron expression")


class Profile(BaseModel):
    """One experiment. Paths are absolute once loaded."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$", description="names the folder of the experiment's files")
    description: str = Field(default="", description="one sentence for the Dagster page and the report")
    owners: list[str] = Field(default_factory=lambda: ["team:geolocation"], description="owners of the assets")
    photo_sets: dict[str, PhotoSetSettings] = Field(description="photo sets by name")
    scenes: dict[str, str] = Field(default_factory=dict, description="scene -> metadata column of its probability")
    removal_list: Path | None = Field(
        default=None, description="CSV with columns photo_id, author or url: photos that nothing here may keep"
    )
    keep_duplicates: bool = Field(
        default=False, description="whether training and validation keep photos whose file is that of another id"
    )
    crawl: CrawlSettings = Field(default_factory=CrawlSettings)
    partitionings: dict[str, PartitioningSource] = Field(description="partitionings by name, coarse first")
    training: Path = Field(description="the training config, a YAML file")
    scene_training: Path | None = Field(
        default=None, description="the config of one more network for each scene, a YAML file; absent: none is trained"
    )
    scene_classifier: SceneClassifierSettings | None = Field(
        default=None, description="says the scene of photos whose metadata do not, where networks of scenes are judged"
    )
    evaluation: EvaluationSettings = Field(default_factory=EvaluationSettings)
    checks: ChecksSettings = Field(default_factory=ChecksSettings)
    schedule: ScheduleSettings = Field(default_factory=ScheduleSettings)
    world: WorldSettings | None = Field(default=None, description="serve the bundled world; absent for real data")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        buckets = sum(photo_set.buckets for photo_set in self.photo_sets.values())
        if buckets > MAX_BUCKETS:
            raise ValueError(f"the photo sets have {buckets} buckets in all, at most {MAX_BUCKETS} are possible")
        for role in Role:
            if not self.sets_of(role):
                raise ValueError(f"photo_sets: none has the role {role}; give at least one")
        if tuple(self.partitionings) != ("coarse", "middle", "fine"):
            raise ValueError("partitionings: expected exactly coarse, middle, fine, in this order")
        if self.scene_training and not self.scenes:
            raise ValueError("scene_training: expected at least one scene under `scenes`, found none")
        if self.scene_classifier and not self.scene_training:
            raise ValueError("scene_classifier: nobody would ask it; expected `scene_training` too, found none")
        made = [each for each in self.partitionings.values() if isinstance(each, PartitioningSettings)]
        for coarser, finer in pairwise(made):
            if finer.img_min < coarser.img_min or finer.img_max > coarser.img_max:
                raise ValueError(
                    "partitionings: a finer one needs an img_max no greater and an img_min no smaller than the coarser "
                    f"one, else some of its cells lie in no coarser cell; found {finer} after {coarser}"
                )
        return self

    def sets_of(self, role: Role) -> list[str]:
        """Names of the photo sets with a role, in the profile's order."""
        return [name for name, photo_set in self.photo_sets.items() if photo_set.role is role]

    def bucket_keys(self) -> list[str]:
        """Keys of all buckets, `<photo set>-<NNN>`, in order."""
        return [f"{name}-{i:03d}" for name, photo_set in self.photo_sets.items() for i in range(photo_set.buckets)]

    def photo_set(self, name: str) -> PhotoSet:
        """A photo set, to read its list and metadata."""
        return PhotoSet(name, self.photo_sets[name], self.scenes, self.removal_list)

    def training_config(self) -> TrainingConfig:
        """The training config that the profile names."""
        return load_config(self.training)

    def scene_config(self) -> SceneTrainingConfig:
        """The config of the scene networks. Raises InputError if the profile has none."""
        if self.scene_training is None:
            raise InputError(f"profile {self.name}: no scene networks; `scene_training` names their config")
        return load_scene_config(self.scene_training)

    def scene_classifier_files(self) -> dict[str, Path]:
        """The files of the scene classifier by profile key, none without one."""
        files = self.scene_classifier.model_dump(include={"checkpoint", "classes"}) if self.scene_classifier else {}
        return {f"scene_classifier.{key}": path for key, path in files.items() if path}

    def require_inputs(self) -> None:
        """Raise one InputError that names every missing input file, its expected form and where to get it."""
        lines: list[str] = []
        for name, photo_set in self.photo_sets.items():
            missing = [(path, form) for path, form in _input_files(photo_set) if not path.exists()]
            lines += [f"  - {name}: {path}: {form}" for path, form in missing]
            if missing and photo_set.publisher:
                lines.append(f"    where to get them: {photo_set.publisher}")
        if self.removal_list and not self.removal_list.exists():
            lines.append(f"  - removal_list: {self.removal_list}: a CSV with columns photo_id, author or url")
        for name, source in self.partitionings.items():
            if isinstance(source, PublishedPartitioning) and not source.csv.exists():
                lines.append(f"  - partitionings.{name}: {source.csv}: a published table of cells, a CSV with `hex_id`")
        forms = {key: field.description for key, field in SceneClassifierSettings.model_fields.items()}
        classifier = {key: path for key, path in self.scene_classifier_files().items() if not path.exists()}
        lines += [f"  - {key}: {path}: {forms[key.partition('.')[2]]}" for key, path in classifier.items()]
        if lines:
            raise InputError("\n".join([f"profile {self.name}: input files are missing:", *lines]))


def _input_files(photo_set: PhotoSetSettings) -> list[tuple[Path, str]]:
    """Files that a photo set needs, each with its expected form."""
    files = [(photo_set.metadata_csv, "metadata, a CSV with a header that has at least IMG_ID,LAT,LON")]
    if photo_set.url_csv:
        files.append((photo_set.url_csv, "URL list, a CSV `image_id,url`"))
    if photo_set.image_dir:
        files.append((photo_set.image_dir, "pictures, a folder of jpg, png or webp files named as in IMG_ID"))
    return files


@dataclass(frozen=True)
class Layout:
    """Where an experiment's files lie: `folder` is `<home>/<profile>`."""

    folder: Path

    @property
    def dagster_home(self) -> Path:
        """Dagster's own home: runs and events of this experiment alone."""
        return self.folder / "dagster"

    @property
    def shards(self) -> Path:
        """Root of all shards."""
        return self.folder / "shards"

    @property
    def reports(self) -> Path:
        """Report, figures, CSVs."""
        return self.folder / "reports"

    @property
    def game(self) -> Path:
        """The folder of the game against the model."""
        return self.reports / "game"

    def table(self, asset: str, partition: str | None = None) -> Path:
        """The Parquet file of an asset, or of one of its partitions."""
        name = f"{asset}.parquet" if partition is None else f"{asset}/{partition}.parquet"
        return self.folder / "tables" / name

    def bucket(self, key: str) -> Path:
        """The folder of a bucket's shards and manifest; its key is `<photo set>-<NNN>`."""
        return self.shards / key.rpartition("-")[0] / key

    def run(self, name: str) -> Path:
        """The folder of a training run."""
        return self.folder / "models" / name

    def scene_run(self, scene: str) -> Path:
        """The folder of the training run of a scene's network."""
        return self.run(f"scene_{scene}")

    @property
    def checkpoint(self) -> Path:
        """The weights of geo_model."""
        return self.run("base") / "best.ckpt"


def scene_checkpoints(profile: Profile, layout: Layout) -> dict[str, Path]:
    """The checkpoint of each scene's network, where the profile trains them."""
    if profile.scene_training is None:
        return {}
    return {scene: layout.scene_run(scene) / "best.ckpt" for scene in profile.scenes}


def profile_path(name: str | None = None) -> Path:
    """The profile to use: `name`, else `GEO_PIPELINE_PROFILE`, else the bundled world.

    A path ends in .yaml or .yml; anything else is the name of a file in resources/.
    """
    chosen = name or os.environ.get("GEO_PIPELINE_PROFILE") or "world"
    if chosen.endswith((".yaml", ".yml")):
        return Path(chosen).expanduser().resolve()
    return PROJECT_FOLDER / "resources" / f"{chosen}.yaml"


def home_folder() -> Path:
    """The data folder: `GEO_PIPELINE_HOME`, else `.geo_pipeline/` in the project folder."""
    return Path(os.environ.get("GEO_PIPELINE_HOME") or PROJECT_FOLDER / ".geo_pipeline").expanduser().resolve()


def layout_of(profile: Profile) -> Layout:
    """The layout of a profile under the current home."""
    return Layout(home_folder() / profile.name)


def load_profile(path: Path) -> Profile:
    """Read a profile. Raises InputError naming file, key, what was found, what was expected and the nearest key."""
    known = ", ".join(sorted(p.stem for p in (PROJECT_FOLDER / "resources").glob("*.yaml") if p.stem != "dagster"))
    content = read_yaml(path, f"no such profile; give a path ending in .yaml or one of: {known}")
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected a mapping of settings, found {type(content).__name__}")
    profile = validated(Profile, content, str(path), "profile")
    return cast("Profile", _with_absolute_paths(profile, path.parent))


def _with_absolute_paths(settings: object, folder: Path) -> object:
    """The same settings with every relative path taken from `folder`."""
    if isinstance(settings, Path):
        return folder / settings.expanduser()
    if isinstance(settings, dict):
        return {key: _with_absolute_paths(value, folder) for key, value in settings.items()}
    if isinstance(settings, BaseModel):
        return settings.model_copy(update={key: _with_absolute_paths(value, folder) for key, value in settings})
    return settings
