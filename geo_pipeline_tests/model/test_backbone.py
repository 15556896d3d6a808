from __future__ import annotations

import sys

import pytest
import torch
from torch import nn

from geo_pipeline.errors import InputError
from geo_pipeline.model.backbone import RemovedClassifier, build_backbone, torchvision_names

FAMILIES = {  # one of each of torchvision's, with the features before its classifier as its paper or code has them
    "alexnet": 4096,
    "convnext_tiny": 768,
    "densenet121": 1024,
    "efficientnet_b0": 1280,
    "efficientnet_v2_s": 1280,
    "googlenet": 1024,
    "inception_v3": 2048,
    "maxvit_t": 512,
    "mnasnet0_5": 1280,
    "mobilenet_v2": 1280,
    "mobilenet_v3_small": 1024,
    "regnet_y_400mf": 440,
    "resnet18": 512,
    "resnext50_32x4d": 2048,
    "shufflenet_v2_x1_0": 1024,
    "squeezenet1_1": 512,
    "swin_t": 768,
    "swin_v2_t": 768,
    "vgg11_bn": 4096,
    "vit_b_16": 768,
    "wide_resnet50_2": 2048,
}
AUXILIARY = ("googlenet", "inception_v3")
SECOND_CLASSIFIERS = ("aux1.", "aux2.", "AuxLogits.")
OF_TIMM = {
    "timm/resnet18": 512,
    "mobilenetv3_small_050": 1024,
    "convnext_atto": 320,
    "vit_tiny_patch16_224": 192,
    "timm/test_vit": 64,
    "deit_tiny_distilled_patch16_224": 192,
    "lcnet_050": 1280,
}


@pytest.mark.parametrize(("architecture", "num_features"), [("small_resnet", 256), *OF_TIMM.items()])
def test_a_backbone_gives_as_many_features_as_it_says(architecture: str, num_features: int) -> None:
    backbone, told = build_backbone(architecture, 64)
    assert backbone(torch.zeros(2, 3, 64, 64)).shape == (2, told)
    assert told == num_features


@pytest.mark.parametrize(("architecture", "num_features"), FAMILIES.items())
def test_every_family_of_torchvision_loses_its_classifier_and_nothing_else(
    architecture: str, num_features: int
) -> None:
    backbone, told = build_backbone(architecture)
    assert told == num_features
    removed = [name for name, module in backbone.named_modules() if isinstance(module, RemovedClassifier)]
    assert len(removed) == 1
    whole = whole_network(architecture)
    lost = whole - {name for name, _ in backbone.named_parameters()}
    assert all(name.startswith((f"{removed[0]}.", *SECOND_CLASSIFIERS)) for name in lost)


def whole_network(architecture: str) -> set[str]:
    """Names of the parameters of torchvision's own network."""
    from torchvision import models

    extra = {"init_weights": False} if architecture in AUXILIARY else {}
    network = models.get_model(architecture, weights=None, **extra)
    return {name for name, _ in network.named_parameters()}


def test_every_family_of_torchvision_is_among_them() -> None:
    def family(name: str) -> str:
        from torchvision import models

        return str(models.get_model_builder(name).__module__)

    assert {family(name) for name in torchvision_names()} == {family(name) for name in FAMILIES}


def test_the_networks_of_the_papers_are_known() -> None:
    assert {"resnet50", "resnet101"} <= set(torchvision_names())


def test_a_network_of_both_is_torchvisions_unless_timms_is_asked_for() -> None:
    ours, theirs = (type(build_backbone(name)[0]).__module__ for name in ("resnet18", "timm/resnet18"))
    assert ours.startswith("torchvision.")
    assert theirs.startswith("timm.")


def test_a_new_backbone_is_in_training_mode_on_the_processor() -> None:
    backbone, _ = build_backbone("resnet18")
    assert backbone.training
    assert all(weights.device.type == "cpu" for weights in backbone.parameters())


@pytest.mark.parametrize("image_size", [32, 96])
def test_a_network_of_a_fixed_size_is_built_for_the_pictures_it_will_see(image_size: int) -> None:
    for architecture in ("vit_tiny_patch16_224", "vit_b_32"):
        backbone, num_features = build_backbone(architecture, image_size)
        assert backbone(torch.zeros(1, 3, image_size, image_size)).shape == (1, num_features)


@pytest.mark.parametrize(
    ("architecture", "image_size", "hint"),
    [
        ("vit_b_16", 72, ""),
        ("vit_tiny_patch16_224", 8, r"timm's weights: 224"),
        ("inception_v3", 32, ""),
        ("maxvit_t", 100, ""),
    ],
)
def test_pictures_of_a_size_that_a_network_does_not_take_are_refused(
    architecture: str, image_size: int, hint: str
) -> None:
    with pytest.raises(InputError, match=rf"image_size: {architecture} does not take.*{image_size}.*\).*{hint}"):
        build_backbone(architecture, image_size)


def test_a_network_that_gives_no_single_vector_is_refused() -> None:
    with pytest.raises(InputError, match="expected one vector a picture"):
        build_backbone("timm/qwen3_vit_88m_enc", 64)


def test_an_unknown_architecture_is_answered_with_near_and_known_ones() -> None:
    with pytest.raises(InputError, match=r"'resnet05'; did you mean resnet.*Expected one of small_resnet, .*vit_b"):
        build_backbone("resnet05")


@pytest.mark.parametrize("architecture", ["hf-hub:timm/resnet18", "timm/hf-hub:timm/resnet18.a1_in1k", "local-dir:x"])
def test_no_name_makes_timm_fetch_anything(architecture: str) -> None:
    with pytest.raises(InputError, match="architecture: found"):
        build_backbone(architecture)


def test_without_timm_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("geo_pipeline.model.backbone.find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"'vit_tiny_patch16_224'.*pip install 'geo_pipeline\[timm\]'"):
        build_backbone("vit_tiny_patch16_224")
    with pytest.raises(InputError, match=r"geo_pipeline\[timm\]"):
        build_backbone("timm/resnet18")


class LooksAtValues(nn.Module):
    """A network that cannot be asked without arithmetic."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.pool(images).flatten(1) * (1 if images.sum().item() == 0 else 2)


def test_a_network_that_looks_at_values_is_asked_with_a_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("geo_pipeline.model.backbone._from_timm", lambda *_: LooksAtValues())
    assert build_backbone("timm/looks_at_values", 32)[1] == 3


def test_small_resnet_needs_neither_torchvision_nor_timm() -> None:
    import subprocess

    code = "import sys; from geo_pipeline.model.network import GeoModel; GeoModel('small_resnet', (3,), 64); "
    code += "sys.exit('torchvision' in sys.modules or 'timm' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
