"""The game in a real Chromium, from a file and without a network: whole games by mouse, by keys and by touch."""

from __future__ import annotations

import functools
import math
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from geopy.distance import great_circle
from playwright.sync_api import Browser, Page

from geo_pipeline.cells.distance import great_circle_km
from geo_pipeline.evaluation.game import Choice, GamePhoto
from geo_pipeline.evaluation.game_folder import write_game
from geo_pipeline_tests.browser.page import CHROMIUM, chromium
from geo_pipeline_tests.command_line import wait_until
from geo_pipeline_tests.evaluation.game_data import TEXTS, game_photos

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine (Debian: apt install chromium)"),
]
DESKTOP = {"viewport": {"width": 1280, "height": 860}}
PHONE = {"viewport": {"width": 390, "height": 800}, "has_touch": True, "is_mobile": True, "device_scale_factor": 2}
PHOTOS = game_photos(25)
ROUNDS = 5
Place = tuple[float, float]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def game_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_game(tmp_path_factory.mktemp("built") / "a game", Choice("base", PHOTOS, []), TEXTS)


@contextmanager
def opened(browser: Browser, index: Path, seed: str = "", **options: Any) -> Iterator[Page]:
    """The game, which must load nothing but what lies beside it and have nothing to complain of."""
    context = browser.new_context(offline=True, **options)
    page = context.new_page()
    requests, complaints = [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    try:
        page.goto(index.as_uri() + (f"#{seed}" if seed else ""))
        yield page
        assert complaints == []
        assert all(url.startswith(index.parent.as_uri() + "/") for url in requests)
    finally:
        context.close()


def photo_shown(page: Page) -> GamePhoto:
    """The photo that the page shows now, by the name of its picture, once it is drawn."""
    wait_until(lambda: page.evaluate("document.getElementById('picture').naturalWidth") == 80, 10)
    found = re.search(r"photos/(\d+)\.jpg$", page.locator("#picture").get_attribute("src") or "")
    assert found
    return PHOTOS[int(found[1])]


def box_of(page: Page, selector: str) -> dict[str, float]:
    box = page.locator(selector).bounding_box()
    assert box is not None
    return dict(box)


def place_at(page: Page, x: float, y: float) -> tuple[Place, float]:
    """The place under a point of the screen by Mercator's formulas, and the degrees of longitude of a pixel."""
    latitude, longitude, zoom = page.evaluate(
        "(({ lat, lng }) => [lat, lng, game.world.map.getZoom()])(game.world.map.getCenter())"
    )
    left, top, width, height = page.evaluate(
        "(({ left, top }, { x, y }, border) => [left + border, top, x, y])(document.getElementById('map')"
        ".getBoundingClientRect(), game.world.map.getSize(), document.getElementById('map').clientLeft)"
    )
    scale = 256 * 2**zoom / (2 * math.pi)
    middle = math.asinh(math.tan(math.radians(latitude)))
    north = middle - (y - top - height / 2) / scale
    east = longitude + math.degrees((x - left - width / 2) / scale)
    return (math.degrees(math.atan(math.sinh(north))), (east + 180) % 360 - 180), math.degrees(1 / scale)


def guessed(page: Page) -> Place:
    """Where the page takes the last guess to be."""
    latitude, longitude = page.evaluate("game.results.at(-1).guess")
    return latitude, longitude


def expected_row(place: Place, photo: GamePhoto) -> tuple[str, int]:
    """Distance as text and points of an answer, by geopy and the rule as it is documented."""
    km = great_circle(place, (photo.true_latitude, photo.true_longitude), radius=6371.0).km
    text = f"{km * 1000:.0f} m" if km < 1 else f"{km:.1f} km" if km < 9.95 else f"{km:,.0f} km"
    return text, math.floor(5000 * math.exp(-km / 2000) + 0.5)


def number(page: Page, selector: str) -> int:
    return int(page.locator(selector).inner_text().replace(",", ""))


class Tally:
    """Both scores as they should be, and a check of everything that the page says after a guess."""

    def __init__(self) -> None:
        self.photos: list[GamePhoto] = []
        self.rows: list[tuple[tuple[str, int], tuple[str, int]]] = []

    def check_answer(self, page: Page, photo: GamePhoto) -> None:
        mine = expected_row(guessed(page), photo)
        models = expected_row((photo.latitude, photo.longitude), photo)
        self.photos.append(photo)
        self.rows.append((mine, models))
        for who, (distance, worth) in (("you", mine), ("model", models)):
            assert page.locator(f"#{who}-km").inner_text() == distance
            assert number(page, f"#{who}-points") == worth
        won = "A draw." if mine[1] == models[1] else f"{'You were' if mine[1] > models[1] else 'The model was'} closer."
        assert page.locator("#said h2").inner_text() == won
        facts = page.locator("#said .facts").inner_text()
        assert f"{abs(photo.true_latitude):.2f}° {'S' if photo.true_latitude < 0 else 'N'}" in facts
        assert photo.photo_id in facts
        assert photo.author in facts
        self.check_scores(page)
        assert page.locator("#round").inner_text() == f"{len(self.rows)}/5"

    def check_scores(self, page: Page) -> None:
        sums = self.sums()
        assert (number(page, "#your-score"), number(page, "#model-score")) == sums

    def sums(self) -> tuple[int, int]:
        return sum(mine[1] for mine, _ in self.rows), sum(models[1] for _, models in self.rows)

    def check_end(self, page: Page) -> None:
        mine, models = self.sums()
        head = "A draw" if mine == models else "You won" if mine > models else "The model won"
        assert page.locator("#said h2").inner_text() == f"{head}: {mine:,} to {models:,} of 25,000 points"
        rows = page.locator(".rounds tbody tr").all()
        assert len(rows) == len(self.rows) == ROUNDS
        for row, (mine_row, models_row) in zip(rows, self.rows, strict=True):
            cells = row.locator("td").all_inner_texts()
            assert [cell.split("\n") for cell in cells[2:]] == [[f"{w:,}", d] for d, w in (mine_row, models_row)]
        assert len({photo.photo_id for photo in self.photos}) == ROUNDS


def test_a_whole_game_by_mouse_has_the_right_scores(browser: Browser, game_page: Path) -> None:
    tally = Tally()
    with opened(browser, game_page, "mouse", **DESKTOP) as page:
        for k in range(ROUNDS):
            assert page.locator("#said h2").inner_text() == f"Round {k + 1} of 5"
            assert page.locator("#go").is_disabled()
            photo = photo_shown(page)
            box = box_of(page, "#map")
            for share in (0.9, 0.15 + 0.17 * k):  # the second click moves the cross-hair
                x, y = round(box["x"] + share * box["width"]), round(box["y"] + (0.3 + 0.08 * k) * box["height"])
                page.mouse.click(x, y)
            expected, degrees = place_at(page, x, y)
            page.locator("#go").click()
            assert guessed(page) == pytest.approx(expected, abs=1.5 * degrees)
            tally.check_answer(page, photo)
            page.mouse.click(x, y)  # nothing is guessed any more
            tally.check_scores(page)
            page.locator("#go").click()
        tally.check_end(page)
        assert page.locator("#go").inner_text() == "New game"


def test_a_whole_game_by_keys_alone_has_the_right_scores(browser: Browser, game_page: Path) -> None:
    tally = Tally()
    with opened(browser, game_page, "keys", **DESKTOP) as page:
        for k in range(ROUNDS):
            photo = photo_shown(page)
            page.keyboard.press("Enter")  # there is no cross-hair yet
            assert page.locator("#said h2").inner_text() == f"Round {k + 1} of 5"
            box = box_of(page, "#map")
            x, y = box["x"] + (box["width"] + 1) / 2, box["y"] + box["height"] / 2
            for key, dx, dy in (("Shift+ArrowRight", 48, 0), ("ArrowUp", 0, -8), ("ArrowLeft", -8, 0)):
                for _ in range(k + 1):
                    page.keyboard.press(key)
                    x, y = x + dx, y + dy
            expected, degrees = place_at(page, x, y)
            said = re.findall(r"([\d.]+)° ([NSEW])", page.locator("#place").inner_text())
            told = [float(value) * (-1 if side in "SW" else 1) for value, side in said]
            assert told == pytest.approx(expected, abs=1.5 * degrees + 0.06)
            page.keyboard.press("+")
            page.keyboard.press("-")
            page.keyboard.press("Enter")
            assert guessed(page) == pytest.approx(expected, abs=1.5 * degrees)
            tally.check_answer(page, photo)
            page.keyboard.press("Enter")
        tally.check_end(page)
        page.keyboard.press("Enter")
        assert page.locator("#said h2").inner_text() == "Round 1 of 5"
        assert page.locator("#your-score").inner_text() == "0"


def test_a_whole_game_by_touch_fits_a_phone(browser: Browser, game_page: Path) -> None:
    tally = Tally()
    with opened(browser, game_page, "touch", **PHONE) as page:
        for k in range(ROUNDS):
            photo = photo_shown(page)
            box = box_of(page, "#map")
            x, y = round(box["x"] + (0.2 + 0.12 * k) * box["width"]), round(box["y"] + 0.4 * box["height"])
            page.touchscreen.tap(x, y)
            expected, degrees = place_at(page, x, y)
            for part in ("h1", "#picture", "#map", "#said", "#go"):
                assert_on_screen(page, part)
            tap(page, "#go")
            assert guessed(page) == pytest.approx(expected, abs=1.5 * degrees)
            tally.check_answer(page, photo)
            for part in ("#picture", "#map", "#you-km", "#model-points", ".facts", "#go"):
                assert_on_screen(page, part)
            page.wait_for_timeout(600)  # a tap that follows at once counts as the second of a double tap
            tap(page, "#go")
        tally.check_end(page)
        for part in ("#map", ".rounds tfoot", "#go", "#again"):
            assert_on_screen(page, part)
        assert page.evaluate("[document.documentElement.scrollWidth, document.documentElement.scrollHeight]") == [
            390,
            800,
        ]


def tap(page: Page, selector: str) -> None:
    box = box_of(page, selector)
    page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)


