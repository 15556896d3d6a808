from __future__ import annotations

from pathlib import Path

from geo_pipeline.training.metrics import EpochMetrics
from geo_pipeline.training.model_card import model_card, write_benchmarks, write_card
from geo_pipeline.training.selection import Selection
from geo_pipeline_tests.model import made_up
from geo_pipeline_tests.training import small_runs

BEST = EpochMetrics(1, {}, {"loss": 1.0}, {"hierarchy": {"25": 10.0, "200": 50.0, "750": 82.5}}, 0.1, 600.0, 20.0)
PHOTOS = {
    "training": Selection({"listed": 4_723_695, "downloaded": 3_000_000, "labelled": 2_950_000}),
    "validation": Selection({"listed": 20}),
}
TABLE = "| benchmark | 25 km |\n| --- | --- |\n| im2gps | 14.8 |"


def card() -> str:
    return model_card("base(M, f*)", small_runs.config(), made_up.geography(), PHOTOS, BEST)


def checkpoint(folder: Path, content: bytes = b"weights") -> Path:
    path = folder / "best.ckpt"
    path.write_bytes(content)
    return path


def test_the_card_tells_how_many_photos_of_the_list_really_were_there() -> None:
    text = card()
    assert "- training: 4,723,695 listed, 3,000,000 downloaded, 2,950,000 labelled\n" in text
    assert "coarse 2, middle 4, fine 4" in text
    assert "| hierarchy | 10.0 % | 50.0 % | 82.5 % |" in text
    assert "Not measured yet." in text
    assert "## Intended use and limits" in text


def test_benchmarks_take_the_place_of_what_was_there(tmp_path: Path) -> None:
    path = checkpoint(tmp_path)
    write_card(tmp_path, card(), path)
    for table in (TABLE, TABLE.replace("14.8", "15.2")):
        write_benchmarks(tmp_path, path, table)
    text = (tmp_path / "model_card.md").read_text()
    assert "Not measured yet." not in text
    assert "14.8" not in text
    assert text.count("| im2gps | 15.2 |") == 1
    before, _, after = card().partition("Not measured yet.")
    assert text.startswith(before.partition("<!--")[0])
    assert text.endswith(after.partition("-->")[2])


def test_a_card_that_is_written_anew_keeps_the_benchmarks_of_the_same_checkpoint_alone(tmp_path: Path) -> None:
    path = checkpoint(tmp_path)
    write_card(tmp_path, card(), path)
    write_benchmarks(tmp_path, path, TABLE)
    write_card(tmp_path, card(), path)
    assert TABLE in (tmp_path / "model_card.md").read_text()
    write_card(tmp_path, card(), checkpoint(tmp_path, b"other weights"))
    assert "Not measured yet." in (tmp_path / "model_card.md").read_text()


def test_a_model_without_a_card_gets_none_from_the_benchmarks(tmp_path: Path) -> None:
    write_benchmarks(tmp_path, checkpoint(tmp_path), TABLE)
    assert not (tmp_path / "model_card.md").exists()
