from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torchvision import models

from geo_pipeline.errors import InputError
from geo_pipeline.model.backbone import SmallResNet, build_backbone, load_backbone_weights, torchvision_resnets


@pytest.mark.parametrize(("architecture", "num_features"), [("small_resnet", 256), ("resnet18", 512)])
def test_a_backbone_gives_as_many_features_as_it_says(architecture: str, num_features: int) -> None:
    backbone, told = build_backbone(architecture)
    assert backbone(torch.zeros(2, 3, 64, 64)).shape == (2, told)
    assert told == num_features


def test_the_small_network_has_about_1_2_million_parameters() -> None:
    assert sum(weights.numel() for weights in SmallResNet().parameters()) == pytest.approx(1.2e6, rel=0.05)


def test_the_networks_of_the_papers_are_known() -> None:
    assert {"resnet50", "resnet101"} <= set(torchvision_resnets())


def test_an_unknown_architecture_is_answered_with_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"'vgg16', expected one of small_resnet, .*resnet50"):
        build_backbone("vgg16")


def test_imagenet_weights_come_from_a_local_torchvision_file_without_its_classifier(tmp_path: Path) -> None:
    published = models.resnet18(weights=None)
    torch.save(published.state_dict(), tmp_path / "resnet18.pth")
    backbone, _ = build_backbone("resnet18")
    load_backbone_weights(backbone, tmp_path / "resnet18.pth")
    published.fc = torch.nn.Identity()
    pixels = torch.rand(2, 3, 64, 64)
    torch.testing.assert_close(backbone.eval()(pixels), published.eval()(pixels))


def test_weights_of_another_architecture_name_their_keys(tmp_path: Path) -> None:
    torch.save(SmallResNet().state_dict(), tmp_path / "small.pth")
    backbone, _ = build_backbone("resnet18")
    with pytest.raises(InputError, match=r"small\.pth.*missing bn1\.bias.*unexpected norm\.bias"):
        load_backbone_weights(backbone, tmp_path / "small.pth")


def test_weights_of_the_same_names_and_another_width_are_refused(tmp_path: Path) -> None:
    state = SmallResNet().state_dict() | {"stem.weight": torch.zeros(8, 3, 3, 3)}
    torch.save(state, tmp_path / "narrow.pth")
    with pytest.raises(InputError, match=r"of another shape stem\.weight"):
        load_backbone_weights(SmallResNet(), tmp_path / "narrow.pth")


@pytest.mark.parametrize("content", [None, b"", b"not a state dict", "a list"])
def test_a_file_that_holds_no_weights_is_named(tmp_path: Path, content: bytes | str | None) -> None:
    path = tmp_path / "weights.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content:
        torch.save([1, 2], path)
    with pytest.raises(InputError, match=r"weights\.pth"):
        load_backbone_weights(SmallResNet(), path)