def assert_on_screen(page: Page, selector: str) -> None:
    box, size = box_of(page, selector), page.viewport_size
    assert size is not None
    assert box["x"] >= 0
    assert box["y"] >= 0
    assert box["x"] + box["width"] <= size["width"]
    assert box["y"] + box["height"] <= size["height"]


def play(page: Page) -> list[str]:
    """Play a game to its end; the ids of its photos in order."""
    names = []
    for _ in range(ROUNDS):
        names.append(photo_shown(page).photo_id)
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Enter")
        page.keyboard.press("Enter")
    return names


def test_the_address_decides_the_photos_and_a_new_game_has_others(browser: Browser, game_page: Path) -> None:
    with opened(browser, game_page, **DESKTOP) as page:
        address = page.evaluate("location.hash")
        assert re.fullmatch(r"#[a-z0-9]{1,6}", address)
        first = play(page)
        page.locator("#again").click()
        assert play(page) == first
        page.locator("#go").click()
        assert page.evaluate("location.hash") != address
        second = play(page)
        assert not set(first) & set(second)
        page.evaluate("(address) => { location.hash = address }", address)
        wait_until(lambda: page.locator("#said h2").inner_text() == "Round 1 of 5", 10)
        assert play(page) == first
    with opened(browser, game_page, address[1:], **PHONE) as page:
        assert play(page) == first


