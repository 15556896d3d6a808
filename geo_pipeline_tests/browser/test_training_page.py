"""A training on the running Dagster page in a real Chromium: what is told while it runs, and a stop."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from playwright.sync_api import Page

from geo_pipeline.profile import PROJECT_FOLDER, Layout
from geo_pipeline_tests.browser.page import CHROMIUM, chromium, dagster_page
from geo_pipeline_tests.command_line import started, wait_until
from geo_pipeline_tests.conftest import free_port
from geo_pipeline_tests.defs.test_orphans import epochs

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine (Debian: apt install chromium)"),
]
MAX_EPOCHS = 1000  # never reached: an epoch takes a third of a second


@pytest.fixture
def environment(write_profile: Callable[..., Path], tmp_path: Path) -> dict[str, str]:
    training = yaml.safe_load((PROJECT_FOLDER / "resources" / "training" / "ci.yml").read_text("utf-8"))
    training["trainer_params"]["max_epochs"] = MAX_EPOCHS
    (tmp_path / "training.yml").write_text(yaml.safe_dump(training), encoding="utf-8")
    return {
        "GEO_PIPELINE_PROFILE": str(write_profile(training=str(tmp_path / "training.yml"))),
        "GEO_PIPELINE_HOME": str(tmp_path / "home"),
        "DAGSTER_HOME": str(tmp_path / "home" / "small" / "dagster"),
    }


def materialize(environment: dict[str, str], selection: str) -> None:
    program = str(Path(sys.executable).with_name("geo-pipeline"))
    subprocess.run([program, "materialize", "--stale", selection], env=os.environ | environment, check=True)


def start_training(page: Page, address: str) -> None:
    page.goto(f"{address}/assets/geo_model")
    page.get_by_role("button", name="Materialize").first.click()
    page.get_by_text("Launched run").first.wait_for()


def stop_run(page: Page, address: str) -> None:
    """Press the page's Terminate, as a person does."""
    page.goto(f"{address}/runs")
    page.get_by_role("link", name="View", exact=True).first.click()
    page.get_by_role("button", name="Terminate").first.click()
    page.get_by_role("dialog").get_by_role("button", name="Terminate 1 run").click()


@pytest.mark.slow
def test_a_training_tells_of_each_epoch_and_a_stop_on_the_page_loses_nothing(
    environment: dict[str, str], tmp_path: Path
) -> None:
    run_dir = Layout(tmp_path / "home" / "small").run("base")
    materialize(environment, 'not key:"geo_model"+')
    with (
        dagster_page(environment, tmp_path / "log", free_port(), "dagster", "dev", "-w", "workspace.yaml") as address,
        chromium() as browser,
    ):
        page = browser.new_page(viewport={"width": 1600, "height": 1400})
        start_training(page, address)
        wait_until(lambda: len(epochs(run_dir)) >= 3, 120)
        page.goto(f"{address}/assets/geo_model?view=events")
        for told in ("train_loss", "validation_loss", "learning_rate", "photos_per_second", "accuracy_hierarchy_750"):
            page.get_by_text(told, exact=True).first.wait_for()
        page.screenshot(path=tmp_path / "training.png")
        stop_run(page, address)
        begun = time.monotonic()
        page.get_by_text("Canceled", exact=True).first.wait_for()
        assert time.monotonic() - begun < 20
        page.screenshot(path=tmp_path / "stopped.png")
    saved, lines = epochs(run_dir), (run_dir / "metrics.jsonl").read_text("utf-8")
    assert 3 <= len(saved) < MAX_EPOCHS
    assert (run_dir / "last.ckpt").stat().st_mtime >= (run_dir / "metrics.jsonl").stat().st_mtime
    with started(tmp_path / "home", "--profile", environment["GEO_PIPELINE_PROFILE"], "materialize", "geo_model"):
        wait_until(lambda: len(epochs(run_dir)) >= len(saved) + 2, 120)
    assert (run_dir / "metrics.jsonl").read_text("utf-8").startswith(lines)
    assert epochs(run_dir) == list(range(len(epochs(run_dir))))
