"""How figures look, and how they become files.

Here live the colours and the two ways out: a PNG on white for a Dagster page, and an SVG that takes its colours from
the page around it. The one idea: a figure is drawn once, in the colours of the light theme; in the SVG each of them
becomes a CSS variable with the same value to fall back on, so one picture fits light and dark.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from xml.sax.saxutils import escape

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

INK: Final = "#1d2530"
MUTED: Final = "#67717f"
RULE: Final = "#d9dde3"
LAND: Final = "#e6e4de"
SURFACE: Final = "#ffffff"
ACCENT: Final = "#d1480c"
STEPS: Final = ("#9fb4c9", "#5f88b0", "#2b5a8a")
"""For heads in order, coarse to fine: the finer the darker."""

_VARIABLES = {
    INK: "--ink",
    MUTED: "--muted",
    RULE: "--rule",
    LAND: "--land",
    SURFACE: "--surface",
    ACCENT: "--accent",
    **{colour: f"--step-{k}" for k, colour in enumerate(STEPS, start=1)},
}

# middle tones that stand out on light and on dark ground: what is drawn as pixels cannot follow the theme
MARK: Final = "#2f7fd6"
NEAR_TO_FAR: Final = ("#12908a", "#58a945", "#dba514", "#e86f1c", "#c92a5b")

_STYLE = {
    "font.family": ["DejaVu Sans"],
    "font.size": 11,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": RULE,
    "axes.linewidth": 1.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 12,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "grid.color": RULE,
    "svg.fonttype": "none",
}


@contextmanager
def styled() -> Iterator[None]:
    """Within this block figures are made in the style of the report."""
    with mpl.rc_context(_STYLE):  # type: ignore[arg-type]
        yield


def png(figure: Figure, dpi: int = 110) -> bytes:
    """The figure as PNG on white; equal figures give equal bytes."""
    with styled():
        stream = io.BytesIO()
        FigureCanvasAgg(figure)
        figure.savefig(stream, format="png", dpi=dpi, facecolor=SURFACE, metadata={"Software": None})
    return stream.getvalue()


def svg(figure: Figure, description: str, dpi: int = 200) -> str:
    """The figure as an `<svg>` element to stand inside a page: themed, scalable, with a text for who cannot see it.

    Artists marked `rasterized` become a transparent picture of `dpi` inside it.
    """
    with styled(), mpl.rc_context({"svg.hashsalt": hashlib.sha256(description.encode()).hexdigest()}):
        stream = io.StringIO()
        FigureCanvasSVG(figure)
        figure.savefig(stream, format="svg", dpi=dpi, transparent=True, metadata={"Date": None})
    return _themed(stream.getvalue(), description)


def _themed(document: str, description: str) -> str:
    """The `<svg>` element of a document, colours and font left to the page, its size to its container."""
    element = document[document.index("<svg") :]
    element = re.sub(r"<metadata>.*?</metadata>\s*", "", element, flags=re.DOTALL)
    element = re.sub(r' id="[A-Za-z0-9.]+_\d+"', "", element)  # names that every figure has; references have others
    for colour, variable in _VARIABLES.items():
        element = element.replace(colour, f"var({variable}, {colour})")
    element = re.sub(r"'DejaVu Sans'[^;\"]*", "var(--sans, sans-serif)", element)
    label = escape(description, {'"': "&quot;"})
    rest = re.sub(r' (?:width|height)="[^"]*"', "", element[: element.index(">")].removeprefix("<svg"))
    return f'<svg role="img" aria-label="{label}"{rest}' + element[element.index(">") :]
