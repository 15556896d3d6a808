"""A running Dagster page in a real Chromium: what the browser tests and the maker of the README's pictures share."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from geo_pipeline.profile import PROJECT_FOLDER

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
START_SECONDS = 120


@contextmanager
def dagster_page(environment: dict[str, str], log_file: Path, port: int, *command: str) -> Iterator[str]:
    """The address of `dagster dev` (or another command) over this project, for as long as the block runs."""
    program = [str(Path(sys.executable).with_name(command[0] if command else "dagster"))]
    arguments = [*(command[1:] or ["dev"]), "--host", "127.0.0.1", "--port", str(port)]
    address = f"http://127.0.0.1:{port}"
    with log_file.open("wb") as log:
        server = subprocess.Popen(
            [*program, *arguments],
            cwd=PROJECT_FOLDER,
            env={**os.environ, **environment},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            _wait_for(f"{address}/server_info", server, log_file)
            yield address
        finally:
            os.killpg(server.pid, signal.SIGINT)
            try:
                server.wait(timeout=30)
            except subprocess.TimeoutExpired:
                os.killpg(server.pid, signal.SIGKILL)
                server.wait()


def _wait_for(url: str, server: subprocess.Popen[bytes], log_file: Path) -> None:
    """Wait until the page answers; fail with its log if it ends or takes too long."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):  # noqa: S310 -- our own loopback address
                return
        except OSError:
            time.sleep(0.5)
    raise RuntimeError(f"the page did not start:\n{log_file.read_text('utf-8')[-3000:]}")


@contextmanager
def chromium() -> Iterator[Browser]:
    """A headless Chromium."""
    with sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        try:
            yield browser
        finally:
            browser.close()
