"""What predictions cost beyond the network itself, and how long judging them takes.

Floor of `predict`: decoding the same pictures, cutting the same crops and the bare network on them, as many pictures at
once, in this process. Claims, on a CPU:

- predict: at least 0.9 times the floor's photos per second, for ResNet-50 and for the world's small network, with the
  rows of predictions.csv written; at most 50 MB more memory for ten times as many photos;
- f* over the published partitionings (12,893, 7,202 and 3,298 classes): under 1 percent of ResNet-50's forward pass, of
  one crop even; with the confidence of each answer, under 1 percent of that of five crops;
- evaluation of 3,000 photos after the forward pass (distances, shares, intervals over photos and authors, files): under
  1 second;
- answers of the floor and of predict are equal; the script fails where they are not.

Runs unchanged with a GPU (`--device cuda`). Times of several repeats are told as median and range.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from PIL import Image

from geo_pipeline.cells.hierarchy import cell_hierarchy
from geo_pipeline.cells.published import read_cells_csv
from geo_pipeline.evaluation.accuracy import accuracy_table
from geo_pipeline.evaluation.settings import EvaluationSettings
from geo_pipeline.evaluation.truth import with_truth
from geo_pipeline.model.calibration import Beliefs, beliefs_of
from geo_pipeline.model.checkpoint import SECTION, checkpoint_section
from geo_pipeline.model.combination import best_class, hierarchical_scores
from geo_pipeline.model.decisions import Decider
from geo_pipeline.model.geography import HIERARCHY, Geography, Partitioning
from geo_pipeline.model.network import GeoModel
from geo_pipeline.model.pictures import PictureFiles, find_pictures
from geo_pipeline.model.prediction import ANSWERS_SCHEMA, answer_photos
from geo_pipeline.model.predictor import PICTURES_AT_ONCE, PredictionOptions, Predictor, log_probabilities
from geo_pipeline.model.preprocessing import crops_for_test
from geo_pipeline.model.settings import NetworkSettings
from geo_pipeline.store import csv_bytes, write_csv, write_table

PROJECT = Path(__file__).resolve().parent.parent
DATA = PROJECT.parent / "shared" / "data"
PUBLISHED = {"coarse": (5000, 3298), "middle": (2000, 7202), "fine": (1000, 12893)}
CROPS = 5
EVALUATED = 3000

CASES = {
    "resnet50": (NetworkSettings(architecture="resnet50", image_size=224, resize_size=256), (426, 320)),
    "small_resnet": (NetworkSettings(architecture="small_resnet", image_size=64, resize_size=72), (80, 80)),
}
"""Networks with the (width, height) of the pictures that they are shown."""


def main() -> None:
    """Measure and print."""
    options = _parser().parse_args()
    if options.child:
        print(_peak_megabytes_of(options, *options.child))
        return
    geography = _geography(options.cells)
    torch.set_num_threads(options.threads)
    print(
        f"{options.threads} threads on {os.cpu_count()} cores, torch {torch.__version__}, {options.device}", flush=True
    )
    for name in options.sections:
        print(f"\n{name}", flush=True)
        SECTIONS[name](options, geography)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Predictions, against the bare network.")
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=list(SECTIONS), help="what to measure")
    parser.add_argument("--device", default="cpu", help="of torch (default: cpu)")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of torch (default: all cores)")
    parser.add_argument("--photos", type=int, default=64, help="for ResNet-50; 20 times as many for the small network")
    parser.add_argument("--repeats", type=int, default=5, help="of each measurement, by turns (default: 5)")
    parser.add_argument("--cells", type=Path, default=DATA, help="folder of the published tables")
    parser.add_argument("--child", nargs=2, metavar=("CHECKPOINT", "FOLDER"), help=argparse.SUPPRESS)
    return parser


def predict_against_floor(options: argparse.Namespace, geography: Geography) -> None:
    """Photos per second of predict and of its floor."""
    for name, (settings, size) in CASES.items():
        count = options.photos * (1 if name == "resnet50" else 20)
        with tempfile.TemporaryDirectory() as folder:
            checkpoint, names = _checkpoint(Path(folder), settings, geography), _pictures(Path(folder), count, size)
            predictor = Predictor(checkpoint, PredictionOptions(crops=CROPS, device=options.device))
            source = PictureFiles(Path(folder), names, settings.resize_size)
            floor, ours = partial(_floor, predictor, source), partial(_predicted, predictor, source, names)
            answers = ours()
            assert floor() == answers.filter(pc.equal(answers["p_key"], HIERARCHY))["class_label"].to_pylist()
            times = _by_turns(options.repeats, floor, ours)
            ratios = _spread(sorted(a / b for a, b in zip(*times, strict=True)))
            rates = f"floor {_rate(count, times[0])}, predict {_rate(count, times[1])}"
            print(f"  {name}: {rates}, ratio {ratios}", flush=True)


def memory(options: argparse.Namespace, geography: Geography) -> None:
    """Peak memory of a process that predicts some photos, and ten times as many."""
    settings, size = CASES["small_resnet"]
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = _checkpoint(Path(folder), settings, geography)
        peaks = []
        for count in (400, 4000):
            _pictures(Path(folder) / str(count), count, size)
            command = [sys.executable, __file__, "--threads", str(options.threads), "--device", options.device]
            command += ["--cells", str(options.cells), "--child", str(checkpoint), str(Path(folder) / str(count))]
            peaks.append(float(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
    print(f"  400 photos: {peaks[0]:.0f} MB, 4,000 photos: {peaks[1]:.0f} MB, more: {peaks[1] - peaks[0]:.0f} MB")


def hierarchy(options: argparse.Namespace, geography: Geography) -> None:
    """f* and confidences for a group of photos, against the forward pass of ResNet-50."""
    settings, _ = CASES["resnet50"]
    device, photos = torch.device(options.device), PICTURES_AT_ONCE // CROPS
    network = GeoModel("resnet50", geography.num_classes).eval().to(device)
    pictures = torch.randint(0, 256, (PICTURES_AT_ONCE, 3, settings.image_size, settings.image_size), dtype=torch.uint8)
    pictures, ancestors = pictures.to(device), torch.from_numpy(geography.hierarchy).to(device)
    with torch.inference_mode():
        logits = [head.log_softmax(dim=1) for head in network(pictures)]
        heads, decider = [head[:photos] for head in logits], Decider(geography, device)
        times = _by_turns(
            options.repeats,
            lambda: _waited(device, lambda: network(pictures)),
            lambda: _waited(device, lambda: best_class(hierarchical_scores(heads, ancestors))),
            lambda: _waited(device, lambda: decider.decide(_beliefs(heads, geography, ancestors))),
        )
    forward, f_star, decided = (statistics.median(each) for each in times)
    of_crop, of_photo = forward / PICTURES_AT_ONCE, forward / photos
    print(f"  forward pass of a crop {1e3 * of_crop:.2f} ms, of a photo ({CROPS} crops) {1e3 * of_photo:.2f} ms")
    print(f"  f*: {1e3 * f_star / photos:.3f} ms a photo, {100 * f_star / photos / of_crop:.2f} % of one crop")
    shares = f"{100 * decided / photos / of_photo:.2f} % of five crops"
    print(f"  all answers with confidences: {1e3 * decided / photos:.3f} ms a photo, {shares}")


def evaluation(options: argparse.Namespace, geography: Geography) -> None:
    """The tables of 3,000 photos from their answers, and the files."""
    rng = np.random.default_rng(0)
    finest, keys = geography.partitioning_of(HIERARCHY), geography.p_keys
    labels = rng.integers(0, len(finest.hex_ids), EVALUATED * len(keys))
    answers = pa.table(
        [
            np.repeat([f"photo {k}" for k in range(EVALUATED)], len(keys)),
            np.tile(keys, EVALUATED),
            labels,
            finest.latitudes[labels],
            finest.longitudes[labels],
            rng.random(len(labels)),
            rng.random(len(labels)),
        ],
        names=ANSWERS_SCHEMA.names,
    ).cast(ANSWERS_SCHEMA)
    photos = pa.table(
        {
            "photo_id": [f"photo {k}" for k in range(EVALUATED)],
            "author": [f"author {k}" for k in rng.integers(0, EVALUATED // 2, EVALUATED)],
            "latitude": rng.uniform(-60, 70, EVALUATED),
            "longitude": rng.uniform(-180, 180, EVALUATED),
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        (times,) = _by_turns(options.repeats, lambda: _evaluated(answers, photos, Path(folder)))
    print(f"  {EVALUATED:,} photos: {_spread(sorted(times))} s")


def _evaluated(answers: pa.Table, photos: pa.Table, folder: Path) -> None:
    """What `evaluate` does after the last batch."""
    predictions = with_truth(answers, photos, benchmark="b", model="m")
    accuracy = accuracy_table(predictions, EvaluationSettings())
    for name, table in (("accuracy", accuracy), ("predictions", predictions)):
        write_csv(folder / f"{name}.csv", table)
        write_table(folder / f"{name}.parquet", table)


@torch.inference_mode()
def _floor(predictor: Predictor, source: PictureFiles) -> list[int]:
    """Decoding, crops and the bare network; the classes of f*."""
    network, settings, at_once = predictor.model.network, predictor.model.settings, PICTURES_AT_ONCE // CROPS
    ancestors, labels = torch.from_numpy(predictor.geography.hierarchy).to(predictor.device), list[int]()
    for first in range(0, len(source), at_once):
        rows = range(first, first + at_once)
        crops = np.stack([crops_for_test(source.image(row), settings, CROPS) for row in rows])
        heads = log_probabilities(network, torch.from_numpy(crops).to(predictor.device), "max")
        labels += hierarchical_scores(heads, ancestors).argmax(dim=1).tolist()
    return labels


def _predicted(predictor: Predictor, source: PictureFiles, names: list[str]) -> pa.Table:
    """The answers by the way of `predict`, with their rows as text."""
    batches = answer_photos(predictor, Decider(predictor.geography, predictor.device), source, names)
    answers = [batch.answers for batch in batches]
    assert sum(len(csv_bytes(each)) for each in answers)
    return pa.concat_tables(answers)


def _beliefs(heads: list[torch.Tensor], geography: Geography, ancestors: torch.Tensor) -> Beliefs:
    return beliefs_of(heads, geography, ancestors)


def _peak_megabytes_of(options: argparse.Namespace, checkpoint: str, folder: str) -> float:
    """Peak memory of this process after it has predicted the pictures of a folder."""
    torch.set_num_threads(options.threads)
    predictor = Predictor(Path(checkpoint), PredictionOptions(crops=CROPS, device=options.device))
    names = find_pictures(Path(folder))
    source = PictureFiles(Path(folder), names, predictor.model.settings.resize_size)
    decider = Decider(predictor.geography, predictor.device)
    for batch in answer_photos(predictor, decider, source, names):
        csv_bytes(batch.answers)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def _geography(folder: Path) -> Geography:
    """The published partitionings, or as many random cells where they are not at hand."""
    files = {name: folder / f"cells_50_{img_max}.csv" for name, (img_max, _) in PUBLISHED.items()}
    if all(file.exists() for file in files.values()):
        cells = {name: read_cells_csv(file) for name, file in files.items()}
        return Geography.from_tables(cells, cell_hierarchy(cells))
    print(f"{folder}: the published tables are not there; random cells in their place")
    rng, counts = np.random.default_rng(0), [count for _, count in PUBLISHED.values()]
    parts = [
        Partitioning(name, tuple(f"1{k:05x}1" for k in range(n)), rng.uniform(-60, 70, n), rng.uniform(-180, 180, n))
        for name, n in zip(PUBLISHED, counts, strict=True)
    ]
    return Geography(tuple(parts), np.stack([np.arange(counts[-1]) % n for n in counts], axis=1))


def _checkpoint(folder: Path, settings: NetworkSettings, geography: Geography) -> Path:
    """A network with random weights."""
    torch.manual_seed(0)
    network = GeoModel(settings.architecture, geography.num_classes)
    state = {f"network.{name}": weights for name, weights in network.state_dict().items()}
    torch.save({"state_dict": state, SECTION: checkpoint_section(settings, geography)}, folder / "best.ckpt")
    return folder / "best.ckpt"


def _pictures(folder: Path, count: int, size: tuple[int, int]) -> list[str]:
    """JPEG files of smooth random pictures, by name."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(1)
    for k in range(count):
        small = Image.fromarray(rng.integers(0, 255, (12, 16, 3), dtype=np.uint8))
        small.resize(size, Image.Resampling.BICUBIC).save(folder / f"{k:05d}.jpg", quality=90)
    return [f"{k:05d}.jpg" for k in range(count)]


def _waited(device: torch.device, compute: Callable[[], object]) -> None:
    compute()
    if device.type == "cuda":
        torch.cuda.synchronize()


def _by_turns(repeats: int, *functions: Callable[[], object]) -> list[list[float]]:
    """Seconds of each function, run by turns after one run that does not count."""
    times: list[list[float]] = [[] for _ in functions]
    for repeat in range(repeats + 1):
        for function, seconds in zip(functions, times, strict=True):
            begun = time.perf_counter()
            function()
            if repeat:
                seconds.append(time.perf_counter() - begun)
    return times


def _rate(count: int, seconds: list[float]) -> str:
    return f"{count / statistics.median(seconds):,.1f} photos/s"


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):.3f} ({values[0]:.3f} to {values[-1]:.3f})"


SECTIONS: dict[str, Callable[[argparse.Namespace, Geography], None]] = {
    "predict": predict_against_floor,
    "memory": memory,
    "hierarchy": hierarchy,
    "evaluation": evaluation,
}

if __name__ == "__main__":
    main()
