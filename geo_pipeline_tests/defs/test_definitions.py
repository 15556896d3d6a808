from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from geo_pipeline.definitions import build_definitions
from geo_pipeline.defs.jobs import all_buckets_tags
from geo_pipeline.defs.leakage_checks import AUTHORS, PICTURES
from geo_pipeline.defs.partitions import BUCKETED
from geo_pipeline.profile import Layout, load_profile

GRAPH = {
    "inputs": {"url_files", "metadata_files"},
    "photos": {"url_lists", "photo_shards", "photo_manifest", "photo_metadata"},
    "cells": {"cells_coarse", "cells_middle", "cells_fine", "cell_hierarchy", "photo_classes"},
    "training": {"training_photos", "validation_photos", "geo_model"},
    "benchmarks": {"calibration", "benchmark_predictions", "benchmark_accuracy", "report"},
}


@pytest.fixture
def definitions(write_profile: Callable[..., Path], tmp_path: Path) -> dg.Definitions:
    return build_definitions(load_profile(write_profile(owners=["team:maps"])), Layout(tmp_path / "small"))


def test_the_graph_is_the_documented_one(definitions: dg.Definitions) -> None:
    groups: dict[str, set[str]] = {}
    for spec in definitions.resolve_all_asset_specs():
        groups.setdefault(spec.group_name or "", set()).add(spec.key.to_user_string())
    assert groups == GRAPH


def test_every_asset_has_a_description_kinds_owners_and_a_code_version(definitions: dg.Definitions) -> None:
    for spec in definitions.resolve_all_asset_specs():
        assert spec.description, spec.key
        assert spec.kinds, spec.key
        assert spec.owners == ["team:maps"]
        assert spec.code_version or spec.group_name == "inputs", spec.key


def test_only_lists_and_shards_are_partitioned_by_the_profiles_buckets(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    partitioned = {key.to_user_string() for key in graph.get_all_asset_keys() if graph.get(key).is_partitioned}
    assert partitioned == BUCKETED
    keys = graph.get(dg.AssetKey("photo_shards")).partitions_def.get_partition_keys()
    assert keys == ["world_train-000", "world_train-001", "world_validation-000", "world_1k-000", "world_300-000"]


def test_every_check_blocks_but_those_of_authors_and_pictures(definitions: dg.Definitions) -> None:
    checks = definitions.asset_checks or []
    specs = [spec for check in checks if isinstance(check, dg.AssetChecksDefinition) for spec in check.check_specs]
    assert {spec.name for spec in specs if not spec.blocking} == {AUTHORS, PICTURES}


def test_the_schedule_is_stopped_and_asks_for_one_run_over_all_buckets(
    definitions: dg.Definitions, write_profile: Callable[..., Path]
) -> None:
    schedule = definitions.resolve_schedule_def("recrawl")
    assert schedule.default_status is dg.DefaultScheduleStatus.STOPPED
    with dg.instance_for_test() as instance, dg.build_schedule_context(instance) as context:
        (request,) = schedule.evaluate_tick(context).run_requests or []
    assert all_buckets_tags(load_profile(write_profile())).items() <= request.tags.items()


def test_the_sensor_is_stopped_and_asks_for_the_model_after_a_crawl(definitions: dg.Definitions) -> None:
    sensor = definitions.resolve_sensor_def("model_after_crawl")
    assert sensor.default_status is dg.DefaultSensorStatus.STOPPED
    assert sensor.job_name == "model"


@pytest.mark.slow
def test_importing_the_definitions_costs_at_most_a_little_more_than_dagster() -> None:
    def seconds(module: str) -> float:
        begun = time.perf_counter()
        subprocess.run([sys.executable, "-c", f"import {module}"], check=True)
        return time.perf_counter() - begun

    pairs = [(seconds("geo_pipeline.definitions"), seconds("dagster")) for _ in range(4)]
    assert min(ours / theirs for ours, theirs in pairs) <= 2.2
