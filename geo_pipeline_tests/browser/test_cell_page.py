"""The map of cells in a real Chromium, from a file: what it tells of a place by mouse, touch and keys; how it moves."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from playwright.sync_api import Browser, Page
from s2sphere import CellId

from geo_pipeline.cells.published import read_cells_csv
from geo_pipeline.evaluation.cell_page import render_cell_page
from geo_pipeline_tests.browser.page import CHROMIUM, chromium
from geo_pipeline_tests.cells.oracle import PUBLISHED, real_coordinates, real_data, s2_leaf
from geo_pipeline_tests.command_line import wait_until
from geo_pipeline_tests.evaluation.made_up import cells

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine (Debian: apt install chromium)"),
]
DESKTOP = {"viewport": {"width": 1280, "height": 860}}
PHONE = {"viewport": {"width": 390, "height": 800}, "has_touch": True, "is_mobile": True, "device_scale_factor": 2}
HINT = {"hint": "Point at a cell, or tap it."}

# each frame's milliseconds from now until `frames()` is called
WATCH_FRAMES = """() => {
  const times = []; let last = performance.now(), going = true;
  const tick = (now) => { times.push(now - last); last = now; if (going) requestAnimationFrame(tick); };
  requestAnimationFrame(tick);
  window.frames = () => { going = false; return times.slice(1); };
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def published() -> dict[str, pa.Table]:
    return {name: read_cells_csv(real_data(f"{name}.csv")) for name in PUBLISHED}


@pytest.fixture(scope="module")
def published_file(published: dict[str, pa.Table], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("published") / "map.html"
    path.write_text(render_cell_page(published, "published"), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def small_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("made_up") / "map.html"
    path.write_text(render_cell_page(cells(), "made up"), encoding="utf-8")
    return path


@contextmanager
def opened(browser: Browser, path: Path, **options: Any) -> Iterator[Page]:
    """The page, which must load nothing but itself and have nothing to complain of."""
    page = browser.new_page(**options)
    requests, complaints = [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    try:
        page.goto(path.as_uri())
        yield page
        assert complaints == []
        assert set(requests) == {path.as_uri()}
    finally:
        page.close()


def look_at(page: Page, latitude: float, longitude: float, zoom: float = 8) -> None:
    """Move the map so that a place is in its middle."""
    page.evaluate("(view) => { location.hash = view }", f"#{zoom}/{latitude}/{longitude}")
    wait_until(lambda: view_of(page).startswith(f"#{zoom:.2f}/"), 10)  # the map writes its own form of it


def view_of(page: Page) -> str:
    """The view that stands in the address: zoom, latitude, longitude."""
    return str(page.evaluate("location.hash"))


def middle(page: Page) -> tuple[float, float]:
    """Where on the screen the middle of the map is."""
    box = page.locator("#map").bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def told(page: Page) -> dict[str, str]:
    """What the page says of the cell that is pointed at."""
    if page.locator("#hint").is_visible():
        return {"hint": page.locator("#hint").inner_text()}
    return {name: page.locator(f"#{name}").inner_text() for name in ("token", "level", "photos", "mean", "label")}


def expected_at(table: pa.Table, latitude: float, longitude: float) -> dict[str, str]:
    """What it should say, by s2sphere: the ancestor of the place's leaf that stands in the table."""
    rows = {row["hex_id"]: row for row in table.to_pylist()}
    leaf = s2_leaf(latitude, longitude)
    row = next((rows[t] for level in range(31) if (t := leaf.parent(level).to_token()) in rows), None)
    if row is None:
        return HINT
    north, east = row["latitude_mean"], row["longitude_mean"]
    return {
        "token": row["hex_id"],
        "level": str(CellId.from_token(row["hex_id"]).level()),
        "photos": f"{row['imgs_per_cell']:,}",
        "mean": f"{abs(north):.5f}° {'S' if north < 0 else 'N'}, {abs(east):.5f}° {'W' if east < 0 else 'E'}",
        "label": str(row["class_label"]),
    }


def test_pointing_at_a_place_tells_its_cell_in_each_published_partitioning(
    browser: Browser, published: dict[str, pa.Table], published_file: Path
) -> None:
    latitudes, longitudes = real_coordinates("mp16_coordinates_100K.csv")
    places = [(48.8584, 2.2945), (-33.8568, 151.2153), (64.1466, -21.9426), (-16.5, 179.2), (30.0, -40.0)]
    places += list(zip(latitudes[::7001].tolist(), longitudes[::7001].tolist(), strict=True))
    with opened(browser, published_file, **DESKTOP) as page:
        for index, (name, table) in enumerate(published.items()):
            page.select_option("#choice", str(index))
            photos = sum(table["imgs_per_cell"].to_pylist())
            assert page.title() == f"{name}: {table.num_rows:,} cells, {photos:,} photos"
            assert page.locator("h1").inner_text() == f"{table.num_rows:,} cells, {photos:,} photos"
            seen = set()
            for latitude, longitude in places:
                look_at(page, latitude, longitude, zoom=16)
                page.mouse.move(*middle(page), steps=2)
                assert told(page) == expected_at(table, latitude, longitude), (name, latitude, longitude)
                seen.add(told(page).get("token"))
                page.mouse.move(5, 5)
            assert len(seen) > 10


def test_a_cell_of_a_centimetre_can_be_found_where_its_photos_are(
    browser: Browser, published: dict[str, pa.Table], published_file: Path
) -> None:
    rows = [row for row in published["cells_50_1000"].to_pylist() if CellId.from_token(row["hex_id"]).level() == 30]
    assert len(rows) == 3
    with opened(browser, published_file, **DESKTOP) as page:
        page.select_option("#choice", "2")
        for row in rows:
            look_at(page, row["latitude_mean"], row["longitude_mean"], zoom=18)
            x, y = middle(page)
            page.mouse.move(x + 3, y + 3, steps=2)
            assert told(page)["token"] == row["hex_id"]
            page.mouse.move(5, 5)


def test_leaving_the_map_or_choosing_another_partitioning_ends_the_telling(browser: Browser, small_file: Path) -> None:
    with opened(browser, small_file, **DESKTOP) as page:
        look_at(page, 51.5, 0.0)
        for leave in (lambda: page.mouse.move(5, 5), lambda: page.select_option("#choice", "1")):
            page.mouse.move(*middle(page), steps=2)
            assert "token" in told(page)
            leave()
            assert told(page) == HINT


def test_a_tap_tells_the_cell_and_a_phone_shows_everything_without_scrolling(
    browser: Browser, small_file: Path
) -> None:
    with opened(browser, small_file, **PHONE) as page:
        look_at(page, 48.9, 2.3)
        page.touchscreen.tap(*middle(page))
        assert told(page) == expected_at(cells()["coarse"], 48.9, 2.3)
        assert not page.locator(".cross").is_visible()
        assert page.evaluate("[document.documentElement.scrollWidth, document.documentElement.scrollHeight]") == [
            390,
            800,
        ]
        for part in ("h1", "#legend", "#choice", "#map", "#cell"):
            box = page.locator(part).bounding_box()
            assert box is not None
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= 390
            assert box["y"] + box["height"] <= 800


def test_the_keyboard_moves_the_map_and_the_cell_under_the_cross_is_told(browser: Browser, small_file: Path) -> None:
    with opened(browser, small_file, **DESKTOP) as page:
        look_at(page, 48.9, 2.3, zoom=7)
        for _ in range(6):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.id") == "map":
                break
        assert page.locator(".cross").is_visible()
        assert told(page) == expected_at(cells()["coarse"], 48.9, 2.3)
        for key in ("ArrowRight", "ArrowUp", "+"):
            before = view_of(page)
            page.keyboard.press(key)
            wait_until(lambda before=before: view_of(page) != before, 10)
            page.wait_for_timeout(400)  # the map glides to its place
            _, latitude, longitude = map(float, view_of(page)[1:].split("/"))
            assert told(page) == expected_at(cells()["coarse"], latitude, longitude)


def test_the_view_is_in_the_address_and_comes_back_with_it(browser: Browser, small_file: Path) -> None:
    with opened(browser, small_file, **DESKTOP) as page:
        assert re.fullmatch(r"#\d+\.\d\d/-?\d+\.\d{5}/-?\d+\.\d{5}", view_of(page))
        look_at(page, 52.5, 13.4, zoom=9)
        page.reload()
        page.mouse.move(*middle(page), steps=2)
        assert told(page) == expected_at(cells()["coarse"], 52.5, 13.4)


def test_an_address_that_names_no_view_shows_all_cells(browser: Browser, small_file: Path) -> None:
    with opened(browser, small_file, **DESKTOP) as page:
        view = view_of(page)
        page.evaluate("location.hash = '#nonsense/1/2'")
        page.reload()
        assert view_of(page) == view


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_colours_of_the_map_are_those_of_the_legend(browser: Browser, small_file: Path, theme: Any) -> None:
    with opened(browser, small_file, **DESKTOP, color_scheme=theme) as page:
        ends = page.evaluate(
            "getComputedStyle(document.querySelector('.ramp')).backgroundImage.match(/rgba?\\([^)]*\\)/g).slice(-1)"
        )
        assert ends == [{"light": "rgba(39, 48, 111, 0.8)", "dark": "rgba(253, 243, 176, 0.8)"}[theme]]
        ticks = page.locator(".ticks span").all_inner_texts()
        photos = [count for table in cells().values() for count in table["imgs_per_cell"].to_pylist()]
        assert (ticks[0], ticks[-1]) == (f"{min(photos):,}", f"{max(photos):,}")
        assert [int(tick.replace(",", "")) for tick in ticks] == sorted(int(tick.replace(",", "")) for tick in ticks)


def test_the_policy_of_the_page_forbids_every_load(browser: Browser, small_file: Path) -> None:
    page = browser.new_page()
    page.goto(small_file.as_uri())
    refused = page.evaluate("""async () => {
      const seen = [];
      document.addEventListener("securitypolicyviolation", (event) => seen.push(event.effectiveDirective));
      await fetch("http://127.0.0.1:9/").catch(() => {});
      for (const [tag, name] of [["img", "src"], ["script", "src"], ["iframe", "src"], ["link", "href"]]) {
        const made = document.createElement(tag);
        if (tag === "link") made.rel = "stylesheet";
        made[name] = "http://127.0.0.1:9/";
        document.body.append(made);
      }
      const inline = document.createElement("script");
      inline.textContent = "window.wasRun = true";
      document.body.append(inline);
      await new Promise((done) => setTimeout(done, 300));
      return [seen.sort(), window.wasRun ?? false];
    }""")
    page.close()
    assert refused == [
        ["connect-src", "frame-src", "img-src", "script-src-elem", "script-src-elem", "style-src-elem"],
        False,
    ]


def test_thirteen_thousand_cells_move_smoothly(
    browser: Browser, published_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with opened(browser, published_file, **DESKTOP) as page:
        page.select_option("#choice", "2")
        look_at(page, 48.0, 8.0, zoom=5)
        x, y = middle(page)
        page.evaluate(WATCH_FRAMES)
        page.mouse.move(x, y)
        page.mouse.down()
        for step in range(60):
            page.mouse.move(x - 10 * step, y + 4 * (step % 20))
        page.mouse.up()
        page.wait_for_timeout(500)
        frames = page.evaluate("frames()")
        mean = sum(frames) / len(frames)
        with capsys.disabled():
            sys.stdout.write(f"\n{len(frames)} frames of a drag: mean {mean:.1f} ms, longest {max(frames):.1f} ms\n")
        assert len(frames) > 20
        assert mean < 100  # generous: 17 ms on two busy cores, drawn by software
