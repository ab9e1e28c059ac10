"""A run's cells by place, and the grid its record holds."""

from benchbox.files.printable import printable
from benchbox.results.conditions import Condition
from benchbox.results.measurements import Group
from benchbox.results.run_folder import RunFolder, condition_of
from benchbox.runs.grid import Grid
from benchbox.untrusted.json import as_record


def run_grid_of(run: RunFolder) -> Grid:
    """Return the grid a run's record holds, as strictly as a grid file is read.

    Raises:
        BenchboxError: a key is unknown or has a wrong value.
    """
    return as_record(run.record.grid, Grid, where=f"{printable(run.path / 'run.json')}: grid")


def cells_of(run: RunFolder, defense: str) -> dict[tuple[Group, Condition, int], dict[str, object]]:
    """Return a defense's rows of results.csv by group, condition and seed."""
    found = {}
    for row in run.results[run.results["defense"] == defense].to_dict("records"):
        group = Group(row["backbone"], row["train_dataset"], row["test_dataset"])
        plain = {str(key): value for key, value in row.items()}
        found[group, condition_of(row), int(row["seed"])] = plain
    return found
