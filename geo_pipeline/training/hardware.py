"""What the machine computes fast, and what it cannot do.

The one idea: `auto` asks the machine (the precision that it found stands in the run's hparams.yaml); what a machine
lacks is said in one line before, or instead of, a trace of somebody else's code.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, Literal

import torch

from geo_pipeline.errors import InputError
from geo_pipeline.training.config import ModelParams

_STEPS_WORTH_COMPILING = 2000
_OF_NVIDIA = {"gpu", "cuda"}
_NO_MEMORY = ("not enough memory", "can't allocate memory", "Cannot allocate memory")
"""What PyTorch's allocator on the CPU says in a plain RuntimeError."""


def resolve_precision(precision: object) -> object:
    """Lightning's `precision`, with `auto` replaced by bf16-mixed where bfloat16 is native, else by 32-true.

    On two cores with AVX512-BF16 a step of small_resnet takes 0.5 times what it takes in float32; without such
    instructions bfloat16 is emulated and slower.
    """
    if precision != "auto":
        return precision
    return "bf16-mixed" if computes_in_bfloat16() else "32-true"


def computes_in_bfloat16() -> bool:
    """Whether the accelerator, or else the processor, has bfloat16 arithmetic."""
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def resolve_compile(setting: Literal["auto"] | bool, device: torch.device, num_steps: int) -> bool:
    """Whether `torch.compile` makes the network's code, for a training of so many steps.

    auto: on a GPU, where Triton is installed, for a training long enough to win back the minute that it takes.
    """
    if setting != "auto":
        return setting
    return device.type == "cuda" and find_spec("triton") is not None and num_steps >= _STEPS_WORTH_COMPILING


def fast_defaults(trainer_params: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters of Lightning's Trainer that make a GPU fast, as long as nobody asked for another thing.

    cudnn looks for the fastest of its convolutions (sizes stay the same), unless they shall be deterministic.
    """
    return {"benchmark": True} if torch.cuda.is_available() and not trainer_params.get("deterministic") else {}


def use_tensor_cores() -> None:
    """Let a GPU multiply float32 matrices in TF32: what bfloat16 does not cover is not left to slow units."""
    if torch.cuda.is_available():
        torch.set_float32_matmul_precision("high")


def require_accelerator(trainer_params: Mapping[str, Any]) -> None:
    """Raise InputError, in one line, if a GPU is asked for that this machine or this PyTorch does not have."""
    wanted = trainer_params.get("accelerator")
    has_one = torch.cuda.is_available() or (wanted == "gpu" and torch.backends.mps.is_available())
    if wanted not in _OF_NVIDIA or has_one:
        return
    built = f"for CUDA {torch.version.cuda}" if torch.version.cuda else "without CUDA"
    raise InputError(
        f"trainer_params.accelerator: found {wanted}, but PyTorch {torch.__version__} ({built}) sees no GPU here: look "
        "with nvidia-smi whether the driver is there and new enough, or set accelerator: auto"
    )


@contextmanager
def memory_errors_told(params: ModelParams) -> Iterator[None]:
    """Turn "out of memory" into an InputError that says what was too large and what to set."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        half = max(params.batch_size // 2, 1)
        raise InputError(
            f"out of memory: {params.architecture} with pictures of {params.image_size} pixels and model_params."
            f"batch_size {params.batch_size} does not fit. Set model_params.batch_size to {half} and "
            "trainer_params.accumulate_grad_batches to 2, which learns the same from as many photos a step, or take a "
            f"smaller architecture ({str(error).splitlines()[0] if str(error) else type(error).__name__})"
        ) from error


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return any(words in str(error) for words in _NO_MEMORY)
