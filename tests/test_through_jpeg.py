"""Attacks through the camera's JPEG: the JPEG itself, its gradient, and a run that has both."""

import csv
import json
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from torch import Tensor

from attacks import FNA
from benchbox.errors import BenchboxError
from benchbox.evaluation.real_images import behind_jpeg, straight_through_jpeg
from benchbox.evaluation.retrieval import evaluate_retrieval
from benchbox.models.embed import Bound, of_rows
from benchbox.reports.tables.of_run import run_tables
from benchbox.results.artefacts import Artefacts
from benchbox.results.run_folder import condition_of, read_run
from benchbox.runs.grid_file import read_grid
from benchbox.runs.plan import Plan, make_plan
from benchbox.runs.preview import plan_tables
from benchbox.runs.registry import load_registry
from benchbox.runs.runner import Options, run_grid
from benchbox.runs.stages import AttackStage
from tests.micro import make_micro_dataset, write_micro_grid

QUALITY = 80


def as_pillow_has_it(images: Tensor, *, quality: int) -> Tensor:
    """Save and open each image by hand."""
    back = []
    for image in images:
        stream = BytesIO()
        pixels = np.rint(image.numpy() * 255).astype(np.uint8).transpose(1, 2, 0)
        Image.fromarray(pixels).save(stream, "JPEG", quality=quality)
        back.append(np.asarray(Image.open(stream)).transpose(2, 0, 1))
    return torch.from_numpy(np.stack(back)).float() / 255


@pytest.fixture
def images() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand((4, 3, 32, 16), generator=generator)


def test_what_the_model_sees_is_pillows_jpeg_and_the_gradient_is_the_identitys(
    images: Tensor,
) -> None:
    for quality in (95, 60):
        points = images.clone().requires_grad_()
        passed = straight_through_jpeg(points, quality=quality)
        assert torch.equal(passed.detach(), as_pillow_has_it(images, quality=quality))
        weights = torch.linspace(-1, 1, images.numel()).view_as(images)
        (gradient,) = torch.autograd.grad((passed * weights).sum(), points)
        assert torch.equal(gradient, weights)
        # What comes behind the JPEG is differentiated where the JPEG is, not where the image is.
        (gradient,) = torch.autograd.grad(
            straight_through_jpeg(points, quality=quality).square().sum(), points
        )
        assert torch.equal(gradient, 2 * passed.detach())


def test_a_model_that_takes_cameras_keeps_them_behind_the_jpeg(images: Tensor) -> None:
    model = Bound(lambda x, ids: x.flatten(1) * ids[:, None], (torch.arange(4.0),))
    seen = of_rows(behind_jpeg(model, quality=QUALITY), [1, 3])(images[[1, 3]])
    expected = as_pillow_has_it(images[[1, 3]], quality=QUALITY).flatten(1)
    assert torch.equal(seen, expected * torch.tensor([[1.0], [3.0]]))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_micro_dataset(tmp_path_factory.mktemp("data") / "micro", test=8)


def micro(file: Path, dataset: Path, extra: str, *, attacks: str = '["fna", "worst_case"]') -> Path:
    write_micro_grid(file, dataset, epochs=8, extra=extra)
    text = file.read_text().replace('"origin", "bs_ms", "adv_train"', '"origin"')
    text = text.replace('["8/255", "10/255"]', '["8/255"]')
    file.write_text(text.replace('["fna", "sma"]', attacks))
    return file


def planned(file: Path) -> Plan:
    registry = load_registry()
    grid = read_grid(file, registry)
    return make_plan(grid, registry, dict.fromkeys(grid.datasets, "0" * 64), where=str(file))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, dataset: Path) -> Path:
    root = tmp_path_factory.mktemp("run")
    keys = f'keep_adversarial = true\nthrough = "jpeg"\njpeg_quality = {QUALITY}\n'
    file = micro(root / "grid.toml", dataset, f'{keys}[attack.worst_case]\ntier = "fast"\n')
    outcome = run_grid(file, root / "out", Options(workers=1), Console(quiet=True))
    assert not outcome.failures
    return root / "out"


def rows(run: Path) -> dict[str, dict[str, str]]:
    with (run / "results.csv").open() as stream:
        return {row["attack"]: row for row in csv.DictReader(stream)}


def test_every_attack_stands_there_plain_and_through_the_jpeg(run: Path) -> None:
    assert list(rows(run)) == ["none", "fna", "fna_jpeg", "worst_case", "worst_case_jpeg"]
    record = read_run(run).record
    assert {name: each.through for name, each in record.attacks.items()} == {
        "fna": None,
        "fna_jpeg": f"JPEG {QUALITY}",
        "worst_case": None,
        "worst_case_jpeg": f"JPEG {QUALITY}",
    }
    assert record.names.title("attacks", "fna_jpeg") == f"FNA through JPEG {QUALITY}"
    assert [c.attack for c in record.names.conditions] == list(rows(run))
    assert json.loads((run / "run.json").read_text())["grid"]["through"] == "jpeg"


