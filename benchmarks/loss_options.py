"""What the options of the loss bring: the bundled world trained with each, over several seeds.

Floor: the default settings. Each option is trained from the same tables and shards with the same seeds, then f* is
asked for every benchmark photo as the asset does (the profile's crops). Prints, for each option, mean and standard
deviation over the seeds of the share within 25, 200 and 750 km, the same of the difference to the default with the same
seed, and the seconds of training. What the world has not made yet is materialized first.

It takes about two minutes for each option and seed and can be stopped at any time: finished trainings stand in a file
of JSON lines and are not repeated, a begun one goes on. Two of them at once, with a core each:

    python benchmarks/loss_options.py --threads 1 --only default ema &
    python benchmarks/loss_options.py --threads 1 --only smoothing both
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from learning.world import PARTITIONINGS, job_of, require_tables

from geo_pipeline.evaluation.truth import with_truth
from geo_pipeline.model.geography import HIERARCHY
from geo_pipeline.model.prediction import predict_photos
from geo_pipeline.model.predictor import PredictionOptions
from geo_pipeline.photos.joins import downloaded_with_coordinates
from geo_pipeline.photos.settings import Role
from geo_pipeline.profile import Layout, Profile, home_folder, load_profile, profile_path
from geo_pipeline.store import read_table
from geo_pipeline.training.job import TrainingJob
from geo_pipeline.training.metrics import RADII_KM

DEFAULT = "default"
SMOOTHING = {"label_smoothing_km": dict.fromkeys(PARTITIONINGS, 75.0)}  # as PIGEON
EMA = {"ema_decay": 0.99}  # some 100 of the world's 560 steps
OPTIONS: Mapping[str, Mapping[str, Any]] = {
    DEFAULT: {},
    "smoothing": SMOOTHING,
    "ema": EMA,
    "both": SMOOTHING | EMA,
    "wide_smoothing": {"label_smoothing_km": {"coarse": 300.0, "middle": 150.0, "fine": 75.0}},
}

Shares = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Result:
    """One training: percent of f* within a radius, by benchmark and radius, and the seconds of its steps."""

    option: str
    seed: int
    fingerprint: str
    seconds: float
    shares: Shares


def main() -> None:
    """Train what is missing and print the table."""
    options = _parser().parse_args()
    profile = load_profile(profile_path(options.profile))
    layout = Layout(options.home.resolve() / profile.name)
    folder = layout.folder / "loss_options"
    results_file = options.results or folder / "results.jsonl"
    torch.set_num_threads(options.threads)
    require_tables(options.profile, layout)
    jobs = {
        (name, seed): job_of(profile, layout, folder / f"{name}-{seed}", {**OPTIONS[name], "seed": seed})
        for seed in options.seeds
        for name in options.only
    }
    fingerprints = {key: job.identity().fingerprint for key, job in jobs.items()}
    print(f"{os.cpu_count()} cores, {options.threads} threads, torch {torch.__version__}; {results_file}", flush=True)
    for (name, seed), job in jobs.items():
        if not found(results_file, fingerprints[name, seed]):
            train(name, seed, job, options.threads)
            shares = shares_of(job.run_dir / "best.ckpt", profile, layout)
            result = Result(name, seed, fingerprints[name, seed], seconds_of(job), shares)
            append(results_file, result)
            print(f"{name}, seed {seed}: {result.seconds:.0f} s, {result.shares}", flush=True)
    print_table([result for result in read_results(results_file) if result.fingerprint in fingerprints.values()])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="The options of the loss, on the bundled world.")
    parser.add_argument("--profile", default="world", help="a name in resources/ (default: world)")
    parser.add_argument("--home", type=Path, default=home_folder(), help="the data folder (default: GEO_PIPELINE_HOME)")
    parser.add_argument("--only", nargs="+", choices=OPTIONS, default=list(OPTIONS)[:4], help="options to train")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="default: 0 1 2")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="of a training (default: all cores)")
    parser.add_argument("--results", type=Path, help="JSON lines (default: loss_options/ in the profile's folder)")
    return parser


def train(name: str, seed: int, job: TrainingJob, threads: int) -> None:
    """Train in a process of its own, as the asset does."""
    begun = time.perf_counter()
    command = [sys.executable, "-m", "geo_pipeline.training", "--job", str(job.write(job.run_dir / "job.json"))]
    subprocess.run(command, check=True, env=os.environ | {"OMP_NUM_THREADS": str(threads)})
    print(f"{name}, seed {seed}: {time.perf_counter() - begun:.0f} s in all", flush=True)


def seconds_of(job: TrainingJob) -> float:
    """Those of all its epochs' steps."""
    lines = (job.run_dir / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return float(sum(json.loads(line)["seconds"] for line in lines))


def shares_of(checkpoint: Path, profile: Profile, layout: Layout) -> Shares:
    """Percent of f* within each radius, by benchmark."""
    manifest, metadata = (read_table(layout.table(name)) for name in ("photo_manifest", "photo_metadata"))
    shares = {}
    for name in profile.sets_of(Role.BENCHMARK):
        photos = downloaded_with_coordinates(manifest, metadata, name)
        settings = profile.evaluation
        options = PredictionOptions(crops=settings.crops, combine=settings.combine, device="cpu")
        answers = predict_photos(checkpoint, photos, layout.shards, options)
        shares[name] = percent_within(with_truth(answers, photos, benchmark=name, model="base"))
    return shares


def percent_within(predictions: pa.Table) -> dict[str, float]:
    """Percent of f* within each radius."""
    distances = predictions.filter(pc.equal(predictions["p_key"], HIERARCHY))["distance_km"].to_numpy()
    return {str(radius): 100 * float(np.mean(distances <= radius)) for radius in RADII_KM}


def append(path: Path, result: Result) -> None:
    """Add a line, in one write: two processes may share the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(asdict(result)) + "\n")


def read_results(path: Path) -> list[Result]:
    """All lines."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [Result(**json.loads(line)) for line in lines]


def found(path: Path, fingerprint: str) -> bool:
    """Whether a training has been measured."""
    return any(result.fingerprint == fingerprint for result in read_results(path))


def print_table(results: Sequence[Result]) -> None:
    """Markdown: each option's shares, then its differences to the default with the same seeds."""
    names = list(dict.fromkeys(result.option for result in results))
    columns = [(benchmark, radius) for benchmark, of in results[0].shares.items() for radius in of]
    print(
        "| option | " + " | ".join(f"{benchmark} {radius} km" for benchmark, radius in columns) + " | seconds | seeds |"
    )
    print("| --- " * (len(columns) + 3) + "|")
    default = {result.seed: result for result in results if result.option == DEFAULT}
    for name in names:
        ours = [result for result in results if result.option == name]
        values = [[result.shares[benchmark][radius] for result in ours] for benchmark, radius in columns]
        print_row(name, [spread(value) for value in values], ours)
        paired = [result for result in ours if result.seed in default]
        if name != DEFAULT and paired:
            gains = [
                [result.shares[b][radius] - default[result.seed].shares[b][radius] for result in paired]
                for b, radius in columns
            ]
            print_row(f"{name} - {DEFAULT}", [spread(gain, sign="+") for gain in gains], paired)


def print_row(name: str, cells: Sequence[str], results: Sequence[Result]) -> None:
    """One row."""
    seconds = spread([result.seconds for result in results])
    print(f"| {name} | " + " | ".join(cells) + f" | {seconds} | {', '.join(str(each.seed) for each in results)} |")


def spread(values: Sequence[float], sign: str = "") -> str:
    """Mean and standard deviation."""
    deviation = statistics.stdev(values) if len(values) > 1 else float("nan")
    return f"{statistics.mean(values):{sign}.1f} ± {deviation:.1f}"


if __name__ == "__main__":
    main()
