"""`geo-pipeline game`: what it builds from a profile's tables and shards, what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from geo_pipeline.cli import main
from geo_pipeline.shards.format import ShardWriter
from geo_pipeline.store import read_table, write_table
from geo_pipeline_tests.evaluation.cell_page_data import page_data
from geo_pipeline_tests.evaluation.made_up import jpeg, predictions

SIZES = {"world_1k": 12, "world_300": 8}


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    """The tables and shards of two benchmarks and some training photos, as their assets leave them."""
    answers = [predictions(name, count, seed=count) for name, count in SIZES.items()]
    folder = tmp_path / "small" / "tables"
    write_table(folder / "benchmark_predictions.parquet", pa.concat_tables(answers))
    manifests, metadata = [], []
    for table in (*answers, predictions("world_train", 6)):
        of_f_star = table.filter(pc.equal(table["p_key"], "hierarchy"))
        manifests.append(stored(of_f_star, tmp_path / "small" / "shards"))
        columns = {"photo_id": "photo_id", "photo_set": "benchmark"}
        columns |= {"latitude": "true_latitude", "longitude": "true_longitude"}
        authors = pa.array([f"author {k}" for k in range(of_f_star.num_rows)])
        rows = pa.table({name: of_f_star[column] for name, column in columns.items()})
        metadata.append(rows.append_column("author", authors))
    write_table(folder / "photo_manifest.parquet", pa.concat_tables(manifests))
    write_table(folder / "photo_metadata.parquet", pa.concat_tables(metadata))
    return folder


def stored(photos: pa.Table, shards: Path) -> pa.Table:
    """The manifest of some photos, after their pictures have gone into a shard."""
    name = photos["benchmark"][0].as_py()
    folder = shards / name / f"{name}-000"
    folder.mkdir(parents=True)
    ids = photos["photo_id"].to_pylist()
    with ShardWriter(folder / "shard-00000.msg") as shard:
        places = [shard.append(each, jpeg(k)) for k, each in enumerate(ids)]
    offsets, lengths = zip(*places, strict=True)
    same = {"photo_set": name, "bucket": f"{name}-000", "status": "ok", "shard": "shard-00000.msg"}
    return pa.table(
        {
            "photo_id": ids,
            "url": [f"https://example.org/{each}" for each in ids],
            **{key: [value] * len(ids) for key, value in same.items()},
            "offset": offsets,
            "length": lengths,
        }
    )


@pytest.fixture
def game(tables: Path, write_profile: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Runs the command on the profile of these tables."""
    monkeypatch.setenv("GEO_PIPELINE_HOME", str(tables.parents[1]))

    def run(*arguments: object, **changes: object) -> int:
        return main(["--profile", str(write_profile(**changes)), "game", *map(str, arguments)])

    return run


def photos_in(folder: Path) -> set[tuple[str, str]]:
    """(title of the benchmark, photo id) of all photos of a game."""
    return {(each["benchmark"], each["id"]) for each in page_data((folder / "index.html").read_text("utf-8"))["photos"]}


def test_it_holds_all_benchmark_photos_and_no_others(
    game: Callable[..., int], tables: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert game() == 0
    folder = tables.parent / "reports" / "game"
    shown = photos_in(folder)
    expected = {f"{name}-{k:05d}" for name, count in SIZES.items() for k in range(count)}
    assert {name for _, name in shown} == expected
    printed = capsys.readouterr()
    assert printed.err == ""
    assert printed.out.startswith("20 photos of world_1k, world_300; the model (base, f*) makes ")
    assert printed.out.endswith(f"open {(folder / 'index.html').as_uri()}\n")


def test_authors_are_those_of_the_metadata(game: Callable[..., int], tables: Path) -> None:
    assert game("--benchmarks", "world_300") == 0
    page = (tables.parent / "reports" / "game" / "index.html").read_text("utf-8")
    assert {each["id"]: each["author"] for each in page_data(page)["photos"]} == {
        f"world_300-{k:05d}": f"author {k}" for k in range(8)
    }


def test_benchmarks_number_and_seed_can_be_chosen(game: Callable[..., int], tmp_path: Path) -> None:
    chosen = []
    for seed in (1, 2, 1):
        options = ("--benchmarks", "world_1k", "--photos", 7, "--seed", seed)
        assert game("--output", tmp_path / "new" / "game", *options) == 0
        chosen.append(photos_in(tmp_path / "new" / "game"))
    assert [len(each) for each in chosen] == [7, 7, 7]
    assert chosen[0] == chosen[2] != chosen[1]
    assert {name.rpartition("-")[0] for each in chosen for _, name in each} == {"world_1k"}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("world_train", "a photo set with the role train; the game shows benchmark photos only"),
        ("world_3000", "no photo set of the profile; did you mean world_300? (benchmarks of small: world_1k,"),
    ],
)
def test_what_is_no_benchmark_is_refused(
    game: Callable[..., int], capsys: pytest.CaptureFixture[str], name: str, message: str
) -> None:
    assert game("--benchmarks", name) == 2
    assert f"--benchmarks {name}: {message}" in capsys.readouterr().err


