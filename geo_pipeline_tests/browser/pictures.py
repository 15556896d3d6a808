"""Makes the README's pictures from the current profile: the asset graph of the running page, the last report, a game.

`python -m geo_pipeline_tests.browser.pictures`, after `make demo`. While a training runs, `--live FILE` photographs
the model's page instead.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

from playwright.sync_api import Browser

from geo_pipeline.cli import main as command_line
from geo_pipeline.profile import PROJECT_FOLDER, Layout, layout_of, load_profile, profile_path
from geo_pipeline_tests.browser.page import chromium, dagster_page
from geo_pipeline_tests.conftest import free_port

PICTURES = PROJECT_FOLDER / "resources" / "pictures"
SETTLE_MILLISECONDS = 4000


def asset_graph(browser: Browser, address: str, path: Path) -> None:
    """The whole graph with its groups expanded."""
    page = browser.new_page(viewport={"width": 2100, "height": 2000})
    page.goto(f"{address}/asset-groups")
    page.wait_for_timeout(SETTLE_MILLISECONDS)
    page.keyboard.press("Alt+e")
    page.wait_for_timeout(SETTLE_MILLISECONDS)
    page.screenshot(path=path, clip={"x": 545, "y": 240, "width": 1550, "height": 1590})


def model_page(browser: Browser, address: str, path: Path) -> None:
    """The events of the model's asset: an observation for each epoch."""
    page = browser.new_page(viewport={"width": 1600, "height": 1000})
    page.goto(f"{address}/assets/geo_model?view=events")
    page.wait_for_timeout(SETTLE_MILLISECONDS)
    page.screenshot(path=path)


def report(browser: Browser, layout: Layout, path: Path) -> None:
    """The first screen of the report."""
    page = browser.new_page(viewport={"width": 1100, "height": 1250})
    page.goto((layout.reports / "report.html").as_uri())
    page.screenshot(path=path)


def game(browser: Browser, index: Path, path: Path) -> None:
    """The answer to a guess in the first round of a game."""
    page = browser.new_page(viewport={"width": 1100, "height": 700})
    page.goto(f"{index.as_uri()}#readme")
    page.evaluate("game.setCross([40, -3])")
    page.keyboard.press("Enter")
    page.wait_for_timeout(SETTLE_MILLISECONDS)
    page.screenshot(path=path)


def main() -> None:
    """Make the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--live", type=Path, help="photograph the model's page into this file, and nothing else")
    options = parser.parse_args()
    layout = layout_of(load_profile(profile_path()))
    environment = {"DAGSTER_HOME": str(layout.dagster_home), "GEO_PIPELINE_PROFILE": str(profile_path())}
    os.environ.update(environment)
    PICTURES.mkdir(exist_ok=True)
    command = ["dagster", "dev", "-w", "workspace.yaml"]
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        with dagster_page(environment, Path(folder) / "log", free_port(), *command) as address:
            if options.live:
                model_page(browser, address, options.live)
                return
            asset_graph(browser, address, PICTURES / "asset_graph.png")
        report(browser, layout, PICTURES / "report.png")
        command_line(["game"])
        game(browser, layout.game / "index.html", PICTURES / "game.png")


if __name__ == "__main__":
    main()
