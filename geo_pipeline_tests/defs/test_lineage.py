"""The table of what each asset is made from, held against the graph, the profiles, and the code that really runs."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import dagster as dg
import numpy as np
import pytest
import yaml
from pydantic import BaseModel

import geo_pipeline
from geo_pipeline.defs.inputs import report_inputs
from geo_pipeline.defs.jobs import all_buckets_tags
from geo_pipeline.defs.lineage import NOT_CONTENT, NOT_READ, ORIGINS, flat_settings, reads, versions
from geo_pipeline.defs.partitions import BUCKETED
from geo_pipeline.evaluation import charts, figures, land
from geo_pipeline.profile import PROJECT_FOLDER, Profile, load_profile, profile_path
from geo_pipeline.source_code import PACKAGE
from geo_pipeline.training.__main__ import main as train
from geo_pipeline.training.config_file import NOT_LEARNED
from geo_pipeline.training.job import TrainingJob
from geo_pipeline_tests.defs.project import Project

NO_CONTENT_BELOW = {
    "defs.pictures": "draws for the page",
    "evaluation.figures": "draws for the page",
    "defs.cells_page": "counts and draws for the page",
    "defs.bucket_counts": "looks at the folders of buckets",
}
"""Modules of `NOT_CONTENT` that call other code of ours, which makes no content then either, with the reason."""

IN_NO_VERSION = {
    "geo_pipeline/defs/assets/photos.py:_bucket_crawl": "the step that calls the entries of both assets with buckets",
}
"""Definitions outside `NOT_CONTENT` that run in a step and are no part of its asset's version, with the reason."""

NO_OTHER_VALUE = {"scene_training.model_params.weights": "scene networks begin with geo_model's"}
"""Keys that may hold one value only, with the reason."""

OTHER_WORD = {"sgd": "adamw", "cosine": "multistep", "multistep": "cosine", "sum": "mean"}
"""For each word that a training config may hold in a place, another that it may hold there."""

OTHER_THAN_DEFAULT: Mapping[str, tuple[object, object]] = {
    "ema_decay": (None, 0.5),
    "compile": ("auto", False),
    "num_workers": ("auto", 1),
    "augment_on": ("auto", "worker"),
}
"""For each setting whose default is of another kind than its other values, the default and such a value."""


