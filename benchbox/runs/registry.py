"""What a grid may name: our attacks and defenses, installed ones, and those of plugin files."""

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, is_dataclass, replace
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any, TypeGuard

from attacks import ALL_ATTACKS, AnyAttack
from attacks import register as register_attack
from benchbox.data.sources import SOURCES, Source
from benchbox.data.sources import register as register_source
from benchbox.errors import BenchboxError
from benchbox.files.foreign import FAILURES, in_words
from benchbox.models.given import Given
from benchbox.models.trunks import timm_names_of
from benchbox.runs.plugins import installed_plugins, plugin_module
from benchbox.shadowing import require_own_packages
from defenses import DEFENSES, Defense
from defenses import register as register_defense


@dataclass(frozen=True)
class Registry:
    """Attacks, defenses and datasets by name.

    Attributes:
        attacks: name → attack class.
        defenses: name → defense.
        datasets: name → where it lies and how it is read.
    """

    attacks: Mapping[str, type[AnyAttack[Any]]]
    defenses: Mapping[str, Defense]
    datasets: Mapping[str, Source] = field(default_factory=lambda: SOURCES)


def load_registry(plugins: Sequence[Path] = (), *, builders: Sequence[Path] = ()) -> Registry:
    """Return our registry joined by installed packages and plugin files.

    A plugin is a Python file (or, through the entry-point group ``benchbox.plugins``, an
    installed module) whose module-level names hold ``Defense`` objects, attack classes (subclasses
    of ``attacks.Attack`` or of ``attacks.AnyAttack``) and ``Source`` objects (datasets), or that
    registers backbones by `timm.models.register_model`.

    Args:
        plugins: files that add something.
        builders: files with builders of given models, which are run and need add nothing.

    Raises:
        BenchboxError: a plugin cannot be run, adds nothing, or takes a name that exists.
    """
    require_own_packages()
    attacks: dict[str, type[AnyAttack[Any]]] = dict(ALL_ATTACKS)
    defenses: dict[str, Defense] = dict(DEFENSES)
    datasets: dict[str, Source] = dict(SOURCES)
    for path in builders:
        plugin_module(path)
    modules = [(str(path), plugin_module(path)) for path in plugins]
    modules += installed_plugins()
    for origin, module in modules:
        _add(module, origin, attacks, defenses, datasets)
    return Registry(
        MappingProxyType(attacks), MappingProxyType(defenses), MappingProxyType(datasets)
    )


def given_models(registry: Registry) -> dict[str, Given]:
    """Return the rows whose models exist already, by name."""
    rows = registry.defenses.items()
    return {name: row.model for name, row in rows if row.model is not None}


def with_row(registry: Registry, row: Defense) -> Registry:
    """Return a registry with one more defense, or with another one of the same name."""
    return replace(registry, defenses=MappingProxyType({**registry.defenses, row.name: row}))


def _add(
    module: ModuleType,
    origin: str,
    attacks: dict[str, type[AnyAttack[Any]]],
    defenses: dict[str, Defense],
    datasets: dict[str, Source],
) -> None:
    found = 0
    for value in list(vars(module).values()):
        if isinstance(value, Defense) and DEFENSES.get(value.name) is not value:
            require_portable(value, where=origin)
            register_defense(defenses, value)
            found += 1
        elif isinstance(value, Source) and SOURCES.get(value.name) is not value:
            register_source(datasets, value)
            found += 1
        elif _is_new_attack(value, module):
            register_attack(attacks, value)
            found += 1
    if not found and not timm_names_of(module.__name__):
        raise BenchboxError(
            f"{origin}: defines no Defense object, no Attack class and no backbone "
            "(timm.models.register_model), nor a Source object (a dataset); the documentation has "
            "examples of each."
        )


def require_portable(defense: Defense, *, where: str) -> None:
    """Check that a defense can be named in a record and sent to a worker.

    Raises:
        BenchboxError: its guard is no dataclass, or a part of it is not at the top of its file.
    """
    guard = defense.guard
    if guard is not None and (isinstance(guard, type) or not is_dataclass(guard)):
        raise BenchboxError(
            f"{where}: defense {defense.name!r}: the guard is {_kind(guard)}; expected a frozen "
            "dataclass with a __call__, whose fields are its parameters."
        )
    try:
        pickle.dumps(defense)
    except FAILURES as error:
        raise BenchboxError(
            f"{where}: defense {defense.name!r} cannot be sent to a worker ({in_words(error)}): "
            "define its guard, recipe and builder at the top of the file, not inside a function, "
            "and not as a lambda."
        ) from error


def _kind(value: object) -> str:
    if isinstance(value, type):
        return f"the class {value.__name__}, not an object of it"
    name = getattr(value, "__name__", None)
    return f"the function {name}" if name else f"an object of class {type(value).__name__}"


def _is_new_attack(value: object, module: ModuleType) -> TypeGuard[type[AnyAttack[Any]]]:
    return (
        isinstance(value, type)
        and issubclass(value, AnyAttack)
        and value.__module__ == module.__name__
        and isinstance(getattr(value, "name", None), str)
    )
