import io

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from PIL import Image

from geo_pipeline.evaluation import charts, figures, maps
from geo_pipeline.evaluation.breakdown import Breakdown, GroupAccuracy
from geo_pipeline.evaluation.metrics import loss_series
from geo_pipeline.evaluation.reliability import reliability
from geo_pipeline.evaluation.sheet import thumbnail
from geo_pipeline_tests.evaluation.made_up import cells, jpeg, metrics, predictions


def opened(picture: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(picture))
    assert image.format == "PNG"
    return image


def has_colour(image: Image.Image, red_over_blue: int) -> bool:
    pixels = np.asarray(image.convert("RGB"), dtype=int)
    return bool((pixels[..., 0] - pixels[..., 2] > red_over_blue).any())


def test_a_map_of_cells_is_blue_where_cells_are_and_has_a_map_for_each_partitioning() -> None:
    made = cells()
    one, three = opened(figures.cells_map({"fine": made["fine"]})), opened(figures.cells_map(made))
    assert three.height == pytest.approx(3 * one.height, abs=3)
    pixels = np.asarray(one.convert("RGB"), dtype=int)
    share_of_blue = (pixels[..., 2] - pixels[..., 0] > 25).mean()
    assert 0.1 < share_of_blue < 0.9


def test_cells_of_more_photos_are_more_opaque() -> None:
    (axes,) = maps.cells_figure({"fine": (made := cells()["fine"])}).axes
    opacities = axes.collections[0].get_facecolor()[:, 3]
    photos = made["imgs_per_cell"].to_numpy()
    assert (np.diff(opacities[np.argsort(photos, kind="stable")]) >= 0).all()
    assert 0 < opacities.min() < 0.3
    assert opacities.max() == 1


def test_the_error_map_has_a_dot_for_each_photo_at_its_true_place() -> None:
    table = predictions("b", 80)
    answers = table.filter(pc.equal(table["p_key"], "hierarchy"))
    (axes,) = maps.error_figure(answers).axes
    _, dots = axes.collections
    expected = np.column_stack([answers["true_longitude"], answers["true_latitude"]])
    assert sorted(map(tuple, np.asarray(dots.get_offsets()).tolist())) == sorted(map(tuple, expected.tolist()))
    assert has_colour(opened(figures.error_map(answers)), 60)


def test_error_lines_lead_from_the_truth_to_the_answer_and_never_across_the_map() -> None:
    table = predictions("b", 400, seed=2)
    answers = table.filter(pc.equal(table["p_key"], "coarse"))
    lines = maps.error_figure(answers).axes[0].collections[0].get_segments()
    assert all(np.abs(np.diff(line[:, 0])).max(initial=0) <= 180 for line in lines)
    starts = {tuple(np.round(line[0], 6)) for line in lines}
    ends = {tuple(np.round(line[-1], 6)) for line in lines}
    for row in answers.to_pylist():
        if row["distance_km"] > maps.BANDS_KM[0]:
            assert (round(row["true_longitude"], 6), round(row["true_latitude"], 6)) in starts
            assert (round(row["longitude"], 6), round(row["latitude"], 6)) in ends


def test_an_answer_that_hits_its_place_exactly_is_drawn_without_a_line() -> None:
    table = predictions("b", 3).slice(0, 3)
    exact = table.set_column(table.column_names.index("distance_km"), "distance_km", [np.zeros(3)])
    assert maps.error_figure(exact).axes[0].collections[0].get_segments() == []


def test_bands_begin_behind_their_limit() -> None:
    assert maps.error_bands(np.array([0.0, 25.0, 25.1, 200.0, 750.0, 2500.0, 2501.0])).tolist() == [0, 0, 1, 1, 2, 3, 4]
    assert len(maps.band_names()) == 5


def test_the_distribution_rises_to_all_photos_and_meets_the_accuracy_at_a_radius() -> None:
    table = predictions("b", 250)
    (axes,) = charts.error_distribution_figure(table, (25, 200)).axes
    curves = {line.get_label(): line.get_data() for line in axes.lines}
    assert list(curves) == ["coarse", "middle", "fine", "f*"]
    distances = table.filter(pc.equal(table["p_key"], "hierarchy"))["distance_km"].to_numpy()
    at, percent = curves["f*"]
    assert (np.diff(percent) >= 0).all()
    assert percent[-1] == 100
    assert np.interp(200, at, percent) == pytest.approx(100 * (distances <= 200).mean(), abs=1.5)
    assert opened(figures.error_distribution(table)).width > 300


def test_loss_curves_show_training_and_validation_by_epoch() -> None:
    epochs, series = loss_series(metrics(4))
    assert epochs == [1, 2, 3, 4]
    assert list(series) == ["training", "validation"]
    assert series["training"][0] == metrics(4)[0]["train"]["loss"]
    assert opened(figures.loss_curves(metrics(1))).width > 300


@pytest.mark.parametrize("logarithmic", [False, True])
def test_a_histogram_counts_every_value(logarithmic: bool) -> None:
    values = np.array([1, 2, 2, 50, 1000])
    figure = charts.histogram_figure(values, "photos in a cell", "cells", logarithmic=logarithmic)
    assert sum(bar.get_height() for bar in figure.axes[0].patches) == 5
    assert opened(figures.histogram(values, "photos in a cell", "cells", logarithmic=logarithmic)).width > 300
    assert charts.histogram_figure(np.array([7, 7]), "level", "cells", logarithmic=logarithmic).axes


