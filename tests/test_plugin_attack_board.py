"""A plugin's attack on a board: its class is checked, and the site calls it by its title."""

import json
from pathlib import Path

import pytest
from rich.console import Console

from benchbox.errors import BenchboxError
from benchbox.leaderboard.site.build import build_site
from benchbox.leaderboard.submitting.prepare import SubmitOptions, prepare
from benchbox.leaderboard.submitting.submit import submit
from benchbox.runs.options import Options
from benchbox.runs.runner import run_grid
from tests.micro import make_micro_dataset

PLUGIN = """
from dataclasses import dataclass
from attacks import FNA

@dataclass(frozen=True)
class {name}(FNA):
    name = "away"
    title = "Far <Away>"
"""

GRID = """
name = "away"
datasets = ["market1501"]
backbones = ["small"]
pretrained = false
image_size = [32, 16]
defenses = ["origin"]
attacks = ["away"]
budgets = ["8/255"]
steps = 2
[training]
epochs = 1
batch_identities = 4
batch_images = 4
schedule = "one_cycle"
augmentation = { pad = 1, erasing = 0.0 }
"""

PROTOCOL = """
schema = 1
board = "away"
version = 1
title = "Away"
attacks = ["away"]
budgets = ["8/255"]
steps = 2
step_size = "1/255"
ap = "trapezoid"
seeds = [0]
rerun_tolerance = 0.5
[[datasets]]
name = "market1501"
digest = "{digest}"
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with a run of the plugin's attack, and a board that asks for it."""
    root = tmp_path_factory.mktemp("away")
    make_micro_dataset(root / "data" / "Market-1501-v15.09.15", test=12)
    (root / "away.py").write_text(PLUGIN.format(name="Away"))
    (root / "other.py").write_text(PLUGIN.format(name="Other"))
    (root / "grid.toml").write_text(GRID)
    options = Options(workers=1, data_root=root / "data", plugins=(root / "away.py",))
    run_grid(root / "grid.toml", root / "out", options, Console(quiet=True))
    board = root / "boards" / "away"
    board.mkdir(parents=True)
    digest = json.loads((root / "out" / "run.json").read_text())["datasets"]["market1501"]["digest"]
    (board / "protocol.toml").write_text(PROTOCOL.format(digest=digest))
    return root


def options(place: Path) -> SubmitOptions:
    return SubmitOptions(
        run=place / "out", defense="origin", board=place / "boards" / "away", replace=True
    )


def test_without_its_plugin_or_with_another_class_it_is_refused(place: Path) -> None:
    with pytest.raises(BenchboxError, match=r"attack away: is none of benchbox's; .* --plugin"):
        prepare(options(place))
    says = r"its attack stage has attack\.class = Away, expected Other"
    with pytest.raises(BenchboxError, match=says):
        prepare(options(place), plugins=[place / "other.py"])


def test_the_site_calls_it_by_its_title(place: Path) -> None:
    plugins = [place / "away.py"]
    submit(prepare(options(place), plugins=plugins), checks={})
    build_site(place / "boards", place / "named", plugins=plugins)
    build_site(place / "boards", place / "bare")
    for page in ("index.html", "market1501--market1501--small--origin--v1.html"):
        assert "Far &lt;Away&gt;" in (place / "named" / "away" / page).read_text()
        bare = (place / "bare" / "away" / page).read_text()
        assert "Far" not in bare
        assert "away 8/255" in bare or "away mAP" in bare
