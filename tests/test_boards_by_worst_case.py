"""A board that ranks by the worst case: protocol, submission, checks, verification, rerun, page."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from benchbox.errors import BenchboxError
from benchbox.leaderboard.board_protocol import read_protocol
from benchbox.leaderboard.entry.files import seal
from benchbox.leaderboard.on_protocol import grid_deviations
from benchbox.leaderboard.site.build import build_site
from benchbox.leaderboard.submitting.check_groups import check_groups
from benchbox.leaderboard.submitting.prepare import SubmitOptions, prepare
from benchbox.leaderboard.submitting.submit import submit
from benchbox.leaderboard.verifying.rerun import RerunOptions, rerun
from benchbox.leaderboard.verifying.verify import verify
from benchbox.runs.grid import Grid
from benchbox.runs.options import Options
from benchbox.runs.runner import run_grid
from tests.made_boards import GRID, PROTOCOL
from tests.micro import make_micro_dataset

NAME = "market1501--market1501--small--origin--v2.json"
TABLE = '[attack.worst_case]\ntier = "full"\nbudgets = ["8/255"]\n'
FOUR = 'attacks = ["fna", "sma", "worst_case"]'


def grid_text() -> str:
    text = GRID.replace('attacks = ["fna", "sma"]', FOUR).replace("seeds = [0, 1]", "seeds = [0]")
    text = text.replace('defenses = ["origin", "bs_ms", "adv_train"]', 'defenses = ["origin"]')
    text = text.replace('transfers = [["market1501", "dukemtmcreid"]]\n', "")
    return text.split("[defended]")[0] + TABLE


def protocol_text(digest: str) -> str:
    text = PROTOCOL.replace('attacks = ["fna", "sma"]', FOUR).replace("version = 1", "version = 2")
    text = text.replace("seeds = [0, 1]", "seeds = [0]").replace(
        'board = "micro"', 'board = "worst"'
    )
    text = text.replace('["gradients", "bpda"]', '["gradients", "cheaper_attack", "longer_attack"]')
    head, *_ = text.format(market1501=digest, dukemtmcreid="").split("[[datasets]]")
    return f'{head}{TABLE}[[datasets]]\nname = "market1501"\ndigest = "{digest}"\n'


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on the micro dataset, and a board of its own with the entry of Origin."""
    root = tmp_path_factory.mktemp("worst")
    make_micro_dataset(root / "data" / "Market-1501-v15.09.15", test=12)
    (root / "grid.toml").write_text(grid_text())
    options = Options(workers=1, data_root=root / "data")
    assert not run_grid(root / "grid.toml", root / "out", options, Console(quiet=True)).failures
    board = root / "boards" / "worst"
    board.mkdir(parents=True)
    record = json.loads((root / "out" / "run.json").read_text())
    (board / "protocol.toml").write_text(protocol_text(record["datasets"]["market1501"]["digest"]))
    ready = prepare(SubmitOptions(run=root / "out", defense="origin", board=board))
    found = check_groups(
        ready.artefacts, ready.registry, ready.protocol, ready.groups, "origin", device="cpu"
    )
    submit(ready, checks=found)
    return root


