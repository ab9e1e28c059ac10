"""One δ for all, attacks on the gallery and targeted ones as columns of a run."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from torch import Tensor

from attacks import FNA, Knowledge, Labelled, MetricIFGSM
from attacks.gallery import Hiding, Promoting
from attacks.targeted import Impersonation
from attacks.universal import perturbed, universal_perturbation
from benchbox.data.images import to_unit
from benchbox.data.reading import read_dataset
from benchbox.errors import BenchboxError
from benchbox.evaluation.retrieval import Retrieval, evaluate_retrieval
from benchbox.leaderboard.board_protocol import Protocol, read_protocol
from benchbox.leaderboard.on_protocol import grid_deviations
from benchbox.reports.tables.by_layout import over_seeds
from benchbox.reports.tables.of_run import run_tables
from benchbox.results.run_folder import RunFolder, read_run
from benchbox.runs.grid_file import read_grid
from benchbox.runs.plan import Plan, make_plan
from benchbox.runs.registry import load_registry
from benchbox.runs.runner import Options, run_grid
from benchbox.runs.stages import AttackStage, RankStage
from benchbox.runs.workplace import Site, Workplace
from benchbox.training.seeding import seeded
from tests.micro import make_micro_dataset, write_micro_grid
from tests.pages import ROOT

EPS = 8 / 255
ATTACKS = '["fna", "universal", "hiding", "promoting", "impersonation", "worst_case"]'
TABLES = '[attack.universal]\nepochs = 2\n[attack.worst_case]\ntier = "fast"\n'


def write_grid(file: Path, dataset: Path, *, attacks: str = ATTACKS, keys: str = "") -> Path:
    write_micro_grid(file, dataset, epochs=6, extra=f"{keys}\n{TABLES}")
    text = file.read_text().replace('["origin", "bs_ms", "adv_train"]', '["origin"]')
    text = text.replace('["8/255", "10/255"]', '["8/255"]').replace('["fna", "sma"]', attacks)
    file.write_text(text.split("[recipe.adv_train]")[0])
    return file


def planned(file: Path, digest: str = "0" * 64, plugins: tuple[Path, ...] = ()) -> Plan:
    registry = load_registry(plugins)
    grid = read_grid(file, registry)
    return make_plan(grid, registry, dict.fromkeys(grid.datasets, digest), where=str(file))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_micro_dataset(tmp_path_factory.mktemp("data") / "micro", test=8)


@pytest.fixture(scope="module")
def grid(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("grid") / "micro.toml"
    return write_grid(file, dataset, keys="keep_adversarial = true")


@pytest.fixture(scope="module")
def run(grid: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "out"
    outcome = run_grid(grid, out, Options(workers=1, batch_size=64), Console(quiet=True))
    assert not outcome.failures
    return out


class Hand:
    """The run's own model and data, for attacks that are called by hand."""

    def __init__(self, run: Path, grid: Path, dataset: Path) -> None:
        self.folder: RunFolder = read_run(run)
        data = read_dataset(dataset, name=f"path:{dataset}")
        self.data = data
        self.place = Workplace(Site(run / "store", {data.name: data}, "cpu", 64))
        self.plan = planned(grid, data.digest)
        self.rank: RankStage = self.plan.cells[0].rank
        clean = self.rank.clean
        self.embed = clean.embed(self.place, "query")
        self.images = {
            split: to_unit(clean.data.images(self.place, split))
            for split in ("train", "query", "gallery")
        }
        self.features = clean.features(self.place)
        self.known = Knowledge(*(self.labelled(split) for split in ("query", "gallery")))

    def labelled(self, split: str) -> Labelled:
        records = getattr(self.data, split)
        labels = [[getattr(record, key) for record in records] for key in ("pid", "camid")]
        return Labelled(self.features[split], *map(torch.tensor, labels))

    def row(self, attack: str) -> dict[str, float]:
        rows = self.folder.results
        (found,) = rows[rows["attack"] == attack].to_dict("records")
        return found

    def stage(self, attack: str) -> AttackStage:
        cells = (*self.plan.cells, *self.plan.targeted)
        (found,) = (cell.rank.attacked for cell in cells if cell.attack == attack)
        assert isinstance(found, AttackStage)
        return found

    def ranked(self, query: Tensor, gallery: Tensor, pids: Tensor, camids: Tensor) -> Retrieval:
        known = self.known.gallery
        assert known is not None
        return evaluate_retrieval(query, gallery, pids, known.pids, camids, known.camids)

    def retrieval(self, query: Tensor, gallery: Tensor) -> Retrieval:
        known = self.known.query
        return self.ranked(query, gallery, known.pids, known.camids)


