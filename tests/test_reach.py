"""Budgets that an attack's steps do not come to are said in the plan, the table and the report."""

import io
from pathlib import Path

import pytest
import torch
from rich.console import Console

from attacks.registry import ATTACKS
from benchbox.reports.cautions import cautions
from benchbox.reports.tables.of_run import run_tables
from benchbox.results.run_folder import read_run
from benchbox.runs.grid_file import read_grid
from benchbox.runs.plan import make_plan
from benchbox.runs.preview import plan_tables
from benchbox.runs.reach import is_beyond_reach
from benchbox.runs.registry import load_registry
from tests.made_runs import make_run


@pytest.mark.parametrize("steps", [1, 4, 16])
@pytest.mark.parametrize("step_255", [0.1, 0.5, 1.0])
def test_beyond_reach_are_budgets_at_which_the_attack_no_longer_changes(
    steps: int, step_255: float
) -> None:
    torch.manual_seed(0)
    images = 0.3 + 0.4 * torch.rand(6, 3, 4, 4)

    def embed(pixels: torch.Tensor) -> torch.Tensor:
        return pixels.flatten(1)[:, :8] + pixels.flatten(1)[:, 8:16] ** 2

    attack = ATTACKS["fna"](steps=steps, step_size=step_255 / 255)
    pids = torch.tensor([0, 0, 0, 1, 1, 1])
    guides = attack.guides(embed(images), pids)
    reach = steps * step_255
    budgets = [reach * share for share in (0.5, 1.0, 1.01, 4.0)]
    found = attack.sweep(embed, images, guides, eps=[b / 255 for b in budgets])
    moved = [float((each - images).abs().max()) * 255 for each in found]
    beyond = [is_beyond_reach(budget, steps, step_255) for budget in budgets]
    assert beyond == [False, False, True, True]
    for budget, is_beyond, by in zip(budgets, beyond, moved, strict=True):
        assert (by < budget - 1e-4) == is_beyond
        assert by == pytest.approx(min(budget, reach), abs=1e-3)


def test_the_plan_names_budgets_that_are_not_reached(tmp_path: Path) -> None:
    file = tmp_path / "grid.toml"
    file.write_text(
        'name = "far"\ndatasets = ["sidewalk-a"]\nbackbones = ["small"]\npretrained = false\n'
        'defenses = ["origin"]\nattacks = ["fna", "sma"]\nsteps = 4\n'
        'budgets = ["4/255", "64/255", "255/255"]\n[attack.sma]\nsteps = 300\n'
    )
    registry = load_registry()
    plan = make_plan(read_grid(file, registry), registry, {"sidewalk-a": "0" * 64}, where="")
    console = Console(file=io.StringIO(), width=400)
    for part in plan_tables(plan, {}):
        console.print(part)
    (line,) = [x for x in console.file.getvalue().splitlines() if "not reached" in x]
    assert line.startswith(
        "not reached: fna at 64/255, 255/255: 4 steps of 1/255 come to 4/255, and from the clean"
    )


def test_table_and_report_name_budgets_that_are_not_reached(tmp_path: Path) -> None:
    run = read_run(make_run(tmp_path, attacks=("fna",), budgets=(8.0, 64.0)))
    said = "Not reached: FNA 64/255-16; all steps together come to less"
    assert said in run_tables(run)["white_box"].caption
    (line,) = [line for line in cautions(run) if "do not come to" in line]
    assert "FNA 64/255-16 (16 steps of 1/255)" in line
    within = read_run(make_run(tmp_path / "within", budgets=(8.0, 16.0)))
    assert "Not reached" not in run_tables(within)["white_box"].caption
    assert not [line for line in cautions(within) if "do not come to" in line]
