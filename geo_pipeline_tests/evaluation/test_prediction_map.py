from __future__ import annotations

import io

import numpy as np
import pytest
from matplotlib.collections import PathCollection, PolyCollection
from PIL import Image

from geo_pipeline.evaluation.prediction_map import Belief, prediction_figure, prediction_picture
from geo_pipeline_tests.evaluation.made_up import cells, jpeg


def photo(size: tuple[int, int] = (320, 200)) -> Image.Image:
    return Image.open(io.BytesIO(jpeg(1, size)))


def belief(answer: tuple[float, float] | None = (48.9, 2.3)) -> Belief:
    fine = cells()["fine"]
    shares = np.random.default_rng(0).dirichlet(np.full(fine.num_rows, 0.05))
    return Belief(tuple(fine["hex_id"].to_pylist()), shares, answer, "a photo   48.9, 2.3")


def test_probable_cells_are_on_the_map_the_more_probable_the_more_opaque() -> None:
    drawn = belief()
    _, world, around = prediction_figure(photo(), drawn).axes
    shown = np.sort(drawn.probabilities[drawn.probabilities >= 1e-3 * drawn.probabilities.max()])
    assert len(shown) < len(drawn.tokens)
    for axes in (world, around):
        dots = next(each for each in axes.collections if isinstance(each, PathCollection))
        assert dots.get_facecolors()[:, 3] == pytest.approx(np.sqrt(shown / shown.max()))  # type: ignore[index]
        polygons = next(each for each in axes.collections if isinstance(each, PolyCollection))
        assert len(polygons.get_paths()) == len(shown)


def test_the_answer_has_a_ring_and_the_closer_map_is_around_it() -> None:
    _, world, around = prediction_figure(photo(), belief((-33.9, 151.2))).axes
    for axes in (world, around):
        assert np.asarray(axes.collections[-1].get_offsets()).tolist() == [[151.2, -33.9]]
    assert np.mean(around.get_xlim()) == pytest.approx(151.2)
    assert np.mean(around.get_ylim()) == pytest.approx(-33.9)


def test_without_a_point_there_is_no_ring_and_the_closer_map_is_around_the_most_probable_cell() -> None:
    drawn = belief(None)
    _, world, around = prediction_figure(photo(), drawn).axes
    assert len(world.collections) == 2
    place = cells()["fine"].slice(int(drawn.probabilities.argmax()), 1).to_pylist()[0]
    assert np.mean(around.get_ylim()) == pytest.approx(place["latitude_mean"], abs=8)


@pytest.mark.parametrize("size", [(320, 200), (100, 900), (2000, 100), (1, 1)])
def test_a_photo_of_any_shape_makes_a_small_picture(size: tuple[int, int]) -> None:
    picture = Image.open(io.BytesIO(prediction_picture(photo(size), belief())))
    assert picture.height == pytest.approx(294, abs=2)
    assert 600 < picture.width < 1300
