"""Memory and time on galleries that grow: does what a run holds depend on the gallery?

    python benchmarks/large_gallery.py run --images 10000 100000
    python benchmarks/large_gallery.py rank --gallery 520000 --queries 3368 --width 2048

``run`` makes a gallery of JPEGs of 64×32 in a temporary folder and executes a grid on it: the
backbone ``small``, untrained but for one step, FNA at one budget; so much is embedded, attacked and
ranked. ``rank`` ranks embeddings out of a file, made at random. Each is done in processes of its
own, on one core, whose memory is read from /proc every few milliseconds: the private part (what
the process itself asked for) apart from the pages of mapped files, which the system takes back
when it needs them. What was made is removed.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
from PIL import Image

MEBIBYTE_KB = 1024
SAMPLED_EVERY = 0.02
"""Seconds between two looks at a process's memory."""

GRID = """
name = "large"
datasets = ["path:{data}"]
backbones = ["small"]
pretrained = false
image_size = [64, 32]
defenses = ["origin"]
attacks = ["fna"]
budgets = ["8/255"]
[training]
epochs = 1
batch_identities = 4
batch_images = 4
"""


def make_dataset(root: Path, *, gallery: int, queries: int = 1000, height: int = 64) -> Path:
    """Write a dataset in Market-1501's layout, every image a JPEG of its own.

    Identities 1 to 4 are trained on; 101 upwards are searched, two queries each; the gallery goes
    through them and six cameras in turn.
    """
    draw = np.random.default_rng(0)
    people = queries // 2

    def write(folder: str, pid: int, camid: int, number: int) -> None:
        coarse = draw.integers(0, 256, (8, 4, 3), dtype=np.uint8)
        image = Image.fromarray(coarse).resize((height // 2, height), Image.Resampling.BICUBIC)
        image.save(root / folder / f"{pid:04d}_c{camid}s1_{number:06d}_00.jpg", quality=90)

    for folder in ("bounding_box_train", "query", "bounding_box_test"):
        (root / folder).mkdir(parents=True)
    for number in range(16):
        write("bounding_box_train", 1 + number % 4, 1 + number // 4, number)
    for number in range(queries):
        write("query", 101 + number % people, 1 + number // people, number)
    for number in range(gallery):
        write("bounding_box_test", 101 + number % people, 1 + number // people % 6, number)
    return root


def watched(command: list[str]) -> dict[str, dict[str, float]]:
    """Run a command and return the peaks of its own process and of those it started, in MiB.

    Raises:
        SystemExit: it failed.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment)  # noqa: S603
    peaks: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    while process.poll() is None:
        for pid, name in _family(process.pid):
            for part, size in _memory(pid).items():
                peaks[name][part] = max(peaks[name][part], size)
        time.sleep(SAMPLED_EVERY)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}: failed, exit status {process.returncode}")
    return {name: dict(parts) for name, parts in peaks.items()}


def _family(pid: int) -> list[tuple[int, str]]:
    """Return a process and its workers; the small ones that only keep house are left out."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        children = []
    workers = [int(child) for child in children if _is_worker(int(child))]
    return [(pid, "main process"), *((worker, "worker") for worker in workers)]


def _is_worker(pid: int) -> bool:
    try:
        return b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def _memory(pid: int) -> dict[str, float]:
    """Return a process's memory in MiB: private, mapped from files, and both together."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        found = re.findall(r"(RssAnon|RssFile|VmRSS):\s+(\d+)", status)
    except OSError:
        found = []
    names = {"RssAnon": "private", "RssFile": "mapped files", "VmRSS": "total"}
    return {names[key]: int(size) / MEBIBYTE_KB for key, size in found}


def run(images: int) -> dict[str, object]:
    """Execute the grid on a gallery of some images, and return peaks and seconds a stage."""
    with tempfile.TemporaryDirectory() as folder:
        data = make_dataset(Path(folder) / "data", gallery=images)
        grid = Path(folder) / "large.toml"
        grid.write_text(GRID.format(data=data))
        out = Path(folder) / "out"
        words = ["run", str(grid), "--out", str(out), "--workers", "1", "--device", "cpu"]
        started = time.monotonic()
        peaks = watched([sys.executable, "-m", "benchbox", *words])
        seconds = {"all": time.monotonic() - started}
        for file in out.glob("store/*/stage.json"):
            stage = json.loads(file.read_text())
            seconds[stage["kind"]] = seconds.get(stage["kind"], 0) + stage["seconds"]
    return {"gallery": images, "MiB": peaks, "seconds": seconds}


RANK = """
import sys, time
import numpy as np, torch
from benchbox.evaluation.retrieval import evaluate_retrieval
torch.set_num_threads(1)
folder = sys.argv[1]
query, gallery = (np.load(f"{folder}/{name}.npy", mmap_mode="r") for name in ("query", "gallery"))
pids = [np.arange(len(rows)) % 1500 + 1 for rows in (query, gallery)]
pids[1][20000:] = 0
cameras = [np.arange(len(rows)) // 1500 % 6 for rows in (query, gallery)]
started = time.monotonic()
found = evaluate_retrieval(query, gallery, *pids, cameras[0], cameras[1])
print(found.mAP, time.monotonic() - started, file=open(f"{folder}/found.txt", "w"))
"""


def rank(gallery: int, queries: int, width: int) -> dict[str, object]:
    """Rank random embeddings, all but 20,000 of them distractors, and return peaks and seconds."""
    with tempfile.TemporaryDirectory() as folder:
        draw = np.random.default_rng(0)
        for name, rows in (("query", queries), ("gallery", gallery)):
            file = np.lib.format.open_memmap(
                f"{folder}/{name}.npy", mode="w+", dtype=np.float32, shape=(rows, width)
            )
            for start in range(0, rows, 4096):
                part = file[start : start + 4096]
                part[:] = draw.standard_normal(part.shape, dtype=np.float32)
            del file, part
        size = gallery * width * 4
        peaks = watched([sys.executable, "-c", RANK, folder])
        mean, seconds = map(float, (Path(folder) / "found.txt").read_text().split())
    return {
        "gallery": gallery,
        "file MiB": size / 2**20,
        "MiB": peaks,
        "seconds": seconds,
        "mAP": mean,
    }


def main() -> None:
    """Measure what the command line asks for and print it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    what = parser.add_subparsers(dest="what", required=True)
    of_run = what.add_parser("run")
    of_run.add_argument("--images", type=int, nargs="+", default=[10_000, 100_000])
    of_rank = what.add_parser("rank")
    of_rank.add_argument("--gallery", type=int, default=520_000)
    of_rank.add_argument("--queries", type=int, default=3_368)
    of_rank.add_argument("--width", type=int, default=2_048)
    chosen = parser.parse_args()
    if chosen.what == "run":
        results = [run(images) for images in chosen.images]
    else:
        results = [rank(chosen.gallery, chosen.queries, chosen.width)]
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
