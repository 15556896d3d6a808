"""The map of cells: one HTML file in which a person can look at every cell of some partitionings.

Here lives what goes into the page: its data as packed numbers, its colours, its security policy. How it looks is in
cells.html.jinja and cells.css, what it does in cells.js, the map itself is Leaflet (vendored/). Not here: reading
tables. The one idea: the page is a pure function of the tables and is forbidden, by its own policy, to load anything.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import jinja2
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from markupsafe import Markup

from geo_pipeline.cells.cell_id import levels
from geo_pipeline.cells.rings import UNITS_PER_DEGREE, cell_rings
from geo_pipeline.cells.table import cell_ids_of
from geo_pipeline.evaluation.land import fine_land_rings
from geo_pipeline.evaluation.vendored import leaflet_licence, leaflet_script, leaflet_style

FEW_TO_MANY: Final = {
    "light": ("#f0dc82", "#a9d18e", "#59b59b", "#2b8ea6", "#29629f", "#27306f"),
    "dark": ("#3a56a0", "#2f80ab", "#3fa89f", "#80ca8b", "#c8e282", "#fdf3b0"),
}
"""Colours of photos per cell for either theme. Their lightness runs one way, so who sees no hues reads them as well."""

_TEMPLATE = "cells.html.jinja"
_LAND_UNITS_PER_DEGREE = 100  # a kilometre, finer than the outlines themselves
_HERE = Path(__file__).parent


@dataclass(frozen=True)
class _Shapes:
    """Rings for the page: numbers in base64, little-endian, two of `bits` bits for each point, sizes of 16 bits."""

    units_per_degree: int
    bits: int
    points: str
    sizes: str


@dataclass(frozen=True)
class _Partitioning:
    """A table of cells for the page; columns in base64: labels, photos, means (in `mean_units_per_degree`), levels.

    owners: for each ring of the shapes the row of its cell.
    """

    name: str
    num_cells: int
    num_photos: int
    tokens: str
    levels: str
    labels: str
    photos: str
    means: str
    mean_units_per_degree: int
    shapes: _Shapes
    owners: str


def render_cell_page(cells: Mapping[str, pa.Table], title: str) -> str:
    """The page as HTML: self-contained, light and dark, for mouse, touch and keyboard.

    cells: tables of cells by the name to show (at least one table, none empty); the first one is shown first.
    """
    partitionings = [_partitioning(name, table) for name, table in cells.items()]
    photos = np.concatenate([table["imgs_per_cell"].to_numpy() for table in cells.values()])
    data = {
        "colours": FEW_TO_MANY,
        "fewest": int(photos.min()),
        "most": int(photos.max()),
        "land": asdict(_land()),
        "partitionings": [asdict(each) for each in partitionings],
    }
    styles, scripts = ([Markup(text) for text in texts] for texts in (_styles(), _scripts()))  # noqa: S704 (our files)
    return _template().render(
        title=title,
        partitionings=partitionings,
        data=data,
        styles=styles,
        scripts=scripts,
        policy=_policy(styles, scripts),
        leaflet_licence=leaflet_licence(),
    )


def _partitioning(name: str, table: pa.Table) -> _Partitioning:
    cell_ids = cell_ids_of(table)
    rings = cell_rings(cell_ids)
    means = np.stack([table["longitude_mean"].to_numpy(), table["latitude_mean"].to_numpy()], axis=-1)
    photos = table["imgs_per_cell"].to_numpy()
    return _Partitioning(
        name=name,
        num_cells=table.num_rows,
        num_photos=int(photos.sum()),
        tokens=" ".join(table["hex_id"].to_pylist()),
        levels=_packed(levels(cell_ids), "<u1"),
        labels=_packed(table["class_label"].to_numpy(), "<i4"),
        photos=_packed(photos, "<u4"),
        means=_packed(np.round(means * UNITS_PER_DEGREE), "<i4"),
        mean_units_per_degree=UNITS_PER_DEGREE,
        shapes=_Shapes(UNITS_PER_DEGREE, 32, _packed(rings.points, "<i4"), _packed(rings.sizes, "<u2")),
        owners=_packed(rings.owners, "<u4"),
    )


@cache
def _land() -> _Shapes:
    rings = [np.round(ring * _LAND_UNITS_PER_DEGREE) for ring in fine_land_rings()]
    sizes = np.array([len(ring) for ring in rings])
    return _Shapes(_LAND_UNITS_PER_DEGREE, 16, _packed(np.concatenate(rings), "<i2"), _packed(sizes, "<u2"))


def _packed(values: npt.NDArray[Any], kind: str) -> str:
    """The values as base64 of numbers of a kind, in row order."""
    return base64.b64encode(values.astype(kind).tobytes()).decode()


def _styles() -> list[str]:
    return [leaflet_style(), (_HERE / "cells.css").read_text(encoding="utf-8")]


def _scripts() -> list[str]:
    return [leaflet_script(), (_HERE / "cells.js").read_text(encoding="utf-8")]


def _policy(styles: Iterable[str], scripts: Iterable[str]) -> str:
    """The content security policy that lets these styles and scripts run and nothing else happen."""
    return (
        f"default-src 'none'; style-src {_sources(styles)}; script-src {_sources(scripts)}; "
        "base-uri 'none'; form-action 'none'"
    )


def _sources(texts: Iterable[str]) -> str:
    digests = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in texts)
    return " ".join(f"'sha256-{digest}'" for digest in digests)


@cache
def _template() -> jinja2.Template:
    """The page's template; text is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(_TEMPLATE)
