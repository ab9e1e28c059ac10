"""Training protocols: checked against what recipes do, and named wherever rows are compared."""

import csv
import io
import json
import re
import shutil
import tomllib
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from benchbox.errors import BenchboxError
from benchbox.leaderboard.entry.files import file_name
from benchbox.leaderboard.site.build import build_site
from benchbox.leaderboard.submitting.prepare import prepare
from benchbox.leaderboard.submitting.submit import submit
from benchbox.leaderboard.verifying.verify import verify
from benchbox.reports.report import write_report
from benchbox.reports.tables.of_run import run_tables
from benchbox.results.run_folder import read_run
from benchbox.runs.grid_file import read_grid
from benchbox.runs.options import Options
from benchbox.runs.plan import Plan, make_plan
from benchbox.runs.registry import load_registry
from benchbox.runs.runner import run_grid
from benchbox.runs.training_protocol import training_attack
from benchbox.training.recipe import Batch
from benchbox.training.seeding import seeded
from defenses import BEYOND_THE_PAPER, DEFENSES, AdversarialRecipe, AdvTrain
from defenses.ranking_recipe import RankingRecipe
from tests.made_boards import CHECKS, GRID, SAME, made_run, options
from tests.made_runs import make_run
from tests.test_adversarial_recipes import LABELS, real_pixels
from tests.test_training import CPU, TinyModel, made_data

GRIDS = Path(__file__).parents[1] / "grids"
REGISTRY = load_registry()
HEAD = """
name = "mini"
datasets = ["sidewalk-a"]
backbones = ["small"]
pretrained = false
"""
EQUAL = 'training_protocol = "equal budget"\n'
PUBLISHED = 'training_protocol = "as published"\n'


def plan_of(folder: Path, text: str) -> Plan:
    file = folder / "my.toml"
    file.write_text(HEAD + text)
    digests = {"sidewalk-a": "0" * 64}
    return make_plan(read_grid(file, REGISTRY), REGISTRY, digests, where=str(file))


ATTACKED = [
    name
    for name, defense in DEFENSES.items()
    if isinstance(defense.recipe, AdversarialRecipe) and defense.recipe.preparation is None
]


@pytest.mark.parametrize("name", ATTACKED)
def test_the_passes_are_those_of_a_training_step(name: str, monkeypatch) -> None:
    """Counted where gradients are taken to images, which only an attack does."""
    seen = 0
    grad = torch.autograd.grad

    def counted(outputs: Any, inputs: Any, *args: Any, **keys: Any) -> Any:
        nonlocal seen
        first = inputs if isinstance(inputs, torch.Tensor) else next(iter(inputs))
        if first.ndim == 4 and first.shape[1:] == (3, 16, 8):
            seen += len(first)
        return grad(outputs, inputs, *args, **keys)

    recipe = replace(DEFENSES[name].recipe, steps=3)
    if isinstance(recipe, RankingRecipe):
        recipe = replace(recipe, margin=2.0, mining="random")
    model, data = TinyModel().train(), made_data()
    companion = recipe.companion(model, data, seed=0, device=CPU)
    rows = torch.arange(24)
    batch = Batch(real_pixels(), LABELS, seeded(0), rows=rows, done=0.5, companion=companion)
    monkeypatch.setattr(torch.autograd, "grad", counted)
    recipe.step(model, batch)
    attack = training_attack(recipe)
    assert attack is not None
    assert attack.eps_255 == pytest.approx(255 * recipe.eps)
    assert seen == pytest.approx(24 * attack.passes)


def test_a_preparation_may_be_what_attacks() -> None:
    recipe = DEFENSES["amd"].recipe
    assert training_attack(recipe) == (5.0, 6.0)
    assert training_attack(DEFENSES["origin"].recipe) is None


