"""How much of what a GPU can compute a training uses (MFU).

Here live the arithmetic of a photo and the peaks of known GPUs. The one idea: a number is told only where both are
known; elsewhere it is None. Source of the measure: Chowdhery et al. 2022, PaLM, appendix B.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

import torch
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode

from geo_pipeline.model.network import GeoModel

_BACKWARD_AND_FORWARD = 3
"""Training computes three times what an answer does: gradients of the activations and of the weights besides."""

PEAK_BFLOAT16_FLOPS: Mapping[str, float] = MappingProxyType(
    {
        "B200": 2250e12,
        "H200": 989e12,
        "GH200": 989e12,
        "H100 NVL": 835e12,
        "H100 PCIE": 756e12,
        "H100": 989e12,
        "A100": 312e12,
        "L40S": 362e12,
        "L40": 181e12,
        "L4": 121e12,
        "A40": 150e12,
        "A10": 125e12,
        "RTX 4090": 165e12,
        "RTX 3090": 71e12,
    }
)
"""Dense operations a second in bfloat16 with sums in float32; a longer name stands before one that is part of it.

Source: NVIDIA's data sheets, whose larger figures "with sparsity" are no use here. TF32 has half of it on all of them.
"""


def training_flops(network: GeoModel, image_size: int) -> float | None:
    """Floating point operations of learning from one photo; None for a network that looks at values.

    Counted by the shapes of one forward pass (an addition and a multiplication are two), without arithmetic.
    """
    tensors = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    hollow = {name: torch.empty_like(tensor, device="meta") for name, tensor in tensors.items()}
    images = torch.empty(1, 3, image_size, image_size, dtype=torch.uint8, device="meta")
    was_training = network.training
    network.eval()  # one photo is no batch to batch norm
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            functional_call(network, hollow, (images,))
    except RuntimeError:
        return None
    finally:
        network.train(was_training)
    return float(_BACKWARD_AND_FORWARD * counter.get_total_flops())


def peak_flops(device_name: str, precision: str) -> float | None:
    """Operations a second that a GPU could do at most, None if that is not known.

    device_name: as torch.cuda.get_device_name says it; precision: Lightning's.
    """
    words = re.split(r"[ -]", device_name.upper())
    for name, peak in PEAK_BFLOAT16_FLOPS.items():
        if set(name.split()) <= set(words):
            return peak if precision.startswith(("bf16", "16")) else peak / 2 if precision.startswith("32") else None
    return None