def test_seeds_draw_different_photos_each_once_and_every_photo_now_and_then(browser: Browser, game_page: Path) -> None:
    with opened(browser, game_page, **DESKTOP) as page:
        draws = page.evaluate("Array.from({ length: 500 }, (_, k) => drawn(`seed ${k}`, 5, 25))")
        assert page.evaluate("drawn('any', 5, 5).sort()") == [0, 1, 2, 3, 4]
    assert all(len(set(draw)) == 5 for draw in draws)
    assert len({tuple(draw) for draw in draws}) > 490
    counts = np.bincount(np.concatenate(draws), minlength=25)  # expected 100, with a standard deviation of 9
    assert (counts.min() > 60) & (counts.max() < 140)


def test_distances_of_the_page_are_those_of_the_benchmarks(browser: Browser, game_page: Path) -> None:
    rng = np.random.default_rng(0)
    pairs = rng.uniform([-90, -180, -90, -180], [90, 180, 90, 180], (2000, 4))
    pairs[:200, 2:] = pairs[:200, :2] + rng.normal(0, 1e-5, (200, 2))
    pairs[200:300, 2:] = -pairs[200:300, :2] + [0, 180]
    pairs[300:304] = [[90, 0, -90, 0], [0, 180, 0, -180], [0, 0, 0, 0], [10, 179.9, 10, -179.9]]
    with opened(browser, game_page, **DESKTOP) as page:
        found = page.evaluate("(pairs) => pairs.map((p) => greatCircleKm(p.slice(0, 2), p.slice(2)))", pairs.tolist())
    assert np.abs(np.array(found) - great_circle_km(*pairs.T)).max() < 1e-8