def test_a_number_is_that_of_the_images_as_the_jpeg_shows_them(run: Path) -> None:
    """By hand: the kept images through Pillow, the bare model, the public evaluator."""
    store = Artefacts(read_run(run))
    data = store.dataset(next(iter(store.run.record.datasets)))
    left = {}
    for row in store.run.results.to_dict("records"):
        if row["attack"] not in {"fna", "fna_jpeg"}:
            continue
        found = store.attacked(row["cell"], condition_of(row), queries=len(data.query)).images
        clean = store.images(row["cell"], list(data.query))
        assert (found - clean).abs().max() <= 8 / 255 + 1e-6
        for name, shown in (
            ("none", found),
            ("jpeg", as_pillow_has_it(found, quality=QUALITY)),
        ):
            with torch.no_grad():
                features = store.network(row["cell"]).model(shown)
            left[row["attack"], name] = (
                100
                * evaluate_retrieval(
                    features,
                    store.features(row["cell"])["gallery"],
                    [record.pid for record in data.query],
                    [record.pid for record in data.gallery],
                    [record.camid for record in data.query],
                    [record.camid for record in data.gallery],
                ).mAP
            )
        channels = store.run.record.cells[row["cell"]].channels
        for name in ("none", "jpeg"):
            assert channels[name] == pytest.approx(left[row["attack"], name], abs=1e-3)
        own = "jpeg" if row["attack"] == "fna_jpeg" else "none"
        assert row["mAP"] == pytest.approx(left[row["attack"], own], abs=1e-3)
    # Who expects the JPEG leaves less behind it than who does not.
    assert left["fna_jpeg", "jpeg"] < left["fna", "jpeg"] - 1


def test_the_worst_case_is_pooled_with_what_goes_through_the_same_jpeg(run: Path) -> None:
    record, found = read_run(run).record, rows(run)
    for attack, other in (("worst_case", "fna"), ("worst_case_jpeg", "fna_jpeg")):
        won = record.cells[found[attack]["cell"]].won
        assert "fna" in won
        assert sum(won.values()) == int(found[attack]["queries"])
        assert float(found[attack]["mAP"]) <= float(found[other]["mAP"])


def test_the_tables_say_how_much_of_the_jpegs_protection_is_left(run: Path) -> None:
    tables = run_tables(read_run(run))
    table = tables["real_images"]
    texts = [header.text for header in table.header[0]]
    assert f"FNA through JPEG {QUALITY} 8/255-10" in texts
    assert f"JPEG {QUALITY}" in [header.text for header in table.header[1]]
    assert "how much of that is left" in table.caption
    assert f"Through JPEG {QUALITY}: made straight through it" in tables["white_box"].caption


def test_the_keys_change_only_the_stages_that_go_through_it(tmp_path: Path, dataset: Path) -> None:
    plain = planned(micro(tmp_path / "plain.toml", dataset, ""))
    both = planned(micro(tmp_path / "both.toml", dataset, 'through = "jpeg"'))
    assert {stage.key for stage in plain.stages} < {stage.key for stage in both.stages}
    more = [stage for stage in both.stages if stage.key not in {s.key for s in plain.stages}]
    assert [stage.kind for stage in more].count("attack") == 2
    assert all(
        stage.settings()["through"] == "jpeg" for stage in more if isinstance(stage, AttackStage)
    )
    (pooling,) = (cell.rank for cell in both.cells if cell.attack == "worst_case_jpeg")
    assert [stage.through for stage in pooling.pooled] == ["jpeg"]
    keys = 'keep_adversarial = true\nthrough = "jpeg"\n'
    by_quality = [
        planned(micro(tmp_path / f"{q}.toml", dataset, f"{keys}jpeg_quality = {q}"))
        for q in (95, 80)
    ]
    attacked = [{s.key for s in plan.stages if s.kind == "attack"} for plan in by_quality]
    assert not attacked[0] & attacked[1]


def test_a_quality_without_a_jpeg_is_said_and_two_of_one_name_are_refused(
    tmp_path: Path, dataset: Path
) -> None:
    alone = planned(micro(tmp_path / "alone.toml", dataset, "jpeg_quality = 50"))
    said = [str(part) for part in plan_tables(alone, {})]
    assert any("jpeg_quality has nothing to apply to" in line for line in said)
    plugin = tmp_path / "plugin.py"
    plugin.write_text(
        "from dataclasses import dataclass\n"
        "from typing import ClassVar\n"
        "from attacks import FNA\n"
        "@dataclass(frozen=True, kw_only=True)\n"
        "class Mine(FNA):\n"
        '    name: ClassVar[str] = "fna_jpeg"\n'
        '    title: ClassVar[str] = "Mine"\n'
    )
    registry = load_registry([plugin])
    file = micro(tmp_path / "two.toml", dataset, 'through = "jpeg"', attacks='["fna", "fna_jpeg"]')
    grid = read_grid(file, registry)
    with pytest.raises(BenchboxError, match="an attack is named 'fna_jpeg' already"):
        make_plan(grid, registry, dict.fromkeys(grid.datasets, "0" * 64), where=str(file))


@pytest.mark.parametrize(
    ("key", "said"),
    [('through = "png"', "through"), ("jpeg_quality = 0", "jpeg_quality")],
)
def test_other_values_are_refused(tmp_path: Path, dataset: Path, key: str, said: str) -> None:
    with pytest.raises(BenchboxError, match=said):
        planned(micro(tmp_path / "wrong.toml", dataset, key))


def test_fna_climbs_straight_through(images: Tensor) -> None:
    """On a linear model, where the step's direction is known: as far as without the JPEG."""
    direction = torch.linspace(-1, 1, images[0].numel())
    attack = FNA(eps=8 / 255, steps=8)

    def embed(x: Tensor) -> Tensor:
        along = x.flatten(1) @ direction
        return torch.stack([along, torch.zeros_like(along)], 1)

    features, pids = embed(images), torch.tensor([1, 1, 2, 2])
    guides = attack.guides(features, pids)
    plain = attack(embed, images, guides)
    through = attack(behind_jpeg(embed, quality=95), images, guides)
    moved = [(x - images).flatten(1) @ direction for x in (plain, through)]
    torch.testing.assert_close(moved[0], moved[1], rtol=1e-4, atol=1e-4)
