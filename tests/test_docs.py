"""The documentation: its site builds without a warning, its commands run, its tables are true.

README, tutorial and CI page have tests of their own (test_readme, test_tutorial).
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
import torch
import typer

import benchbox
from benchbox.cli.main import app
from benchbox.data import sidewalk
from benchbox.runs.grid import Grid
from defenses import DEFENSES
from tests.micro import make_micro_dataset
from tests.pages import DOCS, PAGES, README, ROOT, Typist, blocks, commands, of_benchbox, shown

HOWTO = DOCS / "howto"
RESEARCHER = DOCS / "researcher.md"
STAND_IN = {
    '"sidewalk-a"': '"path:micro"',
    "[64, 32]": "[32, 16]",
    "epochs = 25\n": "epochs = 1\nbatch_identities = 4\n",
    "pad = 3": "pad = 1",
}


GRID = """
name = "micro"
datasets = ["path:micro"]
backbones = ["{backbone}"]
pretrained = false
image_size = [32, 16]
defenses = [{defenses}]
attacks = ["{attack}"]
budgets = ["8/255"]
steps = 2
[training]
epochs = 1
batch_identities = 4
augmentation = {{ pad = 1 }}
[recipe.adv_train]
steps = 1
{more}
"""


def put_grid(
    folder: Path,
    name: str = "my_grid.toml",
    *,
    defenses: str = '"origin"',
    backbone: str = "small",
    attack: str = "fna",
    more: str = "",
) -> None:
    """Write a grid, under the name that a page uses, and its dataset beside it."""
    make_micro_dataset(folder / "micro", train=6, test=4)
    text = GRID.format(defenses=defenses, backbone=backbone, attack=attack, more=more)
    (folder / name).write_text(text)


def typed(page: Path) -> list[list[str]]:
    """Return the words of each command of benchbox on a page, without its name."""
    return [words for command in commands(page) if (words := of_benchbox(command))]


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


def test_the_commands_of_start_run(tmp_path: Path, monkeypatch, capsys) -> None:
    """All but `report`, which README's test runs. The grid is as printed, on other images."""
    page = DOCS / "start.md"
    put_grid(tmp_path)
    grid = shown(page, "toml", "first.toml")
    for printed, here in STAND_IN.items():
        assert printed in grid
        grid = grid.replace(printed, here)
    (tmp_path / "first.toml").write_text(grid)
    type_in = Typist(monkeypatch, capsys, tmp_path)
    said = [type_in(*words) for words in typed(page) if words[0] != "report"]
    assert "10 cells from 17 stages: 1 train," in said[0]
    table = (tmp_path / "runs" / "first" / "tables" / "white_box.md").read_text()
    assert "MedianSmoothing2D" in table
    assert (tmp_path / "mine" / "whitebox.toml").is_file()
    assert "112 cells" in said[-1]


def test_the_commands_of_the_researchers_guide_run(tmp_path, monkeypatch, capsys) -> None:
    """All but `report`, which README's test runs, and the study, which trains for minutes."""
    (tmp_path / "my_defense.py").write_text(shown(RESEARCHER, "python", "my_defense.py"))
    put_grid(tmp_path, defenses='"origin", "half_and_half"')
    type_in = Typist(monkeypatch, capsys, tmp_path)
    said = [type_in(*words) for words in typed(RESEARCHER) if words[0] not in {"report", "study"}]
    assert len(said) == 4
    assert "written: mine/whitebox.toml" in said[0]
    assert "4 cells" in said[1]
    assert "Half&Half" in said[2]
    assert "Published are dukemtmcreid, market1501" in said[3]


def test_the_attack_of_the_how_to_runs(tmp_path: Path, monkeypatch, capsys) -> None:
    page = HOWTO / "attack.md"
    (tmp_path / "my_attack.py").write_text(shown(page, "python", "my_attack.py"))
    put_grid(tmp_path, attack="nearest", more="[attack.nearest]\nrival = 2")
    type_in = Typist(monkeypatch, capsys, tmp_path)
    for words in typed(page):
        type_in(*words)
    table = (tmp_path / "runs" / "nearest" / "tables" / "white_box.md").read_text()
    assert "Nearest" in table
    assert '"rival": 2' in (tmp_path / "runs" / "nearest" / "run.json").read_text()


