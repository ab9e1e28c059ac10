"""Runs plugin files and installed plugins: the user's code, named by the user."""

import hashlib
import importlib.util
import sys
from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType

from benchbox.errors import BenchboxError
from benchbox.files.foreign import FAILURES, in_words
from benchbox.runs.files_read import READS, recorded_reads
from benchbox.runs.user_code import closure_of, file_of, imported_modules

ENTRY_POINTS = "benchbox.plugins"
"""The entry-point group of installed packages; each entry names a module like a plugin file."""

_STAND = "__benchbox_stand__"
"""The attribute of a plugin's module that keeps when its files were last changed."""


def installed_plugins() -> Iterable[tuple[str, ModuleType]]:
    """Yield what names an installed plugin, and its module.

    Raises:
        BenchboxError: it cannot be imported, or is no module.
    """
    for entry in sorted(entry_points(group=ENTRY_POINTS), key=lambda entry: entry.name):
        yield f"entry point {entry.name}", _load_entry(entry)


def _load_entry(entry: EntryPoint) -> ModuleType:
    try:
        module = entry.load()
    except FAILURES as error:
        raise BenchboxError(
            f"the installed plugin {entry.name!r} ({entry.value}) cannot be imported "
            f"({in_words(error)}); repair or uninstall it."
        ) from error
    if not isinstance(module, ModuleType):
        raise BenchboxError(f"entry point {entry.name!r} ({entry.value}) must name a module.")
    return module


def plugin_module(path: Path) -> ModuleType:
    """Run a plugin file and return its module, which workers find under the same name.

    Its folder is put on the import path, first, as Python does for a script. A file that was run
    before is run again where it or a file of the user's that it imports was changed since.

    Raises:
        BenchboxError: there is no such file, running it fails, or a module beside it is hidden by
            another one of the same name.
    """
    if not path.is_file() or path.suffix != ".py":
        raise BenchboxError(f"--plugin {path}: expected a Python file (.py) that exists.")
    file = path.resolve()
    name = module_name(file)
    known = sys.modules.get(name)
    if known is not None and getattr(known, _STAND, None) == _stand(file):
        return known
    if known is not None:
        _forget(file)
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise BenchboxError(f"--plugin {path}: cannot be loaded as a Python file.")
    if str(file.parent) not in sys.path:
        sys.path.insert(0, str(file.parent))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with recorded_reads() as reads:
            spec.loader.exec_module(module)
        _require_neighbours(path, file)
    except BenchboxError:
        del sys.modules[name]
        raise
    except SyntaxError as error:
        del sys.modules[name]
        where = path if error.filename in (None, str(file)) else Path(error.filename).name
        raise BenchboxError(
            f"--plugin {where}: syntax error in line {error.lineno}: {error.msg}."
        ) from error
    except FAILURES as error:
        del sys.modules[name]
        raise BenchboxError(
            f"--plugin {path}: running it failed with {in_words(error)}."
        ) from error
    setattr(module, READS, tuple(sorted(reads)))
    setattr(module, _STAND, _stand(file))
    return module


def module_name(file: Path) -> str:
    """Return the name of a plugin file's module: two files of one stem are two modules."""
    place = hashlib.sha256(str(file.parent).encode()).hexdigest()[:8]
    return f"benchbox_plugin_{file.stem}__{place}"


def _stand(file: Path) -> tuple[tuple[str, int], ...]:
    """Return the user's files behind a plugin and when each was last changed."""
    try:
        files = closure_of(file).files
    except SyntaxError:
        files = {file}
    return tuple(sorted((str(path), path.stat().st_mtime_ns) for path in files))


def _forget(file: Path) -> None:
    """Drop the modules of the user's that an earlier run of this file imported, to read anew."""
    try:
        files = {str(path) for path in closure_of(file).files}
    except SyntaxError:
        return
    stale = [name for name, module in list(sys.modules.items()) if _file_of(module) in files]
    for name in stale:
        if name != "__main__":
            del sys.modules[name]


def _require_neighbours(path: Path, file: Path) -> None:
    """Check that each neighbour the plugin imports is the one beside it."""
    for name in imported_modules(file):
        beside = file_of(file.parent, name)
        loaded = _file_of(sys.modules.get(name))
        if beside is not None and loaded not in (str(beside), ""):
            raise BenchboxError(
                f"--plugin {path}: imports {name}, of which Python has another one already: "
                f"{loaded}. Rename one of the two."
            )


def _file_of(module: object) -> str:
    file = getattr(module, "__file__", None)
    return str(Path(file).resolve()) if isinstance(file, str) else ""