@pytest.mark.parametrize("logarithmic", [False, True])
@pytest.mark.parametrize(("least", "most"), [(1, 1), (2, 9), (3, 15), (1, 60), (51, 1645), (1, 100_000)])
def test_no_bar_of_a_histogram_lies_between_two_whole_numbers(least: int, most: int, logarithmic: bool) -> None:
    (axes,) = charts.histogram_figure(np.arange(least, most + 1), "", "", logarithmic=logarithmic).axes
    assert all(bar.get_height() >= 1 for bar in axes.patches[:-1])
    assert sum(bar.get_height() for bar in axes.patches) == most + 1 - least
    assert len(axes.patches) <= 40


def test_levels_have_a_bar_each_with_its_count_above() -> None:
    (axes,) = charts.histogram_figure(np.array([2, 2, 3, 5]), "S2 level", "cells").axes
    assert [round(bar.get_x() + bar.get_width() / 2, 6) for bar in axes.patches] == [2, 3, 4, 5]
    assert [text.get_text() for text in axes.texts] == ["2", "1", "", "1"]


def test_a_sheet_shows_each_photo_once_in_rows() -> None:
    colours = [(200, 30, 30), (30, 200, 30), (30, 30, 200)]
    photos = []
    for colour in colours:
        stream = io.BytesIO()
        Image.new("RGB", (60, 40), colour).save(stream, "PNG")
        photos.append(stream.getvalue())
    sheet = opened(figures.photo_sheet(photos, columns=2, side=20)).convert("RGBA")
    assert sheet.size == (44, 44)
    for k, colour in enumerate(colours):
        assert sheet.getpixel((10 + 24 * (k % 2), 10 + 24 * (k // 2))) == (*colour, 255)
    assert sheet.getpixel((34, 34))[3] == 0
    assert opened(figures.photo_sheet([jpeg(1)])).size == (96, 96)


def test_bars_of_outcomes_are_shares_in_order_and_add_up() -> None:
    failures = {f"failure_{k}": [10 - k, 0] for k in range(8)}
    counts = pa.table({"host": ["a", "b"], "photos": [100, 7], "ok": [48, 7], **failures})
    (axes,) = charts.outcomes_figure(counts).axes
    widths = np.array([[bar.get_width() for bar in container] for container in axes.containers])
    assert widths[:, 0].tolist() == pytest.approx([48, 10, 9, 8, 7, 6, 5 + 4 + 3])
    assert widths.sum(axis=0).tolist() == pytest.approx([100, 100])
    assert [text.get_text() for text in axes.get_yticklabels()] == ["a  (100)", "b  (7)"]
    colours = {container[0].get_facecolor() for container in axes.containers}
    assert len(colours) == len(axes.containers)
    assert (
        opened(figures.outcome_bars(counts)).height
        < opened(figures.outcome_bars(pa.concat_tables([counts] * 9))).height
    )


def test_a_reliability_plot_has_a_dot_for_each_bin_with_answers_and_tells_the_error() -> None:
    rng = np.random.default_rng(0)
    probabilities = rng.random(300) * 0.5
    sure = reliability(np.ones(3), np.ones(3) > 0)
    series = {"one": reliability(probabilities, rng.random(300) < probabilities), "f*": sure}
    (axes,) = charts.reliability_figure(series).axes
    one, f_star = (np.asarray(dots.get_offsets()) for dots in axes.collections)
    assert one[:, 0] == pytest.approx(100 * series["one"].probabilities[:5])
    assert one[:, 1] == pytest.approx(100 * series["one"].shares[:5])
    assert f_star.tolist() == [[100.0, 100.0]]
    legend = axes.get_legend()
    assert legend is not None
    assert legend.get_texts()[1].get_text() == "f* (error 0.0 %)"
    assert opened(figures.reliability_plot(series)).width > 400


def test_rules_beside_f_star_are_not_in_the_distribution_of_errors() -> None:
    table = predictions("one", 30)
    rule = table.filter(pc.equal(table["p_key"], "hierarchy"))
    rule = rule.set_column(rule.column_names.index("p_key"), "p_key", pa.array(["hierarchy_mass200"] * rule.num_rows))
    both = (table, pa.concat_tables([table, rule]))
    plain, more = (charts.error_distribution_figure(each, (25,)).axes[0] for each in both)
    assert len(more.lines) == len(plain.lines) == 4


def test_a_figure_of_groups_has_a_dot_on_an_interval_for_each_group_and_radius() -> None:
    groups = [GroupAccuracy(name, 10, 100.0, {25: (10, 5, 20), 200: (50, 40, 60)}) for name in ("Asia", "some_where")]
    (axes,) = charts.groups_figure(Breakdown("By continent", groups), (25, 200)).axes
    assert [line.get_xdata().tolist() for line in axes.lines] == [[10, 10], [50, 50]]
    assert [lines.get_segments()[0][:, 0].tolist() for lines in axes.collections] == [[5, 20], [40, 60]]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["Asia", "some where"]


def test_a_thumbnail_is_a_small_square_of_the_middle() -> None:
    picture = Image.open(io.BytesIO(thumbnail(jpeg(1, (900, 300)), side=64)))
    assert (picture.format, picture.size) == ("JPEG", (64, 64))
