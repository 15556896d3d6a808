"""World maps as figures: the cells, and the errors.

Here lives what is drawn on a map of degrees (plate carrée). Not here: files (theme.py), curves (charts.py). The one
idea: the land is drawn as shapes in the theme's colours, thousands of marks over it as one transparent picture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import PathPatch
from matplotlib.path import Path

from geo_pipeline.cells.geometry import cell_outlines, drawable_cells
from geo_pipeline.cells.leaf import unit_vectors
from geo_pipeline.cells.table import cell_ids_of
from geo_pipeline.evaluation.land import land_rings
from geo_pipeline.evaluation.theme import LAND, MARK, MUTED, NEAR_TO_FAR, styled

BANDS_KM = (25, 200, 750, 2500)
"""Where the colours of an error change."""

_WIDTH, _SOUTH, _NORTH = 9.0, -60.0, 85.0  # inches; Antarctica has no photos and would take a fifth of the map
_LEAST_OPACITY = 0.18

MAP_SHAPE = 360 / (_NORTH - _SOUTH)
"""Width of a map by its height."""


def band_names() -> list[str]:
    """What the colours of an error mean, near to far."""
    between = [f"{low} to {high} km" for low, high in pairwise(BANDS_KM)]
    return [f"within {BANDS_KM[0]} km", *between, f"beyond {BANDS_KM[-1]} km"]


def error_bands(distances_km: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """The index of the band of each error."""
    return np.searchsorted(BANDS_KM, distances_km, side="left")


def cells_figure(cells: Mapping[str, pa.Table], *, titled: bool = True) -> Figure:
    """A map for each partitioning, one below the other; the more photos in a cell, the more opaque it is."""
    with styled():
        figure, all_axes = _world(len(cells), titled=titled)
        for axes, (name, table) in zip(all_axes, cells.items(), strict=True):
            axes.add_collection(_cell_polygons(table))
            if titled:
                photos = table["imgs_per_cell"].to_numpy()
                title = f"{name}: {table.num_rows:,} cells, {photos.min():,} to {photos.max():,} photos each"
                axes.set_title(title, y=1.0)  # left to itself it would give way to the strip
                _legend_of_opacity(axes, int(photos.min()), int(photos.max()))
    return figure


def error_figure(predictions: pa.Table, *, titled: bool = True) -> Figure:
    """Each photo of the predictions: a dot at the true place, a line along the great circle to the answer.

    predictions: `true_latitude, true_longitude, latitude, longitude, distance_km`, one row for each photo.
    """
    true_lat, true_lng, lat, lng, distances = (
        predictions[name].to_numpy()
        for name in ("true_latitude", "true_longitude", "latitude", "longitude", "distance_km")
    )
    far_first = np.argsort(-distances)
    bands = error_bands(distances)
    with styled():
        figure, (axes,) = _world(1, titled=titled)
        opacity = np.clip(300 / max(len(distances), 1), 0.2, 0.6)
        drawn = far_first[distances[far_first] > BANDS_KM[0]]  # a shorter line is hidden under its dot
        lines, owners = _arcs(*(values[drawn] for values in (true_lat, true_lng, lat, lng)))
        line_colours = [(*to_rgb(NEAR_TO_FAR[band]), opacity) for band in bands[drawn][owners]]
        axes.add_collection(LineCollection(lines, colors=line_colours, linewidths=0.7, rasterized=True))
        dot_colours = [NEAR_TO_FAR[band] for band in bands[far_first]]
        axes.scatter(
            true_lng[far_first], true_lat[far_first], s=5, c=dot_colours, linewidths=0, rasterized=True, zorder=3
        )
        if titled:
            _legend_of_bands(axes, bands)
    return figure


def _world(num_maps: int, *, titled: bool) -> tuple[Figure, Sequence[Axes]]:
    """A figure of empty maps with the land on them."""
    height = _WIDTH * (_NORTH - _SOUTH) / 360
    gap = 0.42 if titled else 0.0
    total = num_maps * (height + gap)
    figure = Figure(figsize=(_WIDTH, total))
    maps = []
    for k in range(num_maps):
        bottom = total - (k + 1) * (height + gap)
        maps.append(land_axes(figure, (0, bottom / total, 1, height / total)))
    return figure, maps


def land_axes(figure: Figure, place: tuple[float, float, float, float]) -> Axes:
    """An empty map with the land on it; place: left, bottom, width, height as shares of the figure.

    It shows degrees as they are where the place is `MAP_SHAPE` times as wide as high.
    """
    axes = figure.add_axes(place, xlim=(-180, 180), ylim=(_SOUTH, _NORTH))
    axes.set_axis_off()
    axes.add_patch(PathPatch(_land(), facecolor=LAND, edgecolor="none", zorder=0))
    return axes


def _land() -> Path:
    """All rings as one path, so that lakes are holes."""
    return Path.make_compound_path(*(Path(np.vstack([ring, ring[:1]]), closed=True) for ring in land_rings()))


def _cell_polygons(cells: pa.Table) -> PolyCollection:
    """The outlines of the cells, their opacity by the logarithm of the number of photos."""
    drawn, owners = drawable_cells(cell_ids_of(cells))
    latitudes, longitudes = (part.reshape(len(drawn), -1) for part in cell_outlines(drawn))
    photos = np.log(cells["imgs_per_cell"].to_numpy()[owners].clip(1))
    share = (photos - photos.min()) / max(float(np.ptp(photos)), 1e-9)
    colours = np.column_stack([np.tile(to_rgb(MARK), (len(drawn), 1)), _LEAST_OPACITY + (1 - _LEAST_OPACITY) * share])
    outlines = np.stack([longitudes, latitudes], axis=-1)
    return PolyCollection(
        list(outlines), facecolors=colours, edgecolors=(*to_rgb(MARK), 0.9), linewidths=0.25, rasterized=True
    )


def _legend_of_opacity(axes: Axes, least: int, most: int) -> None:
    """A strip above the map, from the colour of the fewest photos to that of the most."""
    strip = axes.inset_axes((0.72, 1.03, 0.14, 0.035))
    strip.set_axis_off()
    shades = np.empty((1, 64, 4))
    shades[..., :3], shades[..., 3] = to_rgb(MARK), np.linspace(_LEAST_OPACITY, 1, 64)
    strip.imshow(shades, aspect="auto", extent=(0, 1, 0, 1))
    style: dict[str, Any] = {"color": MUTED, "fontsize": 9, "va": "center", "transform": strip.transAxes}
    strip.text(-0.05, 0.5, f"{least:,}", ha="right", **style)
    strip.text(1.05, 0.5, f"{most:,} photos", ha="left", **style)


def _arcs(
    lat_a: npt.NDArray[np.float64],
    lng_a: npt.NDArray[np.float64],
    lat_b: npt.NDArray[np.float64],
    lng_b: npt.NDArray[np.float64],
) -> tuple[list[npt.NDArray[np.float64]], npt.NDArray[np.int64]]:
    """Great-circle arcs as lines of longitude, latitude, cut at the antimeridian; and the index of each line's pair."""
    a, b = (np.stack(unit_vectors(*pair), axis=-1) for pair in ((lat_a, lng_a), (lat_b, lng_b)))
    weight = np.linspace(0, 1, 33)[None, :, None]
    angle = np.arccos(np.clip((a * b).sum(axis=-1), -1, 1))[:, None, None]
    x, y, z = np.moveaxis(a[:, None] * np.sin((1 - weight) * angle) + b[:, None] * np.sin(weight * angle), -1, 0)
    points = np.degrees(np.stack([np.arctan2(y, x), np.arctan2(z, np.hypot(x, y))], axis=-1))
    lines, owners = [], []
    for k, line in enumerate(points):
        jumps = np.flatnonzero(np.abs(np.diff(line[:, 0])) > 180) + 1
        parts = np.split(line, jumps)
        lines += parts
        owners += [k] * len(parts)
    return lines, np.array(owners, dtype=np.int64)


def _legend_of_bands(axes: Axes, bands: npt.NDArray[np.int64]) -> None:
    """A line of dots above the map: the band and how many photos are in it."""
    counts = np.bincount(bands, minlength=len(NEAR_TO_FAR))
    handles = [
        Line2D([], [], marker="o", linestyle="", color=colour, markersize=5, label=f"{name}: {count:,}")
        for colour, name, count in zip(NEAR_TO_FAR, band_names(), counts, strict=True)
    ]
    axes.legend(
        handles=handles,
        loc="upper center",
        bbox_to_anchor=(0.5, 1.1),
        ncols=len(handles),
        frameon=False,
        labelcolor=MUTED,
        fontsize=9,
        handletextpad=0.1,
        columnspacing=1.4,
    )
