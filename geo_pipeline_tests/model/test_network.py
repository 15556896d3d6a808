from __future__ import annotations

import torch
from torchvision.transforms.functional import normalize

from geo_pipeline.model.network import IMAGENET_MEAN, IMAGENET_STD, GeoModel


def test_each_partitioning_gets_its_own_logits() -> None:
    logits = GeoModel("small_resnet", (5, 7, 11))(torch.zeros(3, 3, 64, 64, dtype=torch.uint8))
    assert [tuple(head.shape) for head in logits] == [(3, 5), (3, 7), (3, 11)]
    assert {head.dtype for head in logits} == {torch.float32}


def test_the_network_normalises_bytes_as_torchvision_does() -> None:
    network = GeoModel("small_resnet", (4,)).eval()
    images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    pixels = normalize(images / 255, IMAGENET_MEAN, IMAGENET_STD)
    torch.testing.assert_close(network(images)[0], network.heads(network.backbone(pixels)))


def test_one_wide_product_equals_a_linear_layer_for_each_head() -> None:
    network = GeoModel("small_resnet", (5, 7)).eval()
    images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    second = torch.nn.Linear(256, 7)
    second.load_state_dict({"weight": network.heads.weight[5:], "bias": network.heads.bias[5:]})
    features = network.backbone((images - network.pixel_mean) / network.pixel_std)
    torch.testing.assert_close(network(images)[1], second(features))
