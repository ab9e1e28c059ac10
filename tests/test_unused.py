"""What changes no number, and backbones that cannot be used, are told before anything runs."""

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from benchbox.errors import BenchboxError
from benchbox.runs.options import Options
from benchbox.runs.preview import plan_tables
from benchbox.runs.registry import load_registry
from benchbox.runs.runner import preview
from benchbox.runs.unused import unread_fields

ROOT = Path(__file__).resolve().parents[1]

HEAD = """
name = "mini"
datasets = ["sidewalk-a"]
backbones = ["small"]
pretrained = false
image_size = [32, 16]
"""


def lines_of(tmp_path: Path, grid: str, *plugins: Path) -> list[str]:
    file = tmp_path / "my.toml"
    file.write_text(HEAD + grid)
    console = Console(file=io.StringIO(), width=200)
    for part in plan_tables(*preview(file, Options(plugins=plugins))):
        console.print(part, soft_wrap=isinstance(part, str), markup=False)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize(
    ("grid", "says"),
    [
        ('defenses = ["origin", "bs_ms"]\n[defended]\nstart = "vanilla"',
         "[defended] has nothing to apply to: no row has a recipe but vanilla"),
        ('defenses = ["origin"]\n[recipe.adv_train]\nsteps = 2',
         "[recipe.adv_train] has nothing to apply to: the grid does not use adv_train"),
        ('defenses = ["origin"]\n[guard.bs_ms]\nbits = 3',
         "[guard.bs_ms] has nothing to apply to: the grid does not use bs_ms"),
        ('defenses = ["origin"]\nattacks = ["fna"]\n[attack.sma]\nsteps = 3',
         "[attack.sma] has nothing to apply to: the grid does not use sma"),
    ],
)  # fmt: skip
def test_a_table_without_anything_to_apply_to_is_said(tmp_path: Path, grid: str, says: str) -> None:
    assert says in lines_of(tmp_path, grid)


def test_tables_that_apply_are_not_named(tmp_path: Path) -> None:
    # Adv_train starts from vanilla weights, so that vanilla is trained without a row of its own.
    grid = (
        'defenses = ["adv_train"]\n[training]\nepochs = 1\n[defended]\nstart = "vanilla"\n'
        "[recipe.vanilla]\ntraining = { epochs = 2 }\n[recipe.adv_train]\nsteps = 2\n"
        "[attack.fna]\nsteps = 3\n"
    )
    assert not [line for line in lines_of(tmp_path, grid) if "nothing" in line]


PLUGIN = """
from dataclasses import dataclass
from typing import ClassVar

from attacks import FNA
from defenses import Defense, Vanilla
{imports}

@dataclass(frozen=True, kw_only=True)
class Mine(FNA):
    name: ClassVar[str] = "mine"
    title: ClassVar[str] = "Mine"
    steps: int = 8
    momentum: float = 0.9
    decay: float = 1.0

    def objective(self, embeddings, guides):
        return {decay} * super().objective(embeddings, guides)


@dataclass(frozen=True)
class Darker:
    strength: float = 0.5
    unread: float = 0.1

    def __call__(self, images):
        return images * getattr(self, "strength")


DARK = Defense(name="dark", title="Dark", source="ours", recipe=Vanilla(), guard=Darker())
"""


def test_a_field_that_nothing_reads_is_named(tmp_path: Path) -> None:
    plugin = tmp_path / "unread_fields_plugin.py"
    plugin.write_text(PLUGIN.format(imports="", decay="self.decay"))
    grid = 'defenses = ["dark"]\nattacks = ["mine"]\n[attack.mine]\nmomentum = 0.5\n'
    said = [line for line in lines_of(tmp_path, grid, plugin) if "nothing" in line]
    assert said == [
        f"{what}: nothing in its code reads its field {name!r}, so that it changes no number"
        for what, name in (("attack mine", "momentum"), ("guard of dark", "unread"))
    ]


def test_a_field_that_a_neighbour_reads_is_read(tmp_path: Path) -> None:
    (tmp_path / "neighbour_of_mine.py").write_text(
        "def scale(attack):\n    return attack.decay * attack.momentum\n"
    )
    plugin = tmp_path / "read_elsewhere_plugin.py"
    imports = "from neighbour_of_mine import scale\n"
    plugin.write_text(PLUGIN.format(imports=imports, decay="scale(self)"))
    assert unread_fields(load_registry([plugin]).attacks["mine"]()) == []


BACKBONE = """
from timm.models import register_model
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)

    def forward(self, images{argument}):
        found = self.conv(images)
        return {returned}


@register_model
def {name}(pretrained=False, **kwargs):
    return Net()
"""


@pytest.mark.parametrize(
    ("name", "argument", "returned", "says"),
    [
        ("net_list", "", "[found.mean((2, 3)), found]",
         "backbone 'net_list': it returns a list for one image of 32×16; expected"),
        ("net_map", "", "found",
         r"backbone 'net_map': it returns \(1, 8, 30, 14\) for one image of 32×16; expected"),
        ("net_camera", ", camid", "found.mean((2, 3)) + camid",
         "backbone 'net_camera': its forward wants camid beside the images"),
        ("net_large", "", "nn.functional.unfold(found, 200).mean(2)",
         r"backbone 'net_large': it cannot embed an image of 32×16 \(.*Choose another model or"),
    ],
)  # fmt: skip
def test_a_backbone_that_cannot_be_used_is_refused_by_the_dry_run(
    tmp_path: Path, name: str, argument: str, returned: str, says: str
) -> None:
    plugin = tmp_path / f"{name}_plugin.py"
    plugin.write_text(BACKBONE.format(name=name, argument=argument, returned=returned))
    grid = 'defenses = ["origin"]\nattacks = []\n'
    (tmp_path / "my.toml").write_text(HEAD.replace('"small"', f'"{name}"') + grid)
    with pytest.raises(BenchboxError, match=says):
        preview(tmp_path / "my.toml", Options(plugins=(plugin,)))


def test_no_message_advises_a_package_that_is_not_on_the_index() -> None:
    """Anybody could register the name; the libraries that are missing are named instead."""
    for package in ("benchbox", "attacks", "defenses"):
        for file in (ROOT / package).rglob("*.py"):
            assert not re.search(r"pip install ['\"]?benchbox", file.read_text()), file
