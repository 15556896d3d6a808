"""Exported models, read by the programs they are for, against the network they come from."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest
import torch
from safetensors import safe_open

from geo_pipeline.errors import InputError
from geo_pipeline.model import export
from geo_pipeline.model.checkpoint import TrainedNetwork, load_network
from geo_pipeline.model.decoding import decode
from geo_pipeline.model.description import DESCRIPTION, read_description
from geo_pipeline.model.export import ENDINGS, export_model
from geo_pipeline.model.network import GeoModel
from geo_pipeline.model.prediction import answers_of
from geo_pipeline.model.predictor import log_probabilities
from geo_pipeline.model.preprocessing import crops_for_test
from geo_pipeline.model.settings import NetworkSettings
from geo_pipeline.profile import PROJECT_FOLDER
from geo_pipeline_tests.model.made_up import geography

Outputs = Mapping[str, npt.NDArray[Any]]
SETTINGS = NetworkSettings(architecture="small_resnet", image_size=64, resize_size=72)
CPU = torch.device("cpu")
NUM_PICTURES = 24


def pictures() -> npt.NDArray[np.uint8]:
    """The centre crops of photos of the bundled world, uint8[n, 3, 64, 64]."""
    files = sorted((PROJECT_FOLDER / "resources" / "world" / "world_300").glob("*.jpg"))[:NUM_PICTURES]
    return np.concatenate([crops_for_test(decode(file.read_bytes()), SETTINGS, 1) for file in files])


def decided_network(settings: NetworkSettings) -> TrainedNetwork:
    """A network with an opinion of its own on every picture: random weights, batch norms and heads fitted to scale."""
    torch.manual_seed(7)
    network = GeoModel(settings.architecture, geography().num_classes)
    images = torch.from_numpy(pictures())
    with torch.no_grad():
        for _ in range(30):
            network.train()(images)
        features = torch.cat(network.eval()(images), dim=1)
        network.heads.bias -= features.mean(dim=0)
        spread = features.std(dim=0)
        network.heads.weight *= 4 / spread[:, None]
        network.heads.bias *= 4 / spread
    return TrainedNetwork(network.eval(), settings, geography())


@pytest.fixture(scope="module")
def model() -> TrainedNetwork:
    return decided_network(SETTINGS)


@pytest.fixture(scope="module")
def files(model: TrainedNetwork, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("exported")
    found = {name: folder / f"model{ending}" for name, ending in ENDINGS.items()}
    for name, path in found.items():
        export_model(model, path, name)
    return found


def with_onnxruntime(path: Path) -> Callable[[npt.NDArray[np.uint8]], Outputs]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_outputs()]
    return lambda images: dict(zip(names, session.run(None, {"images": images}), strict=True))


def with_torch_export(path: Path) -> Callable[[npt.NDArray[np.uint8]], Outputs]:
    program = torch.export.load(path).module()
    return lambda images: {name: each.detach().numpy() for name, each in program(torch.from_numpy(images)).items()}


READERS = {"onnx": with_onnxruntime, "torchexport": with_torch_export}


def check_outputs(model: TrainedNetwork, outputs: Outputs, images: npt.NDArray[np.uint8]) -> None:
    """What an exported graph says is what `predict` says of the same crops."""
    with torch.inference_mode():
        heads = log_probabilities(model.network, torch.from_numpy(images)[:, None], "max")
        answers = answers_of(heads, model.geography)
    for name, head in zip(model.geography.names, heads, strict=True):
        logits = torch.from_numpy(outputs[name])
        np.testing.assert_allclose(logits.log_softmax(dim=1), head, rtol=1e-4, atol=1e-4)
        np.testing.assert_array_equal(logits.argmax(dim=1), answers[name].class_labels)
    f_star, finest = answers["hierarchy"], model.geography.partitioning_of("hierarchy")
    np.testing.assert_array_equal(outputs["class_label"], f_star.class_labels)
    np.testing.assert_array_equal(outputs["hierarchy"].argmax(axis=1), f_star.class_labels)
    np.testing.assert_allclose(outputs["probability"], f_star.probabilities, atol=1e-4)
    np.testing.assert_allclose(np.exp(outputs["hierarchy"]).sum(axis=1), 1.0, rtol=1e-5)
    np.testing.assert_array_equal(outputs["latitude"], finest.latitudes[f_star.class_labels])
    np.testing.assert_array_equal(outputs["longitude"], finest.longitudes[f_star.class_labels])


@pytest.mark.parametrize("file_format", READERS)
@pytest.mark.parametrize("size", [1, 5, NUM_PICTURES])
def test_a_graph_answers_as_the_network_does_whatever_the_size_of_the_batch(
    model: TrainedNetwork, files: dict[str, Path], file_format: str, size: int
) -> None:
    answer = READERS[file_format](files[file_format])
    outputs: list[Outputs] = []
    for start in range(0, NUM_PICTURES, size):
        images = pictures()[start : start + size]
        outputs.append(answer(images))
        check_outputs(model, outputs[-1], images)
    labels = np.concatenate([each["class_label"] for each in outputs])
    assert len(set(labels.tolist())) > 1, "the network says the same of every picture: this shows nothing"


def test_a_network_read_from_safetensors_is_the_same_network(model: TrainedNetwork, files: dict[str, Path]) -> None:
    again = load_network(files["safetensors"], CPU)
    assert again.settings == model.settings
    images = torch.from_numpy(pictures())
    with torch.inference_mode():
        for ours, theirs in zip(model.network(images), again.network(images), strict=True):
            assert torch.equal(ours, theirs)


def test_safetensors_have_the_names_of_the_networks_state_dict(model: TrainedNetwork, files: dict[str, Path]) -> None:
    with safe_open(files["safetensors"], framework="np") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    assert tensors.keys() == model.network.state_dict().keys()
    np.testing.assert_array_equal(tensors["heads.weight"], model.network.heads.weight.detach())


def description_in(file_format: str, path: Path) -> str:
    if file_format == "onnx":
        text: str = onnxruntime.InferenceSession(path).get_modelmeta().custom_metadata_map[DESCRIPTION]
        return text
    if file_format == "torchexport":
        extra = {f"{DESCRIPTION}.json": ""}
        torch.export.load(path, extra_files=extra)
        return extra[f"{DESCRIPTION}.json"]
    with safe_open(path, framework="np") as file:
        return str(file.metadata()[DESCRIPTION])


@pytest.mark.parametrize("file_format", ENDINGS)
def test_each_file_carries_its_labels_hierarchy_and_preprocessing(
    model: TrainedNetwork, files: dict[str, Path], file_format: str
) -> None:
    text = description_in(file_format, files[file_format])
    settings, found = read_description(text, "the file")
    assert settings == model.settings
    assert found.names == model.geography.names
    np.testing.assert_array_equal(found.hierarchy, model.geography.hierarchy)
    for ours, theirs in zip(model.geography.partitionings, found.partitionings, strict=True):
        assert theirs.hex_ids == ours.hex_ids
        np.testing.assert_array_equal(theirs.latitudes, ours.latitudes)
        np.testing.assert_array_equal(theirs.longitudes, ours.longitudes)
    content = json.loads(text)
    assert content["input"]["shape"] == ["n", 3, 64, 64]
    assert content["preprocessing"]["resize_short_side"] == 72


@pytest.mark.parametrize("file_format", READERS)
def test_the_outputs_are_those_that_the_description_names(files: dict[str, Path], file_format: str) -> None:
    described = json.loads(description_in(file_format, files[file_format]))["outputs"]
    assert list(READERS[file_format](files[file_format])(pictures()[:1])) == list(described)


def test_a_coordinate_survives_to_the_last_digit(model: TrainedNetwork) -> None:
    random = np.random.default_rng(0)
    places = random.uniform(-180, 180, 4)
    finest = model.geography.partitionings[-1]
    moved = type(finest)(finest.name, finest.hex_ids, places / 2, places)
    exact = type(model.geography)((*model.geography.partitionings[:-1], moved), model.geography.hierarchy)
    _, found = read_description(export.description_text(SETTINGS, exact), "the file")
    np.testing.assert_array_equal(found.partitionings[-1].longitudes, places)


def test_without_the_packages_of_onnx_one_line_says_how_to_get_them(
    model: TrainedNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "_NEEDED_BY_ONNX", ("onnx", "no_such_package"))
    with pytest.raises(InputError, match=r"needs no_such_package: pip install 'geo_pipeline\[export\]'"):
        export_model(model, tmp_path / "model.onnx", "onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "change", ["truncated", "empty", "no description", "another format", "other weights", "absent"]
)
def test_a_safetensors_file_that_is_no_whole_model_is_named(
    model: TrainedNetwork, files: dict[str, Path], tmp_path: Path, change: str
) -> None:
    from safetensors.torch import save_file

    path = tmp_path / "model.safetensors"
    content = files["safetensors"].read_bytes()
    description = export.description_text(model.settings, model.geography)
    if change == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif change == "empty":
        path.write_bytes(b"")
    elif change != "absent":
        metadata = {
            "no description": None,
            "another format": {DESCRIPTION: description.replace('"format": 1', '"format": 9')},
            "other weights": {DESCRIPTION: description},
        }[change]
        save_file({"stem.weight": torch.zeros(2)}, path, metadata)
    expected = {
        "truncated": "not a whole safetensors file",
        "empty": "not a whole safetensors file",
        "no description": "no description of a geo_pipeline model",
        "another format": "found an export of format 9, expected 1",
        "other weights": "not those of the small_resnet",
        "absent": "no such file",
    }[change]
    with pytest.raises(InputError, match=rf"model\.safetensors.*{expected}"):
        load_network(path, CPU)


@pytest.mark.slow
@pytest.mark.parametrize("file_format", READERS)
def test_a_network_of_torchvision_answers_the_same_in_every_format(tmp_path: Path, file_format: str) -> None:
    model = decided_network(SETTINGS.model_copy(update={"architecture": "resnet18"}))
    path = tmp_path / f"model{ENDINGS[file_format]}"
    export_model(model, path, file_format)
    check_outputs(model, READERS[file_format](path)(pictures()), pictures())
