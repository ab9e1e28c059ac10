"""Adversarial queries as images: in 8 bits inside the ball, and through JPEG."""

import csv
import json
import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from rich.console import Console

from attacks import ATTACKS, WorstCase
from benchbox.data.jpeg import through_jpeg
from benchbox.evaluation.real_images import in_eight_bits
from benchbox.evaluation.retrieval import evaluate_retrieval
from benchbox.reports.tables.of_run import run_tables
from benchbox.results.artefacts import Artefacts
from benchbox.results.run_folder import condition_of, read_run
from benchbox.runs.grid_file import read_grid
from benchbox.runs.options import Options
from benchbox.runs.plan import make_plan
from benchbox.runs.registry import load_registry
from benchbox.runs.runner import run_grid
from benchbox.runs.stages import AttackStage
from tests.micro import make_micro_dataset, write_micro_grid

MORE = 'keep_adversarial = true\n[attack.worst_case]\ntier = "fast"\nbudgets = ["8/255"]\n'
THREE = ('attacks = ["fna", "sma"]', 'attacks = ["fna", "sma", "worst_case"]')


@given(
    level=st.integers(0, 255),
    eps=st.floats(0, 40) | st.sampled_from([8.0, 10.0, 8.5]),
    share=st.floats(-1, 1),
)
def test_a_rounded_pixel_is_the_nearest_level_of_the_ball(level, eps, share) -> None:
    """By brute force over all 256 levels, in exact numbers."""
    radius = eps / 255
    clean = torch.tensor([[[[level / 255]]]], dtype=torch.float32)
    adversarial = (clean + share * radius).clamp(clean - radius, clean + radius).clamp(0, 1)
    found = float(in_eight_bits(adversarial, clean, eps=radius))
    assert math.isclose(found * 255, round(found * 255), abs_tol=1e-4)
    assert abs(found - float(clean)) <= radius + 1e-6
    assert 0 <= found <= 1
    inside = [k for k in range(256) if abs(k - level) <= eps + 255e-6]
    nearest = min(abs(k - 255 * float(adversarial)) for k in inside)
    assert abs(255 * found - 255 * float(adversarial)) <= nearest + 1e-3


def test_nothing_that_is_in_eight_bits_already_is_moved() -> None:
    clean = torch.arange(256).float().div(255).view(1, 1, 16, 16)
    moved = (clean * 255 + 8).clamp(0, 255) / 255
    assert torch.equal(in_eight_bits(moved, clean, eps=8 / 255), moved)


def test_jpeg_is_what_a_file_gives_back(tmp_path: Path) -> None:
    """And loses what a JPEG loses: fine patterns, the more the lower its quality."""
    generator = torch.Generator().manual_seed(0)
    rough = torch.rand((3, 3, 8, 4), generator=generator)
    images = torch.nn.functional.interpolate(rough, size=(64, 32), mode="bilinear")
    images = (images + 8 / 255 * torch.randn(images.shape, generator=generator).sign()).clamp(0, 1)
    passed = through_jpeg(images)
    for place, image in enumerate(images):
        pixels = np.rint(image.numpy() * 255).astype(np.uint8).transpose(1, 2, 0)
        Image.fromarray(pixels).save(tmp_path / "one.jpg", quality=95)
        back = np.asarray(Image.open(tmp_path / "one.jpg")).transpose(2, 0, 1)
        assert np.array_equal(np.rint(passed[place].numpy() * 255), back)
    lost = [(through_jpeg(images, quality=q) - images).abs().mean() for q in (100, 95, 50)]
    assert 0 < lost[0] < lost[1] < lost[2]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Path]:
    """The micro grid with all images kept, as found and rounded to 8 bits: one store."""
    root = tmp_path_factory.mktemp("real")
    dataset = make_micro_dataset(root / "micro")
    made = {}
    for eight_bit in (False, True):
        file = write_micro_grid(root / f"{eight_bit}.toml", dataset)
        said = "eight_bit = true\n" if eight_bit else ""
        text = file.read_text().replace(*THREE).replace("[training]", f"{said}{MORE}[training]")
        file.write_text(text.replace('"origin", "bs_ms", "adv_train"', '"origin", "bs_ms"'))
        made[eight_bit] = root / f"out-{eight_bit}"
        options = Options(workers=1, store=root / "store")
        assert not run_grid(file, made[eight_bit], options, Console(quiet=True)).failures
    return made


def rows(run: Path) -> list[dict[str, str]]:
    with (run / "results.csv").open() as stream:
        return [row for row in csv.DictReader(stream) if row["attack"] != "none"]


