"""What training costs beside the bare arithmetic, and how long until it begins.

- `step`: our training step (the module under our Trainer) on a batch that lies on the device, against a plain PyTorch
  loop of the same network, precision, batch and optimizer. Pairs of runs in turn. Claim: at least 0.95 of its speed.
  On a GPU also with torch.compile, with the share of the GPU's peak; with `--timm-benchmark benchmark.py` (of timm's
  repository) beside timm's own numbers for the same network.
- `feeding`: a whole training from shards against the step on a lying batch, and the share of its time that waits for
  data. Claims on a GPU with 16 cores: at least 0.95, and under 3 %.
- `start`: seconds from the start of the process to the end of the first step, on the bundled world, anew and after
  kill -9. Claim: at most 15 s. What the world has not made yet is materialized first.

Without options it measures what suits the machine: small networks and batches on a CPU, ResNet-50 with 128 and 256 on a
GPU.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import lightning.pytorch as pl
import torch
from learning.photos import geography, training_job
from learning.world import job_of, require_tables
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from geo_pipeline.profile import Layout, home_folder, load_profile, profile_path
from geo_pipeline.training.callbacks import SeededSteps
from geo_pipeline.training.config import ModelParams, TrainingConfig
from geo_pipeline.training.data import Batch
from geo_pipeline.training.divergence import StopWhenDiverged
from geo_pipeline.training.hardware import resolve_precision
from geo_pipeline.training.module import GeoModule, build_optimizer
from geo_pipeline.training.pace import Pace
from geo_pipeline.training.trainer import build_trainer, quiet_lightning
from geo_pipeline.training.utilisation import peak_flops, training_flops

PUBLISHED_CLASSES, WORLD_CLASSES = (3298, 7202, 12893), (60, 250, 1200)
WARM_UP_STEPS = 5
MOST_SECONDS_TO_START = 15


@dataclass(frozen=True)
class Case:
    """A network, the width of its pictures, and how many a step has."""

    architecture: str
    image_size: int
    batch_size: int

    def __str__(self) -> str:
        return f"{self.architecture}, {self.image_size} pixels, batch {self.batch_size}"

    @property
    def num_classes(self) -> tuple[int, ...]:
        """Of the paper for its pictures, of the world for small ones."""
        return PUBLISHED_CLASSES if self.image_size >= 128 else WORLD_CLASSES

    def params(self, *, compile_network: bool = False) -> ModelParams:
        """As a config has them."""
        return ModelParams(
            architecture=self.architecture,
            image_size=self.image_size,
            resize_size=self.image_size * 8 // 7,
            batch_size=self.batch_size,
            compile=compile_network,
        )


ON_CPU = (Case("small_resnet", 64, 128), Case("resnet18", 224, 16), Case("resnet50", 224, 8))
ON_GPU = (Case("resnet50", 224, 128), Case("resnet50", 224, 256))


def main() -> None:
    """Measure and print."""
    options = _parser().parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    name = torch.cuda.get_device_name() if device.type == "cuda" else "no GPU"
    precision = resolve_precision("auto")
    print(f"{os.cpu_count()} cores, {name}, torch {torch.__version__}, {torch.get_num_threads()} threads, {precision}")
    for section in options.sections:
        print(f"\n{section}", flush=True)
        SECTIONS[section](options, device)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Training beside the bare arithmetic.")
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=list(SECTIONS), help="what to measure")
    parser.add_argument("--cases", nargs="+", type=_case, help="networks as NAME:IMAGE_SIZE:BATCH_SIZE")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each timed run of a step (default: 10)")
    parser.add_argument("--repeats", type=int, default=5, help="pairs of runs (default: 5)")
    parser.add_argument("--photos", type=int, help="in the shards of `feeding` (default: for half a minute)")
    parser.add_argument("--workers", default="auto", help="that feed (default: auto)")
    parser.add_argument("--timm-benchmark", type=Path, help="benchmark.py of a checkout of timm")
    parser.add_argument("--home", type=Path, default=home_folder(), help="the data folder of the world for `start`")
    return parser


def _case(text: str) -> Case:
    architecture, image_size, batch_size = text.rsplit(":", 2)
    return Case(architecture, int(image_size), int(batch_size))


def cases_of(options: argparse.Namespace, device: torch.device) -> Sequence[Case]:
    """Those asked for, or what suits the device."""
    return options.cases or (ON_GPU if device.type == "cuda" else ON_CPU)


def measure_steps(options: argparse.Namespace, device: torch.device) -> None:
    """Our step and the plain one, in turn."""
    for case in cases_of(options, device):
        for compile_network in (False, True) if device.type == "cuda" else (False,):
            print_steps(case, options, device, compile_network=compile_network)
        if options.timm_benchmark:
            print(f"{case}: timm's benchmark: {timm_photos_per_second(case, options.timm_benchmark):.0f} photos/s")


def print_steps(case: Case, options: argparse.Namespace, device: torch.device, *, compile_network: bool) -> None:
    """The ratio of the pairs."""
    few = plain_seconds(case, device, 3, compile_network=compile_network)
    steps = max(int(options.seconds / few), 5)
    plain, ours = [], []
    for _ in range(options.repeats):
        plain.append(plain_seconds(case, device, steps, compile_network=compile_network))
        ours.append(our_seconds(case, device, steps, compile_network=compile_network))
    ratios = [bare / mine for bare, mine in zip(plain, ours, strict=True)]
    compiled = ", compiled" if compile_network else ""
    print(
        f"{case}{compiled}: plain {1000 * statistics.median(plain):.1f} ms a step, ours "
        f"{1000 * statistics.median(ours):.1f} ms ({case.batch_size / statistics.median(ours):.0f} photos/s"
        f"{utilisation_text(case, statistics.median(ours), device)}); speed to the plain loop: {in_words(ratios)}; "
        "claim: at least 0.95",
        flush=True,
    )


def utilisation_text(case: Case, seconds: float, device: torch.device) -> str:
    """The share of the GPU's peak, where it is known."""
    if device.type != "cuda":
        return ""
    peak = peak_flops(torch.cuda.get_device_name(), str(resolve_precision("auto")))
    needed = training_flops(new_module(case.params(), case).network, case.image_size)
    return f", {100 * case.batch_size * needed / seconds / peak:.0f} % of the peak" if peak and needed else ""