def test_the_attack_of_the_how_to_pulls_to_the_rival_it_says(tmp_path: Path) -> None:
    file = tmp_path / "shown_attack.py"
    file.write_text(shown(HOWTO / "attack.md", "python", "my_attack.py"))
    spec = importlib.util.spec_from_file_location("shown_attack", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    points = torch.tensor([[0.0], [1.0], [3.0], [9.0]])
    pids = torch.arange(4)
    for rival, expected in ((1, [1, 0, 1, 2]), (2, [2, 2, 0, 1]), (3, [3, 3, 3, 0])):
        guides = module.Nearest(rival=rival).guides(points, pids)
        assert guides.bank[guides.pull[:, 0], 0].tolist() == [points[k, 0] for k in expected]
        assert guides.push.shape == (4, 0)


def test_the_backbone_of_the_how_to_runs(tmp_path: Path, monkeypatch, capsys) -> None:
    page = HOWTO / "backbone.md"
    (tmp_path / "my_backbone.py").write_text(shown(page, "python", "my_backbone.py"))
    put_grid(tmp_path, defenses='"plain", "adv_train"', backbone="stripes")
    type_in = Typist(monkeypatch, capsys, tmp_path)
    for words in typed(page):
        type_in(*words)
    assert "stripes" in (tmp_path / "runs" / "stripes" / "tables" / "white_box.md").read_text()


def test_the_commands_about_stores_and_parameters_run(tmp_path, monkeypatch, capsys) -> None:
    put_grid(tmp_path)
    put_grid(tmp_path, "other_grid.toml", defenses='"origin", "bs_ms"')
    (tmp_path / "parameters.toml").write_text(
        shown(HOWTO / "parameters.md", "toml", "parameters.toml")
    )
    type_in = Typist(monkeypatch, capsys, tmp_path)
    said = [type_in(*words) for words in typed(HOWTO / "resume.md")]
    assert " 0 of them in the store already" in said[1]
    assert re.search(r" [1-9]\d* of them in the store already", said[2])
    ((words),) = typed(HOWTO / "parameters.md")
    plan = type_in(*words)
    assert "sma: steps 8, step_size 2/255" in plan


def test_the_commands_about_datasets_run(tmp_path, monkeypatch, capsys) -> None:
    """`data make` renders a smaller Sidewalk here; test_sidewalk renders the real ones."""
    rendered: list[tuple[str, str]] = []

    def make(name: str, out: Path, *, size: str, **_: object) -> str:
        rendered.append((name, size))
        make_micro_dataset(out, train=2, test=2)
        return "digest"

    monkeypatch.setattr(sidewalk, "make", make)
    make_micro_dataset(tmp_path / "my-set", train=2, test=2)
    places = {"/tmp/sidewalk-a": str(tmp_path / "a"), "path:/data/my-set": "path:my-set"}
    type_in = Typist(monkeypatch, capsys, tmp_path)
    for page in (DOCS / "datasets.md", HOWTO / "dataset.md"):
        for words in typed(page):
            type_in(*(places.get(word, word) for word in words))
    assert rendered == [("sidewalk-a", "tiny")]


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


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    """Links, anchors and every docstring it shows, as `make docs` builds it."""
    for library in ("material", "mkdocstrings"):
        if importlib.util.find_spec(library) is None:
            pytest.skip(f"{library} is not installed; `make docs` builds the site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    pages = list(tmp_path.rglob("*.html"))
    assert len(pages) > len(list(DOCS.rglob("*.md")))
    for page in pages:
        text = page.read_text()
        assert not re.search(r'<(?:script|link|img|iframe)[^>]*(?:src|href)="(?:https?:)?//', text)
