"""``benchbox new-defense``: a working defense in one file, with its test, to start from.

The two files are made of ``templates/defense.py.j2`` and ``templates/test_defense.py.j2``.
"""

import importlib.util
import keyword
import re
import sys
from pathlib import Path
from typing import Literal

import jinja2

from benchbox.errors import BenchboxError
from benchbox.files.atomic import write_text
from benchbox.files.printable import printable
from benchbox.runs.registry import load_registry

Kind = Literal["recipe", "guard", "both"]
"""How the weights are made, what is done to an image before it is embedded, or both."""

LONGEST = 30
"""Letters of a name; with more, lines of the files would be too long."""

_NAME = re.compile(r"[a-z][a-z0-9_]*")


def write_template(name: str, folder: Path, *, kind: Kind = "both") -> list[Path]:
    """Write ``NAME.py``, a defense that works, and ``test_NAME.py``, its test.

    The defense serves as ``--plugin NAME.py``, as a file of ``defenses/`` and as a module that an
    installed package names in the entry-point group ``benchbox.plugins``.

    Args:
        name: of the defense and of its file: lower-case letters, digits and underscores.
        folder: where to write; made if it is not there.
        kind: which parts it has; the other one is the default (clean training, no guard).

    Returns:
        the paths of the defense and of its test.

    Raises:
        BenchboxError: the name does not do or is taken, or a file exists or cannot be written.
            Nothing is written then.
    """
    _require_name(name)
    texts = {folder / file: text for file, text in template(name, kind=kind).items()}
    for path in texts:
        if path.exists() or path.is_symlink():
            raise BenchboxError(
                f"{printable(path)}: exists already and is not overwritten. Choose another name or "
                "folder."
            )
    _require_free(name)
    for path, text in texts.items():
        write_text(path, text)
    return list(texts)


def template(name: str, *, kind: Kind) -> dict[str, str]:
    """Return file name → text of a new defense and its test.

    Args:
        name: that `write_template` would take.
        kind: as there.
    """
    environment = jinja2.Environment(  # noqa: S701  what is made is Python, of a checked name
        loader=jinja2.PackageLoader("benchbox.scaffold", "templates"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    words = [word.capitalize() for word in name.split("_") if word]
    values = {
        "name": name,
        "title": " ".join(words),
        "camel": "".join(words),
        "constant": name.upper(),
        "recipe": kind != "guard",
        "guard": kind != "recipe",
    }
    return {
        f"{name}.py": environment.get_template("defense.py.j2").render(values),
        f"test_{name}.py": environment.get_template("test_defense.py.j2").render(values),
    }


def _require_name(name: str) -> None:
    """Check that a name can be a registry's, a module's and a part of a class's.

    Raises:
        BenchboxError: it cannot.
    """
    if not _NAME.fullmatch(name) or len(name) > LONGEST:
        raise BenchboxError(
            f"{printable(name[:60])!r}: expected a name of at most {LONGEST} lower-case letters, "
            "digits and underscores that starts with a letter, such as my_defense."
        )
    if keyword.iskeyword(name):
        raise BenchboxError(f"{name!r} is a word of Python's own; choose another name.")
    if name.startswith("test_") or name.endswith("_test"):
        raise BenchboxError(
            f"{name!r}: pytest would take its file for a test; choose another name."
        )


def _require_free(name: str) -> None:
    """Check that no defense, recipe or module has the name.

    Raises:
        BenchboxError: one has.
    """
    defenses = load_registry().defenses
    if name in defenses:
        raise BenchboxError(f"a defense named {name!r} exists already; choose another name.")
    if name in {each.recipe.name for each in defenses.values() if each.recipe is not None}:
        raise BenchboxError(f"a recipe named {name!r} exists already; choose another name.")
    for module in (name, f"defenses.{name}"):
        if _is_module(module):
            raise BenchboxError(
                f"{name!r} is the name of an installed module ({module}), which a file {name}.py "
                "could hide; choose another name."
            )


def _is_module(name: str) -> bool:
    """Return whether Python finds a module of this name, without running it."""
    if name in sys.stdlib_module_names or name in sys.modules:
        return True
    spec = importlib.util.find_spec(name)
    # A folder without __init__.py has no origin: any folder beside the user's files is one.
    return spec is not None and spec.origin is not None
