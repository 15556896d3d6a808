from __future__ import annotations

import pytest
import torch

from geo_pipeline.training.config import ScheduleSettings
from geo_pipeline.training.schedule import learning_rate_factor


def test_multistep_is_torchs_at_the_start_of_every_epoch() -> None:
    factor = learning_rate_factor(ScheduleSettings(), steps_per_epoch=10, max_epochs=16)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    theirs = torch.optim.lr_scheduler.MultiStepLR(optimizer, [4, 8, 12, 13, 14, 15], gamma=0.5)
    for epoch in range(16):
        assert factor(epoch * 10) == factor(epoch * 10 + 9) == pytest.approx(theirs.get_last_lr()[0])
        optimizer.step()
        theirs.step()


def test_cosine_rises_to_one_and_falls_to_nearly_nothing() -> None:
    factor = learning_rate_factor(ScheduleSettings(name="cosine", warmup_share=0.2), steps_per_epoch=50, max_epochs=4)
    rates = [factor(step) for step in range(200)]
    assert 0 < rates[0] < 0.05
    assert rates[:40] == sorted(rates[:40])
    assert rates[40:] == sorted(rates[40:], reverse=True)
    assert max(rates) == rates[40] == 1.0
    assert rates[120] == pytest.approx(0.5)
    assert 0 < rates[-1] < 0.001


def test_no_warm_up_starts_at_the_full_rate() -> None:
    settings = ScheduleSettings(name="cosine", warmup_share=0)
    assert learning_rate_factor(settings, steps_per_epoch=5, max_epochs=1)(0) == 1.0
