from __future__ import annotations

from pathlib import Path

import pytest
import torch

from geo_pipeline.errors import InputError
from geo_pipeline.model.checkpoint import SECTION, checkpoint_section, load_network
from geo_pipeline.model.network import GeoModel
from geo_pipeline.model.settings import NetworkSettings
from geo_pipeline_tests.model.made_up import geography

SETTINGS = NetworkSettings(architecture="small_resnet", image_size=32, resize_size=32)
CPU = torch.device("cpu")


def save(path: Path, network: GeoModel) -> Path:
    state = {f"network.{name}": weights for name, weights in network.state_dict().items()}
    torch.save({"state_dict": state, SECTION: checkpoint_section(SETTINGS, geography())}, path)
    return path


def test_a_checkpoint_alone_gives_the_network_its_settings_and_its_geography_back(tmp_path: Path) -> None:
    network = GeoModel("small_resnet", geography().num_classes).eval()
    loaded = load_network(save(tmp_path / "best.ckpt", network), CPU)
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    torch.testing.assert_close(loaded.network(images), network(images))
    assert loaded.settings == SETTINGS
    assert loaded.geography.partitionings[0].hex_ids == geography().partitionings[0].hex_ids


def test_a_checkpoint_that_is_not_there_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.ckpt: no such checkpoint; materialize geo_model"):
        load_network(tmp_path / "none.ckpt", CPU)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_truncated_checkpoint_is_named(tmp_path: Path, share: float) -> None:
    path = save(tmp_path / "best.ckpt", GeoModel("small_resnet", geography().num_classes))
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputError, match=r"best\.ckpt"):
        load_network(path, CPU)


def test_somebody_elses_checkpoint_is_refused(tmp_path: Path) -> None:
    torch.save({"state_dict": {}}, tmp_path / "other.ckpt")
    with pytest.raises(InputError, match=r"other\.ckpt: expected a checkpoint of geo_pipeline"):
        load_network(tmp_path / "other.ckpt", CPU)


class Intruder:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (print, ("code ran",))


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"state_dict": Intruder()}, tmp_path / "evil.ckpt")
    with pytest.raises(InputError, match=r"evil\.ckpt"):
        load_network(tmp_path / "evil.ckpt", CPU)
    assert "code ran" not in capsys.readouterr().out
