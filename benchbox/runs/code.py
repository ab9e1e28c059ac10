"""The code version of a stage: a digest of the source that can change its numbers."""

import ast
import hashlib
import importlib.util
import sys
from collections.abc import Iterable
from functools import cache
from importlib.metadata import version
from pathlib import Path

from benchbox.errors import BenchboxError
from benchbox.files.digests import digest_of_file
from benchbox.runs.files_read import READS
from benchbox.runs.user_code import (
    OURS,
    closure_of,
    distributions_of,
    imported_of_ours,
    is_users,
)

_METHODS = ("attacks.", "defenses.")


def code_digest(modules: Iterable[str]) -> str:
    """Return a digest of the meaning of some modules and packages.

    Of benchbox's own, a package stands for all modules below it. A module of the user's stands for
    every file of hers that it imports, for the data files it read while it was imported, and for
    the versions of the installed packages it imports. Comments, docstrings and layout do not
    count: a stage is done again when its code changes, not when its prose does.

    Args:
        modules: importable names, such as ``benchbox.models`` or ``defenses.adv_train``.
    """
    parts = [f"{_stable_name(name)}:{_module_digest(name)}" for name in sorted(set(modules))]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def methods_behind(modules: Iterable[str]) -> set[str]:
    """Return the modules of ``attacks`` and ``defenses`` that some modules use, however indirectly.

    A model that was trained with FNA is not trained again when another attack is added.

    Args:
        modules: importable names of ours or of the user's; a package stands for all below it.
    """
    found = set[str]()
    waiting = set(modules)
    while waiting:
        module = waiting.pop()
        # What a user's file imports is not remembered: in a notebook it may be edited.
        if module.partition(".")[0] in OURS:
            reached = _methods_of_ours(module)
        else:
            reached = _methods_of(module) if is_users(_origin(module)) else frozenset()
        waiting |= reached - found
        found |= reached
    return found


def _methods_of(module: str) -> frozenset[str]:
    """Return the modules of attacks and defenses that a module itself imports."""
    imported = {name for file in _files_of(module) for name in imported_of_ours(file)}
    return frozenset(name for name in imported if name.startswith(_METHODS))


_methods_of_ours = cache(_methods_of)


def _files_of(module: str) -> list[Path]:
    """Return a module's file, and for a package the files below it."""
    file = _origin(module)
    if file.name == "__init__.py":
        return sorted(file.parent.rglob("*.py"))
    return [file] if file.suffix == ".py" else []


def _stable_name(name: str) -> str:
    """Return what names a module on every machine: a plugin file lies in another place on each."""
    return name if name.partition(".")[0] in OURS else name.rpartition(".")[2].partition("__")[0]


def _origin(module: str) -> Path:
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise BenchboxError(f"the source of module {module!r} was not found; reinstall benchbox.")
    return Path(spec.origin).resolve()


def _module_digest(name: str) -> str:
    if name.partition(".")[0] in OURS:
        return _own_digest(name)
    file = _origin(name)
    if is_users(file):
        # Not remembered: in a notebook the file may be edited between two runs.
        return user_digest(file, getattr(sys.modules.get(name), READS, ()))
    found = distributions_of(name.partition(".")[0])
    return ",".join(f"{distribution}=={version(distribution)}" for distribution in found)


@cache
def _own_digest(module: str) -> str:
    file = _origin(module)
    files = _files_of(module)
    digests = [f"{path.relative_to(file.parent)}:{_source_digest(path)}" for path in files]
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


def user_digest(file: Path, reads: Iterable[Path] = ()) -> str:
    """Return a digest of all that stands behind a user's file.

    Args:
        file: of a plugin, or of a module it imports.
        reads: data files that were read while it was imported.
    """
    found = closure_of(file)
    lines = [f"file {path.name}:{_digest_of_code(path)}" for path in found.files]
    lines += [f"data {path.name}:{digest_of_file(path)}" for path in reads if path.is_file()]
    lines += [f"package {name}=={number}" for name, number in found.packages.items()]
    for module in found.ours:
        spec = importlib.util.find_spec(module)
        if spec is not None and spec.origin is not None:
            lines.append(f"module {module}:{_source_digest(Path(spec.origin))}")
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


def _digest_of_code(file: Path) -> str:
    return _source_digest(file) if file.suffix == ".py" else digest_of_file(file)


def _source_digest(path: Path) -> str:
    tree = ast.parse(path.read_bytes())
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and _is_text(body[0]):
            body[0] = ast.Pass()
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


def _is_text(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
