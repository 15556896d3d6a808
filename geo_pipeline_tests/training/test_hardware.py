from __future__ import annotations

import pytest
import torch

from geo_pipeline.errors import InputError
from geo_pipeline.training.config import ModelParams
from geo_pipeline.training.hardware import (
    fast_defaults,
    memory_errors_told,
    require_accelerator,
    resolve_compile,
    resolve_precision,
)

CPU, GPU = torch.device("cpu"), torch.device("cuda")
needs_no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="asks a machine without a GPU")


def test_a_chosen_precision_is_kept() -> None:
    assert resolve_precision("32-true") == "32-true"


@needs_no_gpu
@pytest.mark.parametrize(
    ("capability", "precision"), [("avx512_bf16", "bf16-mixed"), ("amx_bf16", "bf16-mixed"), ("avx2", "32-true")]
)
def test_auto_takes_bfloat16_where_the_processor_has_it(
    monkeypatch: pytest.MonkeyPatch, capability: str, precision: str
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {capability: True})
    assert resolve_precision("auto") == precision


def test_a_network_is_compiled_for_a_long_training_on_a_gpu_only() -> None:
    assert not resolve_compile("auto", CPU, 10**6)
    assert not resolve_compile("auto", GPU, 100)
    assert resolve_compile(True, CPU, 1)
    assert not resolve_compile(False, GPU, 10**6)


def test_a_long_training_on_a_gpu_is_compiled_where_triton_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for found in (None, object()):
        monkeypatch.setattr("geo_pipeline.training.hardware.find_spec", lambda _, found=found: found)
        assert resolve_compile("auto", GPU, 10**6) is (found is not None)


def test_cudnn_looks_for_fast_convolutions_unless_they_shall_be_deterministic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert fast_defaults({}) == {"benchmark": True}
    assert fast_defaults({"deterministic": True}) == {}


@needs_no_gpu
@pytest.mark.parametrize("accelerator", ["gpu", "cuda"])
def test_a_gpu_that_is_not_there_is_one_line(accelerator: str) -> None:
    with pytest.raises(InputError, match=rf"accelerator: found {accelerator}, but PyTorch .* sees no GPU") as raised:
        require_accelerator({"accelerator": accelerator})
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("accelerator", ["cpu", "auto", None])
def test_a_processor_is_always_there(accelerator: str | None) -> None:
    require_accelerator({"accelerator": accelerator})


def allocate_too_much() -> None:
    torch.empty(1 << 50)


def too_much_on_a_gpu() -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nmore")


def too_much_for_python() -> None:
    raise MemoryError


@pytest.mark.parametrize("mistake", [allocate_too_much, too_much_on_a_gpu, too_much_for_python])
def test_out_of_memory_says_what_was_too_large_and_what_to_set(mistake: object) -> None:
    assert callable(mistake)
    with (
        pytest.raises(InputError, match=r"resnet50 .*224 pixels.*batch_size 48.*to 24 .*accumulate") as told,
        memory_errors_told(ModelParams(batch_size=48)),
    ):
        mistake()
    assert "\n" not in str(told.value)


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(RuntimeError, match="shapes differ"), memory_errors_told(ModelParams()):
        raise RuntimeError("shapes differ")
