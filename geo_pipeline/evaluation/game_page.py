"""The page of the game against the model, for any browser, without a network.

Here lives what goes into the page. How it looks is in game.html.jinja and game.css, what it does in game.js, what it
shares with other maps in map_page.py. Not here: the pictures, which lie beside the page (game_folder.py). The one idea:
the page is a pure function of its photos, and its policy lets it load nothing but pictures that lie beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from geo_pipeline.evaluation.game import MOST_POINTS, ROUNDS, SCALE_KM, GamePhoto, points
from geo_pipeline.evaluation.map_page import land_shapes, render_map_page

GENERATOR = "geo-pipeline game"
"""What the page calls itself: by this name a folder is known to be a game."""

_EXAMPLES_KM = (25, 200, 750, 2500)
_MODEL_LABELS = {"base": "base(M, f*)", "isn": "ISN(M, f*)"}


@dataclass(frozen=True)
class GameTexts:
    """What the page says of itself: the experiment, and the benchmarks whose photos it shows."""

    title: str
    description: str
    benchmarks: Sequence[str]


def render_game_page(photos: Sequence[GamePhoto], model: str, texts: GameTexts) -> str:
    """The page as HTML: light and dark, for mouse, touch and keyboard. It wants `photo_file(k)` beside it."""
    data = {
        "rounds": ROUNDS,
        "most_points": MOST_POINTS,
        "scale_km": SCALE_KM,
        "land": asdict(land_shapes()),
        "photos": [_shown(number, photo) for number, photo in enumerate(photos)],
    }
    return render_map_page(
        "game.html.jinja",
        "game.css",
        "game.js",
        image_sources="'self' file:",  # from a disk a page is not its own origin everywhere
        generator=GENERATOR,
        texts=texts,
        model=_MODEL_LABELS.get(model, f"{model}, f*"),
        data=data,
        examples=list(zip(_EXAMPLES_KM, points(np.array(_EXAMPLES_KM)).tolist(), strict=True)),
    )


def photo_file(number: int) -> str:
    """Where the picture of a photo lies, from the page. The name tells nothing of the photo."""
    return f"photos/{number:05d}.jpg"


def _shown(number: int, photo: GamePhoto) -> dict[str, Any]:
    return {
        "file": photo_file(number),
        "benchmark": photo.benchmark,
        "id": photo.photo_id,
        "author": photo.author,
        "truth": [photo.true_latitude, photo.true_longitude],
        "answer": [photo.latitude, photo.longitude],
        "probability": photo.probability,
    }