@pytest.fixture(scope="module")
def hand(run: Path, grid: Path, dataset: Path) -> Hand:
    return Hand(run, grid, dataset)


def test_results_have_all_but_the_targeted_which_stand_apart(hand: Hand, run: Path) -> None:
    results = hand.folder.results
    expected = ["none", "fna", "universal", "hiding", "promoting", "worst_case"]
    assert results["attack"].tolist() == expected
    with (run / "targeted.csv").open() as stream:
        (row,) = csv.DictReader(stream)
    assert row["attack"] == "impersonation"
    assert "mAP" not in row
    assert "rank1" not in row
    assert [c.attack for c in hand.folder.record.names.conditions] == expected
    threats = {name: each.threat for name, each in hand.folder.record.attacks.items()}
    assert threats == {
        "fna": "query",
        "universal": "training images",
        "hiding": "gallery",
        "promoting": "gallery",
        "impersonation": "targeted",
        "worst_case": "query+gallery",
    }


def test_one_delta_made_by_hand_on_training_images_gives_the_rows_number(hand: Hand) -> None:
    stage = hand.stage("universal")
    seed = seeded(stage.seed, "universal").initial_seed()
    delta = universal_perturbation(
        hand.embed,
        MetricIFGSM(),
        hand.images["train"],
        torch.tensor([record.pid for record in hand.data.train]),
        eps=EPS,
        epochs=2,
        step_size=1 / 255,
        batch_size=32,
        generator=torch.Generator().manual_seed(seed),
    )
    expected = perturbed(hand.images["query"], delta)
    assert torch.equal(stage.images(hand.place, stage.budgets[0]), expected)
    with torch.no_grad():
        found = hand.retrieval(hand.embed(expected), hand.features["gallery"])
    assert hand.row("universal")["mAP"] == pytest.approx(100 * found.mAP, abs=1e-9)
    assert hand.row("universal")["rank1"] == pytest.approx(100 * found.cmc[0], abs=1e-9)


@pytest.mark.parametrize("attack", [Hiding(steps=10), Promoting(steps=10)], ids=lambda a: a.name)
def test_the_gallery_attacked_by_hand_gives_the_rows_number(
    hand: Hand, attack: Hiding | Promoting
) -> None:
    """Queries are the clean ones; the gallery's images stay in their balls."""
    aim = attack.prepare(hand.known)
    clean = hand.images["gallery"]
    (made,) = attack.search(hand.embed, clean, aim, eps=[EPS])
    assert (made.images - clean).abs().max() <= EPS + 1e-6
    with torch.no_grad():
        features = hand.embed(made.images)
    stage = hand.stage(attack.name)
    assert torch.equal(stage.features(hand.place, stage.budgets[0]), features)
    found = hand.retrieval(hand.features["query"], features)
    row = hand.row(attack.name)
    assert row["mAP"] == pytest.approx(100 * found.mAP, abs=1e-9)
    assert row["mAP"] < hand.row("none")["mAP"]
    assert row["queries"] == hand.row("none")["queries"]
    assert len(stage.images(hand.place, stage.budgets[0])) < len(clean)  # a sample