@pytest.fixture
def full_profile(write_profile: Callable[..., Path], tmp_path: Path, scene_config: Path) -> Profile:
    """A profile with every optional section."""
    not_learned = [key.partition(".") for key in NOT_LEARNED]
    trainer_params = {"max_epochs": 1} | {name: True for part, _, name in not_learned if part == "trainer_params"}
    config = {"model_params": {"weights": "backbone.pt"}, "trainer_params": trainer_params}
    (tmp_path / "training.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
    scenes = yaml.safe_load(scene_config.read_text("utf-8")) | {"trainer_params": trainer_params}
    scene_config.write_text(yaml.safe_dump(scenes), encoding="utf-8")
    return load_profile(
        write_profile(
            training=str(tmp_path / "training.yml"),
            scene_training=str(scene_config),
            removal_list=str(tmp_path / "removals.csv"),
            partitionings__coarse={"csv": str(tmp_path / "coarse.csv")},
            photo_sets__world_train__max_photos=50,
            photo_sets__world_train__publisher="its publisher",
            checks__accuracy_floors={200: 10},
            schedule={"recrawl_cron": "0 4 * * *"},
            evaluation={"crops": 1},
            scene_classifier={"checkpoint": "scenes.pth", "classes": "scenes.csv"},
        )
    )


@pytest.fixture
def profiles(full_profile: Profile) -> list[Profile]:
    return [full_profile, *(load_profile(profile_path(name)) for name in ("world", "ci", "mp16"))]


def test_every_asset_has_a_row_after_those_it_depends_on(
    project: Project, write_profile: Callable[..., Path], scene_config: Path
) -> None:
    project.profile_file = write_profile(scene_training=str(scene_config))
    graph = project.definitions.resolve_asset_graph()
    made = {key.to_user_string(): graph.get(key).parent_keys for key in graph.materializable_asset_keys}
    assert set(ORIGINS) == set(made)
    rows = list(ORIGINS)
    for asset, parents in made.items():
        above = [parent.to_user_string() for parent in parents if parent in graph.materializable_asset_keys]
        assert all(rows.index(parent) < rows.index(asset) for parent in above), asset


def test_every_key_of_a_profile_is_read_by_an_asset_or_named_as_not_read(profiles: list[Profile]) -> None:
    listed = (*NOT_READ, *(pattern for origin in ORIGINS.values() for pattern in origin.settings))
    for profile in profiles:
        assert [key for key in flat_settings(profile) if not reads(key, listed)] == []


def test_no_pattern_is_misspelt(profiles: list[Profile]) -> None:
    keys = {key for profile in profiles for key in flat_settings(profile)}
    listed = {*NOT_READ, *(pattern for origin in ORIGINS.values() for pattern in origin.settings)}
    assert [pattern for pattern in listed if not any(reads(key, (pattern,)) for key in keys)] == []
    modules = {module_of(path) for path in PACKAGE.rglob("*.py")}
    assert [pattern for pattern in NOT_CONTENT if not any(fnmatchcase(name, pattern) for name in modules)] == []


def test_another_value_changes_the_versions_of_the_assets_that_list_its_key(
    profiles: list[Profile], tmp_path: Path
) -> None:
    never = tuple(key for key in NOT_READ if key != "crawl.*")
    for profile in profiles:
        before = versions(profile)
        for key, value in flat_settings(profile).items():
            if key in NO_OTHER_VALUE:
                continue
            listing = {asset for asset, origin in ORIGINS.items() if reads(key, origin.settings)}
            expected = set() if reads(key, never) or value == "file" else listing
            now = versions(with_other_value(profile, key, tmp_path))
            assert {asset for asset in ORIGINS if now[asset].text != before[asset].text} == expected, key


def test_another_place_of_an_input_file_changes_no_version(full_profile: Profile, tmp_path: Path) -> None:
    keys = [key for key, value in flat_settings(full_profile).items() if value == "file"]
    named = {"removal_list", "partitionings.coarse.csv", "training.model_params.weights", "world.lists"}
    assert named < set(keys)
    for key in keys:
        assert versions(with_other_value(full_profile, key, tmp_path)) == versions(full_profile), key


def test_a_new_photo_set_changes_what_reads_the_sets(full_profile: Profile) -> None:
    sets = full_profile.photo_sets
    more = full_profile.model_copy(update={"photo_sets": {**sets, "more": sets["world_1k"]}})
    before, now = versions(full_profile), versions(more)
    changed = {asset for asset in ORIGINS if now[asset].text != before[asset].text}
    assert changed >= {"photo_manifest", "photo_metadata", "benchmark_predictions", "report"}
    assert not changed & {"url_lists", "photo_shards", "geo_model"}


def test_all_code_that_runs_in_a_step_is_part_of_its_assets_version(
    project: Project, tmp_path: Path, write_profile: Callable[..., Path], scene_config: Path
) -> None:
    training = yaml.safe_load((PROJECT_FOLDER / "resources" / "training" / "ci.yml").read_text("utf-8"))
    training["trainer_params"]["max_epochs"] = 1
    (tmp_path / "training.yml").write_text(yaml.safe_dump(training), encoding="utf-8")
    project.profile_file = write_profile(training=str(tmp_path / "training.yml"), scene_training=str(scene_config))
    import_everything()
    unknown = {}
    for asset, version in versions(project.profile).items():
        ran = what_runs(project, asset)
        assert entries_of(asset) <= ran, f"the trace of {asset} has not seen where it begins"
        unknown[asset] = sorted(ran - set(version.code) - set(IN_NO_VERSION))
    assert unknown == {asset: [] for asset in ORIGINS}


def test_a_trace_sees_what_an_argument_brings_along(project: Project) -> None:
    photo_set = project.profile.photo_set("world_1k")
    with traced() as ran:
        photo_set.listed()
    assert {"geo_pipeline/photos/photo_sets.py:PhotoSet", "geo_pipeline/photos/url_lists.py:read_url_csv"} <= ran


def test_a_trace_sees_other_threads_and_remembered_results() -> None:
    land.land_rings()
    thread = threading.Thread(target=land.land_rings)
    with traced() as ran:
        thread.start()
        thread.join()
    assert ran == {"geo_pipeline/evaluation/land.py:land_rings"}


def test_a_trace_leaves_out_what_draws_for_the_page_and_all_below_it() -> None:
    values = np.arange(3)
    with traced() as for_the_page:
        figures.histogram(values, "km", "photos")
    with traced() as for_the_report:
        charts.histogram_figure(values, "km", "photos")
    assert for_the_page == set()
    assert "geo_pipeline/evaluation/charts.py:histogram_figure" in for_the_report


def with_other_value(profile: Profile, key: str, folder: Path) -> Profile:
    """The same profile with another value at one of its dotted keys, `training.*` in a config of its own."""
    section, _, rest = key.partition(".")
    configs = {"training": profile.training_config, "scene_training": profile.scene_config}
    if section not in configs or not rest:
        changed: Profile = _with_other(profile, key)
        return changed
    path = folder / "other.yml"
    path.write_text(_with_other(configs[section](), rest).model_dump_json(), encoding="utf-8")
    return profile.model_copy(update={section: path})


def _with_other(settings: Any, key: str, name: str = "") -> Any:
    """`settings` with another value at `key`; `name` is what they are called themselves."""
    default, other = OTHER_THAN_DEFAULT.get(name, (..., ...))
    if settings == default:
        return other
    if not key:
        return other_value(settings)
    head, _, rest = key.partition(".")
    if isinstance(settings, BaseModel):
        return settings.model_copy(update={head: _with_other(getattr(settings, head), rest, head)})
    return {name: _with_other(value, rest, head) if str(name) == head else value for name, value in settings.items()}


def other_value(value: Any) -> Any:
    """A value of the same kind."""
    kinds: Mapping[type, Callable[[Any], Any]] = {
        bool: lambda flag: not flag,
        Enum: lambda member: next(each for each in type(member) if each is not member),
        int: lambda number: number + 1,
        float: lambda number: number / 2 + 0.125,
        str: lambda text: OTHER_WORD.get(text, f"{text}x"),
        Path: lambda path: path.with_name("elsewhere"),
        type(None): lambda _: Path("elsewhere"),
        list: lambda values: [other_value(each) for each in values] or ["one"],
        tuple: lambda values: tuple(other_value(each) for each in values) or ("one",),
    }
    return next(other for kind, other in kinds.items() if isinstance(value, kind))(value)


def what_runs(project: Project, asset: str) -> set[str]:
    """Make an asset; the definitions that run in its steps, and in the training process that it starts."""
    report_inputs(project.instance, project.experiment)
    job = project.definitions.resolve_job_def("crawl" if asset in BUCKETED else "model")
    tags = all_buckets_tags(project.profile) if asset in BUCKETED else None
    with traced() as ran:
        result = job.execute_in_process(
            instance=project.instance, tags=tags, asset_selection=[dg.AssetKey(asset)], raise_on_error=False
        )
    assert result.success, asset
    run = {"geo_model": "base", "scene_models": "scene_water"}.get(asset)
    return ran | train_again(project, run) if run else ran


def train_again(project: Project, run: str) -> set[str]:
    """What runs in a training process, by a second training in this one."""
    order = project.layout.run(run) / "job.json"
    again = TrainingJob.read(order).model_copy(update={"run_dir": project.layout.run("again")})
    again.write(project.layout.folder / "again.json")
    with traced() as ran:
        assert train(["--job", str(project.layout.folder / "again.json")]) == 0
    return ran


def entries_of(asset: str) -> set[str]:
    """Where an asset's code begins, as keys of its version."""
    entries = [entry if ":" in entry else f"{entry}:main" for entry in ORIGINS[asset].code]
    return {f"geo_pipeline/{module.replace('.', '/')}.py:{name}" for module, name in (e.split(":") for e in entries)}


@contextmanager
def traced() -> Iterator[set[str]]:
    """Collects the definitions of the package that run in the block and in threads that it starts.

    Left out are the modules of `NOT_CONTENT`, and all that runs below those of `NO_CONTENT_BELOW`.
    """
    seen: dict[CodeType, None] = {}
    found: set[str] = set()

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code not in seen and is_ours(frame.f_code) and is_content(frame):
            seen[frame.f_code] = None

    forget_results()
    threading.setprofile(note)
    sys.setprofile(note)
    try:
        yield found
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
        found |= {definition_of(code) for code in seen}


@cache
def is_ours(code: CodeType) -> bool:
    """Whether code is a function of the package, not a module or a class body."""
    return code.co_filename.startswith(f"{PACKAGE}/") and bool(code.co_flags & inspect.CO_OPTIMIZED)


def is_content(frame: FrameType) -> bool:
    """Whether a function is not named as no content, nor runs on behalf of one that draws for the page."""
    above = frame.f_back
    while above:
        if is_ours(above.f_code) and module_of_code(above.f_code) in NO_CONTENT_BELOW:
            return False
        above = above.f_back
    return not is_hidden(frame.f_code)


@cache
def is_hidden(code: CodeType) -> bool:
    return any(fnmatchcase(module_of_code(code), pattern) for pattern in NOT_CONTENT)


@cache
def module_of_code(code: CodeType) -> str:
    return module_of(Path(code.co_filename))


def module_of(path: Path) -> str:
    """`cells.hierarchy`: a file's module as `ORIGINS` and `NOT_CONTENT` write it."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")


def definition_of(code: CodeType) -> str:
    """`geo_pipeline/cells/hierarchy.py:cell_hierarchy` for any code in it; for a template its file alone."""
    file = Path(code.co_filename)
    key = file.relative_to(PACKAGE.parent).as_posix()
    if file.suffix != ".py":
        return key
    name = code.co_qualname.partition(".")[0]
    return f"{key}:{name if name.isidentifier() else name_bound_at(file, code.co_firstlineno)}"


def name_bound_at(file: Path, line: int) -> str:
    """The name that a top-level assignment binds: where a `<lambda>` belongs."""
    statements = ast.parse(file.read_bytes()).body
    (found,) = [each for each in statements if each.lineno <= line <= (each.end_lineno or 0)]
    assert isinstance(found, ast.Assign | ast.AnnAssign), f"{file}:{line}"
    target = found.target if isinstance(found, ast.AnnAssign) else found.targets[0]
    assert isinstance(target, ast.Name), f"{file}:{line}"
    return target.id


def import_everything() -> None:
    """Import each module, so that no trace holds what runs once at an import."""
    for module in pkgutil.walk_packages(geo_pipeline.__path__, "geo_pipeline."):
        importlib.import_module(module.name)


def forget_results() -> None:
    """Empty the caches of the package's functions, so that what an earlier step asked for runs again."""
    for name, module in list(sys.modules.items()):
        if name.startswith("geo_pipeline.") and name != "geo_pipeline.source_code":
            for value in vars(module).values():
                if callable(getattr(value, "cache_clear", None)):
                    value.cache_clear()