def test_ways_follow_the_great_circle_and_go_on_over_the_antimeridian(browser: Browser, game_page: Path) -> None:
    rng = np.random.default_rng(1)
    pairs = rng.uniform([-85, -180, -85, -180], [85, 180, 85, 180], (300, 4))
    pairs[0] = [-17.7, 178.1, -13.8, -171.8]
    with opened(browser, game_page, **DESKTOP) as page:
        paths = page.evaluate("(pairs) => pairs.map((p) => greatCirclePath(p.slice(0, 2), p.slice(2)))", pairs.tolist())
        assert page.evaluate("greatCirclePath([10, 20], [10, 20])") == [[10, 20], [10, 20]]
        assert page.evaluate("greatCirclePath([90, 0], [-90, 0])") == [[90, 0], [-90, 0]]
    for pair, path in zip(pairs, paths, strict=True):
        latitudes, longitudes = np.array(path).T
        whole = great_circle_km(*pair)
        through = great_circle_km(*pair[:2], latitudes, longitudes) + great_circle_km(latitudes, longitudes, *pair[2:])
        assert np.abs(through - whole).max() < 1e-6
        assert great_circle_km(latitudes[:-1], longitudes[:-1], latitudes[1:], longitudes[1:]).max() < 112
        assert np.abs(np.diff(longitudes)).max() <= 180
        assert (latitudes[0], longitudes[0]) == pytest.approx(pair[:2], abs=1e-9)
        assert (longitudes[-1] - pair[3] + 180) % 360 - 180 == pytest.approx(0, abs=1e-9)
    assert np.array(paths[0])[:, 1] == pytest.approx(np.linspace(178.1, 188.2, len(paths[0])), abs=0.5)


def test_an_answer_beyond_the_antimeridian_is_shown_from_near(browser: Browser, game_page: Path) -> None:
    with opened(browser, game_page, seed_with(browser, game_page, PHOTOS[0]), **DESKTOP) as page:
        assert photo_shown(page) == PHOTOS[0]
        page.evaluate("game.setCross([-18, -175])")  # the truth is at 178 E, the model's answer at 172 W
        page.keyboard.press("Enter")
        page.wait_for_timeout(500)
        west, east = page.evaluate("(({ _southWest: a, _northEast: b }) => [a.lng, b.lng])(game.world.map.getBounds())")
        assert east - west < 60
        box = box_of(page, "#map")
        for kind in ("you", "model", "truth"):
            pins = [pin.bounding_box() for pin in page.locator(f".pin.{kind}").all()]
            inside = [pin for pin in pins if pin and box["x"] < pin["x"] < box["x"] + box["width"] - pin["width"]]
            assert len(inside) == 1
        assert [line.is_visible() for line in page.locator("path.way").all()].count(True) >= 2


def seed_with(browser: Browser, index: Path, photo: GamePhoto) -> str:
    """A seed whose game begins with a photo."""
    with opened(browser, index) as page:
        wanted = f"photos/{PHOTOS.index(photo):05d}.jpg"
        return str(
            page.evaluate(
                "(file) => Array.from({ length: 999 }, (_, k) => `s${k}`)"
                ".find((seed) => game.data.photos[drawn(seed, 5, 25)[0]].file === file)",
                wanted,
            )
        )


