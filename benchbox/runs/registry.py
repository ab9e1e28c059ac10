"""What a grid may name: our attacks and defenses, installed ones, and those of plugin files."""

import importlib.util
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import MappingProxyType, ModuleType

from attacks import ATTACKS, Attack
from attacks import register as register_attack
from benchbox.errors import BenchboxError
from benchbox.files.printable import printable
from benchbox.shadowing import require_own_packages
from defenses import DEFENSES, Defense
from defenses import register as register_defense

_FAILURES = (Exception, SystemExit, GeneratorExit)
"""What running a plugin may raise, an interrupt aside; leaving Python is a failure, too."""

ENTRY_POINTS = "benchbox.plugins"
"""The entry-point group of installed packages; each entry names a module like a plugin file."""


@dataclass(frozen=True)
class Registry:
    """Attacks and defenses by name.

    Attributes:
        attacks: name → attack class.
        defenses: name → defense.
    """

    attacks: Mapping[str, type[Attack]]
    defenses: Mapping[str, Defense]


def load_registry(plugins: Sequence[Path] = ()) -> Registry:
    """Return our registry joined by installed packages and plugin files.

    A plugin is a Python file (or, through the entry-point group ``benchbox.plugins``, an
    installed module) whose module-level names hold ``Defense`` objects and ``Attack`` subclasses.

    Raises:
        BenchboxError: a plugin cannot be run, adds nothing, or takes a name that exists.
    """
    require_own_packages()
    attacks: dict[str, type[Attack]] = dict(ATTACKS)
    defenses: dict[str, Defense] = dict(DEFENSES)
    modules = [(str(path), _run_file(path)) for path in plugins]
    modules += [(f"entry point {e.name}", _load_entry(e)) for e in _entries()]
    for origin, module in modules:
        _add(module, origin, attacks, defenses)
    return Registry(MappingProxyType(attacks), MappingProxyType(defenses))


def _entries() -> Iterable[EntryPoint]:
    return sorted(entry_points(group=ENTRY_POINTS), key=lambda entry: entry.name)


def _load_entry(entry: EntryPoint) -> ModuleType:
    try:
        module = entry.load()
    except _FAILURES as error:
        raise BenchboxError(
            f"the installed plugin {entry.name!r} ({entry.value}) cannot be imported "
            f"({_in_words(error)}); repair or uninstall it."
        ) from error
    if not isinstance(module, ModuleType):
        raise BenchboxError(f"entry point {entry.name!r} ({entry.value}) must name a module.")
    return module


def _run_file(path: Path) -> ModuleType:
    """Import a plugin file under a name that workers can find again."""
    name = f"benchbox_plugin_{path.stem}"
    if name in sys.modules and getattr(sys.modules[name], "__file__", None) == str(path.resolve()):
        return sys.modules[name]
    if not path.is_file() or path.suffix != ".py":
        raise BenchboxError(f"--plugin {path}: expected a Python file (.py) that exists.")
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    if spec is None or spec.loader is None:
        raise BenchboxError(f"--plugin {path}: cannot be loaded as a Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BenchboxError:
        del sys.modules[name]
        raise
    except SyntaxError as error:
        del sys.modules[name]
        raise BenchboxError(
            f"--plugin {path}: syntax error in line {error.lineno}: {error.msg}."
        ) from error
    except _FAILURES as error:
        del sys.modules[name]
        raise BenchboxError(
            f"--plugin {path}: running it failed with {_in_words(error)}."
        ) from error
    return module


def _in_words(error: BaseException) -> str:
    return f"{type(error).__name__}: {printable(str(error))[:300]}"


def _add(
    module: ModuleType,
    origin: str,
    attacks: dict[str, type[Attack]],
    defenses: dict[str, Defense],
) -> None:
    found = 0
    for value in list(vars(module).values()):
        if isinstance(value, Defense) and DEFENSES.get(value.name) is not value:
            register_defense(defenses, value)
            found += 1
        elif _is_new_attack(value, module):
            register_attack(attacks, value)
            found += 1
    if not found:
        raise BenchboxError(
            f"{origin}: defines no Defense object and no Attack class; README.md has an example."
        )


def _is_new_attack(value: object, module: ModuleType) -> bool:
    return (
        isinstance(value, type)
        and issubclass(value, Attack)
        and value.__module__ == module.__name__
        and isinstance(getattr(value, "name", None), str)
    )
