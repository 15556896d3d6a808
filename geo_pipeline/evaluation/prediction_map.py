"""The picture of one prediction: the photo, the probability over cells on a world map, the answer.

Not here: the prediction (model room) and maps of many answers (maps.py). The one idea: probable places are dark and
large enough to be seen, however small their cells are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

from geo_pipeline.cells.cell_id import CellIds, parse_tokens
from geo_pipeline.cells.geometry import cell_centres, cell_outlines, drawable_cells
from geo_pipeline.evaluation.maps import MAP_SHAPE, land_axes
from geo_pipeline.evaluation.theme import ACCENT, INK, MARK, SURFACE, png, styled

_HEIGHT, _CAPTION, _GAP = 2.6, 0.34, 0.14  # inches
_LEAST_SHOWN = 1e-3
_INSET = (0.24, 0.46)  # of the map: its lower left corner is the Pacific
_DEGREES_AROUND = 8.0
_DPI = 100


@dataclass(frozen=True)
class Belief:
    """What is drawn of one photo: cells by their S2 tokens with their probabilities (float[n]), and the answer.

    `answer`: latitude and longitude of a point, None where none is told.
    """

    tokens: tuple[str, ...]
    probabilities: npt.NDArray[np.floating]
    answer: tuple[float, float] | None
    caption: str


def prediction_picture(photo: Image.Image, belief: Belief) -> bytes:
    """A PNG of some 1,000 x 300 pixels: the photo at the left, the map at the right, the caption below the map."""
    return png(prediction_figure(photo, belief), dpi=_DPI)


def prediction_figure(photo: Image.Image, belief: Belief) -> Figure:
    """The figure of `prediction_picture`."""
    wide = _HEIGHT * min(2.0, photo.width / photo.height)
    width, height = wide + _GAP + _HEIGHT * MAP_SHAPE, _HEIGHT + _CAPTION
    with styled():
        figure = Figure(figsize=(width, height))
        picture = figure.add_axes((0, _CAPTION / height, wide / width, _HEIGHT / height))
        picture.imshow(_thumbnail(photo))
        picture.set_axis_off()
        left, bottom = (wide + _GAP) / width, _CAPTION / height
        axes = land_axes(figure, (left, bottom, 1 - left, 1 - bottom))
        _draw_belief(axes, belief)
        _draw_neighbourhood(figure, (left, bottom, _INSET[0] * (1 - left), _INSET[1] * (1 - bottom)), belief)
        figure.text(left, 0.3 * _CAPTION / height, belief.caption, color=INK, fontsize=10)
    return figure


def _thumbnail(photo: Image.Image) -> npt.NDArray[np.uint8]:
    """The photo with as many pixels as are shown."""
    small = photo.copy()
    small.thumbnail((2 * int(_HEIGHT * _DPI), int(_HEIGHT * _DPI)))
    return np.asarray(small)


def _draw_belief(axes: Axes, belief: Belief) -> None:
    """Outlines and dots of the cells, the more probable the more opaque, and a ring around the answer.

    The dots show what is too small to be seen.
    """
    shown = np.flatnonzero(belief.probabilities >= _LEAST_SHOWN * belief.probabilities.max())
    shown = shown[np.argsort(belief.probabilities[shown], kind="stable")]
    opacity = np.sqrt(belief.probabilities[shown] / belief.probabilities.max())
    cell_ids = parse_tokens([belief.tokens[k] for k in shown])
    axes.add_collection(_polygons(cell_ids, opacity))
    latitudes, longitudes = cell_centres(cell_ids)
    axes.scatter(longitudes, latitudes, s=2 + 16 * opacity, c=_colours(opacity), linewidths=0, zorder=2)
    if belief.answer is not None:
        latitude, longitude = belief.answer
        axes.scatter([longitude], [latitude], s=90, facecolors="none", edgecolors=ACCENT, linewidths=1.8, zorder=4)


def _draw_neighbourhood(figure: Figure, place: tuple[float, float, float, float], belief: Belief) -> None:
    """A closer map of what is around the answer, or around the most probable cell, in a frame."""
    latitude, longitude = belief.answer or _middle_of(belief.tokens[int(belief.probabilities.argmax())])
    width, height = figure.get_size_inches()
    shape = (place[2] * width) / (place[3] * height) / max(0.2, math.cos(math.radians(latitude)))
    axes = land_axes(figure, place)
    axes.set_axis_on()
    axes.set(facecolor=SURFACE, xticks=[], yticks=[])
    axes.spines[["top", "right"]].set_visible(True)
    axes.set_xlim(longitude - shape * _DEGREES_AROUND, longitude + shape * _DEGREES_AROUND)
    axes.set_ylim(latitude - _DEGREES_AROUND, latitude + _DEGREES_AROUND)
    _draw_belief(axes, belief)


def _middle_of(token: str) -> tuple[float, float]:
    latitudes, longitudes = cell_centres(parse_tokens([token]))
    return float(latitudes[0]), float(longitudes[0])


def _polygons(cell_ids: CellIds, opacity: npt.NDArray[np.float64]) -> PolyCollection:
    drawn, owners = drawable_cells(cell_ids)
    latitudes, longitudes = (part.reshape(len(drawn), -1) for part in cell_outlines(drawn))
    outlines = list(np.stack([longitudes, latitudes], axis=-1))
    return PolyCollection(outlines, facecolors=_colours(0.8 * opacity[owners]), edgecolors="none", zorder=1)


def _colours(opacity: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Colours of the marks, RGBA of each."""
    return np.column_stack([np.tile(to_rgb(MARK), (len(opacity), 1)), opacity])
