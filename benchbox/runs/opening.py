"""The datasets of a grid: opened for a run, or as far as a plan needs them."""

from pathlib import Path

from rich.console import Console

from benchbox.data.finding import open_dataset, planned_digest
from benchbox.data.holding_out import hold_out, hold_out_digest
from benchbox.data.official import compare_with_official
from benchbox.data.protocol import ReidDataset
from benchbox.errors import BenchboxError
from benchbox.runs.executors.local import cores
from benchbox.runs.grid import Grid


def dataset_names(grid: Grid) -> list[str]:
    """Return every dataset a grid needs, each once."""
    pairs = [name for pair in grid.transfers for name in pair]
    return list(dict.fromkeys([*grid.datasets, *pairs]))


def planned_digests(grid: Grid, *, data_root: Path | None) -> tuple[dict[str, str], dict[str, str]]:
    """Return dataset → digest, and for those that cannot be used yet, dataset → why.

    Raises:
        BenchboxError: a name is unknown.
    """
    digests, missing = {}, {}
    for name in dataset_names(grid):
        digest = planned_digest(name, sidewalk_size=grid.sidewalk_size)
        if digest is None:
            try:
                dataset = open_dataset(name, data_root=data_root)
                digests[name] = (hold_out(dataset) if grid.validation else dataset).digest
            except BenchboxError as error:
                digests[name], missing[name] = f"not here: {name}", str(error)
        else:
            digests[name] = hold_out_digest(digest) if grid.validation else digest
    return digests, missing


def open_datasets(
    grid: Grid, console: Console, *, data_root: Path | None
) -> dict[str, ReidDataset]:
    """Return dataset → what it holds, and tell the console where each is and how it differs.

    Raises:
        BenchboxError: one is not found or is faulty.
    """
    datasets = {}
    for name in dataset_names(grid):
        with console.status(f"opening {name}"):
            dataset = open_dataset(
                name, data_root=data_root, sidewalk_size=grid.sidewalk_size, workers=cores()
            )
        console.print(f"{name}: {dataset.root}", highlight=False, soft_wrap=True)
        if grid.validation:
            dataset = hold_out(dataset)
        else:
            # A subset under an official name must not pass for the real one.
            for difference in compare_with_official(dataset):
                console.print(f"warning: {name}: {difference}", style="yellow", highlight=False)
        datasets[name] = dataset
    return datasets