CROSSES_IN_VIEW = """() => {
  const map = document.getElementById("map").getBoundingClientRect();
  const middle = ({ left, width }) => left + width / 2;
  const all = [...document.querySelectorAll(".pin.you")].map((pin) => middle(pin.getBoundingClientRect()));
  return all.filter((x) => x > map.left && x < map.right).length;
}"""


def test_the_cross_hair_of_the_keyboard_goes_around_the_world(browser: Browser, game_page: Path) -> None:
    with opened(browser, game_page, **DESKTOP) as page:
        seen = []
        for _ in range(25):
            page.keyboard.press("Shift+ArrowRight")
            seen.append(page.evaluate("game.cross[1]"))
            assert page.evaluate(CROSSES_IN_VIEW) >= 1
        assert -180 <= min(seen) < max(seen) <= 180
        assert sum(after < before for before, after in pairwise(seen)) >= 1  # over the antimeridian
        for key, limit in (("Shift+ArrowUp", 85.05), ("Shift+ArrowDown", -85.05)):
            for _ in range(22):
                page.keyboard.press(key)
            assert page.evaluate("game.cross[0]") == pytest.approx(limit, abs=0.1)


def test_the_second_click_of_a_double_click_does_not_pass_over_the_answer(browser: Browser, game_page: Path) -> None:
    with opened(browser, game_page, **DESKTOP) as page:
        page.keyboard.press("ArrowLeft")
        page.locator("#go").dblclick()
        assert page.locator("#you-km").is_visible()


def test_rules_credits_and_responsible_use_are_one_click_away(browser: Browser, game_page: Path) -> None:
    with opened(browser, game_page, **PHONE) as page:
        tap(page, "#about-open")
        text = page.locator("#about").inner_text()
        for words in (
            "distance / 2,000 km)",
            "Responsible use",
            "Natural Earth",
            "rights stay with their authors",
        ):
            assert words in text
        page.keyboard.press("ArrowRight")
        assert page.evaluate("game.cross") is None  # keys do not play behind the dialog
        page.keyboard.press("Escape")
        assert not page.locator("#about").is_visible()


def test_a_screen_reader_is_told_what_there_is(browser: Browser, game_page: Path) -> None:
    with opened(browser, game_page, **DESKTOP) as page:
        assert page.get_by_role("img", name="The photo of round 1").count() == 1
        assert page.get_by_role("application", name="World map. Arrow keys move the cross-hair").count() == 1
        page.keyboard.press("ArrowRight")
        assert page.locator("#place[aria-live=polite]").inner_text().startswith("Cross-hair at ")
        page.get_by_role("button", name="Guess").press("Enter")
        assert page.locator("#said[aria-live=polite]").get_by_role("table").count() == 1
        assert page.get_by_role("button", name="Next photo").evaluate("(each) => each === document.activeElement")


@pytest.mark.parametrize(("theme", "colour"), [("light", "rgb(247, 247, 245)"), ("dark", "rgb(18, 22, 28)")])
def test_it_follows_the_theme(browser: Browser, game_page: Path, theme: Any, colour: str) -> None:
    with opened(browser, game_page, **DESKTOP, color_scheme=theme) as page:
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == colour


def test_a_picture_that_was_not_copied_is_named(browser: Browser, tmp_path: Path) -> None:
    index = write_game(tmp_path / "game", Choice("base", PHOTOS[:5], []), TEXTS)
    for picture in (index.parent / "photos").iterdir():
        picture.unlink()
    context = browser.new_context(offline=True)
    page = context.new_page()
    page.goto(index.as_uri())
    page.locator("#missing").wait_for(state="visible")
    assert re.fullmatch(
        r"The picture photos/0000\d\.jpg does not lie beside this page: copy the whole folder\.",
        page.locator("#missing").inner_text(),
    )
    context.close()


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Tests print nothing."""


def test_any_web_server_can_host_it(browser: Browser, game_page: Path) -> None:
    handler = functools.partial(QuietHandler, directory=str(game_page.parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page = browser.new_page()
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(f"http://127.0.0.1:{server.server_port}/")
        play(page)
        assert page.locator(".rounds tbody tr").count() == ROUNDS
        page.close()
        server.shutdown()
    assert complaints == []
