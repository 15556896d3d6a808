"""`geo-pipeline export`: what it writes and where, what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from geo_pipeline.cli import main
from geo_pipeline.cli_export import FORMATS
from geo_pipeline.model.checkpoint import load_network
from geo_pipeline.model.export import ENDINGS
from geo_pipeline.model.network import GeoModel
from geo_pipeline.profile import layout_of, load_profile
from geo_pipeline_tests.model.made_up import geography
from geo_pipeline_tests.model.test_checkpoint import save


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return save(tmp_path / "best.ckpt", GeoModel("small_resnet", geography().num_classes))


def export(*arguments: object) -> int:
    return main(["export", *map(str, arguments)])


def test_the_command_knows_the_formats_of_the_library() -> None:
    assert tuple(ENDINGS) == FORMATS


def test_without_an_output_the_file_stands_beside_the_checkpoint(
    checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export("--checkpoint", checkpoint, "--format", "safetensors") == 0
    output = checkpoint.with_suffix(".safetensors")
    assert load_network(output, torch.device("cpu")).geography.names == ("coarse", "middle", "fine")
    assert capsys.readouterr().out == (
        f"{output}: small_resnet for pictures of 32 x 32 pixels; cells: coarse 2, middle 4, fine 4\n"
    )


def test_without_a_checkpoint_it_is_the_profiles_model(
    write_profile: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, checkpoint: Path
) -> None:
    monkeypatch.setenv("GEO_PIPELINE_HOME", str(tmp_path / "home"))
    profile = write_profile()
    model = layout_of(load_profile(profile)).checkpoint
    model.parent.mkdir(parents=True)
    checkpoint.rename(model)
    output = tmp_path / "new folder" / "exported.pt2"
    assert main(["--profile", str(profile), "export", "--format", "torchexport", "--output", str(output)]) == 0
    assert set(torch.export.load(output).module()(torch.zeros(1, 3, 32, 32, dtype=torch.uint8))) >= {"hierarchy"}


def test_an_output_that_is_a_folder_is_refused_before_the_work(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export("--checkpoint", checkpoint, "--format", "onnx", "--output", tmp_path) == 2
    assert f"--output {tmp_path}: found a folder" in capsys.readouterr().err


def test_the_checkpoint_is_not_overwritten(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = checkpoint.read_bytes()
    assert export("--checkpoint", checkpoint, "--format", "onnx", "--output", checkpoint) == 2
    assert "would overwrite the checkpoint" in capsys.readouterr().err
    assert checkpoint.read_bytes() == before


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "no such checkpoint"),
        (b"not weights", "not a whole checkpoint"),
        ({"state_dict": {}}, "expected a checkp"),
    ],
)
def test_a_file_that_is_no_checkpoint_of_ours_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | dict[str, object] | None, expected: str
) -> None:
    path = tmp_path / "other.ckpt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content:
        torch.save(content, path)
    assert export("--checkpoint", path, "--format", "safetensors") == 2
    assert f"geo-pipeline: {path}: {expected}" in capsys.readouterr().err
    assert not path.with_suffix(".safetensors").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there_is_told_in_one_line(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export("--checkpoint", checkpoint, "--format", "torchexport", "--device", "cuda") == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_an_unknown_format_is_answered_with_the_known_ones(
    checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        export("--checkpoint", checkpoint, "--format", "pickle")
    assert "choose from" in capsys.readouterr().err
