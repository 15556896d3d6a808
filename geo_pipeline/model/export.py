"""A trained network as one file for other programs: ONNX, torch.export, safetensors.

Here live the network as it is deployed (picture in, coordinate out) and the writing of the three formats. Not here:
what the file says of itself (description.py). The one idea: everything between the bytes of a picture and the answer of
f* is in the graph, so that no program has to do it again; labels and preprocessing travel in the file's own metadata.
"""

from __future__ import annotations

import copy
import io
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

import torch
from torch import Tensor, nn

from geo_pipeline.errors import InputError
from geo_pipeline.model.checkpoint import TrainedNetwork
from geo_pipeline.model.combination import hierarchical_scores
from geo_pipeline.model.description import DESCRIPTION, INPUT, description_text
from geo_pipeline.model.geography import HIERARCHY
from geo_pipeline.model.safetensors_file import ENDING, safetensors_bytes
from geo_pipeline.store import write_bytes

ENDINGS: Mapping[str, str] = MappingProxyType({"onnx": ".onnx", "torchexport": ".pt2", "safetensors": ENDING})
"""The formats, with the ending that their files usually have."""

ANSWER_OUTPUTS = ("class_label", "latitude", "longitude", "probability")
_NEEDED_BY_ONNX = ("onnx", "onnxscript")


class DeployedModel(nn.Module):
    """Pictures to logits, f* and its answer: what the graph formats hold."""

    hierarchy: Tensor
    latitudes: Tensor
    longitudes: Tensor

    def __init__(self, model: TrainedNetwork) -> None:
        super().__init__()
        self.network = model.network
        self.names = model.geography.names
        finest = model.geography.partitioning_of(HIERARCHY)
        self.register_buffer("hierarchy", torch.tensor(model.geography.hierarchy))
        self.register_buffer("latitudes", torch.tensor(finest.latitudes))
        self.register_buffer("longitudes", torch.tensor(finest.longitudes))

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """uint8[n, 3, s, s] -> the tensors that the description names, in its order."""
        logits = self.network(images)
        scores = hierarchical_scores([head.log_softmax(dim=1) for head in logits], self.hierarchy).log_softmax(dim=1)
        best, labels = scores.max(dim=1)
        answer = (labels, self.latitudes[labels], self.longitudes[labels], best.exp())
        return {
            **dict(zip(self.names, logits, strict=True)),
            HIERARCHY: scores,
            **dict(zip(ANSWER_OUTPUTS, answer, strict=True)),
        }


def export_model(model: TrainedNetwork, path: Path, file_format: str) -> None:
    """Write a network atomically; `file_format` is a key of `ENDINGS`. Batches of the graph formats are of any size.

    Raises InputError where a package is missing, OSError where the file cannot be written.
    """
    write_bytes(path, _WRITERS[file_format](model))


def _safetensors(model: TrainedNetwork) -> bytes:
    return safetensors_bytes(model.network.state_dict(), description_text(model.settings, model.geography))


def _torchexport(model: TrainedNetwork) -> bytes:
    stream = io.BytesIO()
    extra_files = {f"{DESCRIPTION}.json": description_text(model.settings, model.geography)}
    torch.export.save(_program(model), stream, extra_files=extra_files)
    return stream.getvalue()


def _onnx(model: TrainedNetwork) -> bytes:
    missing = [name for name in _NEEDED_BY_ONNX if find_spec(name) is None]
    if missing:
        raise InputError(f"export to ONNX needs {' and '.join(missing)}: pip install 'geo_pipeline[export]'")
    names = [*model.geography.names, HIERARCHY, *ANSWER_OUTPUTS]
    with _quiet_exporter():
        onnx = torch.onnx.export(
            _program(model), input_names=[INPUT], output_names=names, dynamic_shapes={INPUT: {0: "n"}}, verbose=False
        )
    if onnx is None:
        raise AssertionError("torch.onnx.export gives a program where it is given no file")
    onnx.model.metadata_props[DESCRIPTION] = description_text(model.settings, model.geography)
    content: bytes = onnx.model_proto.SerializeToString()
    return content


_WRITERS: Mapping[str, Callable[[TrainedNetwork], bytes]] = MappingProxyType(
    {"onnx": _onnx, "torchexport": _torchexport, "safetensors": _safetensors}
)


def _program(model: TrainedNetwork) -> torch.export.ExportedProgram:
    """The graph of the deployed model, for any number of pictures."""
    size = model.settings.image_size
    two = torch.zeros(2, 3, size, size, dtype=torch.uint8, device=model.network.pixel_mean.device)
    batch = {INPUT: {0: torch.export.Dim("n", min=1)}}  # traced with two: one is a special case to torch
    # torch.export's archive wants weights in the usual layout, the network keeps them in that of its device
    deployed = copy.deepcopy(DeployedModel(model)).to(memory_format=torch.contiguous_format).eval()
    with torch.no_grad():
        return torch.export.export(deployed, (two,), dynamic_shapes=batch)


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Keep the exporter's remarks on its own progress off the log."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
