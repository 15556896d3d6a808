"""What the pages with a map of the world share: packed numbers, the land, the security policy, and the file itself.

Here lives the making of one HTML file from a template, its styles and its scripts; the map's own are world_map.css,
world_map.js and Leaflet (vendored/). Not here: what a page shows (cell_page.py, game_page.py). The one idea: a page
is forbidden, by its own policy, to run or to load anything but what it was made with.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from geo_pipeline.evaluation.land import fine_land_rings
from geo_pipeline.evaluation.vendored import leaflet_licence, leaflet_script, leaflet_style

_LAND_UNITS_PER_DEGREE = 100  # a kilometre, finer than the outlines themselves
_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Shapes:
    """Rings for the page: numbers in base64, little-endian, two of `bits` bits for each point, sizes of 16 bits."""

    units_per_degree: int
    bits: int
    points: str
    sizes: str


@cache
def land_shapes() -> Shapes:
    """The land at 1:50 million."""
    rings = [np.round(ring * _LAND_UNITS_PER_DEGREE) for ring in fine_land_rings()]
    sizes = np.array([len(ring) for ring in rings])
    return Shapes(_LAND_UNITS_PER_DEGREE, 16, packed(np.concatenate(rings), "<i2"), packed(sizes, "<u2"))


def packed(values: npt.NDArray[Any], kind: str) -> str:
    """The values as base64 of numbers of a kind, in row order."""
    return base64.b64encode(values.astype(kind).tobytes()).decode()


def render_map_page(template: str, style: str, script: str, *, image_sources: str = "", **values: object) -> str:
    """A page as HTML.

    template: a file of this folder; style, script: names of files here, which follow the map's own; image_sources:
    where pictures may be loaded from, as a content security policy says it (nowhere, if empty). `values` go to the
    template, together with `styles`, `scripts`, `policy` and `leaflet_licence`; text is escaped there.
    """
    styles = [Markup(text) for text in (leaflet_style(), _text("world_map.css"), _text(style))]  # noqa: S704 (our files)
    scripts = [Markup(text) for text in (leaflet_script(), _text("world_map.js"), _text(script))]  # noqa: S704
    return _template(template).render(
        **values,
        styles=styles,
        scripts=scripts,
        policy=_policy(styles, scripts, image_sources),
        leaflet_licence=leaflet_licence(),
    )


def _text(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def _policy(styles: Iterable[str], scripts: Iterable[str], image_sources: str) -> str:
    """The content security policy that lets these styles and scripts run and nothing else happen."""
    images = f"img-src {image_sources}; " if image_sources else ""
    return (
        f"default-src 'none'; {images}style-src {_sources(styles)}; script-src {_sources(scripts)}; "
        "base-uri 'none'; form-action 'none'"
    )


def _sources(texts: Iterable[str]) -> str:
    digests = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in texts)
    return " ".join(f"'sha256-{digest}'" for digest in digests)


@cache
def _template(name: str) -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)