def new_module(params: ModelParams, case: Case) -> GeoModule:
    """The module as a training makes it."""
    torch.manual_seed(0)
    return GeoModule(params, geography(case.num_classes), steps_per_epoch=10**6, max_epochs=1)


def new_batch(case: Case, device: torch.device) -> Batch:
    """Noise with labels, on the device."""
    random = torch.Generator().manual_seed(0)
    shape = (case.batch_size, 3, case.image_size, case.image_size)
    images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=random)
    labels = [torch.randint(0, n, (case.batch_size,), generator=random) for n in case.num_classes]
    return Batch(images.to(device), torch.stack(labels, dim=1).to(device), torch.zeros(case.batch_size, 2))


def plain_seconds(case: Case, device: torch.device, steps: int, *, compile_network: bool) -> float:
    """Of a step of a loop as anybody writes it; the optimizer and the layout in memory are those that we use."""
    params, batch = case.params(), new_batch(case, device)
    network = new_module(params, case).network.to(device).train()
    optimizer = build_optimizer(network, params.optimizer)
    if compile_network:
        network.compile()
    mixed = resolve_precision("auto") == "bf16-mixed"
    labels = batch.labels.unbind(dim=1)

    def step() -> None:
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=mixed):
            heads = network(batch.images)
            losses = [functional.cross_entropy(head, label) for head, label in zip(heads, labels, strict=True)]
            loss = torch.stack(losses).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    run_steps(step, WARM_UP_STEPS)
    return seconds(lambda: run_steps(step, steps), device) / steps


def run_steps(step: Callable[[], None], times: int) -> None:
    """So many of them."""
    for _ in range(times):
        step()


def our_seconds(case: Case, device: torch.device, steps: int, *, compile_network: bool) -> float:
    """Of a step of our module under our Trainer."""
    params, batch = case.params(compile_network=compile_network), new_batch(case, device)
    clock = Clock(device)
    with tempfile.TemporaryDirectory(prefix="training-") as folder, quiet_lightning():
        callbacks = [SeededSteps(0), StopWhenDiverged(), clock, Pace()]
        parameters = {"max_epochs": 1, "limit_val_batches": 0, "devices": 1}
        trainer = build_trainer(parameters, Path(folder), callbacks)
        batches = DataLoader(Again(batch, WARM_UP_STEPS + steps), batch_size=None)
        trainer.fit(new_module(params, case), batches, batches)
    return clock.seconds / steps


class Again(Dataset[Batch]):
    """The same batch so many times."""

    def __init__(self, batch: Batch, times: int) -> None:
        self._batch = batch
        self._times = times

    def __len__(self) -> int:
        return self._times

    def __getitem__(self, _: int) -> Batch:
        return self._batch


class Clock(pl.Callback):
    """Seconds of all steps after the first few."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._begun = 0.0
        self.seconds = 0.0

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Begin after the warm-up, end after the last step."""
        del pl_module, outputs, batch
        if batch_idx + 1 == WARM_UP_STEPS:
            wait_for(self._device)
            self._begun = time.perf_counter()
        if trainer.is_last_batch:
            wait_for(self._device)
            self.seconds = time.perf_counter() - self._begun