def entry_of(root: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((root / "boards" / "worst" / NAME).read_text())
    return content


def test_the_entry_has_it_at_its_budget_and_is_ranked_by_it(root: Path) -> None:
    entry = entry_of(root)
    measured = [
        (result["attack"], result["eps_255"], result["steps"]) for result in entry["results"]
    ]
    assert measured == [
        ("none", 0.0, 0),
        *((attack, eps, 6) for attack in ("fna", "sma") for eps in (8.0, 10.0)),
        ("worst_case", 8.0, 0),
    ]
    worst = entry["results"][-1]["mAP"]["mean"]
    assert entry["worst_case"][0]["mAP"]["mean"] == pytest.approx(worst, abs=1e-9)
    assert worst <= min(r["mAP"]["mean"] for r in entry["results"] if r["eps_255"] == 8.0)
    outcomes = {check["name"]: check["outcome"] for check in entry["checks"]}
    assert outcomes["cheaper_attack"] == outcomes["longer_attack"] == "pass"
    assert verify([root / "boards"]).problems == ()


def test_a_worst_case_above_another_attack_is_found(root: Path, tmp_path: Path) -> None:
    board = tmp_path / "worst"
    board.mkdir()
    text = (root / "boards" / "worst" / "protocol.toml").read_text()
    (board / "protocol.toml").write_text(text)
    content = entry_of(root)
    *_, sma, _, worst = content["results"]
    sma["seeds"][0]["rank1"] = sma["rank1"]["mean"] = 0.0
    for key in ("rank1", "rank5", "rank10"):
        worst["seeds"][0][key] = worst[key]["mean"] = 100.0
    content["digest"] = seal(content)
    (board / NAME).write_text(json.dumps(content))
    says = [problem.says for problem in verify([tmp_path]).problems]
    assert any("worst_case at 8/255" in text and "above sma alone" in text for text in says), says


def test_its_numbers_and_checks_are_made_again_from_the_weights(root: Path) -> None:
    record = json.loads((root / "out" / "run.json").read_text())
    (cell,) = (measured["cell"] for measured in entry_of(root)["results"][0]["seeds"])
    key = record["cells"][cell]["stages"]["train"]
    weights = root / "out" / "store" / f"train-{key[:20]}" / "weights.safetensors"
    options = RerunOptions(weights={0: weights}, device="cpu", data_root=root / "data")
    found = rerun(root / "boards" / "worst" / NAME, options)
    assert found.problems == []
    assert {"cheaper_attack", "longer_attack"} <= set(found.checks)
    assert "worst_case 8/255 seed 0: mAP" in {number.what for number in found.numbers}


def test_its_page_shows_the_worst_case_once(root: Path, tmp_path: Path) -> None:
    build_site(root / "boards", tmp_path / "site")
    page = (tmp_path / "site" / "worst" / NAME.replace(".json", ".html")).read_text()
    assert page.count('<th scope="row" class="whole">Worst case 8/255</th>') == 3
    assert page.count('<th scope="row" class="whole">Worst of FNA, SMA 10/255</th>') == 2
    assert "Worst case 10/255" not in page
    board = (tmp_path / "site" / "worst" / "index.html").read_text()
    assert "Worst case (full) at 8/255" in board
    assert "Worst case mAP</th>" not in board
    assert board.count("<h3>What the literature’s attack leaves out</h3>") == 1
    assert "mAP of the 1 ranked under FNA 8/255-6 and under the worst case" in board
    rows = (tmp_path / "site" / "worst" / "worst.csv").read_text().splitlines()
    assert sum(",worst_case,8.0," in row for row in rows) == 1
    assert sum(",worst_of_fna_sma,10.0," in row for row in rows) == 1
    first = (tmp_path / "site" / "index.html").read_text()
    assert '<th scope="col">Worst case</th>' in first


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("[attack.worst_case]", "[attack.fna]"), r"attack\.fna: expected worst_case alone"),
        (('budgets = ["8/255"]\n', 'budgets = ["9/255"]\n'), r"expected some of the board's"),
        (('tier = "full"', 'tier = "longer"'), r"attack\.worst_case\.tier"),
    ],
)
def test_a_faulty_protocol_is_refused(
    root: Path, tmp_path: Path, change: tuple[str, str], says: str
) -> None:
    board = tmp_path / "worst"
    board.mkdir()
    text = (root / "boards" / "worst" / "protocol.toml").read_text()
    (board / "protocol.toml").write_text(text.replace(*change))
    with pytest.raises(BenchboxError, match=says):
        read_protocol(board)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (('tier = "full"\n', ""), []),
        (('tier = "full"', 'tier = "fast"'), ["tier: the run has fast, the protocol full"]),
        (('budgets = ["8/255"]\n', 'budgets = ["10/255"]\n'), ["budget 8/255 is missing"]),
        (('"worst_case"]', '"worst_case", "smooth_ap"]'), ["the worst case is pooled with it"]),
    ],
)
def test_a_run_is_held_to_the_boards_worst_case(
    root: Path, change: tuple[str, str], says: list[str]
) -> None:
    protocol = read_protocol(root / "boards" / "worst")
    grid = Grid.model_validate_json(json.dumps(tomllib.loads(grid_text().replace(*change))))
    found = grid_deviations(grid, protocol)
    assert len(found) == len(says)
    assert all(text in line for text, line in zip(says, found, strict=True))
