"""Random crops resized on the device, a whole batch at once.

Here lives what the device does where workers only cut the crops out (`augment_on: device`). The one idea: resizing is
a matrix product along each axis, with a matrix for each photo, and a mirror image is such a matrix with its rows
turned round; so crops of any size become one batch in two products, with the filter that a worker would use.
"""

from __future__ import annotations

import torch
from torch import Tensor

from geo_pipeline.training.pictures import Cuts


def resized_cuts(canvas: Tensor, cuts: Cuts, size: int) -> Tensor:
    """uint8[n, 3, size, size], channels last, from crops in the top left corners of `canvas`, uint8[n, 3, h, w].

    The antialiased linear filter of `preprocessing.resize`, which rounds between the axes; this one does not, so they
    differ by 1 at most. Half precision where tensor cores compute it: its error is below 0.2.
    """
    number_type = torch.float16 if canvas.is_cuda else torch.float32
    extents, flips = (torch.from_numpy(each).to(canvas.device, non_blocking=True) for each in cuts)
    across, down = (_filters(extents[:, i], canvas.shape[3 - i], size) for i in (0, 1))
    across = torch.where(flips[:, None, None], across.flip(1), across)
    pixels = canvas.permute(0, 2, 3, 1).to(number_type)
    rows = torch.einsum("nyh,nhwc->nywc", down.to(number_type), pixels)
    resized = torch.einsum("nxw,nywc->nyxc", across.to(number_type), rows)
    whole = resized.round().clamp(0, 255).to(torch.uint8).permute(0, 3, 1, 2)
    return whole.contiguous(memory_format=torch.channels_last)


def _filters(extents: Tensor, length: int, size: int) -> Tensor:
    """float32[n, size, length]: what each pixel of `length` adds to each of `size`, for crops of int64[n] pixels.

    The triangle filter of Pillow's and torch's antialiased BILINEAR: as wide as the scale, at least one pixel.
    """
    scale = (extents / size)[:, None, None]
    centres = (torch.arange(size, device=extents.device)[:, None] + 0.5) * scale
    places = torch.arange(length, device=extents.device) + 0.5
    weights = (1 - (places - centres).abs() / scale.clamp(min=1)).clamp(min=0) * (places < extents[:, None, None])
    return weights / weights.sum(dim=2, keepdim=True)
