"""The running Dagster page in a real Chromium: groups, assets, a running bucket, a bad profile."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from geo_pipeline_tests.browser.page import CHROMIUM, chromium, dagster_page
from geo_pipeline_tests.conftest import free_port
from geo_pipeline_tests.crawl.servers import PhotoServer
from geo_pipeline_tests.defs.test_definitions import GRAPH

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine (Debian: apt install chromium)"),
]


@pytest.fixture
def dagster_home(tmp_path: Path) -> Path:
    home = tmp_path / "dagster"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry:\n  enabled: false\nnux:\n  enabled: false\n", encoding="utf-8")
    return home


@pytest.fixture
def environment(write_profile: Callable[..., Path], dagster_home: Path, tmp_path: Path) -> dict[str, str]:
    return {
        "GEO_PIPELINE_PROFILE": str(write_profile()),
        "GEO_PIPELINE_HOME": str(tmp_path),
        "DAGSTER_HOME": str(dagster_home),
    }


def test_dagster_dev_shows_every_group_and_asset(environment: dict[str, str], tmp_path: Path) -> None:
    command = ["dagster", "dev", "-w", "workspace.yaml"]
    with dagster_page(environment, tmp_path / "log", free_port(), *command) as address, chromium() as browser:
        page = browser.new_page(viewport={"width": 1600, "height": 1400})
        page.goto(f"{address}/asset-groups")
        for group, assets in GRAPH.items():
            page.get_by_text(group, exact=True).first.wait_for()
            assert page.get_by_text(group, exact=True).count() > 0
            for asset in assets:
                page.goto(f"{address}/assets/{asset}")
                page.get_by_text("Description", exact=True).first.wait_for()
                page.get_by_role("link", name=group, exact=True).first.wait_for()
            page.goto(f"{address}/asset-groups")


@pytest.mark.slow
def test_dg_dev_serves_the_same_page(environment: dict[str, str], tmp_path: Path) -> None:
    with dagster_page(environment, tmp_path / "log", free_port(), "dg", "dev") as address, chromium() as browser:
        page = browser.new_page()
        page.goto(f"{address}/assets")
        page.get_by_text("benchmark_accuracy").first.wait_for()


def test_a_wrong_profile_is_explained_on_the_page(
    write_profile: Callable[..., Path], environment: dict[str, str], tmp_path: Path
) -> None:
    environment["GEO_PIPELINE_PROFILE"] = str(write_profile(crawl__concurency=3))
    command = ["dagster", "dev", "-w", "workspace.yaml"]
    with dagster_page(environment, tmp_path / "log", free_port(), *command) as address, chromium() as browser:
        page = browser.new_page()
        page.goto(f"{address}/locations")
        page.get_by_text("View error").first.click()
        page.get_by_text("crawl.concurency: unknown key; did you mean concurrency?").first.wait_for()


@pytest.mark.slow
def test_the_page_of_a_running_bucket_tells_how_far_it_is(
    write_profile: Callable[..., Path], environment: dict[str, str], tmp_path: Path
) -> None:
    urls, program = tmp_path / "urls.csv", str(Path(sys.executable).with_name("geo-pipeline"))
    environment["DAGSTER_HOME"] = str(tmp_path / "small" / "dagster")  # where the command line writes its events
    everything = os.environ | environment
    command = [program, "materialize", "url_lists,photo_shards", "--bucket", "world_train-000"]
    served = ["dagster", "dev", "-w", "workspace.yaml"]
    with closing(PhotoServer()) as server:
        changes = {"url_csv": str(urls), "buckets": 1}
        write_profile(
            crawl__allow_origins=[server.origin],
            crawl__per_host=2,
            **{f"photo_sets__world_train__{key}": value for key, value in changes.items()},
        )
        urls.write_text(photo_list(server, 5), encoding="utf-8")
        subprocess.run(command, env=everything, check=True)
        urls.write_text(photo_list(server, 90), encoding="utf-8")
        server.delay_seconds = 1.0
        with dagster_page(environment, tmp_path / "log", free_port(), *served) as address, chromium() as browser:
            page = browser.new_page(viewport={"width": 1600, "height": 1400})
            with subprocess.Popen(command, env=everything) as crawl:
                while crawl.poll() is None and page.get_by_text("outcome_ok", exact=True).count() == 0:
                    page.goto(f"{address}/assets/photo_shards?view=partitions&partition=world_train-000")
                    page.wait_for_timeout(6000)  # a click on its round arrow would look again as well
                for told in ("photos_done", "photos_total", "photos_per_second", "slowest_hosts", "Observed in run"):
                    assert page.get_by_text(told).count() > 0, told
                page.screenshot(path=tmp_path / "running.png")
                assert crawl.poll() is None, "the bucket was finished before the page was looked at"
                assert crawl.wait(120) == 0
            page.reload()
            page.get_by_text("outcomes_by_host", exact=True).first.wait_for()
            page.screenshot(path=tmp_path / "finished.png")


def photo_list(server: PhotoServer, count: int) -> str:
    return "".join(f"{number}.jpg,{server.url(f'/photos/{number}.jpg')}\n" for number in range(count))


@pytest.mark.slow
def test_materialize_all_on_the_page_does_the_whole_job(environment: dict[str, str], tmp_path: Path) -> None:
    command = ["dagster", "dev", "-w", "workspace.yaml"]
    report = tmp_path / "small" / "reports" / "report.html"
    with dagster_page(environment, tmp_path / "log", free_port(), *command) as address, chromium() as browser:
        page = browser.new_page(viewport={"width": 1600, "height": 1000})
        page.goto(f"{address}/asset-groups")
        page.get_by_text("Materialize all").first.click()
        page.get_by_role("button", name="All", exact=True).click()
        page.get_by_role("button", name="Launch backfill").click()
        deadline = time.monotonic() + 300
        while not report.exists() and time.monotonic() < deadline:
            time.sleep(1)
        assert report.exists(), (tmp_path / "log").read_text("utf-8")[-3000:]
        page.goto(f"{address}/assets/geo_model?view=events")
        page.get_by_text("train_loss").first.wait_for()
