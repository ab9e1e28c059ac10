"""Is a grid done faster by two Ray nodes than by one? Both have one core and are on this machine.

    pip install --editable '.[ray]'
    python benchmarks/two_nodes.py

A micro grid of models that do not wait for each other is run by a cluster of one node and by one of
two, each from an empty store, and the whole run is timed: planning, stages, results. The machine
has to have two idle cores; what else runs on it is measured as well. A small run comes first and is
not counted: it fills the caches of files and code. Nodes are bound to 127.0.0.1. Three minutes.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

from rich.console import Console

from benchbox.runs.options import Options, cores
from benchbox.runs.runner import run_grid
from tests.clusters import cluster_of
from tests.micro import make_micro_dataset

GRID = """
name = "two-nodes"
datasets = ["path:{data}"]
backbones = ["small"]
pretrained = false
image_size = [64, 32]
defenses = ["origin"]
attacks = ["fna", "sma"]
budgets = ["8/255"]
steps = 16
seeds = {seeds}
[training]
epochs = {epochs}
batch_identities = 8
batch_images = 4
lr = 1e-3
schedule = "one_cycle"
augmentation = {{ pad = 1, erasing = 0.0 }}
"""


def _grid(file: Path, data: Path, *, models: int, epochs: int) -> Path:
    file.write_text(GRID.format(data=data, seeds=list(range(models)), epochs=epochs))
    return file


def seconds_of(nodes: int, grid: Path, out: Path) -> float:
    """Return how long a cluster takes for the grid, its workers' start included."""
    with cluster_of(nodes) as cluster:
        options = Options(executor="ray", ray_address=cluster.address, device="cpu")
        started = time.monotonic()
        failures = run_grid(grid, out, options, Console(quiet=True)).failures
        seconds = time.monotonic() - started
    if failures:
        raise SystemExit("\n".join(failures))
    return seconds


def main() -> None:
    """Time both and print how much faster two nodes are."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--models", type=int, default=8, help="that are trained and attacked")
    parser.add_argument("--epochs", type=int, default=50, help="of each training")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = make_micro_dataset(folder / "data", train=32, test=32)
        small = _grid(folder / "small.toml", data, models=1, epochs=1)
        grid = _grid(folder / "grid.toml", data, models=given.models, epochs=given.epochs)
        seconds_of(1, small, folder / "small")
        print(f"{cores()} cores, load {os.getloadavg()[0]:.1f} before", flush=True)
        took = {}
        for nodes in (1, 2):
            took[nodes] = seconds_of(nodes, grid, folder / f"{nodes}")
            print(f"{nodes} node{'s' * (nodes > 1)} of one core: {took[nodes]:.1f} s", flush=True)
        print(f"{took[1] / took[2]:.2f} times as fast on two")


if __name__ == "__main__":
    main()
