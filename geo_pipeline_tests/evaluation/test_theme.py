from xml.etree import ElementTree as ET

import pytest
from matplotlib.figure import Figure

from geo_pipeline.evaluation.theme import ACCENT, INK, STEPS, png, styled, svg


@pytest.fixture
def figure() -> Figure:
    with styled():
        made = Figure(figsize=(3, 2))
        axes = made.add_subplot()
        axes.plot([0, 1], [0, 1], color=ACCENT, label="a & b")
        axes.plot([0, 1], [1, 0], color=STEPS[0], marker="o")
        axes.legend(labelcolor=INK)
    return made


def test_an_svg_takes_its_colours_and_its_font_from_the_page(figure: Figure) -> None:
    text = svg(figure, "two lines")
    for variable in ("--accent", "--step-1", "--ink", "--muted", "--sans"):
        assert f"var({variable}, " in text
    assert "DejaVu" not in text
    assert text.count(ACCENT) == text.count(f"var(--accent, {ACCENT})")


def test_an_svg_is_one_element_that_scales_and_says_what_it_shows(figure: Figure) -> None:
    root = ET.fromstring(svg(figure, 'a "b" & <c>'))  # noqa: S314 (our own output)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert root.get("aria-label") == 'a "b" & <c>'
    assert root.get("role") == "img"
    assert root.get("viewBox")
    assert root.get("width") is None


def test_ids_do_not_repeat_between_the_figures_of_a_page(figure: Figure) -> None:
    def ids(text: str) -> set[str]:
        return {element.get("id", "") for element in ET.fromstring(text).iter()} - {""}  # noqa: S314 (our own output)

    assert not ids(svg(figure, "one")) & ids(svg(figure, "two"))


def test_equal_figures_give_equal_files(figure: Figure) -> None:
    assert svg(figure, "x") == svg(figure, "x")
    assert png(figure) == png(figure)
    assert png(figure).startswith(b"\x89PNG")
