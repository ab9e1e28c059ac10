"""The code version of a stage: a digest of the source that can change its numbers."""

import ast
import hashlib
import importlib.util
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from benchbox.errors import BenchboxError


def code_digest(modules: Iterable[str]) -> str:
    """Return a digest of the meaning of some modules and packages (with all modules below).

    Comments, docstrings and layout do not count: a stage is done again when its code changes,
    not when its prose does.

    Args:
        modules: importable names, such as ``benchbox.models`` or ``defenses.adv_train``.
    """
    parts = [f"{name}:{_module_digest(name)}" for name in sorted(set(modules))]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


@cache
def _module_digest(name: str) -> str:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise BenchboxError(f"the source of module {name!r} was not found; reinstall benchbox.")
    file = Path(spec.origin)
    files = sorted(file.parent.rglob("*.py")) if file.name == "__init__.py" else [file]
    digests = [f"{path.relative_to(file.parent)}:{_source_digest(path)}" for path in files]
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


def _source_digest(path: Path) -> str:
    tree = ast.parse(path.read_text(encoding="utf-8"))
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
