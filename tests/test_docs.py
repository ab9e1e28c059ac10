"""The documentation says what is so: its site builds, its tables and names are the code's.

That its commands run, test_readme, test_tutorial and test_guides see to.
"""

import ast
import importlib.util
import re
import subprocess
import sys
import tomllib
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import typer

import benchbox
from benchbox.cli.main import app
from benchbox.runs.grid import Grid
from defenses import DEFENSES
from tests.pages import DOCS, PAGES, README, ROOT, blocks, commands, of_benchbox, shown

HOWTO = DOCS / "howto"
RESEARCHER = DOCS / "researcher.md"


def test_every_command_of_benchbox_is_one() -> None:
    """Every command and option on any page exists, whether it is run here or not."""
    group = typer.main.get_command(app)
    found = 0
    for page in PAGES:
        for command in commands(page):
            words = of_benchbox(command)
            if words is None:
                continue
            found += 1
            here: Any = group
            while words and words[0] in getattr(here, "commands", {}):
                here = here.commands[words.pop(0)]
            assert here is not group, f"{page.name}: {command}"
            known = {option for parameter in here.params for option in parameter.opts}
            used = {word for word in words if word.startswith("--")}
            assert used <= known, f"{page.name}: {command}"
    assert found > 40


def test_the_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    told = "\n".join(page.read_text() for page in PAGES)
    targets = set(re.findall(r"(?:^|`)make (\w+)", told, flags=re.MULTILINE))
    assert {"bench", "demo", "docs", "regress", "setup", "speed", "test", "wheel"} <= targets
    for target in targets:
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


def test_every_page_is_of_the_navigation() -> None:
    text = (ROOT / "mkdocs.yml").read_text()
    for page in sorted(DOCS.rglob("*.md")):
        assert str(page.relative_to(DOCS)) in text


def test_the_grids_of_pages_are_grids() -> None:
    """Whole ones are read with all they name; parts of one have keys and values that fit."""
    whole = parts = 0
    for page in PAGES:
        for block in blocks(page, "toml"):
            content = tomllib.loads(block)
            if "project" in content:
                continue
            if "name" in content:
                whole += 1
                Grid.model_validate(content, strict=False)
            else:
                parts += 1
                least = {"name": "x", "datasets": ["sidewalk-a"], "defenses": ["origin"]}
                Grid.model_validate(least | content, strict=False)
    assert whole >= 4
    assert parts >= 7


def test_what_two_pages_show_is_the_same() -> None:
    """The README's table, defense and example stand in the documentation, too."""
    table = re.search(r"^\| Sidewalk-A .*?\n\n", README.read_text(), re.DOTALL | re.MULTILINE)
    assert table is not None
    assert table[0] in (DOCS / "start.md").read_text()
    assert shown(README, "python", "my_defense.py") == shown(RESEARCHER, "python", "my_defense.py")
    (example,) = [block for block in blocks(README, "python") if "evaluate_retrieval" in block]
    assert example in blocks(DOCS / "reference" / "evaluation.md", "python")


def test_the_table_of_defaults_is_the_grids() -> None:
    page = (DOCS / "reference" / "grid.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+?) \|$", page, re.MULTILINE))
    fields = Grid.model_fields
    assert list(rows) == list(fields)
    needed = {name for name, field in fields.items() if field.is_required()}
    assert {name for name, default in rows.items() if default == "must be given"} == needed
    told = {name: default for name, default in rows.items() if name not in needed}
    least = Grid(name="x", datasets=["sidewalk-a"], defenses=["origin"])
    for name, default in told.items():
        value = tomllib.loads(f"value = {default.strip('`')}")["value"]
        given = Grid.model_validate({**least.model_dump(), name: value}, strict=False)
        assert getattr(given, name) == getattr(least, name), name


def test_the_table_of_defenses_is_the_registrys() -> None:
    text = (DOCS / "defenses.md").read_text()
    column = re.findall(r"^\| (`.+?`) \|", text, re.MULTILINE)
    named = re.findall(r"`(\S+?)`", " ".join(column))
    prefix = "metric_at_diffusion".removesuffix("diffusion")
    assert {name.replace("…_", prefix) for name in named} == set(DEFENSES)


def test_the_order_of_rooms_is_the_contracts() -> None:
    """A room of CONTRIBUTING's table stands below all that it may import."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    rows = re.findall(r"^\| (`(?:benchbox|attacks)/.*?`) \|", text, re.MULTILINE)
    place = {
        name.removesuffix(".py").strip("/").replace("/", "."): number
        for number, row in enumerate(rows)
        for name in re.findall(r"`(.+?)`", row)
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    layers = project["tool"]["importlinter"]["contracts"][0]["layers"]
    layered = [set(layer.split(" | ")) for layer in reversed(layers)]
    assert set(place) == set().union(*layered)
    places = [sorted(place[name] for name in layer) for layer in layered]
    assert all(below[-1] < above[0] for below, above in pairwise(places))


def test_the_files_that_contributors_are_told_to_copy_exist() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    files = re.findall(r"`((?:attacks|benchbox|defenses|tests)/[\w/]+\.py)`", text)
    assert len(set(files)) > 15
    assert [file for file in files if not (ROOT / file).is_file()] == []


def test_citation_and_changelog_are_of_this_version() -> None:
    citation = (ROOT / "CITATION.cff").read_text()
    assert f"\nversion: {benchbox.__version__}\n" in citation
    assert f"benchbox_reid-{benchbox.__version__}-py3" in (HOWTO / "wheel.md").read_text()
    headings = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[:2] == ["Unreleased", benchbox.__version__]


def test_python_on_pages_is_python() -> None:
    for page in PAGES:
        for block in blocks(page, "python"):
            ast.parse(block)


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The site as `make docs` builds it: no warning about links, anchors or docstrings."""
    own = ROOT / ".venv-docs" / "bin" / "mkdocs"
    if not own.exists() and importlib.util.find_spec("mkdocstrings") is None:
        pytest.skip("no mkdocs on this machine; `make docs` installs it")
    start = [str(own)] if own.exists() else [sys.executable, "-m", "mkdocs"]
    out = tmp_path_factory.mktemp("site")
    command = [*start, "build", "--strict", "--site-dir", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


def test_the_site_asks_no_other_server(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > len(list(DOCS.rglob("*.md")))
    for page in pages:
        text = page.read_text()
        assert not re.search(r'<(?:script|link|img|iframe)[^>]*(?:src|href)="(?:https?:)?//', text)


def test_pages_fit_a_phone_and_are_searched_from_disk(site: Path, open_page) -> None:
    for name in ("index", "start", "concepts/speed", "reference/attacks", "contributing"):
        page = open_page(site / f"{name}.html", viewport={"width": 390, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") == 390, name
    page = open_page(site / "start.html", viewport={"width": 1280, "height": 800})
    page.click(".md-search__input")
    page.keyboard.type("distractor")
    page.wait_for_selector(".md-search-result__item")
    assert "The protocol" in page.inner_text(".md-search-result__list")
