"""`benchbox new-defense`: its files are clean, pass their own test, and serve in all three ways."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from benchbox.errors import BenchboxError
from benchbox.results.run_folder import read_run
from benchbox.runs.options import Options
from benchbox.runs.registry import load_registry
from benchbox.runs.runner import run_grid
from benchbox.scaffold.new_defense import LONGEST, write_template
from defenses import Vanilla
from tests.micro import make_micro_dataset, write_micro_grid

ROOT = Path(__file__).parents[1]
KINDS = ("recipe", "guard", "both")
NAMES = ("x", "gentle", "a" * 15 + "_" + "9" * (LONGEST - 16))


def python(*words: object, cwd: Path, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    if path is not None:
        env["PYTHONPATH"] = str(path)
    command = [sys.executable, *map(str, words)]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=cwd, env=env, timeout=300, check=False
    )


def own_test(test: Path, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    return python("-m", "pytest", "-q", "-p", "no:cacheprovider", test, cwd=test.parent, path=path)


def files_below(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    """Every kind under every name, a folder a kind."""
    place = tmp_path_factory.mktemp("written")
    for kind in KINDS:
        for name in NAMES:
            paths = write_template(name, place / kind, kind=kind)
            assert paths == [place / kind / f"{name}.py", place / kind / f"test_{name}.py"]
    return place


@pytest.mark.parametrize("settings", [("--config", ROOT / "pyproject.toml"), ("--isolated",)])
def test_the_files_are_formatted_and_lint_free_by_our_rules_and_by_none(written, settings) -> None:
    done = python("-m", "ruff", "format", "--check", *settings, written, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    tests = ("--extend-per-file-ignores", "test_*.py:D,test_*.py:S")
    done = python("-m", "ruff", "check", "--no-cache", *settings, *tests, written, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_the_files_are_typed(written) -> None:
    files = [written / kind / "gentle.py" for kind in KINDS]
    for file in files:  # one by one, since the three have one name
        done = python("-m", "mypy", "--strict", file, cwd=ROOT)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("kind", KINDS)
def test_the_files_pass_their_own_test(written, kind) -> None:
    done = own_test(written / kind / "test_gentle.py")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{ {'recipe': 5, 'guard': 4, 'both': 9}[kind] } passed" in done.stdout


@pytest.mark.parametrize(
    ("kind", "right", "wrong", "failing"),
    [
        (
            "guard",
            "return images + self.strength * (blurred - images)",
            "return (images + self.strength * (blurred - images)).detach() + 0 * images",
            "test_an_attack_sees_through_the_guard",
        ),
        (
            "recipe",
            "images = both(batch.images, self.attacked(model, batch))",
            "images = both(batch.images, self.attacked(model, batch)).clamp(1, 1)",
            "test_training_lowers_the_loss_and_moves_every_weight",
        ),
    ],
)
def test_their_own_test_can_fail(written, tmp_path, kind, right, wrong, failing) -> None:
    for file in ("gentle.py", "test_gentle.py"):
        shutil.copy(written / kind / file, tmp_path)
    text = (tmp_path / "gentle.py").read_text()
    assert text.count(right) == 1
    (tmp_path / "gentle.py").write_text(text.replace(right, wrong))
    done = own_test(tmp_path / "test_gentle.py")
    assert done.returncode == 1, done.stdout + done.stderr
    assert failing in done.stdout


@pytest.mark.slow
def test_as_plugins_they_load_train_and_are_attacked(tmp_path) -> None:
    plugins = tuple(write_template(f"gentle_{kind}", tmp_path, kind=kind)[0] for kind in KINDS)
    found = load_registry(plugins).defenses
    recipe, guard, both = (found[f"gentle_{kind}"] for kind in KINDS)
    assert recipe.guard is None
    assert isinstance(guard.recipe, Vanilla)
    assert guard.guard is not None
    assert both.guard is not None
    assert recipe.recipe.name == "gentle_recipe"
    assert (both.recipe.name, both.title) == ("gentle_both", "Gentle Both")

    grid = write_micro_grid(tmp_path / "grid.toml", make_micro_dataset(tmp_path / "micro"))
    names = ", ".join(f'"gentle_{kind}"' for kind in KINDS)
    text = grid.read_text().replace('"bs_ms", "adv_train"', names)
    text = text.replace("[recipe.adv_train]", "[recipe.gentle_both]\nrobust_weight = 0.5")
    grid.write_text(text + "[guard.gentle_guard]\nstrength = 0.25\n")
    options = Options(workers=1, plugins=plugins)
    assert not run_grid(grid, tmp_path / "out", options, Console(quiet=True)).failures
    run = read_run(tmp_path / "out")
    rows = run.results.groupby("defense")
    assert dict(rows.size()) == dict.fromkeys(["origin", *(f"gentle_{k}" for k in KINDS)], 5)
    clean = run.results[run.results["attack"] == "none"].set_index("defense")["mAP"]
    assert clean.nunique() > 2, "the parts do nothing"
    # The resolved hyperparameters stand in the record.
    recorded = run.record.defenses
    assert recorded["gentle_both"]["recipe"]["robust_weight"] == 0.5
    assert recorded["gentle_guard"]["guard"]["strength"] == 0.25


@pytest.mark.slow
def test_installed_as_its_head_says(tmp_path) -> None:
    """The lines for pyproject.toml are taken from the file, and its test runs without it beside."""
    file, test = write_template("gentle", tmp_path / "made", kind="both")
    group, module = re.search(
        r'#       \[project\.entry-points\."(.+)"\]\n#       gentle = "(.+)"\n', file.read_text()
    ).groups()
    package, _, name = module.partition(".")
    site = tmp_path / "site"
    (site / package).mkdir(parents=True)
    (site / package / "__init__.py").touch()
    shutil.move(file, site / package / f"{name}.py")
    info = site / "theirs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{group}]\ngentle = {module}\n")

    done = own_test(test, path=site)
    assert done.returncode == 0, done.stdout + done.stderr
    again = python("-m", "benchbox", "new-defense", "gentle", cwd=tmp_path, path=site)
    assert again.returncode == 2
    assert again.stderr == "error: a defense named 'gentle' exists already; choose another name.\n"


@pytest.mark.slow
def test_as_a_part_of_benchbox_as_its_head_says(tmp_path) -> None:
    """In a copy of the checkout, with the line added that the file asks for."""
    checkout = tmp_path / "checkout"
    for package in ("attacks", "benchbox", "defenses"):
        copied = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, checkout / package, ignore=copied)
    file, test = write_template("gentle", tmp_path / "made", kind="both")
    line, constant = re.search(
        r"#       (from defenses\.gentle import (\w+))\n", file.read_text()
    ).groups()
    shutil.move(file, checkout / "defenses")
    init = checkout / "defenses" / "__init__.py"
    text = init.read_text()
    first = "from defenses.adv_train"  # before it, where its imports meet a half-made package
    assert text.count(first) == text.count("*_TABLES_3_AND_4, ") == 1
    text = text.replace(first, f"{line}\n{first}")
    init.write_text(text.replace("*_TABLES_3_AND_4, ", f"*_TABLES_3_AND_4, {constant}, "))
    done = own_test(test, path=checkout)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "expected a name of"),
        ("x" * (LONGEST + 1), "expected a name of"),
        ("x" * 100_000, "expected a name of"),
        ("../gentle", "expected a name of"),
        ("/tmp/gentle", "expected a name of"),
        ("a/b", "expected a name of"),
        ("a\\b", "expected a name of"),
        ("a.b", "expected a name of"),
        ("gentle.py", "expected a name of"),
        ("a b", "expected a name of"),
        ("a-b", "expected a name of"),
        ("a--b", "expected a name of"),
        ("a\nimport os", "expected a name of"),
        ("gentle\n", "expected a name of"),
        ("a\0", "expected a name of"),
        ("a\x1b[31m", "expected a name of"),
        ("{{ 1 }}", "expected a name of"),
        ('a"', "expected a name of"),
        ("--help", "expected a name of"),
        ("_gentle", "expected a name of"),
        ("1gentle", "expected a name of"),
        ("Gentle", "expected a name of"),
        ("größe", "expected a name of"),
        ("gеntle", "expected a name of"),  # a Cyrillic е
        ("gentle２", "expected a name of"),  # a fullwidth digit
        ("class", "a word of Python"),
        ("async", "a word of Python"),
        ("test_gentle", "pytest would take"),
        ("gentle_test", "pytest would take"),
        ("origin", "a defense named 'origin' exists"),
        ("ddd", "a defense named 'ddd' exists"),
        ("vanilla", "a recipe named 'vanilla' exists"),
        ("adversarial", "an installed module (defenses.adversarial)"),
        ("base", "an installed module (defenses.base)"),
        ("attacks", "an installed module (attacks)"),
        ("defenses", "an installed module (defenses)"),
        ("benchbox", "an installed module (benchbox)"),
        ("torch", "an installed module (torch)"),
        ("json", "an installed module (json)"),
        ("antigravity", "an installed module (antigravity)"),
    ],
)
def test_a_name_that_will_not_do_is_refused(tmp_path, name, reason) -> None:
    folder = tmp_path / "inner"
    folder.mkdir()
    with pytest.raises(BenchboxError) as caught:
        write_template(name, folder)
    message = str(caught.value)
    assert reason in message
    assert len(message) < 250
    assert message.isprintable()
    assert list(tmp_path.rglob("*")) == [folder]


@pytest.mark.parametrize("there", ["gentle.py", "test_gentle.py"])
@pytest.mark.parametrize("what", ["file", "folder", "dangling link"])
def test_nothing_is_overwritten(tmp_path, there, what) -> None:
    path = tmp_path / there
    if what == "file":
        path.write_text("mine")
    elif what == "folder":
        path.mkdir()
    else:
        path.symlink_to(tmp_path / "nowhere")
    before = files_below(tmp_path)
    with pytest.raises(BenchboxError, match=rf"/{there}: exists already and is not overwritten"):
        write_template("gentle", tmp_path)
    assert files_below(tmp_path) == before
    assert list(tmp_path.iterdir()) == [path]
    assert not (tmp_path / "nowhere").exists()


def test_a_folder_that_cannot_be_written_is_named(tmp_path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(BenchboxError, match=r"taken/gentle\.py: cannot be written"):
        write_template("gentle", tmp_path / "taken")
    assert files_below(tmp_path) == {"taken": b"a file"}


def test_on_the_command_line_a_refusal_is_one_line(tmp_path) -> None:
    done = python("-m", "benchbox", "new-defense", "../Evil", "--kind", "guard", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: '../Evil': expected a name of at most")
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