def test_a_targeted_row_says_how_often_the_chosen_identity_is_first(hand: Hand) -> None:
    """The choice by brute force, the attack by hand, the numbers by counting."""
    query, gallery = hand.known.query, hand.known.gallery
    assert gallery is not None
    chosen = []
    for features, pid in zip(query.features, query.pids.tolist(), strict=True):
        nearest = {
            other: float((gallery.features[gallery.pids == other] - features).norm(dim=1).min())
            for other in set(gallery.pids.tolist()) - {pid, 0, -1}
        }
        chosen.append(max(nearest, key=lambda other: nearest[other]))
    stage = hand.stage("impersonation")
    attack = Impersonation(steps=10)
    (made,) = attack.search(hand.embed, hand.images["query"], attack.prepare(hand.known), eps=[EPS])
    assert torch.equal(stage.images(hand.place, stage.budgets[0]), made.images)
    assert hand.folder.targeted is not None
    (row,) = hand.folder.targeted.to_dict("records")
    nobody = torch.full_like(query.camids, -1)
    with torch.no_grad():
        attacked = hand.embed(made.images)
    for prefix, features in (("", attacked), ("clean_", query.features)):
        distances = torch.cdist(features, gallery.features)
        first = gallery.pids[distances.argmin(dim=1)]
        hits = (first == torch.tensor(chosen)).double().mean()
        assert row[f"{prefix}success"] == pytest.approx(100 * float(hits), abs=1e-9)
        towards = hand.ranked(features, gallery.features, torch.tensor(chosen), nobody)
        assert row[f"{prefix}mAP_towards"] == pytest.approx(100 * towards.mAP, abs=1e-9)
    assert row["mAP_towards"] > row["clean_mAP_towards"]


def test_the_worst_case_counts_one_delta_and_no_other_threat(hand: Hand) -> None:
    (worst,) = (cell.rank for cell in hand.plan.cells if cell.attack == "worst_case")
    assert [stage.attack.name for stage in worst.pooled] == ["fna", "universal"]
    won = hand.folder.record.cells[hand.row("worst_case")["cell"]].won
    assert {"fna", "universal"} < set(won)
    assert not {"hiding", "promoting", "impersonation"} & set(won)


def test_the_tables_name_the_threat_models(hand: Hand) -> None:
    caption = over_seeds(hand.folder.results, hand.folder.record.names).caption
    assert "(under Hiding, Promoting it is the other way round)" in caption
    assert "Universal: training images; Hiding, Promoting: gallery" in caption
    tables = run_tables(hand.folder)
    header = [cell.text for line in tables["white_box"].header for cell in line]
    assert "Impersonation" not in header
    aimed = tables["targeted"]
    assert [cell.text for cell in aimed.header[0]][-2:] == [
        "Not attacked",
        "Impersonation 8/255-10",
    ]
    assert hand.folder.targeted is not None
    (row,) = hand.folder.targeted.to_dict("records")
    assert [cell.text for cell in aimed.rows[0]][-2:] == [
        f"{row['clean_success']:.2f}/{row['clean_mAP_towards']:.2f}",
        f"{row['success']:.2f}/{row['mAP_towards']:.2f}",
    ]
    assert "High is bad" in aimed.caption
    kept = [cell.text for cell in tables["real_images"].header[0]]
    assert "Hiding 8/255-10" not in kept
    assert "Universal 8/255" in kept


def test_the_chosen_identities_are_kept_with_each_query(hand: Hand) -> None:
    (cell,) = hand.plan.targeted
    folder = hand.place.store.folder("rank", cell.rank.key)
    per_query = json.loads((folder / "per_query.json").read_text())
    assert [each["pid"] for each in per_query] == hand.known.query.pids.tolist()
    assert all(each["chosen"] != each["pid"] for each in per_query)


def test_other_stages_keep_their_keys_beside_them(dataset: Path, tmp_path: Path) -> None:
    alone = planned(write_grid(tmp_path / "alone.toml", dataset, attacks='["fna"]'))
    others = '["fna", "universal", "hiding", "impersonation"]'
    beside = planned(write_grid(tmp_path / "beside.toml", dataset, attacks=others))
    assert {stage.key for stage in alone.stages} < {stage.key for stage in beside.stages}
    seeds = {cell.rank.attacked.key for cell in beside.cells if cell.rank.attacked}
    assert len(seeds) == 3


