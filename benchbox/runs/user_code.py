"""What code of the user's stands behind a module: the files it imports, and the packages.

A number is a stage's, and a stage's key has to change with all code that made it. benchbox's own
modules are named by the stages. What a plugin imports is the user's affair, so it is followed here:
every file outside installed packages by its content, every installed package by its version.
"""

import ast
import importlib
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import packages_distributions, version
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

OURS = ("benchbox", "attacks", "defenses")
"""Our own packages, whose modules are digested one by one."""

_PACKAGE_FOLDERS = frozenset(("site-packages", "dist-packages"))
"""Where packages are installed: by the user or the system too, which this Python may see besides
its own."""


@dataclass
class Closure:
    """What a module of the user's reaches by its imports, those inside functions included.

    Attributes:
        files: the user's own files.
        packages: installed distribution → version.
        ours: modules of benchbox.
    """

    files: set[Path] = field(default_factory=set)
    packages: dict[str, str] = field(default_factory=dict)
    ours: set[str] = field(default_factory=set)


def is_users(file: Path) -> bool:
    """Return whether a file is neither Python's, nor installed, nor benchbox's."""
    home = Path(__file__).resolve().parents[2]
    if any(file.is_relative_to(home / name) for name in OURS):
        return False
    if not _PACKAGE_FOLDERS.isdisjoint(file.parts):
        return False
    return not any(file.is_relative_to(root) for root in (*_stdlib(), *_installed()))


def closure_of(file: Path) -> Closure:
    """Return what a file of the user's imports, directly or through other files of the user's.

    Nothing is run: imports are read from the source and looked up on the import path, on which the
    file's own folder comes first.
    """
    found = Closure()
    waiting = [file.resolve()]
    while waiting:
        current = waiting.pop()
        if current in found.files:
            continue
        found.files.add(current)
        if current.suffix == ".py":
            waiting += [path for name in _imported(current) for path in _resolve(name, found)]
    return found


def imported_modules(file: Path) -> set[str]:
    """Return the top-level modules that a file imports by an absolute name."""
    return {name.dotted.split(".")[0] for name in _imported(file) if name.folder is None}


def imported_of_ours(file: Path) -> set[str]:
    """Return the modules of benchbox's own that a file of ours imports, by where they are defined.

    ``from attacks import FNA`` is ``attacks`` and ``attacks.fna``.
    """
    found = set[str]()
    for name in _imported(file):
        if name.folder is None and name.dotted.partition(".")[0] in OURS:
            found |= _modules_of_ours(name)
    return found


@dataclass(frozen=True)
class _Name:
    """One imported name: ``from base import name``, or ``import base``.

    Attributes:
        folder: the importing file's package folder for relative imports; None for absolute ones.
        dotted: the module.
        names: what is taken from it; each may be a module of its own.
    """

    folder: Path | None
    dotted: str
    names: tuple[str, ...] = ()


def _imported(file: Path) -> Iterator[_Name]:
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (_Name(None, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            folder = file.parents[node.level - 1] if node.level else None
            yield _Name(folder, node.module or "", tuple(alias.name for alias in node.names))


def _resolve(name: _Name, found: Closure) -> Iterator[Path]:
    """Yield the user's files behind an import; note packages and modules of ours."""
    if name.folder is not None:
        yield from _files_below(name.folder, name.dotted.split(".") if name.dotted else [], name)
        return
    top, *rest = name.dotted.split(".")
    if top in OURS:
        found.ours |= _modules_of_ours(name)
        return
    if top in sys.builtin_module_names or top in sys.stdlib_module_names:
        return
    spec = _spec(top)
    if spec is None:
        return
    file, folders = spec
    place = file or (folders[0] if folders else None)
    if place is None:
        return
    if not is_users(place):
        found.packages |= {name: version(name) for name in distributions_of(top)}
        return
    if file is not None:
        yield file
    for folder in folders:
        yield from _files_below(folder, rest, name)


def distributions_of(top: str) -> list[str]:
    """Return the installed distributions that have a top-level module."""
    return sorted(_by_module().get(top, ()))


@cache
def _by_module() -> Mapping[str, list[str]]:
    # Reads the record of every installed package, which takes a second.
    return packages_distributions()


def _spec(top: str) -> tuple[Path | None, list[Path]] | None:
    """Return a top-level module's file and package folders, without importing it."""
    try:
        spec = find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    file = Path(spec.origin).resolve() if spec.origin and spec.has_location else None
    return file, [Path(place).resolve() for place in spec.submodule_search_locations or ()]


def _files_below(folder: Path, parts: list[str], name: _Name) -> Iterator[Path]:
    """Yield the files of ``parts`` below a package folder, each package's own file included."""
    for part in parts:
        if file := file_of(folder, part):
            yield file
        folder = folder / part
    if name.folder is not None and (folder / "__init__.py").is_file():
        yield (folder / "__init__.py").resolve()
    for part in name.names:
        if file := file_of(folder, part):
            yield file


def file_of(folder: Path, part: str) -> Path | None:
    """Return the file of a module or package in a folder; None where there is none."""
    for candidate in (folder / part / "__init__.py", folder / f"{part}.py"):
        if candidate.is_file():
            return candidate.resolve()
    return next((path.resolve() for path in sorted(folder.glob(f"{part}.*.so"))), None)


def _modules_of_ours(name: _Name) -> set[str]:
    """Return the modules of ours that an import reaches, those that define the names included."""
    modules = {name.dotted}
    loaded = _loaded(name.dotted)
    for part in name.names:
        value = getattr(loaded, part, None)
        defined = getattr(value, "__module__", None)
        if isinstance(defined, str) and defined.partition(".")[0] in OURS:
            modules.add(defined)
        elif hasattr(loaded, "__path__") and find_spec(f"{name.dotted}.{part}") is not None:
            modules.add(f"{name.dotted}.{part}")
    return modules


def _loaded(module: str) -> ModuleType | None:
    """Return a module of ours, imported if need be; None where there is none."""
    try:
        return importlib.import_module(module)
    except ImportError:
        return None


@cache
def _stdlib() -> tuple[Path, ...]:
    return tuple(Path(sysconfig.get_path(key)).resolve() for key in ("stdlib", "platstdlib"))


@cache
def _installed() -> tuple[Path, ...]:
    keys = ("purelib", "platlib")
    return tuple(Path(sysconfig.get_path(key)).resolve() for key in keys)