def timm_photos_per_second(case: Case, script: Path) -> float:
    """What timm's own script says of training the same network."""
    command = [
        sys.executable,
        str(script),
        "--bench",
        "train",
        "--model",
        case.architecture,
        "--channels-last",
        "--amp",
    ]
    command += ["--amp-dtype", "bfloat16", "--img-size", str(case.image_size), "--batch-size", str(case.batch_size)]
    command += ["--num-classes", str(sum(case.num_classes)), "--opt", "sgd", "--no-retry"]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = re.search(r'"train_samples_per_sec": ([\d.]+)', told)
    assert found, told
    return float(found[1])


def measure_feeding(options: argparse.Namespace, device: torch.device) -> None:
    """A whole training from shards beside the step on a lying batch."""
    case = cases_of(options, device)[0]
    few = plain_seconds(case, device, 3, compile_network=False)
    step = our_seconds(case, device, max(int(options.seconds / few), 5), compile_network=False)
    fixed = case.batch_size / step
    photos = options.photos or int(30 * fixed) // case.batch_size * case.batch_size
    with tempfile.TemporaryDirectory(prefix="training-") as folder:
        params = case.params().model_dump() | {"loader": {"num_workers": _workers(options.workers)}}
        config = TrainingConfig(model_params=ModelParams(**params), trainer_params={"max_epochs": 2})
        side = 320 if case.image_size >= 128 else 80
        job = training_job(Path(folder), config, photos, side, case.num_classes)
        train(job.write(Path(folder) / "job.json"))
        lines = (job.run_dir / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    last = json.loads(lines[-1])
    print(
        f"{case}, photos of {side} pixels in shards, workers: {options.workers}: {last['photos_per_second']:.0f} "
        f"photos/s, on a lying batch {fixed:.0f}: {last['photos_per_second'] / fixed:.2f}; waiting for data "
        f"{100 * last['waiting_share']:.1f} % of the time; claims with a GPU and 16 cores: at least 0.95, under 3 %",
        flush=True,
    )


def _workers(text: str) -> int | str:
    return text if text == "auto" else int(text)


def train(job: Path) -> None:
    """In a process of its own, as the asset does."""
    subprocess.run([sys.executable, "-m", "geo_pipeline.training", "--job", str(job)], check=True)


def measure_start(options: argparse.Namespace, _device: torch.device) -> None:
    """Seconds to the end of the first step, anew and after kill -9."""
    profile = load_profile(profile_path("world"))
    layout = Layout(options.home.resolve() / profile.name)
    require_tables("world", layout)
    anew, resumed = [], []
    for _ in range(options.repeats):
        with tempfile.TemporaryDirectory(prefix="training-") as folder:
            soon = {"report_minutes": 1e-6, "checkpoint_minutes": 1e-6}
            job = job_of(profile, layout, Path(folder) / "run", soon).write(Path(folder) / "job.json")
            anew.append(seconds_to_first_step(job, Path(folder) / "run"))
            resumed.append(seconds_to_first_step(job, Path(folder) / "run"))
    for name, taken in {"anew": anew, "after kill -9": resumed}.items():
        print(
            f"first step of the world, {name}: {in_words(taken)} s; claim: at most {MOST_SECONDS_TO_START} s",
            flush=True,
        )


def seconds_to_first_step(job: Path, run_dir: Path) -> float:
    """Start the process, wait for its first report and a checkpoint, kill it."""
    command = [sys.executable, "-m", "geo_pipeline.training", "--job", str(job)]
    begun = time.perf_counter()
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        reported = first_report(run_dir / "progress.jsonl", process, not_before=time.time())
        taken = reported - begun
        checkpoint = run_dir / "last.ckpt"
        while not checkpoint.exists():
            time.sleep(0.05)
        process.kill()
    return taken


def first_report(path: Path, process: subprocess.Popen[bytes], not_before: float) -> float:
    """When the process of now reported a step."""
    while not path.exists() or path.stat().st_mtime < not_before or not path.stat().st_size:
        assert process.poll() is None, "the training ended before its first step"
        time.sleep(0.01)
    return time.perf_counter()


SECTIONS: Mapping[str, Callable[[argparse.Namespace, torch.device], None]] = {
    "step": measure_steps,
    "feeding": measure_feeding,
    "start": measure_start,
}


def wait_for(device: torch.device) -> None:
    """Let a GPU finish."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """On the clock."""
    wait_for(device)
    begun = time.perf_counter()
    work()
    wait_for(device)
    return time.perf_counter() - begun


def in_words(values: Sequence[float]) -> str:
    """The median and the range."""
    return f"median {statistics.median(values):.3g}, from {min(values):.3g} to {max(values):.3g}"


if __name__ == "__main__":
    main()
