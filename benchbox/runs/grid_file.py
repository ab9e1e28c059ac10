"""Reads a grid's file and checks every name in it against the registries."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from attacks.corruption import Corruption
from benchbox.data.sidewalk import SIZES
from benchbox.data.sources import source_of
from benchbox.errors import BenchboxError, unknown_name
from benchbox.files.toml import read_toml
from benchbox.models.registry import check_backbone
from benchbox.runs.grid import Grid
from benchbox.runs.override import fault_lines
from benchbox.runs.registry import Registry


def read_grid(path: Path, registry: Registry) -> Grid:
    """Return the grid in a TOML file.

    Raises:
        BenchboxError: one line a fault, each with file, key, value and what is allowed.
    """
    content = read_toml(path)
    for key in content:
        if key not in Grid.model_fields:
            raise unknown_name("key", key, Grid.model_fields, where=str(path))
    try:
        # Through JSON, in whose strict mode an array is a tuple but "16" is no integer.
        grid = Grid.model_validate_json(TypeAdapter(Any).dump_json(content))
    except ValidationError as error:
        raise BenchboxError("\n".join(fault_lines(error.errors(), where=str(path)))) from error
    except (ValueError, RecursionError) as error:  # pydantic writes no JSON that deep
        raise BenchboxError(f"{path}: its tables are nested too deep.") from error
    require_known_names(grid, registry, where=str(path))
    return grid


def require_known_names(grid: Grid, registry: Registry, *, where: str) -> None:
    """Check that everything a grid names is there.

    Raises:
        BenchboxError: a name is unknown, with the nearest ones.
    """
    for key, kind, names, allowed in _named(grid, registry):
        for name in names:
            if name not in allowed:
                raise unknown_name(kind, name, allowed, where=f"{where}: {key}")
    transfers = [name for pair in grid.transfers for name in pair]
    for key, names in (("datasets", grid.datasets), ("transfers", transfers)):
        for name in names:
            source_of(name, registry.datasets, where=f"{where}: {key}")
    for name in grid.backbones:
        check_backbone(name, where=f"{where}: backbones")
    for backbone, _ in grid.parsed_sources:
        if backbone is not None:
            check_backbone(backbone, where=f"{where}: sources")


def _named(
    grid: Grid, registry: Registry
) -> Iterator[tuple[str, str, Iterable[str], Iterable[str]]]:
    """Yield (key of the grid, what its names name, the names, the known ones)."""
    attacks, defenses = {*registry.attacks, Corruption.name}, registry.defenses
    yield "attacks", "attack", grid.attacks, attacks
    yield "defenses", "defense", grid.defenses, defenses
    yield "sidewalk_size", "size", [grid.sidewalk_size], SIZES
    yield "attack", "attack", grid.attack, attacks
    yield "guard", "defense", grid.guard, defenses
    recipes = {each.recipe.name for each in defenses.values() if each.recipe is not None}
    yield "recipe", "recipe", grid.recipe, recipes
    yield "deviations", "recipe or defense", grid.deviations, {*recipes, *defenses}
    yield "sources", "defense", [name for _, name in grid.parsed_sources], defenses
