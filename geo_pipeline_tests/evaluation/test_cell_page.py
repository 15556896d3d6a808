"""The map of cells as a file: everything is in it, nothing is loaded, nothing foreign is taken for code."""

from __future__ import annotations

import base64
import hashlib
import re

import numpy as np
import pyarrow as pa
import pytest
from s2sphere import CellId

from geo_pipeline.cells.cell_id import face_ids
from geo_pipeline.cells.published import read_cells_csv
from geo_pipeline.cells.table import cell_ids_of, cells_table
from geo_pipeline.evaluation.cell_page import FEW_TO_MANY, render_cell_page
from geo_pipeline.evaluation.land import fine_land_rings
from geo_pipeline_tests.cells.oracle import PUBLISHED, real_data
from geo_pipeline_tests.cells.test_rings import assert_has_corners
from geo_pipeline_tests.evaluation.cell_page_data import ShownCells, page_data, shown_cells, shown_rings
from geo_pipeline_tests.evaluation.made_up import cells
from geo_pipeline_tests.evaluation.test_report import Outline

NASTY = '</script><script>alert(1)</script><img src=x onerror="alert(2)">'


@pytest.fixture(scope="module")
def page() -> str:
    return render_cell_page(cells(), "made up")


def assert_shows(shown: ShownCells, table: pa.Table) -> None:
    """Every cell of the table is there with all that the table says of it."""
    assert shown.tokens == table["hex_id"].to_pylist()
    assert shown.levels.tolist() == [CellId.from_token(token).level() for token in shown.tokens]
    assert shown.labels.tolist() == table["class_label"].to_pylist()
    assert shown.photos.tolist() == table["imgs_per_cell"].to_pylist()
    means = np.stack([table["longitude_mean"].to_numpy(), table["latitude_mean"].to_numpy()], axis=-1)
    assert np.abs(shown.means - means).max() <= 0.51e-7
    assert sorted(shown.rings) == list(range(table.num_rows))


def test_every_cell_is_in_the_page_with_its_token_numbers_and_outline(page: str) -> None:
    shown = shown_cells(page)
    assert [each.name for each in shown] == list(cells())
    for each, table in zip(shown, cells().values(), strict=True):
        assert_shows(each, table)
        for cell, cell_id in enumerate(cell_ids_of(table)):
            (ring,) = each.rings[cell]
            assert_has_corners(ring, cell_id)


def test_the_published_partitionings_fit_into_a_few_megabytes() -> None:
    tables = {name: read_cells_csv(real_data(f"{name}.csv")) for name in PUBLISHED}
    page = render_cell_page(tables, "published")
    for shown, table in zip(shown_cells(page), tables.values(), strict=True):
        assert_shows(shown, table)
    assert len(page) < 4_000_000


def test_whole_faces_large_labels_and_many_photos_are_shown() -> None:
    table = cells_table(face_ids(), range(6), [0, 1, 2, 3, 4, 4_000_000_000], [90.0] * 6, [-180.0, 180.0, 0, 1, 2, 3])
    (shown,) = shown_cells(render_cell_page({"faces": table}, "six"))
    assert shown.photos[-1] == 4_000_000_000
    assert shown.means[:2, 0].tolist() == [-180, 180]
    assert [len(shown.rings[cell]) for cell in range(6)] == [4] * 6


def test_the_title_says_how_many_cells_and_photos_the_first_partitioning_has(page: str) -> None:
    coarse = cells()["coarse"]
    expected = f"{coarse.num_rows:,} cells, {sum(coarse['imgs_per_cell'].to_pylist()):,} photos"
    assert f"<title>made up: {expected}</title>" in page
    assert f">{expected}</h1>" in page


def test_names_and_titles_are_never_taken_for_markup() -> None:
    outline = Outline(page := render_cell_page({NASTY: cells()["coarse"]}, NASTY))
    assert outline.open == []
    assert outline.loaded == []
    assert "<script>alert" not in page
    assert "<img" not in page.partition("<header>")[2].partition("<!-- The first script")[0]
    assert page_data(page)["partitionings"][0]["name"] == NASTY


def test_the_policy_lets_only_the_scripts_and_styles_of_the_page_run(page: str) -> None:
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="(.*?)"', page)
    directives = dict(part.strip().split(" ", 1) for part in policy.replace("&#39;", "'").split(";"))
    scripts = re.findall(r"<script>(.*?)</script>", page, flags=re.DOTALL)
    styles = re.findall(r"<style>(.*?)</style>", page, flags=re.DOTALL)
    assert len(scripts) == len(styles) == 3
    assert directives == {
        "default-src": "'none'",
        "script-src": " ".join(source(text) for text in scripts),
        "style-src": " ".join(source(text) for text in styles),
        "base-uri": "'none'",
        "form-action": "'none'",
    }


def source(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def test_nothing_in_the_page_names_something_to_load(page: str) -> None:
    outline = Outline(page)
    assert outline.loaded == []
    assert outline.open == []
    assert not re.search(r"@import|sourceMappingURL|url\(\s*['\"]?https?:", page)


def test_the_licence_of_the_map_library_goes_with_it(page: str) -> None:
    assert "Redistributions in binary form must reproduce the above copyright" in page


def test_the_land_of_the_page_is_that_of_natural_earth(page: str) -> None:
    shown = shown_rings(page_data(page)["land"])
    assert len(shown) == len(fine_land_rings())
    for ring, land in zip(shown, fine_land_rings(), strict=True):
        assert np.abs(ring - land).max() <= 0.0051


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_lightness_of_the_colours_runs_one_way(theme: str) -> None:
    lightness = np.array([relative_luminance(colour) for colour in FEW_TO_MANY[theme]])
    steps = np.diff(np.cbrt(lightness)) * (1 if theme == "dark" else -1)  # the eye's lightness goes by the cube root
    assert steps.min() > 0.05


def relative_luminance(colour: str) -> float:
    """Of sRGB (WCAG 2)."""
    shares = np.array([int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)])
    linear = np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def test_the_same_tables_give_the_same_page(page: str) -> None:
    assert render_cell_page(cells(), "made up") == page
