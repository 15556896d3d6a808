"""`geo-pipeline train`: of the profile's tables, and of tables of one's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from geo_pipeline.cli import main
from geo_pipeline.profile import Layout
from geo_pipeline.store import read_table, write_table
from geo_pipeline_tests.training import small_runs
from geo_pipeline_tests.training.own_tables import write_own_tables


@pytest.fixture
def layout(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Layout:
    """The files of a profile that has materialized the made-up earth."""
    monkeypatch.setenv("GEO_PIPELINE_HOME", str(tmp_path / "home"))
    layout = Layout(tmp_path / "home" / "small")
    layout.shards.mkdir(parents=True)
    job = small_runs.job(layout.shards)
    for name, path in job.tables():
        write_table(layout.table({"hierarchy": "cell_hierarchy"}.get(name, name)), read_table(path))
    return layout


@pytest.fixture
def profile(write_profile: Callable[..., Path], tmp_path: Path) -> str:
    config = tmp_path / "tiny.yml"
    config.write_text(yaml.safe_dump(small_runs.config().model_dump(mode="json")), encoding="utf-8")
    return str(write_profile(training=str(config)))


def test_without_tables_it_trains_what_the_profile_has_materialized(layout: Layout, profile: str) -> None:
    assert main(["--profile", profile, "train", "--set", "trainer.max_epochs=1"]) == 0
    assert (layout.run("tiny") / "best.ckpt").exists()
    hparams = yaml.safe_load((layout.run("tiny") / "hparams.yaml").read_text())
    assert hparams["trainer_params"]["max_epochs"] == 1
    assert hparams["files"]["cells_fine"] == str(layout.table("cells_fine"))


def test_the_folder_of_the_asset_is_refused(layout: Layout, profile: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--profile", profile, "train", "--output", str(layout.run("base"))]) == 2
    assert "the folder of the asset geo_model" in capsys.readouterr().err


def test_what_is_not_materialized_is_named(layout: Layout, profile: str, capsys: pytest.CaptureFixture[str]) -> None:
    layout.table("cell_hierarchy").unlink()
    assert main(["--profile", profile, "train"]) == 2
    assert "materialize them first:\n  - hierarchy: " in capsys.readouterr().err


def test_tables_of_ones_own_need_no_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEO_PIPELINE_PROFILE", "absent")
    own = write_own_tables(tmp_path)
    assert main(["train", *own.arguments("--set", "trainer.max_epochs=1")]) == 0
    assert (tmp_path / "run" / "best.ckpt").exists()


def test_a_wrong_key_is_exit_code_2_with_the_nearest_one(
    layout: Layout,  # noqa: ARG001 -- its home
    profile: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--profile", profile, "train", "--set", "trainer.max_epoch=3"]) == 2
    assert "trainer_params.max_epoch: unknown key; did you mean max_epochs?" in capsys.readouterr().err
