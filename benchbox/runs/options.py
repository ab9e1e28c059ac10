"""Where and how a run is done: what the command line says of it, and what that means here."""

import os
from dataclasses import dataclass
from pathlib import Path

import torch

from benchbox.errors import BenchboxError


@dataclass(frozen=True, kw_only=True)
class Options:
    """Where and how to run; nothing here changes a number.

    Attributes:
        device: ``auto``, ``cpu``, ``cuda`` (all GPUs of this machine) or ``cuda:N`` (one of them).
        plugins: files that add defenses or attacks.
        builders: files with builders of given models.
        executor: who does the stages: ``local``, ``ray``, ``slurm`` or an installed one.
        ray_address: of the Ray cluster; ``local`` starts one here.
        gpus_per_stage: GPUs set aside for a stage under Ray; 0.5 lets two stages share one.
        stage_memory: gigabytes set aside for a stage under Ray; 0 means that it is not counted.
        workers: how many processes, on a CPU or on each GPU; 0 means one per core on a CPU, one on
            a GPU.
        batch_size: images at a time in embedding and attacking; 0 means 64 on a CPU, 256 on a GPU.
        data_root: where datasets are; None means $BENCHBOX_DATA or the user's cache.
        store: where finished stages are; several runs may share one. None means in the run's own
            folder.
        shard_queries: how many queries of a large attack are one piece of work; 0 means as many
            as take some minutes.
        shard_images: how many images of a large embedding are; 0 means 100,000.
        device_hours: what the run may take; one that would exceed it is not started. 0: any.
        calibration: the file that says how fast the device is; None means this machine's own.
    """

    device: str = "auto"
    plugins: tuple[Path, ...] = ()
    builders: tuple[Path, ...] = ()
    executor: str = "local"
    ray_address: str = "auto"
    gpus_per_stage: float = 1.0
    stage_memory: float = 0.0
    workers: int = 0
    batch_size: int = 0
    data_root: Path | None = None
    store: Path | None = None
    shard_queries: int = 0
    shard_images: int = 0
    device_hours: float = 0.0
    calibration: Path | None = None


def device_of(options: Options) -> str:
    """Return the device of the stages: of this machine, or of a cluster's nodes."""
    if options.executor == "local":
        return resolve_device(options.device)
    if options.device not in {"cpu", "cuda"}:
        raise BenchboxError(
            f"--executor {options.executor}: say what its nodes have, --device cpu or --device "
            f"cuda; got {options.device}, which would be asked of this machine."
        )
    return "cpu" if options.device == "cpu" else "cuda:0"


def resolve_device(wanted: str) -> str:
    """Return ``cpu`` or ``cuda:N`` for what a user asked for.

    Raises:
        BenchboxError: the name is no device, or the GPU is not there.
    """
    if wanted == "auto":
        return "cuda:0" if torch.cuda.is_available() else "cpu"
    if wanted == "cpu":
        return "cpu"
    kind, _, number = wanted.partition(":")
    if kind != "cuda" or (number and not number.isdigit()) or wanted.endswith(":"):
        raise BenchboxError(f"--device {wanted}: expected auto, cpu, cuda or cuda:N.")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if int(number or 0) >= count:
        raise BenchboxError(
            f"--device {wanted}: this PyTorch ({torch.__version__}) sees {count} CUDA devices; "
            "use --device cpu, or install a CUDA build of PyTorch and check nvidia-smi."
        )
    return f"cuda:{number or 0}"


def gpus_of(wanted: str) -> tuple[int, ...]:
    """Return which of the GPUs here a run uses for what a user asked for; none on a CPU.

    Raises:
        BenchboxError: as `resolve_device`.
    """
    device = resolve_device(wanted)
    if device == "cpu":
        return ()
    if wanted in {"auto", "cuda"}:
        return tuple(range(torch.cuda.device_count()))
    return (int(device.removeprefix("cuda:")),)


def default_workers(device: str) -> int:
    """Return how many processes there are where nobody says it: one a core, or one a GPU."""
    return cores() if device == "cpu" else 1


def all_workers(options: Options, device: str) -> int:
    """Return how many workers a run on ``device`` has, those of all its GPUs together.

    The GPUs of a cluster, or of a machine that this one only plans for, are not known here.
    """
    each = options.workers or default_workers(device)
    elsewhere = options.executor != "local" or not torch.cuda.is_available()
    return each if elsewhere or device == "cpu" else each * len(gpus_of(options.device))


def default_batch_size(device: str) -> int:
    """Return how many images are attacked at a time where nobody says it."""
    return 64 if device == "cpu" else 256


def cores() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
