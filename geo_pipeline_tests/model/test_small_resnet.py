from __future__ import annotations

import pytest
import torch

from geo_pipeline.model.small_resnet import SmallResNet


def test_it_has_about_1_2_million_parameters() -> None:
    assert sum(weights.numel() for weights in SmallResNet().parameters()) == pytest.approx(1.2e6, rel=0.05)


def test_its_last_map_is_a_sixteenth_of_the_picture() -> None:
    network = SmallResNet()
    features = network.stages(network.stem(torch.zeros(1, 3, 64, 64)))
    assert features.shape == (1, 256, 4, 4)