def test_at_equal_budget_one_attack_is_asked_of_all(tmp_path: Path) -> None:
    rows = 'defenses = ["origin", "bs_ms", "adv_train", "das", "metric_at"]\n'
    with pytest.raises(BenchboxError) as refused:
        plan_of(tmp_path, EQUAL + rows)
    (line,) = str(refused.value).splitlines()
    assert 'my.toml: training_protocol: "equal budget": rows that train on attacks differ' in line
    assert "adv_train: 5/255, 7 passes; das: 10/255, 7 passes; metric_at: 8/255, 7 passes" in line
    assert "origin" not in line
    common = '[defended]\neps = "8/255"\nsteps = 3\n'
    assert len(plan_of(tmp_path, EQUAL + rows + common).rows) == 5
    # As many steps, twice the passes: those at the perturbed weights.
    awp = 'defenses = ["adv_train", "adv_train_awp"]\n'
    with pytest.raises(BenchboxError, match=r"adv_train: 8/255, 3 passes; adv_train_awp: .* 6 pas"):
        plan_of(tmp_path, EQUAL + awp + common)
    with pytest.raises(BenchboxError, match=r"amd: 5/255, 6 passes"):
        plan_of(tmp_path, EQUAL + 'defenses = ["adv_train", "amd"]\n' + common)


def test_as_published_a_change_is_refused_or_listed(tmp_path: Path) -> None:
    rows = 'defenses = ["origin", "adv_train", "jpeg"]\n'
    free = '[defended]\nstart = "vanilla"\ntraining = { epochs = 3, lr = 1e-4 }\n'
    own = "[recipe.adv_train]\nsteps = 3\ntraining = { triplet_margin = 0.1 }\n"
    guard = "[guard.jpeg]\nquality = 50\n"
    assert plan_of(tmp_path, PUBLISHED + rows + free).rows
    with pytest.raises(BenchboxError) as refused:
        plan_of(tmp_path, PUBLISHED + rows + free + own + guard)
    assert "changes adv_train (steps, training.triplet_margin); jpeg (guard)." in str(refused.value)
    listed = '[deviations]\nadv_train = "time is short"\njpeg = "a look"\n'
    assert plan_of(tmp_path, PUBLISHED + rows + listed + free + own + guard).rows
    with pytest.raises(BenchboxError, match=r"nothing of adv_train, jpeg is changed"):
        plan_of(tmp_path, PUBLISHED + rows + listed + free)
    with pytest.raises(BenchboxError, match=r"\[deviations\] are from what was published"):
        plan_of(tmp_path, rows + listed + own + guard)
    with pytest.raises(BenchboxError, match=r"deviations: unknown recipe or defense 'advtrain'"):
        plan_of(tmp_path, PUBLISHED + rows + '[deviations]\nadvtrain = "so"\n')
    with pytest.raises(BenchboxError, match=r"training_protocol: .*'equal budget', not 'fair'"):
        plan_of(tmp_path, 'training_protocol = "fair"\n' + rows)


def test_the_protocol_is_in_no_key(tmp_path: Path) -> None:
    rows = 'defenses = ["adv_train"]\n'
    plain, said = (plan_of(tmp_path, line + rows) for line in ("", PUBLISHED))
    assert [stage.key for stage in plain.stages] == [stage.key for stage in said.stages]


def grid_of(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text())


def test_both_grids_of_the_papers_tables_have_the_same_rows_and_settings() -> None:
    ours, equal = (grid_of(GRIDS / f"whitebox-sidewalk{end}.toml") for end in ("", "-equal"))
    paper = set(DEFENSES) - {defense.name for defense in BEYOND_THE_PAPER}
    assert set(ours["defenses"]) == set(equal["defenses"]) == paper
    for key in ("datasets", "attacks", "attack", "budgets", "seeds", "training", "image_size"):
        assert ours[key] == equal[key]
    assert ours["seeds"] == [0, 1, 2]
    assert ours["training_protocol"] == "as published"
    assert equal["training_protocol"] == "equal budget"


def test_every_row_beyond_the_paper_is_in_a_grid_of_the_rendered_datasets() -> None:
    names = ("beyond", "ranking", "guards", "total-variation", "purification")
    grids = [grid_of(GRIDS / f"{name}-sidewalk.toml") for name in names]
    rows = [name for grid in grids for name in grid["defenses"]]
    assert sorted(rows) == sorted(defense.name for defense in BEYOND_THE_PAPER)
    assert {grid["training_protocol"] for grid in grids} == {"as published"}


