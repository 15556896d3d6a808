from __future__ import annotations

import pytest
import torch
from torch import nn
from torchvision import models

from geo_pipeline.model.network import GeoModel
from geo_pipeline.training.utilisation import PEAK_BFLOAT16_FLOPS, peak_flops, training_flops


@pytest.mark.parametrize("weights", [models.ResNet50_Weights.DEFAULT, models.ViT_B_32_Weights.DEFAULT])
def test_the_arithmetic_of_a_network_is_what_its_publishers_count(weights: models.WeightsEnum) -> None:
    architecture = type(weights).__name__.removesuffix("_Weights").lower()
    billions = weights.meta["_ops"]  # multiplications with their addition, of a picture of 224 pixels
    counted = training_flops(GeoModel(architecture, (1000,)), 224)
    assert counted == pytest.approx(3 * 2 * billions * 1e9, rel=0.01)


def test_heads_count_and_the_network_is_left_as_it_was() -> None:
    small, large = GeoModel("small_resnet", (10,)), GeoModel("small_resnet", (10, 90))
    few, many = (training_flops(network, 64) for network in (small, large))
    assert few is not None
    assert many is not None
    assert many - few == 3 * 2 * 256 * 90
    assert small.training
    assert all(weights.device.type == "cpu" for weights in small.parameters())


class LooksAtValues(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.flatten(1)[:, :256] * images.sum().item()


def test_of_a_network_that_looks_at_values_nothing_is_told() -> None:
    network = GeoModel("small_resnet", (10,))
    network.backbone = LooksAtValues()
    assert training_flops(network, 64) is None


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("NVIDIA H200", 989e12),
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA H100 NVL", 835e12),
        ("NVIDIA GH200 480GB", 989e12),
        ("NVIDIA A100-SXM4-40GB", 312e12),
        ("NVIDIA A100 80GB PCIe", 312e12),
        ("NVIDIA A10", 125e12),
        ("NVIDIA L40S", 362e12),
        ("NVIDIA L4", 121e12),
        ("NVIDIA GeForce RTX 4090", 165e12),
        ("NVIDIA A10G", None),
        ("NVIDIA GeForce GTX 1080", None),
        ("AMD Instinct MI300X", None),
    ],
)
def test_gpus_are_known_by_the_names_that_they_have(name: str, peak: float | None) -> None:
    assert peak_flops(name, "bf16-mixed") == peak


def test_tf32_has_half_the_peak_and_float64_none_that_is_known() -> None:
    assert peak_flops("NVIDIA H200", "32-true") == PEAK_BFLOAT16_FLOPS["H200"] / 2
    assert peak_flops("NVIDIA H200", "64-true") is None
