from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save, save_file
from torchvision import models

from geo_pipeline.errors import InputError
from geo_pipeline.model.backbone import build_backbone
from geo_pipeline.model.network import GeoModel
from geo_pipeline.model.safetensors_file import safetensors_bytes
from geo_pipeline.model.small_resnet import SmallResNet
from geo_pipeline.model.weights import load_backbone_weights, read_weights
from geo_pipeline_tests.model.test_checkpoint import save as save_checkpoint


def features_without_classifier(published: torch.nn.Module, classifier: str, pixels: torch.Tensor) -> torch.Tensor:
    parent, _, child = classifier.rpartition(".")
    setattr(published.get_submodule(parent), child, torch.nn.Identity())
    features: torch.Tensor = published.eval()(pixels)
    return features


@pytest.mark.parametrize("ending", ["pth", "safetensors"])
@pytest.mark.parametrize(
    ("architecture", "classifier"),
    [
        ("resnet18", "fc"),
        ("mobilenet_v3_small", "classifier.3"),
        ("squeezenet1_1", "classifier.1"),
        ("vit_b_32", "heads.head"),
    ],
)
def test_a_published_file_of_torchvision_fills_the_backbone_without_its_classifier(
    tmp_path: Path, architecture: str, classifier: str, ending: str
) -> None:
    published = models.get_model(architecture, weights=None)
    path = tmp_path / f"{architecture}.{ending}"
    if ending == "pth":
        torch.save(published.state_dict(), path)
    else:
        save_file(published.state_dict(), path)
    backbone, _ = build_backbone(architecture)
    load_backbone_weights(backbone, path)
    pixels = torch.rand(1, 3, 224, 224)
    torch.testing.assert_close(backbone.eval()(pixels), features_without_classifier(published, classifier, pixels))


@pytest.mark.parametrize("architecture", ["googlenet", "inception_v3"])
def test_second_classifiers_of_a_published_file_are_left_out(tmp_path: Path, architecture: str) -> None:
    published = models.get_model(architecture, weights=None, init_weights=False)
    torch.save(published.state_dict(), tmp_path / "published.pth")
    backbone, _ = build_backbone(architecture)
    load_backbone_weights(backbone, tmp_path / "published.pth")
    assert all(torch.equal(value, published.state_dict()[key]) for key, value in backbone.state_dict().items())


def test_files_older_than_batch_norms_count_of_batches_are_read(tmp_path: Path) -> None:
    state = {key: value for key, value in models.resnet18().state_dict().items() if "num_batches_tracked" not in key}
    torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    backbone, _ = build_backbone("resnet18")
    load_backbone_weights(backbone, tmp_path / "old.pth")
    assert torch.equal(backbone.state_dict()["conv1.weight"], state["conv1.weight"])


def test_published_densenets_have_names_of_their_own(tmp_path: Path) -> None:
    state = models.densenet121().state_dict()
    old = {key.replace("norm1.", "norm.1.").replace("conv2.", "conv.2."): value for key, value in state.items()}
    torch.save(old, tmp_path / "densenet121.pth")
    backbone, _ = build_backbone("densenet121")
    load_backbone_weights(backbone, tmp_path / "densenet121.pth")
    key = "features.denseblock1.denselayer1.conv2.weight"
    assert torch.equal(backbone.state_dict()[key], state[key])


@pytest.mark.parametrize("architecture", ["timm/resnet18", "deit_tiny_distilled_patch16_224", "convnext_atto"])
def test_a_published_file_of_timm_fills_the_backbone(tmp_path: Path, architecture: str) -> None:
    import timm

    published = timm.create_model(architecture.removeprefix("timm/"), pretrained=False)
    save_file(
        {key: value.contiguous() for key, value in published.state_dict().items()}, tmp_path / "model.safetensors"
    )
    backbone, num_features = build_backbone(architecture)
    load_backbone_weights(backbone, tmp_path / "model.safetensors")
    assert backbone.eval()(torch.zeros(2, 3, 224, 224)).shape == (2, num_features)
    assert all(torch.equal(value, published.state_dict()[key]) for key, value in backbone.state_dict().items())


