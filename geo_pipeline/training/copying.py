"""Copies to a GPU that overlap with its computing.

The one idea: while the network computes on one batch, the next one is copied and cropped on another stream, so the
GPU waits for a batch only if the workers are behind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

import torch

from geo_pipeline.training.data import Batch

_Source = TypeVar("_Source")


def copied_ahead(sources: Iterator[_Source], copy: Callable[[_Source], Batch], device: torch.device) -> Iterator[Batch]:
    """What `copy` makes of each source on the device, begun one batch before it is asked for.

    As in timm's PrefetchLoader (timm/data/loader.py).
    """
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    ready: Batch | None = None
    for source in sources:
        with torch.cuda.stream(stream):
            copied = copy(source)
        if ready is not None:
            yield ready
        ready = _handed_over(copied, stream, device)
    if ready is not None:
        yield ready


def _handed_over(batch: Batch, stream: torch.cuda.Stream, device: torch.device) -> Batch:
    """The batch for the present stream: it waits for the copy, and the memory stays taken until it is done with it."""
    present = torch.cuda.current_stream(device)
    present.wait_stream(stream)
    for tensor in batch:
        if tensor.is_cuda:
            tensor.record_stream(present)
    return batch