def kept(run: Path) -> list[tuple[float, torch.Tensor, torch.Tensor]]:
    """Return budget, adversarial queries and clean ones of every attacked cell."""
    store = Artefacts(read_run(run))
    found = []
    for row in store.run.results.to_dict("records"):
        condition = condition_of(row)
        if condition.is_clean:
            continue
        records = list(store.dataset(row["test_dataset"]).query)
        images = store.attacked(row["cell"], condition, queries=len(records)).images
        found.append((condition.eps_255 / 255, images, store.images(row["cell"], records)))
    return found


def test_every_attack_of_the_grid_is_rounded_inside_its_ball(runs: dict[bool, Path]) -> None:
    assert {row["attack"] for row in rows(runs[True])} == {"fna", "sma", "worst_case"}
    for eps, images, clean in kept(runs[True]):
        levels = images * 255
        torch.testing.assert_close(levels, levels.round(), atol=1e-4, rtol=0)
        assert (images - clean).abs().max() <= eps + 1e-6
        assert (images != clean).any()
    levels = [images * 255 for _, images, _ in kept(runs[False])]
    assert max((each - each.round()).abs().max() for each in levels) > 0.1
    assert json.loads((runs[True] / "run.json").read_text())["grid"]["eight_bit"] is True


def test_the_key_changes_attacks_alone_and_only_where_it_is_set(runs: dict[bool, Path]) -> None:
    plain, rounded = (
        {
            cell: record["stages"]
            for cell, record in json.loads((run / "run.json").read_text())["cells"].items()
        }
        for run in (runs[False], runs[True])
    )
    stages = [
        {kind: {of.get(kind) for of in each.values()} for kind in ("embed", "attack")}
        for each in (plain, rounded)
    ]
    assert stages[0]["embed"] == stages[1]["embed"]
    assert (stages[0]["attack"] & stages[1]["attack"]) == {None}
    file = runs[False].parent / "False.toml"
    registry = load_registry()
    grid = read_grid(file, registry)
    plan = make_plan(grid, registry, dict.fromkeys(grid.datasets, "0" * 64), where=str(file))
    settings = [stage.settings() for stage in plan.stages if isinstance(stage, AttackStage)]
    assert settings
    assert not any("eight_bit" in each for each in settings)


def test_what_eight_bits_and_jpeg_leave_is_what_ranking_the_kept_images_gives(
    runs: dict[bool, Path],
) -> None:
    store = Artefacts(read_run(runs[False]))
    dataset = store.dataset(next(iter(store.run.record.datasets)))
    query, gallery = dataset.query, dataset.gallery
    results = store.run.results.to_dict("records")
    (row,) = (
        row
        for row in results
        if (row["defense"], row["attack"], row["eps_255"]) == ("origin", "fna", 8.0)
    )
    images = store.attacked(row["cell"], condition_of(row), queries=len(query)).images
    model = store.network(row["cell"]).model
    pixels = {
        "none": images,
        "eight_bit": torch.from_numpy(np.rint(images.numpy() * 255) / 255).float(),
        "jpeg": through_jpeg(images),
    }
    recorded = store.run.record.cells[row["cell"]].channels
    assert set(recorded) == set(pixels)
    for name, shown in pixels.items():
        with torch.no_grad():
            features = model(shown)
        found = evaluate_retrieval(
            features,
            store.features(row["cell"])["gallery"],
            *([record.pid for record in split] for split in (query, gallery)),
            *([record.camid for record in split] for split in (query, gallery)),
        )
        assert recorded[name] == pytest.approx(100 * found.mAP, abs=1e-3), name
    assert recorded["none"] == pytest.approx(row["mAP"], abs=1e-3)


def test_the_report_has_the_table_where_images_were_kept(runs: dict[bool, Path]) -> None:
    run = read_run(runs[False])
    table = run_tables(run)["real_images"]
    assert len(table.rows) == 2
    conditions = 2 * len(ATTACKS.keys() & {"fna", "sma"}) + 1
    assert [len(line) for line in table.rows] == [3 + 3 * conditions] * 2
    cells = {
        (row["defense"], row["attack"], row["eps_255"]): run.record.cells[row["cell"]].channels
        for row in run.results.to_dict("records")
    }
    shown = [cell.text for cell in table.rows[0][3:6]]
    fna = cells["origin", "fna", 8.0]
    assert shown == [f"{fna[name]:.2f}" for name in ("none", "eight_bit", "jpeg")]
    assert cells["origin", WorstCase.name, 8.0]
    assert Fraction(8, 255) in {Fraction(round(eps), 255) for _, _, eps in cells if eps}