@pytest.mark.parametrize("kind", ["checkpoint", "export", "state dict"])
def test_our_own_files_give_their_backbone_and_no_heads(tmp_path: Path, kind: str) -> None:
    network, path = GeoModel("small_resnet", (2, 4, 4)), tmp_path / "weights"
    if kind == "checkpoint":
        save_checkpoint(path, network)
    elif kind == "export":
        path.write_bytes(safetensors_bytes(network.state_dict(), "{}"))
    else:
        torch.save(network.state_dict(), path)
    backbone = SmallResNet()
    load_backbone_weights(backbone, path)
    assert all(torch.equal(value, network.backbone.state_dict()[key]) for key, value in backbone.state_dict().items())


def test_weights_of_another_architecture_name_their_keys(tmp_path: Path) -> None:
    torch.save(SmallResNet().state_dict(), tmp_path / "small.pth")
    backbone, _ = build_backbone("resnet18")
    with pytest.raises(InputError, match=r"small\.pth.*missing bn1\.bias.*unexpected norm\.bias"):
        load_backbone_weights(backbone, tmp_path / "small.pth")


def test_weights_of_the_same_names_and_another_width_are_refused(tmp_path: Path) -> None:
    state = SmallResNet().state_dict() | {"stem.weight": torch.zeros(8, 3, 3, 3)}
    torch.save(state, tmp_path / "narrow.pth")
    with pytest.raises(InputError, match=r"of another shape stem\.weight \(8x3x3x3, expected 16x3x3x3\)"):
        load_backbone_weights(SmallResNet(), tmp_path / "narrow.pth")


def test_a_transformer_of_another_picture_size_says_so(tmp_path: Path) -> None:
    torch.save(build_backbone("vit_tiny_patch16_224", 64)[0].state_dict(), tmp_path / "vit.pth")
    with pytest.raises(InputError, match=r"pos_embed \(1x17x192, expected 1x37x192\).*`image_size`"):
        load_backbone_weights(build_backbone("vit_tiny_patch16_224", 96)[0], tmp_path / "vit.pth")


class Intruder:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (print, ("code ran",))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such weights file; weights are never downloaded"),
        (b"", "not a whole file"),
        (b"not a state dict", "not a whole file"),
        (b"PK\x03\x04 half a zip", "not a whole file"),
        ([1, 2], "found another"),
        ({"epoch": 3, "model": {}}, "found a dictionary with epoch, model"),
        ({"stem.weight": Intruder()}, "not a whole file"),
    ],
)
def test_a_file_that_holds_no_weights_is_named(
    tmp_path: Path, content: Any, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "weights.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(InputError, match=rf"weights\.pth: .*{message}"):
        load_backbone_weights(SmallResNet(), path)
    assert "code ran" not in capsys.readouterr().out


def test_a_folder_is_answered_with_the_file_in_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a folder, expected a weights file$"):
        read_weights(tmp_path)
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(InputError, match=r"a folder, expected a weights file such as model\.safetensors in it"):
        read_weights(tmp_path)


WHOLE = {"a": torch.arange(6.0), "b": torch.ones(2, 2, dtype=torch.bfloat16)}


def torch_bytes(weights: dict[str, torch.Tensor]) -> bytes:
    import io

    stream = io.BytesIO()
    torch.save(weights, stream)
    return stream.getvalue()


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([save(WHOLE), torch_bytes(WHOLE)]), st.floats(0, 0.999), st.binary(max_size=3))
def test_no_cut_or_damaged_file_ends_otherwise_than_with_its_name(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, share: float, more: bytes
) -> None:
    path = tmp_path_factory.mktemp("cut") / "cut.pth"
    path.write_bytes(content[: int(share * (len(content) - 4))] + more)
    with pytest.raises(InputError, match=r"cut\.pth"):
        read_weights(path)
