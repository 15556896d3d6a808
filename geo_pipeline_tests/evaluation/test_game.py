"""The game: which photos are chosen, what the page holds, and which folders are replaced."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from geo_pipeline.errors import InputError
from geo_pipeline.evaluation.game import Benchmark, Choice, choose_photos, points
from geo_pipeline.evaluation.game_folder import write_game
from geo_pipeline.evaluation.game_page import GameTexts, render_game_page
from geo_pipeline.shards.format import DamagedRecordError
from geo_pipeline_tests.evaluation.cell_page_data import page_data
from geo_pipeline_tests.evaluation.game_data import TEXTS, game_photos
from geo_pipeline_tests.evaluation.made_up import jpeg, predictions
from geo_pipeline_tests.evaluation.test_cell_page import NASTY, source
from geo_pipeline_tests.evaluation.test_report import Outline


class Pictures(dict[str, bytes]):
    """Pictures of which some lie in a damaged record."""

    damaged: frozenset[str] = frozenset()

    def __getitem__(self, photo_id: str) -> bytes:
        if photo_id in self.damaged:
            raise DamagedRecordError(Path("shard-00000.msg"), 7, "it is cut off")
        return super().__getitem__(photo_id)


def benchmark(table: pa.Table, name: str, pictures: Mapping[str, bytes] | None = None) -> Benchmark:
    """All photos of some predictions, where they were taken."""
    rows = table.filter(pc.equal(table["p_key"], "hierarchy"))
    photos = rows.select(["photo_id", "true_latitude", "true_longitude"]).rename_columns(
        ["photo_id", "latitude", "longitude"]
    )
    ids = photos["photo_id"].to_pylist()
    found = Pictures({each: jpeg(k) for k, each in enumerate(ids)}) if pictures is None else pictures
    return Benchmark(name, name.title(), photos, {ids[0]: "somebody"}, found)


def ids(choice: Choice) -> list[str]:
    return [photo.photo_id for photo in choice.photos]


@pytest.mark.parametrize(
    ("km", "expected"), [(0, 5000), (25, 4938), (200, 4524), (750, 3436), (2500, 1433), (20015, 0)]
)
def test_points_fall_by_e_every_2000_km(km: float, expected: int) -> None:
    assert math.floor(5000 * math.exp(-km / 2000) + 0.5) == expected
    assert points(np.array([km])).tolist() == [expected]


def test_the_page_names_the_points_of_some_distances_as_they_are() -> None:
    page = render_game_page(game_photos(5), "base", TEXTS)
    named = re.findall(r"([\d,]+) at ([\d,]+) km", page)
    assert len(named) == 4
    for score, km in named:
        assert points(np.array([float(km.replace(",", ""))])).tolist() == [int(score.replace(",", ""))]


def test_a_choice_is_a_draw_by_seed_from_all_benchmarks() -> None:
    tables = predictions("one", 40), predictions("two", 40, seed=1)
    both = [benchmark(tables[0], "one"), benchmark(tables[1], "two")]
    answers = pa.concat_tables(tables)
    chosen = choose_photos(both, answers, 30, seed=0)
    assert len(set(ids(chosen))) == 30
    assert {photo.benchmark for photo in chosen.photos} == {"One", "Two"}
    assert ids(chosen) == ids(choose_photos(both[::-1], answers, 30, seed=0))
    assert ids(chosen) == ids(choose_photos(both, answers, 40, seed=0))[:30]
    assert ids(chosen) != ids(choose_photos(both, answers, 30, seed=1))
    assert len(choose_photos(both, answers, 1000, seed=0).photos) == 80
    assert chosen.left_out == []


def test_each_photo_has_the_truth_of_the_metadata_and_the_answer_of_f_star() -> None:
    table = predictions("one", 20)
    rows = {row["photo_id"]: row for row in table.to_pylist() if row["p_key"] == "hierarchy"}
    given = benchmark(table, "one")
    for photo in choose_photos([given], table, 20, seed=0).photos:
        row = rows[photo.photo_id]
        assert (photo.true_latitude, photo.true_longitude) == (row["true_latitude"], row["true_longitude"])
        assert (photo.latitude, photo.longitude, photo.probability) == (
            row["latitude"],
            row["longitude"],
            row["probability"],
        )
        assert photo.jpeg == given.pictures[photo.photo_id]
        assert photo.author == given.authors.get(photo.photo_id, "")


def test_the_scene_networks_play_where_they_answered_everything() -> None:
    base, isn = predictions("one", 10), predictions("one", 10, seed=3, model="isn")
    assert choose_photos([benchmark(base, "one")], pa.concat_tables([base, isn]), 9, seed=0).model == "isn"
    both = [benchmark(base, "one"), benchmark(predictions("two", 10), "two")]
    answers = pa.concat_tables([base, isn, predictions("two", 10)])
    assert choose_photos(both, answers, 9, seed=0).model == "base"


def test_what_cannot_be_shown_is_left_out_with_its_reason() -> None:
    table = predictions("one", 16)
    given = benchmark(table, "one")
    names = given.photos["photo_id"].to_pylist()
    with_metadata = jpeg(1)[:2] + b"\xff\xe1\x00\x0cExif\0\0GPS!" + jpeg(1)[2:]
    pictures = Pictures(given.pictures)
    pictures |= {names[0]: b"", names[1]: b"GIF89a", names[2]: jpeg(2)[:-200], names[3]: with_metadata}
    pictures.damaged = frozenset({names[4]})
    blank = pa.array([math.nan if each == names[5] else 1.0 for each in table["photo_id"].to_pylist()])
    answers = table.set_column(table.schema.get_field_index("latitude"), "latitude", blank)
    answers = answers.filter(pc.not_equal(answers["photo_id"], names[6]))
    less = Benchmark("one", "One", given.photos.filter(pc.not_equal(given.photos["photo_id"], names[7])), {}, pictures)
    chosen = choose_photos([less], answers, 16, seed=0)
    assert sorted(ids(chosen)) == names[8:]
    reasons = {each.photo_id: each.reason for each in chosen.left_out}
    for name, expected in zip(
        names,
        ("no JPEG", "no JPEG", "no end", "metadata", "damaged record", "no coordinate", "not answered", "not stored"),
        strict=False,
    ):
        assert expected in reasons.pop(name)
    assert reasons == {}


def test_a_picture_that_no_decoder_reads_is_left_out() -> None:
    table = predictions("one", 8)
    given = benchmark(table, "one")
    name = given.photos["photo_id"][0].as_py()
    sound = jpeg(0)
    pictures = {**given.pictures, name: sound.replace(b"\xff\xc0\x00\x11\x08", b"\xff\xc0\x00\x11\x0b")}
    assert pictures[name] != sound
    (left_out,) = choose_photos([benchmark(table, "one", pictures)], table, 8, seed=0).left_out
    assert (left_out.photo_id, left_out.reason.partition(":")[0]) == (name, "damaged picture")


def test_answers_to_other_photos_are_refused() -> None:
    answers = predictions("one", 9)
    other = pa.array([each.replace("one-", "x-") for each in answers["photo_id"].to_pylist()])
    to_others = answers.set_column(answers.schema.get_field_index("photo_id"), "photo_id", other)
    with pytest.raises(InputError, match=r"answers for one are to other photos: they begin with x-.*stored.*one-00000"):
        choose_photos([benchmark(answers, "one")], to_others, 9, seed=0)


def test_a_benchmark_without_answers_is_refused() -> None:
    with pytest.raises(InputError, match="no answer of f\\* for benchmark two; materialize benchmark_predictions"):
        choose_photos([benchmark(predictions("two", 9), "two")], predictions("one", 9), 9, seed=0)


def test_benchmarks_that_different_models_answered_are_refused() -> None:
    one, two = predictions("one", 9), predictions("two", 9, model="isn")
    with pytest.raises(InputError, match="no model answered all of these benchmarks \\(found base, isn\\)"):
        choose_photos([benchmark(one, "one"), benchmark(two, "two")], pa.concat_tables([one, two]), 9, seed=0)


def test_fewer_photos_than_rounds_are_refused_with_the_reasons() -> None:
    table = predictions("one", 6)
    given = benchmark(table, "one")
    pictures = dict.fromkeys(given.pictures, b"no picture")
    with pytest.raises(InputError, match=r"one: 0 photos can be shown, a game needs 5; .*\n  - one, photo one-0000\d"):
        choose_photos([benchmark(table, "one", pictures)], table, 6, seed=0)
    with pytest.raises(InputError, match="0 photos can be shown"):
        choose_photos([Benchmark("one", "One", given.photos.slice(0, 0), {}, {})], table, 6, seed=0)


def test_the_policy_lets_only_its_own_scripts_run_and_pictures_beside_it_be_loaded() -> None:
    page = render_game_page(game_photos(5), "base", TEXTS)
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="(.*?)"', page)
    directives = dict(part.strip().split(" ", 1) for part in policy.replace("&#39;", "'").split(";"))
    scripts = re.findall(r"<script>(.*?)</script>", page, flags=re.DOTALL)
    styles = re.findall(r"<style>(.*?)</style>", page, flags=re.DOTALL)
    assert len(scripts) == len(styles) == 3
    assert directives == {
        "default-src": "'none'",
        "img-src": "'self' file:",
        "script-src": " ".join(source(text) for text in scripts),
        "style-src": " ".join(source(text) for text in styles),
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    assert set(Outline(page).loaded) == {"#you", "#model"}  # symbols of the page itself
    assert "Redistributions in binary form must reproduce the above copyright" in page


def test_names_titles_and_authors_are_never_taken_for_markup() -> None:
    photos = game_photos(5, benchmark=NASTY)
    page = render_game_page(photos, NASTY, GameTexts(NASTY, NASTY, [NASTY]))
    assert Outline(page).open == []
    assert "<script>alert" not in page
    assert page_data(page)["photos"][0]["benchmark"] == NASTY


def test_pictures_are_named_by_numbers_alone(tmp_path: Path) -> None:
    photos = game_photos(12)
    page = write_game(tmp_path / "game", Choice("base", photos, []), TEXTS)
    shown = page_data(page.read_text("utf-8"))["photos"]
    assert [each["file"] for each in shown] == [f"photos/{k:05d}.jpg" for k in range(12)]
    assert [(tmp_path / "game" / each["file"]).read_bytes() for each in shown] == [photo.jpeg for photo in photos]
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == [
        *[f"{k:05d}.jpg" for k in range(12)],
        "index.html",
    ]


def test_an_older_game_is_replaced_as_a_whole(tmp_path: Path) -> None:
    folder = tmp_path / "game"
    for count in (9, 6):
        write_game(folder, Choice("base", game_photos(count), []), TEXTS)
        assert len(list(folder.rglob("*.jpg"))) == count
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize("foreign", ["notes.txt", "photos/mine.jpg", "photos/00000.jpg", "index.html", "deep/er/file"])
def test_a_folder_that_holds_anything_else_is_refused_and_left_as_it_is(tmp_path: Path, foreign: str) -> None:
    path = tmp_path / "game" / foreign
    path.parent.mkdir(parents=True)
    path.write_text("<html>mine</html>", encoding="utf-8")
    with pytest.raises(InputError, match=re.escape(f"holds {foreign}, which is no part of a game")):
        write_game(tmp_path / "game", Choice("base", game_photos(5), []), TEXTS)
    assert [each for each in tmp_path.rglob("*") if each.is_file()] == [path]


def test_a_file_that_was_added_to_a_game_is_not_deleted_with_it(tmp_path: Path) -> None:
    write_game(tmp_path / "game", Choice("base", game_photos(5), []), TEXTS)
    (tmp_path / "game" / "robots.txt").touch()
    (tmp_path / "elsewhere").mkdir()
    with pytest.raises(InputError, match=r"holds robots\.txt"):
        write_game(tmp_path / "game", Choice("base", game_photos(5), []), TEXTS)
    (tmp_path / "game" / "robots.txt").unlink()
    (tmp_path / "game" / "more").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="holds more"):
        write_game(tmp_path / "game", Choice("base", game_photos(5), []), TEXTS)


def test_an_empty_folder_is_taken_and_a_file_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert write_game(tmp_path / "empty", Choice("base", game_photos(5), []), TEXTS).is_file()
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="found a file, expected a folder"):
        write_game(tmp_path / "file", Choice("base", game_photos(5), []), TEXTS)
