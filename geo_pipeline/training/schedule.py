"""Learning rates as a function of the step.

The one idea: nothing is remembered between steps, so a resumed training cannot continue with another rate.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from geo_pipeline.training.config import ScheduleSettings


def learning_rate_factor(settings: ScheduleSettings, steps_per_epoch: int, max_epochs: int) -> Callable[[int], float]:
    """The function step -> factor of the largest learning rate, 0 to 1, for steps from 0."""

    def multistep(step: int) -> float:
        passed = sum(step >= milestone * steps_per_epoch for milestone in settings.milestones)
        return float(settings.gamma**passed)

    total_steps = steps_per_epoch * max_epochs
    warmup_steps = settings.warmup_share * total_steps

    def cosine(step: int) -> float:
        if step < warmup_steps:
            return (step + 1) / (warmup_steps + 1)
        progress = min((step - warmup_steps) / (total_steps - warmup_steps), 1.0)
        return 0.5 * (1.0 + math.cos(math.pi * progress))

    return multistep if settings.name == "multistep" else cosine
