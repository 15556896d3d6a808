"""The input files on the Dagster page: assets that nobody here makes, observed by what they hold.

Here live their specs, which assets read them, and the comparison of the files with the last observation. Not here: the
reading (photos room). The one idea: the version of a list is what each bucket of it holds, so that one added URL
makes one bucket stale; a file that is touched, moved or written anew with the same content changes nothing.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg

from geo_pipeline.cells.settings import PublishedPartitioning
from geo_pipeline.defs.failures import plain_failures
from geo_pipeline.defs.history import DATA_VERSION, USER_PROVIDED, History, Place
from geo_pipeline.defs.input_memory import InputMemory
from geo_pipeline.defs.lineage import PHOTO_SET, code_parts
from geo_pipeline.defs.partitions import bucket_partitions
from geo_pipeline.defs.resources import Experiment
from geo_pipeline.errors import InputError
from geo_pipeline.photos.settings import PhotoSetSettings
from geo_pipeline.profile import Profile
from geo_pipeline.store import table_hash

GROUP = "inputs"
URL_FILES, METADATA_FILES, REMOVAL_LIST, WEIGHTS_FILE = "url_files", "metadata_files", "removal_list", "weights_file"
SCENE_CLASSIFIER = "scene_classifier_files"
MEMORY_FILE = "observed.json"


@dataclass(frozen=True)
class Observed:
    """What an input asset, or one bucket of it, holds now.

    `files`: profile key -> [path, hash]; `settings`: profile keys that shape the content and their values; `error`:
    why it could not be read, in which case there is no version.
    """

    place: Place
    version: str = ""
    files: Mapping[str, list[str]] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    photos: int | None = None
    error: str | None = None

    def event(self) -> dg.AssetObservation:
        """The observation for Dagster's log."""
        facts: dict[str, Any] = {"files": dict(self.files), "settings": dict(self.settings)}
        if self.photos is not None:
            facts["photos"] = self.photos
        tags = {DATA_VERSION: self.version, USER_PROVIDED: "true"}
        return dg.AssetObservation(self.place.asset, partition=self.place.bucket, metadata=facts, tags=tags)


def input_names(profile: Profile) -> list[str]:
    """The names of all input assets."""
    return [URL_FILES, METADATA_FILES, *_other_files(profile)]


def build_input_assets(profile: Profile) -> list[dg.AssetsDefinition]:
    """The assets of the profile's input files, which the page can also be told to look at."""
    removal = [REMOVAL_LIST] if profile.removal_list else []
    lists = _input_spec(
        URL_FILES,
        "The photos that the profile's URL lists and folders of pictures name, as each bucket gets them. Observed by "
        "content.",
        profile,
        removal,
    )
    files = [
        _input_spec(METADATA_FILES, "The metadata files. Observed by content.", profile, removal),
        *(_input_spec(name, text, profile) for name, (_, text) in _other_files(profile).items()),
    ]
    return [
        _observable("observe_lists", [lists], partitions_def=bucket_partitions(profile)),
        _observable("observe_files", files, can_subset=True),
    ]


def _input_spec(name: str, description: str, profile: Profile, deps: Sequence[str] = ()) -> dg.AssetSpec:
    return dg.AssetSpec(
        name,
        deps=deps,
        description=description,
        group_name=GROUP,
        kinds={"file"},
        owners=profile.owners,
        skippable=True,
    )


def _observable(name: str, specs: Sequence[dg.AssetSpec], **options: Any) -> dg.AssetsDefinition:  # noqa: ANN401
    """Observable assets: without being observable, Dagster would not compare their versions."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)
        decorate: Any = dg.multi_observable_source_asset(name=name, specs=specs, **options)
        assets: dg.AssetsDefinition = decorate(_observe_now)
        return assets


@plain_failures
def _observe_now(context: dg.AssetExecutionContext, experiment: dg.ResourceParam[Experiment]) -> Iterator[object]:
    """Log what the selected input assets hold now."""
    selected = {key.to_user_string() for key in context.selected_asset_keys}
    buckets = context.partition_keys if context.has_partition_key or context.has_partition_key_range else [None]
    for each in observe(experiment):
        if each.place.asset in selected and each.place.bucket in buckets:
            if each.error is not None:
                raise InputError(each.error)
            context.log_event(each.event())
    yield from ()


def input_deps(profile: Profile) -> dict[str, str]:
    """The input asset that an asset reads, by the asset's name."""
    cells = {f"cells_{name}": f"cells_{name}_file" for name in _published(profile)}
    weights = {"geo_model": WEIGHTS_FILE} if profile.training_config().model_params.weights else {}
    judges = ["calibration", "benchmark_predictions"] if profile.scene_classifier else []
    scenes = dict.fromkeys(judges, SCENE_CLASSIFIER)
    return {"url_lists": URL_FILES, "photo_metadata": METADATA_FILES, **cells, **weights, **scenes}


def report_inputs(instance: dg.DagsterInstance, experiment: Experiment) -> list[Observed]:
    """Look at all input files and log an observation of each whose content is new; everything that was seen."""
    seen, news = inputs_and_news(instance, experiment)
    for each in news:
        instance.report_runless_asset_event(each.event())
    return seen