@pytest.mark.parametrize("path", sorted(GRIDS.glob("*.toml")), ids=lambda path: path.stem)
def test_every_grid_trains_as_it_says(path: Path) -> None:
    grid = read_grid(path, REGISTRY)
    names = {*grid.datasets, *(name for pair in grid.transfers for name in pair)}
    plan = make_plan(grid, REGISTRY, dict.fromkeys(names, "0" * 64), where=path.name)
    attacks = {training_attack(d.recipe) for d in plan.defenses.values() if d.recipe} - {None}
    if grid.training_protocol == "equal budget":
        assert len(attacks) == 1


# --- What tables say ---


def made(folder: Path, *, devices: tuple[str, ...] = ("cpu (A)",), **grid: Any) -> Path:
    """Return a run of two rows, of which one trains on an attack, over two seeds."""
    run = make_run(folder, defenses=("origin", "adv_train"), datasets=("sidewalk-a",), seeds=(0, 1))
    record = json.loads((run / "run.json").read_text())
    record["grid"] |= grid
    plain = {"step_cost": 1.0, "epochs": 6, "attack": None}
    attacked = {"step_cost": 10 / 3, "epochs": 6, "attack": {"eps_255": 8.0, "passes": 3.0}}
    record["defenses"] = {"origin": {"training": plain}, "adv_train": {"training": attacked}}
    place = {"train": "sidewalk-a", "backbone": "resnet50"}
    record["trainings"] = [
        {**place, "defense": name, "seed": seed, "seconds": seconds, "devices": [device]}
        for (name, seed, seconds), device in zip(
            [("origin", 0, 30.0), ("origin", 1, 50.0), ("adv_train", 0, 100.0)],
            (devices * 3)[:3],
            strict=True,
        )
    ]
    (run / "run.json").write_text(json.dumps(record))
    return run


def test_a_table_says_its_protocol_and_what_training_cost(tmp_path: Path) -> None:
    run = made(tmp_path / "run", training_protocol="equal budget")
    table = run_tables(read_run(run))["white_box"]
    assert table.headings()[-2:] == ["Training passes", "Training seconds"]
    assert [[cell.text for cell in row[-2:]] for row in table.rows] == [
        ["1.00", "40"],
        ["3.33", "100"],
    ]
    assert "Training protocol: equal budget; every row that trains on attacks: 8/255, 3 passes" in (
        table.caption
    )
    assert "mean over seeds, on cpu (A), as each took" in table.caption
    page = write_report(run, depth="results").path.read_text()
    assert "Training protocol: equal budget" in page


def test_a_table_lists_the_deviations_from_what_was_published(tmp_path: Path) -> None:
    grid = {"training_protocol": "as published", "deviations": {"adv_train": "three steps"}}
    run = made(tmp_path / "run", devices=("cpu (A)", "cuda:0 (B)"), **grid)
    caption = run_tables(read_run(run))["white_box"].caption
    assert "Training protocol: as published; each row's own attack, steps and losses" in caption
    assert "Deviations: adv_train: three steps." in caption
    assert "on cpu (A) and cuda:0 (B), whose seconds do not compare" in caption


