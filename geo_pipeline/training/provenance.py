"""What a run's folder says of where the run came from: resolved config, versions, machine, data versions.

Here lives the text of `hparams.yaml`. The one idea: the file is a training config itself, so that
`--config RUN/hparams.yaml` repeats a run; what stands beside the config is passed over then.
"""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
import yaml

from geo_pipeline.training.config import TrainingConfig
from geo_pipeline.training.job import TrainingJob
from geo_pipeline.training.start import Start

_PACKAGES = ("geo_pipeline", "torchvision", "lightning", "numpy", "pyarrow")
_DRIVER = Path("/proc/driver/nvidia/version")


def hparams_text(job: TrainingJob, config: TrainingConfig, start: Start, precision: str) -> str:
    """The resolved config with everything that a repetition needs to know, as YAML."""
    content = {
        **config.model_dump(mode="json"),
        "fingerprint": start.identity.fingerprint,
        "inputs": dict(start.identity.inputs),
        "files": {name: str(path) for name, path in job.tables()},
        "started_from": None if job.from_weights is None else str(job.from_weights),
        "versions": versions(),
        "machine": machine() | {"precision": precision},
    }
    return yaml.safe_dump(content, sort_keys=False)


def versions() -> dict[str, str | None]:
    """Versions of Python and of what computes here, and the commit of this code, where it is a checkout."""
    others = {name: _version(name) for name in _PACKAGES}
    return {"python": platform.python_version(), "torch": str(torch.__version__), **others, "commit": commit()}


def _version(package: str) -> str | None:
    """Of an installed package; None for code that is used from a folder."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def machine() -> dict[str, Any]:
    """Processor, threads, CUDA, its driver and the names of its devices."""
    devices = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    driver = _DRIVER.read_text("utf-8").splitlines()[0] if _DRIVER.exists() else None
    return {
        "platform": f"{platform.system()} {platform.machine()}",
        "processor": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "cuda": torch.version.cuda,
        "driver": driver,
        "devices": devices,
    }


def commit() -> str | None:
    """The Git commit of this code with `+changes` where files differ from it; None if it is no checkout."""
    folder = Path(__file__).resolve().parents[2]
    if not (folder / ".git").exists():
        return None
    answers = []
    for question in (("rev-parse", "HEAD"), ("status", "--porcelain", "--untracked-files=no", "--", "geo_pipeline")):
        asked = ["git", "-C", str(folder), *question]
        try:
            done = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=10)
        except (OSError, subprocess.SubprocessError):
            return None
        answers.append(done.stdout.strip())
    return answers[0] + ("+changes" if answers[1] else "")