@pytest.mark.parametrize("number", ["4", "0", "-1", "many"])
def test_fewer_photos_than_a_game_has_rounds_cannot_be_asked_for(
    game: Callable[..., int], capsys: pytest.CaptureFixture[str], number: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        game("--photos", number)
    assert ended.value.code == 2
    assert "--photos" in capsys.readouterr().err


def test_without_answers_it_says_what_to_materialize(
    game: Callable[..., int], tables: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tables / "benchmark_predictions.parquet").unlink()
    assert game() == 2
    assert "there are no answers of the model yet; materialize benchmark_predictions first" in capsys.readouterr().err


def test_a_missing_shard_is_named(game: Callable[..., int], tables: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shard = tables.parent / "shards" / "world_300" / "world_300-000" / "shard-00000.msg"
    shard.unlink()
    assert game() == 2
    assert f"{shard}: the shard is not there; materialize photo_shards" in capsys.readouterr().err
    assert not (tables.parent / "reports").exists()


def test_damaged_pictures_are_counted_named_and_left_out(
    game: Callable[..., int], tables: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shard = tables.parent / "shards" / "world_300" / "world_300-000" / "shard-00000.msg"
    with shard.open("r+b") as stream:
        stream.truncate(shard.stat().st_size // 2)
    places = read_table(tables / "photo_manifest.parquet").to_pylist()
    of_shard = [row for row in places if row["photo_set"] == "world_300"]
    lost = {row["photo_id"] for row in of_shard if row["offset"] + row["length"] > shard.stat().st_size}
    assert game() == 0
    printed = capsys.readouterr()
    lines = printed.err.splitlines()
    assert lines[0] == f"photos left out: {len(lost)}"
    assert {line.split(", photo ")[1].split(":")[0] for line in lines[1:]} == lost
    assert printed.out.startswith(f"{20 - len(lost)} photos of ")


def test_removed_photos_are_not_shown_even_before_the_tables_are_made_again(
    game: Callable[..., int], tables: Path, tmp_path: Path
) -> None:
    asked = tmp_path / "removals.csv"
    url = "https://example.org/world_1k-00005"
    asked.write_text(f"photo_id,author,url\nworld_1k-00003,,\n,author 7,\n,,{url}\n", encoding="utf-8")
    assert game(removal_list=str(asked)) == 0
    shown = {name for _, name in photos_in(tables.parent / "reports" / "game")}
    removed = {"world_1k-00003", "world_1k-00007", "world_300-00007", "world_1k-00005"}
    assert len(shown) == 16
    assert not removed & shown


def test_photos_that_were_not_downloaded_are_not_shown(game: Callable[..., int], tables: Path) -> None:
    path = tables / "photo_manifest.parquet"
    manifest = read_table(path)
    lost = pc.is_in(manifest["photo_id"], pa.array(["world_1k-00000", "world_1k-00001"]))
    status = pc.if_else(lost, "gone", manifest["status"])
    write_table(path, manifest.set_column(manifest.schema.get_field_index("status"), "status", status))
    assert game() == 0
    assert len(photos_in(tables.parent / "reports" / "game")) == 18


def test_a_folder_of_somebody_else_is_refused_before_anything_is_read(
    game: Callable[..., int], tables: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tables / "photo_manifest.parquet").unlink()
    mine = tmp_path / "mine" / "thesis.txt"
    mine.parent.mkdir()
    mine.touch()
    assert game("--output", mine.parent) == 2
    assert "holds thesis.txt, which is no part of a game" in capsys.readouterr().err
    assert mine.exists()
