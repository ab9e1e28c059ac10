"""The datasets of a grid: opened for a run, or as far as a plan needs them."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from benchbox.data.counting import Counts, counts_of
from benchbox.data.finding import open_dataset, planned_digest
from benchbox.data.holding_out import hold_out, hold_out_digest
from benchbox.data.official import compare_with_official
from benchbox.data.protocol import ReidDataset
from benchbox.data.sources import Source, source_of
from benchbox.data.testable import untestable
from benchbox.errors import BenchboxError, unknown_name
from benchbox.runs.executors.local import cores
from benchbox.runs.grid import Grid
from benchbox.runs.override import override
from benchbox.runs.registry import Registry


def dataset_names(grid: Grid) -> list[str]:
    """Return every dataset a grid needs, each once."""
    pairs = [name for pair in grid.transfers for name in pair]
    return list(dict.fromkeys([*grid.datasets, *pairs]))


def sources_as_set(
    names: list[str], settings: Mapping[str, Mapping[str, object]], known: Mapping[str, Source]
) -> dict[str, Source]:
    """Return name → source, as a grid's ``[dataset.<name>]`` changes it.

    Args:
        names: the datasets that are needed.
        settings: the grid's ``dataset``.
        known: the datasets that names stand for.

    Raises:
        BenchboxError: a name is unknown, or a setting does not fit.
    """
    found = {name: source_of(name, known) for name in names}
    for name, own in settings.items():
        where = f"[dataset.{name!r}]"
        if name not in found:
            raise unknown_name("dataset", name, found, where=where)
        options = found[name].options
        if not options:
            raise BenchboxError(f"{where}: a published dataset is read as it was published.")
        for key in own:
            if key not in options:
                raise unknown_name("key", key, options, where=where)
        found[name] = override(found[name], dict(own), where=where)
    return found


def grid_sources(grid: Grid, registry: Registry) -> dict[str, Source]:
    """Return name → source of every dataset a grid needs, with the grid's settings.

    Raises:
        BenchboxError: a name is unknown, or a setting does not fit.
    """
    return sources_as_set(dataset_names(grid), grid.dataset, registry.datasets)


class Planned(NamedTuple):
    """What is known of a grid's datasets before they are opened.

    Attributes:
        digests: dataset → digest.
        missing: dataset → why it cannot be used yet.
        counts: dataset → how many images it has, as published where it is not here; a dataset of
            which nobody knows is left out.
    """

    digests: dict[str, str]
    missing: dict[str, str]
    counts: dict[str, Counts]


def planned_datasets(grid: Grid, registry: Registry, *, data_root: Path | None) -> Planned:
    """Return what is known of a grid's datasets; only what has no recorded digest is opened.

    Raises:
        BenchboxError: a name is unknown.
    """
    digests, missing, counts = dict[str, str](), dict[str, str](), dict[str, Counts]()
    sources = grid_sources(grid, registry)
    for name, source in sources.items():
        if (known := source.counts_of(size=grid.sidewalk_size)) is not None:
            counts[name] = known
        digest = planned_digest(name, sidewalk_size=grid.sidewalk_size, sources=sources)
        if digest is None:
            try:
                dataset = open_dataset(name, data_root=data_root, sources=sources)
                used = hold_out(dataset) if grid.validation else dataset
                _require_usable(grid, registry, used)
                digests[name], counts[name] = used.digest, counts_of(used)
            except BenchboxError as error:
                digests[name], missing[name] = f"not here: {name}", str(error)
        else:
            digests[name] = hold_out_digest(digest) if grid.validation else digest
    return Planned(digests, missing, counts)


def open_datasets(
    grid: Grid, registry: Registry, console: Console, *, data_root: Path | None
) -> dict[str, ReidDataset]:
    """Return dataset → what it holds, and tell the console where each is and how it differs.

    Raises:
        BenchboxError: one is not found or is faulty, or cannot be used as the grid says.
    """
    datasets = {}
    sources = grid_sources(grid, registry)
    for name in sources:
        with console.status(f"opening {name}"):
            dataset = open_dataset(
                name,
                data_root=data_root,
                sidewalk_size=grid.sidewalk_size,
                workers=cores(),
                sources=sources,
            )
        console.print(f"{name}: {dataset.root}", highlight=False, soft_wrap=True)
        if grid.validation:
            dataset = hold_out(dataset)
        else:
            # A subset under an official name must not pass for the real one.
            for difference in compare_with_official(dataset, sources):
                console.print(f"warning: {name}: {difference}", style="yellow", highlight=False)
        _require_usable(grid, registry, dataset)
        datasets[name] = dataset
    return datasets


def _require_usable(grid: Grid, registry: Registry, dataset: ReidDataset) -> None:
    """Check before anything is trained that a dataset can be trained on and tested as planned.

    Raises:
        BenchboxError: it has no images for it, or its queries cannot be ranked.
    """
    tested = {*grid.datasets, *(test for _, test in grid.transfers)}
    if dataset.name in tested:
        reason = untestable(dataset.query, dataset.gallery, dataset.same_camera)
        if reason:
            raise BenchboxError(f"{dataset.name}: {reason}.")
    trains = any(registry.defenses[name].recipe is not None for name in grid.defenses)
    trained = {*grid.datasets, *(train for train, _ in grid.transfers)} if trains else set()
    if dataset.name in trained and not dataset.train:
        raise BenchboxError(
            f"{dataset.name}: has no training images: name it second in a pair of transfers, or "
            "evaluate models that exist already."
        )
