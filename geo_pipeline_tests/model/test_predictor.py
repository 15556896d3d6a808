"""A photo's beliefs depend on its own pixels alone, to the last bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from geo_pipeline.errors import InputError
from geo_pipeline.model.checkpoint import SECTION, checkpoint_section
from geo_pipeline.model.decisions import Decider
from geo_pipeline.model.geography import Geography, Partitioning
from geo_pipeline.model.network import GeoModel
from geo_pipeline.model.pictures import BrokenPictureError
from geo_pipeline.model.predictor import PredictionOptions, Predictor
from geo_pipeline.model.preprocessing import crops_for_test
from geo_pipeline.model.settings import RULES_KM, NetworkSettings
from geo_pipeline_tests.model.made_up import calibration

NUM_PHOTOS = 23
CLASSES = (7, 61, 307)  # odd numbers: remainders in every product of matrices


class Noise:
    """Photos of noise, in an order of their own; row 4 cannot be read."""

    def __init__(self, order: np.ndarray) -> None:
        self._order = order

    def __len__(self) -> int:
        return len(self._order)

    def image(self, row: int) -> Image.Image:
        photo = int(self._order[row])
        if photo == 4:
            raise BrokenPictureError("an empty file")
        pixels = np.random.default_rng(photo).integers(0, 256, (5, 7, 3), dtype=np.uint8)
        return Image.fromarray(pixels).resize((84, 70), Image.Resampling.BICUBIC)


def geography() -> Geography:
    rng = np.random.default_rng(0)
    parts = tuple(
        Partitioning(name, tuple(f"1{k:03x}1" for k in range(n)), rng.uniform(-80, 80, n), rng.uniform(-180, 180, n))
        for name, n in zip(("coarse", "middle", "fine"), CLASSES, strict=True)
    )
    ancestors = np.stack([np.arange(CLASSES[-1]) % n for n in CLASSES], axis=1)
    return Geography(parts, ancestors)


@pytest.fixture(scope="module", params=["small_resnet", "resnet18"])
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(1)
    settings = NetworkSettings(architecture=request.param, image_size=64, resize_size=70)
    network = GeoModel(request.param, CLASSES)
    state = {f"network.{name}": weights for name, weights in network.state_dict().items()}
    path = tmp_path_factory.mktemp(request.param) / "best.ckpt"
    torch.save({"state_dict": state, SECTION: checkpoint_section(settings, geography())}, path)
    return path


def scores_of(checkpoint: Path, order: np.ndarray, **options: object) -> dict[int, bytes]:
    """The bytes of all scores, probabilities and confidences of each photo, by its number."""
    predictor = Predictor(checkpoint, PredictionOptions(device="cpu", **options))  # type: ignore[arg-type]
    decider = Decider(predictor.geography, predictor.device, list(RULES_KM))
    found: dict[int, bytes] = {}
    for batch in predictor.beliefs(Noise(order)):
        decisions = decider.decide(batch.beliefs).values()
        sure = [part for each in decisions for part in (each.class_labels, each.probabilities, each.confidences)]
        numbers = np.column_stack([*(each.numpy() for each in batch.beliefs.scores.values()), *sure])
        found |= {int(order[row]): values.tobytes() for row, values in zip(batch.rows, numbers, strict=True)}
    return found


@pytest.fixture
def threads() -> object:
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("num_threads", [1, 2])
def test_neither_batch_size_nor_order_nor_workers_nor_neighbours_change_a_bit(
    checkpoint: Path, threads: Callable[[int], None], num_threads: int
) -> None:
    threads(num_threads)
    in_order, shuffled = np.arange(NUM_PHOTOS), np.random.default_rng(5).permutation(NUM_PHOTOS)
    expected = scores_of(checkpoint, in_order, batch_size=64)
    assert sorted(expected) == [photo for photo in range(NUM_PHOTOS) if photo != 4]
    assert scores_of(checkpoint, in_order, batch_size=3) == expected
    assert scores_of(checkpoint, shuffled, batch_size=5, num_workers=2) == expected
    alone = scores_of(checkpoint, np.array([17]), batch_size=1)
    assert alone[17] == expected[17]


def test_the_scores_are_those_of_the_bare_network(checkpoint: Path) -> None:
    predictor = Predictor(checkpoint, PredictionOptions(crops=1, device="cpu"))
    (batch,) = predictor.beliefs(Noise(np.array([0, 4, 2])))
    assert (batch.rows, batch.faults) == ([0, 2], {1: "an empty file"})
    pixels = np.concatenate([crops_for_test(Noise(np.arange(3)).image(k), predictor.model.settings, 1) for k in (0, 2)])
    with torch.inference_mode():
        logits = predictor.model.network(torch.from_numpy(pixels))
    for name, head in zip(geography().names, logits, strict=True):
        torch.testing.assert_close(batch.beliefs.scores[name], head.log_softmax(dim=1), atol=1e-4, rtol=1e-4)


def test_a_calibration_changes_how_sure_an_answer_is_and_not_which(checkpoint: Path) -> None:
    temperatures = {"coarse": 2.0, "middle": 1.0, "fine": 1.0, "hierarchy": 3.0}
    made = calibration(temperatures, {200: 0.5})
    options, source = PredictionOptions(device="cpu"), Noise(np.arange(3))
    (plain,) = Predictor(checkpoint, options).beliefs(source)
    (tempered,) = Predictor(checkpoint, options, made).beliefs(source)
    for p_key, distribution in tempered.beliefs.distributions.items():
        assert torch.equal(tempered.beliefs.scores[p_key], plain.beliefs.scores[p_key])
        torch.testing.assert_close(distribution.sum(dim=1), torch.ones(3))
        surer = plain.beliefs.distributions[p_key].amax(dim=1) - distribution.amax(dim=1)
        assert (surer > 0).all() if temperatures[p_key] > 1 else (surer == 0).all()
    surer = tempered.beliefs.within(200).amax(dim=1) - plain.beliefs.within(200).amax(dim=1)
    assert (surer > 0).all()


@pytest.mark.parametrize("precision", ["16", "bf16"])
def test_fewer_bits_give_nearly_the_same(checkpoint: Path, precision: str) -> None:
    source = Noise(np.arange(4))
    (exact,) = Predictor(checkpoint, PredictionOptions(device="cpu")).beliefs(source)
    options = PredictionOptions(device="cpu", precision=precision)  # type: ignore[arg-type]
    (rough,) = Predictor(checkpoint, options).beliefs(source)
    assert rough.beliefs.scores["fine"].dtype == torch.float32
    torch.testing.assert_close(rough.beliefs.scores["fine"], exact.beliefs.scores["fine"], atol=0.3, rtol=0.1)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_one_sentence(checkpoint: Path) -> None:
    with pytest.raises(InputError, match=r"no CUDA GPU on this machine; use the CPU \(--no-gpu\)"):
        Predictor(checkpoint, PredictionOptions(device="cuda"))


def test_photos_of_which_none_can_be_read_give_their_faults(checkpoint: Path) -> None:
    (batch,) = Predictor(checkpoint, PredictionOptions(device="cpu")).beliefs(Noise(np.array([4, 4])))
    assert batch.rows == []
    assert list(batch.faults) == [0, 1]
    assert batch.beliefs.distributions["hierarchy"].shape == (0, CLASSES[-1])
