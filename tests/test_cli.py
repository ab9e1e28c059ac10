"""Bad input on the command line: one readable message and exit code 2 or 1, never a traceback."""

import sys
from pathlib import Path

import pytest

from benchbox.cli.main import main
from benchbox.models.registry import BACKBONES
from benchbox.runs.registry import load_registry
from tests.micro import make_micro_dataset, write_micro_grid


@pytest.fixture
def call(monkeypatch, capsys):
    """Run the command line in this process and return (exit code, stdout, stderr)."""
    monkeypatch.setenv("COLUMNS", "400")

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["benchbox", *map(str, words)])
        with pytest.raises(SystemExit) as stopped:
            main()
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return int(stopped.value.code or 0), out, err

    return run


@pytest.fixture
def grid(tmp_path: Path) -> Path:
    return write_micro_grid(tmp_path / "micro.toml", make_micro_dataset(tmp_path / "micro"))


def test_help_and_version_are_fine(call) -> None:
    assert call("--version")[:2] == (0, "benchbox-reid 0.1.0\n")
    code, out, _ = call("run", "--help")
    assert code == 0
    assert "--dry-run" in out


def test_no_gpu_where_one_was_asked_for(call, grid, tmp_path) -> None:
    code, _, err = call("run", grid, "--out", tmp_path / "o", "--device", "cuda:7")
    assert code == 2
    assert "--device cuda:7: this PyTorch" in err
    assert "use --device cpu" in err


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:x", "cpu:0"])
def test_a_device_that_is_none(call, grid, tmp_path, device) -> None:
    code, _, err = call("run", grid, "--out", tmp_path / "o", "--device", device)
    assert code == 2
    assert "expected auto, cpu, cuda or cuda:N" in err


def test_a_missing_dataset_says_where_it_looked_and_how_to_get_it(call, grid, tmp_path) -> None:
    text = grid.read_text()
    grid.write_text(text.replace(f"path:{tmp_path / 'micro'}", "market1501"))
    code, _, err = call("run", grid, "--out", tmp_path / "o", "--data-root", tmp_path)
    assert code == 2
    assert "market1501: not found" in err
    assert str(tmp_path / "Market-1501-v15.09.15") in err
    code, out, _ = call("run", grid, "--dry-run", "--data-root", tmp_path)
    assert code == 0, "a plan can be printed without the data"
    assert "not ready: market1501: not found" in out


def test_a_half_unpacked_dataset(call, grid, tmp_path) -> None:
    import shutil

    shutil.rmtree(tmp_path / "micro" / "query")
    code, _, err = call("run", grid, "--out", tmp_path / "o")
    assert code == 2
    assert "not a complete ReID dataset: query/ is missing" in err


def test_a_corrupt_image(call, grid, tmp_path) -> None:
    victim = sorted((tmp_path / "micro" / "bounding_box_train").iterdir())[3]
    victim.write_bytes(victim.read_bytes()[:60])
    code, _, err = call("run", grid, "--out", tmp_path / "o")
    assert code == 2
    assert victim.name in err
    code, out, err = call("data", "check", tmp_path / "micro")
    assert code == 1
    assert victim.name in out
    assert "1 problems" in err or "1 problem" in err


def test_checking_a_good_and_a_missing_folder(call, grid, tmp_path) -> None:
    code, out, _ = call("data", "check", tmp_path / "micro")
    assert code == 0
    assert "bounding_box_train" in out
    assert call("data", "check", tmp_path / "nowhere")[0] == 2


def test_an_output_folder_that_cannot_be_written(call, grid, tmp_path) -> None:
    (tmp_path / "file").write_text("in the way")
    code, _, err = call("run", grid, "--out", tmp_path / "file" / "run")
    assert code == 2
    assert "cannot be written" in err


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("bad.py", "def f(:\n    pass\n", "syntax error in line 1"),
        ("raises.py", "import no_such_module\n", "ModuleNotFoundError: No module named"),
        ("empty.py", "x = 1\n", "defines no Defense object, no Attack class and no backbone"),
        ("text.txt", "hello", "expected a Python file"),
        (
            "twice.py",
            "from defenses import Defense, Vanilla\n"
            "MINE = Defense(name='origin', title='x', recipe=Vanilla(), source='x')\n",
            "a defense named 'origin' exists already",
        ),
    ],
)
def test_a_plugin_that_cannot_be_used(call, grid, tmp_path, name, content, message) -> None:
    plugin = tmp_path / name
    plugin.write_text(content)
    code, _, err = call("run", grid, "--out", tmp_path / "o", "--plugin", plugin)
    assert code == 2
    assert message in err
    assert name in err or "origin" in err


def test_a_plugin_attack_is_listed(call, tmp_path) -> None:
    plugin = tmp_path / "noise.py"
    plugin.write_text(
        "from dataclasses import dataclass\n"
        "from typing import ClassVar\n"
        "from attacks import SMA\n"
        "@dataclass(frozen=True, kw_only=True)\n"
        "class OneStep(SMA):\n"
        "    '''A single step.'''\n"
        "    name: ClassVar[str] = 'onestep'\n"
        "    title: ClassVar[str] = 'One step'\n"
    )
    code, out, _ = call("list", "--plugin", plugin)
    assert code == 0
    assert "onestep" in out
    assert "sidewalk-a" in out


@pytest.mark.parametrize("width", ["40", "80", "200"])
def test_everything_a_grid_may_name_is_listed_whole(call, monkeypatch, width) -> None:
    monkeypatch.setenv("COLUMNS", width)
    code, out, _ = call("list")
    assert code == 0
    listed = {line.split()[0] for line in out.splitlines() if line.startswith("  ")}
    registry = load_registry()
    recipes = {each.recipe.name for each in registry.defenses.values() if each.recipe}
    attacks = {*registry.attacks, "corruption"}
    for names in (registry.datasets, BACKBONES, attacks, registry.defenses, recipes):
        assert listed >= set(names)
    guarded = [line for line in out.split("guards, in")[1].splitlines() if "bs_ms" in line]
    assert "SqueezeThenSmooth" in guarded[0]
    # What a licence says, and how to get a dataset, is for those who ask.
    assert "http" not in out
    assert "licence" not in out
    assert max(map(len, out.splitlines())) < 200


def test_one_dataset_is_said_whole(call, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    code, out, _ = call("list", "market1501")
    source = load_registry().datasets["market1501"]
    assert code == 0
    for text in (source.how_to_get, source.citation, source.licence):
        assert text in out
    code, _, err = call("list", "market1502")
    assert code == 2
    assert "unknown name 'market1502'. Did you mean 'market1501'?" in err


def test_an_unknown_rendered_dataset(call, tmp_path) -> None:
    code, _, err = call("data", "make", "sidewalk-c", "--out", tmp_path / "c")
    assert code == 2
    assert "Did you mean 'sidewalk-" in err


def test_a_grid_that_is_not_there(call, tmp_path) -> None:
    code, _, err = call("run", tmp_path / "nope.toml")
    assert code == 2
    assert "cannot be read" in err


def test_reporting_on_a_folder_without_a_run(call, tmp_path) -> None:
    code, _, err = call("report", tmp_path)
    assert code == 2
    assert "run.json" in err or "results.csv" in err


def test_interrupting_says_that_it_goes_on(call, grid, tmp_path, monkeypatch) -> None:
    def interrupted(*_args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("benchbox.runs.runner.run_grid", interrupted)
    code, _, err = call("run", grid, "--out", tmp_path / "o")
    assert code == 130
    assert "goes on from here" in err
