"""The one entry point of the Dagster project: `build_definitions(profile)` assembles everything.

The only module that reads the environment at import (`GEO_PIPELINE_PROFILE`, `GEO_PIPELINE_HOME`). Not here: any asset.
The one idea: importing this must be cheap, because every step of every run does it; torch, pandas and lightning are
imported where they are used.
"""

from __future__ import annotations

from collections.abc import Callable

import dagster as dg

from geo_pipeline.defs.assets import benchmarks, cells, scenes, training
from geo_pipeline.defs.assets.photos import build_bucket_assets, photo_manifest, photo_metadata
from geo_pipeline.defs.cell_checks import build_cell_checks
from geo_pipeline.defs.checks import all_checks
from geo_pipeline.defs.inputs import build_input_assets, input_deps
from geo_pipeline.defs.jobs import crawl_job, model_job
from geo_pipeline.defs.leakage_checks import training_photos_are_unseen
from geo_pipeline.defs.lineage import MADE_FROM, versions
from geo_pipeline.defs.partitions import bucket_partitions
from geo_pipeline.defs.resources import Experiment, build_resources
from geo_pipeline.defs.schedules import build_recrawl_schedule
from geo_pipeline.defs.sensors import input_files, model_after_crawl
from geo_pipeline.profile import Layout, Profile, layout_of, load_profile, profile_path

PRELOADED = [
    "geo_pipeline.definitions",
    "alembic",
    "duckdb",
    "matplotlib.backends.backend_agg",
    "pandas",
    "pyarrow.parquet",
    "sqlalchemy",
    "structlog",
]
EXECUTOR = dg.multiprocess_executor.configured(
    {"max_concurrent": 2, "start_method": {"forkserver": {"preload_modules": PRELOADED}}}
)
"""Steps fork from one process that has imported what every step needs: each would spend seconds on that alone."""


def build_definitions(profile: Profile, layout: Layout) -> dg.Definitions:
    """All assets, checks, jobs, schedules and sensors of one experiment."""
    partitions = bucket_partitions(profile)
    assets = [
        build_bucket_assets(partitions),
        photo_manifest,
        photo_metadata,
        *cells.build_cells_assets(profile),
        cells.cell_hierarchy,
        cells.photo_classes,
        training.training_photos,
        training.validation_photos,
        training.geo_model,
        *scenes.build_scene_assets(profile),
        *benchmarks.build_benchmark_assets(profile),
    ]
    return dg.Definitions(
        assets=[*dg.map_asset_specs(_with_origin(profile), assets), *build_input_assets(profile)],
        asset_checks=[*all_checks, *build_cell_checks(profile), training_photos_are_unseen],
        jobs=[crawl_job, model_job],
        schedules=[build_recrawl_schedule(profile)],
        sensors=[model_after_crawl, input_files],
        resources=build_resources(Experiment(profile, layout)),
        executor=EXECUTOR,
    )


def _with_origin(profile: Profile) -> Callable[[dg.AssetSpec], dg.AssetSpec]:
    """Gives a spec its owners, its code version with what that is made of, and the input file it reads."""
    found, inputs = versions(profile), input_deps(profile)

    def complete(spec: dg.AssetSpec) -> dg.AssetSpec:
        name = spec.key.to_user_string()
        known = {dep.asset_key.to_user_string() for dep in spec.deps}
        deps = [inputs[name]] if name in inputs and inputs[name] not in known else []
        spec = spec.replace_attributes(owners=profile.owners, code_version=found[name].text)
        return spec.merge_attributes(deps=deps, metadata={MADE_FROM: found[name].as_metadata()})

    return complete


_profile = load_profile(profile_path())
defs = build_definitions(_profile, layout_of(_profile))
