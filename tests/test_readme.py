"""What README.md tells a user to type works as it stands there."""

import csv
import html
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.micro import make_micro_dataset, write_micro_grid

ELSEWHERE = {"study", "new-defense", "submit", "leaderboard", "regress"}

README = Path(__file__).parents[1] / "README.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(), flags=re.DOTALL)


def benchbox_commands() -> list[list[str]]:
    lines = [line for block in blocks("bash") for line in block.splitlines()]
    commands = [shlex.split(line, comments=True) for line in lines if "bin/benchbox" in line]
    return [command[1:] for command in commands]


def call(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchbox", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture
def places(tmp_path: Path) -> dict[str, str]:
    """The plugin as printed, and a grid that names it, under the names the README uses."""
    (plugin,) = [block for block in blocks("python") if block.startswith("# my_defense.py")]
    (tmp_path / "my_defense.py").write_text(plugin)
    dataset = make_micro_dataset(tmp_path / "micro")
    grid = write_micro_grid(tmp_path / "my_grid.toml", dataset)
    grid.write_text(grid.read_text().replace('"bs_ms"', '"half_and_half"'))
    return {
        "my_defense.py": str(tmp_path / "my_defense.py"),
        "my_grid.toml": str(grid),
        "runs/mine": str(tmp_path / "mine"),
        "/tmp/sidewalk-a": str(tmp_path / "sidewalk-a"),
    }


def test_every_command_runs(places: dict[str, str]) -> None:
    commands = benchbox_commands()
    assert len(commands) >= 4
    for command in commands:
        # The study trains for minutes; the leaderboard's commands run in test_tutorial.py.
        shown = ["--help"] if command[0] in ELSEWHERE else []
        done = call(*(places.get(word, word) for word in command), *shown)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
    with (Path(places["runs/mine"]) / "results.csv").open() as stream:
        rows = [row for row in csv.DictReader(stream) if row["defense"] == "half_and_half"]
    assert len(rows) == 5
    table = (Path(places["runs/mine"]) / "tables" / "white_box.md").read_text()
    assert "Half&Half" in html.unescape(table)


def test_the_python_snippet_runs() -> None:
    (snippet,) = [block for block in blocks("python") if "evaluate_retrieval" in block]
    generator = torch.Generator().manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 4, 6)).eval()
    images = torch.rand(9, 3, 8, 4, generator=generator)
    names = {
        "model": model,
        "images": images[:3],
        "batch": slice(0, 3),
        "query_features": model(images).detach(),
        "gallery_features": torch.randn(20, 6, generator=generator),
        "query_pids": torch.arange(9) % 3,
        "gallery_pids": torch.arange(20) % 4,
        "query_camids": torch.zeros(9, dtype=torch.long),
        "gallery_camids": torch.ones(20, dtype=torch.long),
    }
    exec(snippet, names)
    adversarial = names["adversarial"]
    assert isinstance(adversarial, torch.Tensor)
    assert 0 < (adversarial - images[:3]).abs().max() <= 8 / 255 + 1e-6


def test_the_make_targets_exist() -> None:
    makefile = (README.parent / "Makefile").read_text()
    targets = set(re.findall(r"(?:^|`)make (\w+)", README.read_text(), flags=re.MULTILINE))
    assert {"demo", "test", "bench"} <= targets
    for target in targets:
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target
