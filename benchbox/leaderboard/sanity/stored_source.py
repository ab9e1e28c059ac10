"""Queries that were attacked on a model of benchbox's, stored: for runs without another model.

A given model stands alone in its run. Whether it is hurt less by queries made on another model
than by its own attack is asked with these.
"""

import json
import sys
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from benchbox.data.images import to_unit
from benchbox.errors import BenchboxError
from benchbox.files.atomic import write_bytes
from benchbox.files.bundled import bundled_folder
from benchbox.leaderboard.sanity.examined_rows import examined_rows
from benchbox.results.artefacts import Artefacts
from benchbox.results.conditions import Condition
from benchbox.results.run_folder import read_run

FOLDER = "leaderboards/transfer"

_EPS_ROUNDING = 1e-9


@dataclass(frozen=True)
class StoredSource:
    """Stored adversarial queries of one dataset.

    Attributes:
        file: where they lie: the examined queries, (Q, 3, H, W) uint8.
        title: the model they were attacked on, in words.
    """

    file: Path
    title: str

    def images(self) -> Tensor:
        """Return the queries in [0, 1], in the order of `examined_rows`."""
        with safe_open(self.file, framework="pt", device="cpu") as stored:
            return to_unit(stored.get_tensor("images"))


def stored_source(dataset: str, *, eps: float) -> StoredSource | None:
    """Return what is stored for a dataset and a budget; None where nothing is.

    Args:
        dataset: its digest.
        eps: radius of the ball, in [0, 1].
    """
    try:
        folder = bundled_folder(FOLDER)
    except BenchboxError:
        return None
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt", device="cpu") as stored:
            about = stored.metadata() or {}
        same = abs(float(Fraction(about["eps"])) - eps) < _EPS_ROUNDING
        if about["dataset"] == dataset and same:
            return StoredSource(file, f"{about['defense']}, stored")
    return None


def store_source(run: Path, test: str, file: Path, *, defense: str = "origin") -> None:
    """Write a run's adversarial queries under FNA at its smallest budget as a stored source.

    Steps of 1/255 from 8-bit images stay on 8-bit images, so nothing is lost by storing bytes.

    Args:
        run: made with ``keep_adversarial = true``.
        test: name of the dataset.
        file: to write, ending in ``.safetensors``.
        defense: whose queries.

    Raises:
        BenchboxError: the run lacks them, or they are not 8-bit images.
    """
    store = Artefacts(read_run(run))
    rows = store.run.results
    mine = (rows["defense"] == defense) & (rows["test_dataset"] == test) & (rows["attack"] == "fna")
    row = rows[mine].sort_values("eps_255").iloc[0]
    condition = Condition("fna", row["eps_255"], int(row["steps"]), row["step_size_255"])
    queries = len(store.dataset(test).query)
    found = store.attacked(row["cell"], condition, queries=queries)
    if len(found.rows) < queries:
        raise BenchboxError(f"{run}: keeps a sample of its adversarial queries; keep all of them.")
    images = found.images[torch.tensor(examined_rows(queries))]
    pixels = (images * 255).round()
    if bool(((images * 255) - pixels).abs().max() > 1e-3):
        raise BenchboxError(f"{run}: its adversarial queries are no 8-bit images.")
    record = store.run.record
    about = {
        "dataset": str(record.datasets[test].digest),
        "test": test,
        "defense": record.titles["defenses"][defense],
        "backbone": str(row["backbone"]),
        "trained_on": str(row["train_dataset"]),
        "seed": str(row["seed"]),
        "attack": f"fna, {int(row['steps'])} steps of {row['step_size_255']:g}/255",
        "eps": f"{row['eps_255']:g}/255",
        "commit": str(record.git.commit if record.git else None),
        "versions": json.dumps(record.versions),
    }
    write_bytes(file, save({"images": pixels.to(torch.uint8)}, metadata=about))


if __name__ == "__main__":
    store_source(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
