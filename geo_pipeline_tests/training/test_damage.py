from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from geo_pipeline.errors import InputError
from geo_pipeline.store import read_table
from geo_pipeline.training.damage import Damage, DamageTally
from geo_pipeline.training.order import epoch_order
from geo_pipeline.training.run import train
from geo_pipeline_tests.training import small_runs
from geo_pipeline_tests.training.test_loader import ruin


def some(count: int, start: int = 0) -> list[Damage]:
    return [Damage("a/shard-0.msg", start + i, "noise") for i in range(count)]


def test_a_small_epoch_is_judged_as_a_whole() -> None:
    tally = DamageTally(Path("shards"), 0.05, num_photos=100)
    tally.add(10, some(5))
    tally.add(80, [])
    with pytest.raises(InputError, match="6 of the first 100 photos"):
        tally.add(10, some(1, start=9))


def test_a_large_epoch_is_judged_after_ten_thousand_photos() -> None:
    tally = DamageTally(Path("shards"), 0.01, num_photos=1_000_000)
    tally.add(200, some(100))
    tally.add(9_900, [])
    tally.add(100, some(2, start=200))
    with pytest.raises(InputError, match="104 of the first 10300"):
        tally.add(100, some(2, start=300))


def test_a_refusal_names_five_photos_and_the_remedy() -> None:
    with pytest.raises(InputError) as caught:
        DamageTally(Path("shards"), 0.0, num_photos=50).add(8, some(8))
    text = str(caught.value)
    assert [f"shards/a/shard-0.msg: byte {i}: noise" in text for i in range(6)] == [True] * 5 + [False]
    assert "materialize photo_shards" in text


def test_no_share_is_too_many_if_all_may_be_damaged() -> None:
    tally = DamageTally(Path("shards"), 1.0, num_photos=8)
    tally.add(8, some(8))
    assert (tally.num_seen, tally.num_damaged) == (8, 8)


def test_a_new_epoch_counts_anew_and_tells_nothing_twice(caplog: pytest.LogCaptureFixture) -> None:
    tally = DamageTally(Path("shards"), 0.5, num_photos=10)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            tally.begin_epoch()
            tally.add(10, some(5))
            assert tally.num_damaged == 5
    assert len(caplog.records) == 5


def test_a_training_goes_on_without_a_whole_batch_and_tells_how_many_photos_it_missed(tmp_path: Path) -> None:
    job = small_runs.job(tmp_path, loader={"max_damaged_share": 0.5})
    first_batch = epoch_order(60, seed=0, epoch=0)[:16].tolist()
    ruin(tmp_path / "shard-1.msg", read_table(job.training_photos), first_batch)
    train(job)
    lines = [json.loads(line) for line in (job.run_dir / "metrics.jsonl").read_text().splitlines()]
    assert [line["damaged"] for line in lines] == [16, 16]
    assert all(0 < line["train"]["loss"] < 10 for line in lines)
