"""Photos for a game, made up: all over the world, some on either side of the antimeridian and near the poles."""

from __future__ import annotations

from geo_pipeline.evaluation.game import GamePhoto
from geo_pipeline.evaluation.game_page import GameTexts
from geo_pipeline_tests.evaluation.made_up import jpeg, predictions

TEXTS = GameTexts("made up", "Coloured squares", ["Squares"])
_FAR_PLACES = [((-17.7, 178.1), (-13.8, -171.8)), ((89.0, 10.0), (88.0, -170.0)), ((-89.5, 0.0), (71.0, 25.0))]


def game_photos(num_photos: int, benchmark: str = "Squares") -> list[GamePhoto]:
    rows = [row for row in predictions("squares", num_photos).to_pylist() if row["p_key"] == "hierarchy"]
    names = ("photo_id", "true_latitude", "true_longitude", "latitude", "longitude", "probability")
    places = ("true_latitude", "true_longitude"), ("latitude", "longitude")
    for row, pair in zip(rows, _FAR_PLACES, strict=False):
        for keys, place in zip(places, pair, strict=True):
            row |= dict(zip(keys, place, strict=True))
    return [
        GamePhoto(benchmark=benchmark, author=f"author {k}", jpeg=jpeg(k), **{name: row[name] for name in names})
        for k, row in enumerate(rows)
    ]
