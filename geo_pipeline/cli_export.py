"""`geo-pipeline export`: a trained network as one file for other programs.

Here live its options and what it prints. Not here: the formats (model.export).
"""

from __future__ import annotations

import argparse
from pathlib import Path

from geo_pipeline.errors import InputError
from geo_pipeline.profile import layout_of, load_profile, profile_path

FORMATS = ("onnx", "torchexport", "safetensors")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Give a parser the options of the command."""
    parser.add_argument(
        "--checkpoint", type=Path, metavar="FILE", help="best.ckpt of a run (default: that of the profile's geo_model)"
    )
    parser.add_argument(
        "--format",
        required=True,
        choices=FORMATS,
        help="onnx and torchexport: the whole graph, from bytes of a picture to the answer of f*; safetensors: the"
        " weights by the names of the network's state dict, which geo-pipeline reads as a checkpoint",
    )
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="default: beside the checkpoint, with the format's own ending"
    )
    parser.add_argument(
        "--device", default="cpu", choices=("cpu", "cuda"), help="where a torchexport program is to run (default: cpu)"
    )


def run(options: argparse.Namespace) -> int:
    """Write the file; the exit code."""
    checkpoint = options.checkpoint or _of_the_profile(options.profile)
    import torch

    from geo_pipeline.model.checkpoint import load_network
    from geo_pipeline.model.export import ENDINGS, export_model

    output = options.output or checkpoint.with_suffix(ENDINGS[options.format])
    _refuse_to_overwrite(output, checkpoint)
    if options.device == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: PyTorch finds no CUDA GPU on this machine; export with --device cpu")
    model = load_network(checkpoint, torch.device(options.device))
    export_model(model, output, options.format)
    classes = ", ".join(
        f"{name} {n:,}" for name, n in zip(model.geography.names, model.geography.num_classes, strict=True)
    )
    size = model.settings.image_size
    print(f"{output}: {model.settings.architecture} for pictures of {size} x {size} pixels; cells: {classes}")
    return 0


def _of_the_profile(name: str | None) -> Path:
    """The checkpoint of the profile's model."""
    return layout_of(load_profile(profile_path(name))).checkpoint


def _refuse_to_overwrite(output: Path, checkpoint: Path) -> None:
    """Raise InputError where the output cannot get its name, before the work begins."""
    if output.is_dir():
        raise InputError(f"--output {output}: found a folder, expected the name of a file to write")
    if output.resolve() == checkpoint.resolve():
        raise InputError(f"--output {output}: would overwrite the checkpoint; name another file")
