import dataclasses
import os
import re
import shutil
import subprocess
import time
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from geo_pipeline.evaluation.accuracy import accuracy_table
from geo_pipeline.evaluation.report import kilometres, place, render_report
from geo_pipeline.evaluation.report_contents import CrawlOutcome, ReportContents
from geo_pipeline.evaluation.settings import EvaluationSettings
from geo_pipeline.evaluation.sheet import thumbnail
from geo_pipeline.evaluation.surroundings import surroundings
from geo_pipeline_tests.evaluation.made_up import cells, contents, jpeg, places, predictions, samples

_VOID = {"meta", "img", "br", "link", "input", "hr"}


class Outline(HTMLParser):
    """What a page holds: headings, texts of table rows, attributes that name something to load, unclosed elements."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.headings: list[str] = []
        self.rows: list[list[str]] = []
        self.loaded: list[str] = []
        self.open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.loaded += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "srcset")]
        if tag not in _VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag == "h2":
            self.headings.append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "h2":
            self.headings[-1] += data
        elif {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data


@pytest.fixture(scope="module")
def page() -> str:
    return render_report(contents())


def test_the_page_loads_nothing_from_anywhere(page: str) -> None:
    outline = Outline(page)
    assert outline.open == []
    assert {re.split("[:/,]", value)[0][0] for value in outline.loaded} == {"d", "#"}
    assert all(value.startswith(("data:image/", "#")) for value in outline.loaded)
    assert "<script" not in page
    assert "default-src 'none'" in page
    assert len(page) < 3_000_000


def test_the_page_leads_to_the_map_of_cells_where_there_is_one() -> None:
    led = Outline(render_report(dataclasses.replace(contents(30), cell_page="cells.html")))
    assert [value for value in led.loaded if not value.startswith(("data:", "#"))] == ["cells.html"]


def test_the_page_says_each_number_of_the_accuracy_table(page: str) -> None:
    rows = Outline(page).rows
    for head in ("coarse", "middle", "fine", "f*"):
        assert len([row for row in rows if row[0] == head]) == 2
    accuracy = contents().accuracy.to_pylist()
    (first,) = [row for row in rows if row[0] == "f*"][:1]
    expected = [row for row in accuracy if (row["benchmark"], row["p_key"]) == ("world_1k", "hierarchy")]
    assert [f"{r['accuracy_percent']:.1f}{r['ci_low']:.1f}\N{EN DASH}{r['ci_high']:.1f}" for r in expected] == first[1:]


def test_the_page_has_every_section_and_leaves_out_those_without_input(page: str) -> None:
    always = ["Accuracy", "How far off", "Where the errors are"]
    optional = [
        "Where it is good, and where not",
        "Photos",
        "Cells",
        "Training",
        "What was crawled, and what was lost",
        "Provenance",
    ]
    assert Outline(page).headings == always + optional
    full = contents()
    bare = ReportContents(title=full.title, accuracy=full.accuracy, predictions=full.predictions)
    assert Outline(render_report(bare)).headings == always


def test_the_page_says_how_good_the_answers_are_for_each_group_of_photos(page: str) -> None:
    rows = Outline(page).rows
    headers = [row for row in rows if row[0] == "group"]
    assert headers == [["group", "photos", "25 km", "200 km", "750 km", "median"]] * 6
    continents = [row for row in rows if row[0] in ("Africa", "Asia", "Europe", "North America", "Oceania")]
    assert len(continents) == 10
    scenes = [int(row[1]) for row in rows if row[0] in ("indoor", "natural", "urban")]
    assert sum(scenes) == 300 + 100


def test_the_page_tells_how_honest_the_confidence_is_where_every_answer_has_one() -> None:
    table = predictions("b", 200)
    hits = table["distance_km"].to_numpy() <= 200
    sure = table.append_column("confidence", [np.where(hits, 1.0, 0.0).astype(np.float32)])
    accuracy = accuracy_table(table, EvaluationSettings())
    pages = [render_report(ReportContents(title="t", accuracy=accuracy, predictions=each)) for each in (table, sure)]
    assert ["How sure it is" in Outline(page).headings for page in pages] == [False, True]
    assert "f* (error 0.0 %)" in pages[1]
    some = pa.array(np.ones(len(hits)), pa.float32(), mask=~hits)
    gaps = render_report(ReportContents("t", accuracy, table.append_column("confidence", some)))
    assert "How sure it is" not in Outline(gaps).headings


def test_the_page_tells_the_versions_behind_it(page: str) -> None:
    (row,) = [row for row in Outline(page).rows if row[0] == "geo_model"]
    assert row[1:] == ["3f0c9a5d2be14c77", "8f1e.77aa", "2030-01-02 03:04 UTC"]


def test_photos_stand_by_benchmark_and_by_why_they_were_chosen() -> None:
    table = predictions("b", 20)
    kinds = ["the nearest answers", "the farthest answers"]
    shown = [dataclasses.replace(each, kind=kind) for kind in kinds for each in samples(table, 3)]
    page = render_report(dataclasses.replace(contents(30), cells={}, samples=shown, titles={"b": "The B"}))
    places_of = [page.index(f"The B <small>{kind}</small>") for kind in kinds]
    assert places_of == sorted(places_of)
    assert page.count("<article") == 6


@pytest.mark.slow
def test_a_report_of_three_thousand_photos_is_made_in_half_a_minute_and_is_small() -> None:
    table, training = predictions("im2gps3k", 3000), places(1_000_000, seed=5)
    photo_ids = [f"im2gps3k-{k:05d}" for k in range(3000)]
    true_lat, true_lng = places(3000, 0)
    photos = pa.table({"photo_id": photo_ids, "latitude": true_lat, "longitude": true_lng})
    jpegs = [jpeg(k, (480, 320)) for k in range(24)]
    began = time.perf_counter()
    known = surroundings("im2gps3k", photos, pa.table(dict(zip(("latitude", "longitude"), training, strict=True))))
    shown = [
        dataclasses.replace(each, jpeg=thumbnail(picture))
        for each, picture in zip(samples(table, 24), jpegs, strict=True)
    ]
    page = render_report(
        dataclasses.replace(
            contents(30),
            accuracy=accuracy_table(table, EvaluationSettings()),
            predictions=table,
            surroundings=known,
            samples=shown,
        )
    )
    assert time.perf_counter() - began < 30
    assert len(page.encode()) < 10_000_000


def test_the_page_counts_what_was_downloaded_and_lost(page: str) -> None:
    (row,) = [row for row in Outline(page).rows if row[0] == "world_1k"]
    assert row[1:4] == ["1,000", "962", "96.2%"]
    assert row[4] == "not found 20placeholder 11redirect error 7"


def test_a_photo_set_of_which_nothing_was_downloaded_is_told() -> None:
    lost = dataclasses.replace(contents(30), cells={}, outcomes=[CrawlOutcome("gone_set", "timeout", 5)])
    (row,) = [row for row in Outline(render_report(lost)).rows if row[0] == "gone_set"]
    assert row[2:4] == ["0", "0.0%"]


def test_published_rows_stand_beside_ours_where_the_papers_know_the_benchmark() -> None:
    table = predictions("im2gps", 230)
    accuracy = accuracy_table(table, EvaluationSettings())
    named = ReportContents(title="t", accuracy=accuracy, predictions=table, titles={"im2gps": "Im2GPS"})
    page = render_report(named)
    assert "Beside the papers" in Outline(page).headings
    assert "230 of the papers' 237 photos were there" in page
    rows = Outline(page).rows
    (published,) = [row for row in rows if row[0] == "base(M, f*)"]
    assert published[1:] == ["14.8", "37.6", "48.9", "68.4", "78.9"]
    (ours,), (f_star,) = ([row for row in rows if row[0] == name] for name in ("ours: base, f*", "f*"))
    assert ours[1:] == f_star[1:]


def test_the_page_leads_to_the_game_where_one_was_built() -> None:
    led = Outline(render_report(dataclasses.replace(contents(30), game_page="game/index.html")))
    assert [value for value in led.loaded if not value.startswith(("data:", "#"))] == ["game/index.html"]


def test_text_from_outside_is_escaped() -> None:
    nasty = '<img src=x onerror="alert(1)">'
    table = predictions(nasty, 20)
    shown = [dataclasses.replace(sample, photo_id=nasty) for sample in samples(table, 2)]
    page = render_report(
        dataclasses.replace(
            contents(30),
            cells={nasty: cells()["coarse"]},
            title=nasty,
            description=nasty,
            accuracy=accuracy_table(table, EvaluationSettings()),
            predictions=table,
            samples=shown,
            outcomes=[CrawlOutcome(nasty, nasty, 1)],
            provenance={nasty: nasty},
        )
    )
    assert "<img src=x" not in page
    assert 'onerror="' not in page
    assert Outline(page).open == []


def test_two_models_of_one_benchmark_are_kept_apart() -> None:
    table = pa.concat_tables([predictions("b", 40), predictions("b", 40, seed=5, model="isn")])
    both = ReportContents(title="t", accuracy=accuracy_table(table, EvaluationSettings()), predictions=table)
    page = render_report(both)
    assert "b · base" in page
    assert "b · isn" in page
    assert page.count("World map of the errors of f* on b") == 1
    assert [row[0] for row in Outline(page).rows if row[0] in ("base", "isn")] == ["base", "isn"]


def test_other_radii_than_the_usual_are_shown() -> None:
    table = predictions("b", 40)
    accuracy = accuracy_table(table, EvaluationSettings(radii_km=(10, 500)))
    rows = Outline(render_report(ReportContents(title="t", accuracy=accuracy, predictions=table))).rows
    assert rows[0] == ["base", "10 km", "500 km"]


def test_the_same_inputs_give_the_same_page(page: str) -> None:
    assert render_report(contents()) == page


def test_places_and_distances_are_written_for_people() -> None:
    assert place(48.86, -2.35) == "48.9° N, 2.4° W"
    assert place(-0.04, 180.0) == "0.0° S, 180.0° E"
    assert [kilometres(x) for x in (0.0, 9.94, 12.4, 12_345.6)] == ["0.0 km", "9.9 km", "12 km", "12,346 km"]


@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_shows_the_page_without_scrolling_sideways(page: str, tmp_path: Path, width: int) -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium on this machine")
    (tmp_path / "report.html").write_text(page, encoding="utf-8")
    frame = tmp_path / "frame.html"  # reads the width of the page's content from outside, as the page has no script
    frame.write_text(
        f'<iframe id="f" src="report.html" style="width:{width}px;height:900px;border:0"></iframe>'
        '<script>document.getElementById("f").onload = e => document.title = '
        'e.target.contentDocument.documentElement.scrollWidth + " " + '
        'e.target.contentDocument.querySelectorAll("img").length</script>'
    )
    command = [chromium, "--headless", "--disable-gpu", "--disable-quic", "--no-first-run"]
    command += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    command += [
        "--allow-file-access-from-files",
        f"--user-data-dir={tmp_path / 'browser'}",
        "--dump-dom",
        frame.as_uri(),
    ]
    if os.geteuid() == 0:
        command.insert(1, "--no-sandbox")
    shown = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    found = re.search(r"<title>(\d+) (\d+)</title>", shown)
    assert found is not None
    assert int(found[1]) <= width
    assert int(found[2]) == 12