def inputs_and_news(instance: dg.DagsterInstance, experiment: Experiment) -> tuple[list[Observed], list[Observed]]:
    """(what all input files hold, those of them whose last observation says something else)."""
    seen, history = observe(experiment), History(instance)

    def is_new(each: Observed) -> bool:
        last = history.latest(each.place.asset, is_input=True).get(each.place)
        return each.error is None and (last is None or last.data_version != each.version)

    return seen, [each for each in seen if is_new(each)]


def observe(experiment: Experiment) -> list[Observed]:
    """What the input files of an experiment hold now. A file that cannot be read is an entry with an error."""
    memory = InputMemory(experiment.layout.folder / MEMORY_FILE)
    seen = list(_observe(experiment.profile, memory))
    memory.save()
    return seen


def _observe(profile: Profile, memory: InputMemory) -> Iterator[Observed]:
    for name in profile.photo_sets:
        yield from _observe_list(profile, name, memory)
    metadata = {f"photo_sets.{name}.metadata_csv": each.metadata_csv for name, each in profile.photo_sets.items()}
    yield _observe_files(METADATA_FILES, metadata | _removal(profile), memory)
    for name, (files, _) in _other_files(profile).items():
        yield _observe_files(name, files, memory)


def _observe_list(profile: Profile, name: str, memory: InputMemory) -> Iterator[Observed]:
    """What each bucket of one photo set lists."""
    settings = profile.photo_sets[name]
    values = {f"photo_sets.{name}.{key}": getattr(settings, key) for key in ("buckets", "max_photos")}
    places = [Place(URL_FILES, f"{name}-{i:03d}") for i in range(settings.buckets)]
    try:
        files = {key: [str(path), memory.hash_of(path)] for key, path in _list_files(profile, name).items()}
        folder, is_settled = memory.folder_mark(settings.image_dir) if settings.image_dir else ("", True)
        hashes = [hash_ for _, hash_ in files.values()]
        key = f"list {name} {_digest([values, hashes, folder, profile.scenes, dict(code_parts((PHOTO_SET,)))])}"
        if settings.image_dir:
            files |= {f"photo_sets.{name}.image_dir": [str(settings.image_dir), _digest(folder)]}
        contents = memory.recall(key, lambda: _bucket_contents(profile, name), is_settled=is_settled)
    except (InputError, OSError) as error:
        yield from (Observed(place, error=str(error)) for place in places)
        return
    for place in places:
        version, photos = contents[place.bucket]
        yield Observed(place, version, files, values, photos)


def _bucket_contents(profile: Profile, name: str) -> dict[str, list[str | int]]:
    """[version, number of photos] of each bucket of a set."""
    photo_set = profile.photo_set(name)
    buckets = photo_set.by_bucket(photo_set.listed())
    return {key: [list_version(table), table.num_rows] for key, table in buckets}


def list_version(photos: Any) -> str:  # noqa: ANN401 -- pyarrow has no types
    """The data version of a bucket's list: the hash of what it lists."""
    return table_hash(photos)[:32]


def _observe_files(asset: str, paths: Mapping[str, Path], memory: InputMemory) -> Observed:
    """What an input asset holds that is one file or several."""
    try:
        files = {key: [str(path), memory.hash_of(path)] for key, path in paths.items()}
    except OSError as error:
        return Observed(Place(asset), error=str(error))
    return Observed(Place(asset), _digest({key: hash_ for key, (_, hash_) in files.items()}), files)


def _list_files(profile: Profile, name: str) -> dict[str, Path]:
    """The files that decide what a set lists, by profile key (a folder of pictures is looked at by itself)."""
    settings: PhotoSetSettings = profile.photo_sets[name]
    if settings.url_csv is None:
        return {f"photo_sets.{name}.metadata_csv": settings.metadata_csv} | _removal(profile)
    authors = {f"photo_sets.{name}.metadata_csv": settings.metadata_csv} if profile.removal_list else {}
    return {f"photo_sets.{name}.url_csv": settings.url_csv} | authors | _removal(profile)


def _removal(profile: Profile) -> dict[str, Path]:
    return {REMOVAL_LIST: profile.removal_list} if profile.removal_list else {}


def _published(profile: Profile) -> dict[str, Path]:
    """The files of published partitionings, by partitioning."""
    sources = profile.partitionings.items()
    return {name: source.csv for name, source in sources if isinstance(source, PublishedPartitioning)}


def _other_files(profile: Profile) -> dict[str, tuple[Mapping[str, Path], str]]:
    """(paths by profile key, description) of the input assets besides lists and metadata."""
    files: dict[str, tuple[Mapping[str, Path], str]] = {
        f"cells_{name}_file": (
            {f"partitionings.{name}.csv": path},
            f"The published table of the {name} partitioning. Observed by content.",
        )
        for name, path in _published(profile).items()
    }
    weights = profile.training_config().model_params.weights
    if weights:
        named = {"training.model_params.weights": weights}
        files[WEIGHTS_FILE] = (named, "The weights that the network starts from. Observed by content.")
    if profile.removal_list:
        text = "Photos, authors and URLs that nothing may keep. Observed by content."
        files[REMOVAL_LIST] = (_removal(profile), text)
    if profile.scene_classifier:
        text = "Says the scene of photos whose metadata do not. Observed by content."
        files[SCENE_CLASSIFIER] = (profile.scene_classifier_files(), text)
    return files


def _digest(content: Any) -> str:  # noqa: ANN401 -- JSON
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]
