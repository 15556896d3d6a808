from __future__ import annotations

from pathlib import Path

import pytest

from geo_pipeline.errors import InputError
from geo_pipeline.model.hparams import require_same_network
from geo_pipeline_tests.model.test_checkpoint import SETTINGS


def test_a_file_that_describes_the_checkpoints_network_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / "hparams.yaml"
    path.write_text("model_params: {architecture: small_resnet, image_size: 32, loss: sum}\n")
    require_same_network(path, Path("best.ckpt"), SETTINGS)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("model_params: {architecture: resnet50}", "architecture is 'resnet50', in best.ckpt it is 'small_resnet'"),
        ("model_params: {resize_size: 256}", "resize_size is 256"),
        ("trainer_params: {}", "no section `model_params`"),
        ("[1, 2", "not valid YAML"),
        ("", "no section `model_params`"),
        (None, "no such file"),
    ],
)
def test_a_file_of_another_run_or_of_none_says_what_was_expected(
    tmp_path: Path, content: str | None, words: str
) -> None:
    path = tmp_path / "hparams.yaml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=words):
        require_same_network(path, Path("best.ckpt"), SETTINGS)