@pytest.mark.parametrize("attack", ["hiding", "promoting", "impersonation"])
def test_a_black_box_of_another_threat_is_refused_in_a_line(
    dataset: Path, tmp_path: Path, attack: str
) -> None:
    file = write_grid(
        tmp_path / "g.toml", dataset, attacks=f'["{attack}"]', keys='sources = ["origin"]'
    )
    with pytest.raises(BenchboxError, match=f"sources: {attack} .*leave out sources") as error:
        planned(file)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("attack", ["universal", "hiding", "promoting", "impersonation"])
def test_a_board_does_not_take_them(dataset: Path, tmp_path: Path, attack: str) -> None:
    protocol = read_protocol(ROOT / "leaderboards" / "sidewalk-tiny")
    content = protocol.model_dump(mode="json", by_alias=True)
    with pytest.raises(ValueError, match=f"{attack} is of another threat model"):
        Protocol.model_validate_json(
            json.dumps({**content, "attacks": ["fna", attack], "attack": {}})
        )
    # A run that has them beside the board's attacks is refused only where they would be pooled.
    attacks = json.dumps([*protocol.attacks, attack])
    grid = planned(write_grid(tmp_path / "g.toml", dataset, attacks=attacks)).grid
    said = [line for line in grid_deviations(grid, protocol) if f"attack {attack}: is not" in line]
    assert bool(said) == (attack == "universal")


def test_a_targeted_plugin_has_to_say_whom_it_chose(dataset: Path, tmp_path: Path) -> None:
    plugin = tmp_path / "plugin.py"
    plugin.write_text(
        "from dataclasses import dataclass\n"
        "from attacks.smooth_ap import SmoothAP\n\n\n"
        "@dataclass(frozen=True, kw_only=True)\n"
        "class Aimed(SmoothAP):\n"
        '    name = "aimed"\n    title = "Aimed"\n    threat = "targeted"\n'
    )
    file = write_grid(tmp_path / "g.toml", dataset, attacks='["aimed"]')
    with pytest.raises(BenchboxError, match="must be a subclass of attacks"):
        planned(file, plugins=(plugin,))


def test_a_damaged_targeted_file_is_named(run: Path, tmp_path: Path) -> None:
    for name in ("run.json", "results.csv", "per_id.csv", "targeted.csv"):
        (tmp_path / name).write_bytes((run / name).read_bytes())
    text = (tmp_path / "targeted.csv").read_text()
    header, row = text.splitlines()
    fields = row.split(",")
    fields[header.split(",").index("success")] = "101"
    (tmp_path / "targeted.csv").write_text(f"{header}\n{','.join(fields)}\n")
    with pytest.raises(BenchboxError, match=r"success: '101'.*percentage"):
        read_run(tmp_path)


def test_a_model_without_training_images_is_told_so(hand: Hand) -> None:
    stage = hand.stage("universal")
    data = hand.data
    bare = replace(data, train=())
    place = Workplace(Site(hand.place.store.root, {data.name: bare}, "cpu", 64))
    with pytest.raises(BenchboxError, match="no training images to make it on"):
        stage.knowledge(place, hand.embed)


def test_the_untargeted_numbers_are_those_of_a_run_without_them(hand: Hand) -> None:
    """FNA by hand: nothing of it moved because others stand beside it."""
    attack = FNA(steps=10)
    known = hand.known.query
    found = attack(hand.embed, hand.images["query"], attack.guides(known.features, known.pids))
    with torch.no_grad():
        retrieval = hand.retrieval(hand.embed(found), hand.features["gallery"])
    assert hand.row("fna")["mAP"] == pytest.approx(100 * retrieval.mAP, abs=1e-9)
    assert not np.isnan(retrieval.ap).any()