def test_a_run_that_does_not_say_has_neither_sentence_nor_columns(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", datasets=("sidewalk-a",))
    table = run_tables(read_run(run))["white_box"]
    assert "Training" not in table.caption
    assert "Training" not in " ".join(table.headings())


# --- A run, and the board of both protocols ---


@pytest.fixture(scope="module")
def both(tmp_path_factory) -> Path:
    """Return a folder with a board that has Adv_train under both, and Origin once."""
    root, made_before = tmp_path_factory.mktemp("both"), made_run()
    board = root / "boards" / "micro"
    board.mkdir(parents=True)
    shutil.copy(made_before / "boards" / "micro" / "protocol.toml", board)
    deviations = '[deviations]\nadv_train = "one step"\n'
    for name, line in (("equal", EQUAL), ("published", PUBLISHED + deviations)):
        grid = root / f"{name}.toml"
        grid.write_text(GRID.replace("[training]", f"{line}[training]", 1))
        run_options = Options(
            workers=1, data_root=made_before / "data", store=made_before / "out" / "store"
        )
        run_grid(grid, root / name, run_options, Console(quiet=True))
        for defense in ("adv_train", "origin") if name == "equal" else ("adv_train",):
            said = options(root, run=root / name, board=board, defense=defense)
            submit(prepare(replace(said, allow_unchecked=True)), checks={SAME: (), **CHECKS})
    return root


def test_a_run_records_what_its_trainings_cost(both: Path) -> None:
    record = json.loads((both / "equal" / "run.json").read_text())
    assert record["grid"]["training_protocol"] == "equal budget"
    cost = record["defenses"]["adv_train"]["training"]
    assert cost["attack"] == {"eps_255": 5.0, "passes": 1.0}
    assert cost["step_cost"] == replace(AdvTrain(), steps=1).step_cost
    store = made_run() / "out" / "store"
    for training in record["trainings"]:
        cell = next(
            row["cell"]
            for row in csv.DictReader((both / "equal" / "results.csv").read_text().splitlines())
            if (row["defense"], int(row["seed"])) == (training["defense"], training["seed"])
        )
        key = record["cells"][cell]["stages"]["train"]
        stage = json.loads((store / f"train-{key[:20]}" / "stage.json").read_text())
        assert training["seconds"] == stage["seconds"]
        assert training["devices"] == [stage["device"]]
    assert len(record["trainings"]) == 3 * 2


def test_one_store_serves_both_protocols(both: Path) -> None:
    cells = [(both / name / "results.csv").read_text() for name in ("equal", "published")]
    assert cells[0] == cells[1] == (made_run() / "out" / "results.csv").read_text()


def test_entries_under_both_protocols_have_two_files(both: Path) -> None:
    there = sorted(path.name for path in (both / "boards" / "micro").glob("*.json"))
    stem = "market1501--market1501--small"
    assert [name for name in there if name.startswith(stem)] == [
        f"{stem}--adv_train--v1--as-published.json",
        f"{stem}--adv_train--v1--equal-budget.json",
        f"{stem}--origin--v1.json",  # the same model under both
    ]
    found = verify([both / "boards"])
    assert found.problems == ()
    assert [file_name(one.entry) for one in found.entries] == [p.name for p in found.paths]


class Rows(HTMLParser):
    """Collects the attributes of a page's rows."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[dict[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "tr" and (found := dict(attrs)).get("data-search"):
            self.rows.append(found)


def test_the_site_shows_both_and_filters_by_protocol(both: Path, tmp_path: Path) -> None:
    build_site(both / "boards", tmp_path / "site")
    page = (tmp_path / "site" / "micro" / "index.html").read_text()
    rows = Rows()
    rows.feed(page)
    shown = [(row["data-search"], row.get("data-protocol")) for row in rows.rows]
    same = [row for row in shown if "dukemtmcreid" not in str(row[0])]
    assert sorted(str(protocol) for _, protocol in same) == [
        "None", "as published", "equal budget",
    ]  # fmt: skip
    assert '<select id="protocol">' in page
    assert "5/255, 1 pass<" in page
    # Two rows of one title are told apart in words.
    assert "Adv_train (as published)" in page or "Adv_train (equal budget)" in page
    lines = csv.DictReader(io.StringIO((tmp_path / "site" / "micro" / "micro.csv").read_text()))
    kinds = {(line["defense"], line["training_protocol"]) for line in lines}
    assert kinds == {
        ("origin", ""), ("adv_train", "as published"), ("adv_train", "equal budget"),
    }  # fmt: skip
    for path in (tmp_path / "site" / "micro").glob("*adv_train*.html"):
        text = path.read_text()
        assert re.search(r"Trained (as published|at equal budget):", text)
        assert "<dt>A training step</dt><dd>2.00 passes" in text


def test_choosing_a_protocol_hides_the_other_rows(both: Path, tmp_path: Path, open_page) -> None:
    build_site(both / "boards", tmp_path / "site")
    page = open_page(tmp_path / "site" / "micro" / "index.html")
    rows = page.locator(".block").first.locator("tbody.measured tr")
    shown = []
    for choice in ("", "as published", "equal budget"):
        page.select_option("#protocol", choice)
        visible = [row for row in rows.all() if row.is_visible()]
        shown.append(sorted(str(row.get_attribute("data-protocol")) for row in visible))
    assert shown == [
        ["None", "as published", "equal budget"],
        ["None", "as published"],
        ["None", "equal budget"],
    ]
