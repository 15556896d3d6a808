from __future__ import annotations

import json
import time
from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from geo_pipeline.training.data import Batch
from geo_pipeline.training.module import GeoModule
from geo_pipeline.training.pace import Pace
from geo_pipeline.training.run import train
from geo_pipeline_tests.model.made_up import geography
from geo_pipeline_tests.training import small_runs

NUM_BATCHES, BATCH_SIZE = 6, 4


class SlowBatches(Dataset[Batch]):
    """Batches, each of which takes some seconds."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __len__(self) -> int:
        return NUM_BATCHES

    def __getitem__(self, _: int) -> Batch:
        time.sleep(self._seconds)
        images = torch.zeros(BATCH_SIZE, 3, 32, 32, dtype=torch.uint8)
        return Batch(images, torch.zeros(BATCH_SIZE, 3, dtype=torch.int64), torch.zeros(BATCH_SIZE, 2))


class SlowCallback(pl.Callback):
    """Something else that takes time after a step, as saving a checkpoint does."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def on_train_batch_end(self, *_: object) -> None:
        time.sleep(self._seconds)


@pytest.mark.filterwarnings("ignore::lightning.fabric.utilities.warnings.PossibleUserWarning", "ignore:.*LeafSpec")
@pytest.mark.parametrize(("for_data", "for_others"), [(0.05, 0.0), (0.0, 0.05)])
def test_waiting_is_what_the_data_takes_and_nothing_else(tmp_path: Path, for_data: float, for_others: float) -> None:
    module = GeoModule(small_runs.config().model_params, geography(), steps_per_epoch=NUM_BATCHES, max_epochs=1)
    pace = Pace()
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "accelerator": "cpu"}
    callbacks = [SlowCallback(for_others), pace]
    trainer = pl.Trainer(
        max_epochs=1, callbacks=callbacks, default_root_dir=tmp_path, enable_model_summary=False, **quiet
    )
    trainer.fit(module, DataLoader(SlowBatches(for_data), batch_size=None))
    found = pace.of_epoch()
    assert found.photos_per_second * found.seconds == pytest.approx(NUM_BATCHES * BATCH_SIZE)
    waited = found.waiting_share * found.seconds
    if for_data:
        assert NUM_BATCHES * for_data <= waited <= found.seconds
    else:
        assert waited < found.seconds - NUM_BATCHES * for_others
    assert found.peak_memory_bytes is None
    assert found.model_flops_utilisation is None


def test_every_line_of_a_run_has_the_pace_of_its_epoch(tmp_path: Path) -> None:
    job = small_runs.job(tmp_path)
    train(job)
    for line in map(json.loads, (job.run_dir / "metrics.jsonl").read_text().splitlines()):
        assert line["photos_per_second"] * line["seconds"] == pytest.approx(60)
        assert 0 < line["waiting_share"] < 1
        if not torch.cuda.is_available():
            assert line["peak_memory_bytes"] is line["model_flops_utilisation"] is None
