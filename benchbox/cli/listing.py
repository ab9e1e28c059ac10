"""`benchbox list`: everything that a grid may name, and all that is known of one of them."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from benchbox.cli.options import Plugins
from benchbox.errors import unknown_name
from benchbox.files.console import make_console
from benchbox.files.printable import printable

if TYPE_CHECKING:
    from benchbox.runs.registry import Registry


class Listed(NamedTuple):
    """Something that a grid may name.

    Attributes:
        name: as a grid writes it.
        about: a line about it.
        more: what only whoever asks for it by name reads, heading → text.
    """

    name: str
    about: str
    more: Mapping[str, str] = {}


def list_names(
    name: Annotated[
        str | None, typer.Argument(help="Say all of this one, such as how to get a dataset.")
    ] = None,
    plugin: Plugins = None,
) -> None:
    """List the datasets, backbones, attacks, defenses, recipes and guards a grid may name."""
    from benchbox.runs.registry import load_registry

    kinds = dict(_kinds(load_registry(tuple(plugin or ()))))
    if name is None:
        width = max(len(each.name) for listed in kinds.values() for each in listed)
        for kind, listed in kinds.items():
            _say(kind)
            for each in listed:
                _say(f"  {each.name:<{width}}  {each.about}")
        _say("more of one, such as how to get a dataset: benchbox list NAME")
        return
    found = [(kind, each) for kind, all_ in kinds.items() for each in all_ if each.name == name]
    if not found:
        raise unknown_name("name", name, {each.name for all_ in kinds.values() for each in all_})
    for kind, each in found:
        _say(f"{kind}: {each.name}: {each.about}")
        for heading, text in each.more.items():
            _say(f"  {heading}: {text}")


def _kinds(registry: "Registry") -> Iterator[tuple[str, list[Listed]]]:
    """Yield kind → what it has, as grids have their keys."""
    from benchbox.models.registry import BACKBONES

    yield (
        "datasets",
        [
            Listed(
                source.name,
                source.title,
                {"get it": source.how_to_get, "from": source.citation, "licence": source.licence},
            )
            for source in registry.datasets.values()
        ],
    )
    ours = [Listed(name, backbone.about) for name, backbone in BACKBONES.items()]
    yield "backbones", [*ours, Listed("…", "any other model of timm's, or a plugin's, by its name")]
    yield (
        "attacks",
        [
            Listed(name, f"{kind.title}: {_first_line(kind)}")
            for name, kind in registry.attacks.items()
        ],
    )
    defenses = registry.defenses.values()
    yield "defenses", [Listed(each.name, f"{each.title}: {each.source}") for each in defenses]
    recipes = {each.recipe.name: each.recipe for each in defenses if each.recipe is not None}
    yield (
        "recipes, in [recipe.<name>]",
        [
            Listed(name, f"{each.title}: {_first_line(type(each))}")
            for name, each in recipes.items()
        ],
    )
    yield (
        "guards, in [guard.<defense>]",
        [
            Listed(each.name, f"{type(each.guard).__name__}: {_first_line(type(each.guard))}")
            for each in defenses
            if each.guard is not None
        ],
    )


def _first_line(kind: type[object]) -> str:
    lines = (kind.__doc__ or "").strip().splitlines()
    return lines[0] if lines else "no description"


def _say(text: str) -> None:
    make_console().print(printable(text), highlight=False, markup=False, soft_wrap=True)
