"""Corruptions as rows of a run: means over repeats of queries, gallery and both."""

import csv
import json
from io import StringIO
from pathlib import Path
from statistics import fmean, stdev

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console

from attacks.corruption import Corruption
from attacks.corruptions import CORRUPTIONS
from attacks.corruptions.drawing import Drawn, corrupted
from benchbox.data.reading import read_dataset
from benchbox.errors import BenchboxError
from benchbox.evaluation.embedding import embed_images
from benchbox.evaluation.retrieval import evaluate_retrieval
from benchbox.regression.baseline import make_baseline
from benchbox.reports.drawings.of_results import drawings_of_results
from benchbox.reports.findings import findings
from benchbox.reports.tables.of_run import run_tables
from benchbox.results.run_folder import read_run
from benchbox.runs.grid_file import read_grid
from benchbox.runs.plan import Plan, make_plan
from benchbox.runs.preview import plan_tables
from benchbox.runs.registry import load_registry
from benchbox.runs.resolving import resolve
from benchbox.runs.runner import Options, preview, run_grid
from benchbox.runs.stages.corrupted_images import CorruptedImages
from benchbox.runs.store import Store
from benchbox.runs.workplace import Site, Workplace
from tests.micro import make_micro_dataset, write_micro_grid

FEW = """
[attack.corruption]
repeats = 2
corruptions = ["gaussian_noise", "fog", "jpeg_compression"]
severities = [1, 5]
"""
SIDES = ("corruption_query", "corruption_gallery", "corruption_both")


def write_grid(file: Path, dataset: Path, *, attacks: str, tables: str = "") -> Path:
    write_micro_grid(file, dataset, epochs=1)
    text = file.read_text().replace('attacks = ["fna", "sma"]', f"attacks = {attacks}")
    text = text.replace('defenses = ["origin", "bs_ms", "adv_train"]', 'defenses = ["origin"]')
    file.write_text(text.split("[recipe.adv_train]")[0] + tables)
    return file


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_micro_dataset(tmp_path_factory.mktemp("data") / "micro")


@pytest.fixture(scope="module")
def grid(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("grid") / "micro.toml"
    return write_grid(file, dataset, attacks='["fna", "corruption"]', tables=FEW)


@pytest.fixture(scope="module")
def run(grid: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "out"
    outcome = run_grid(grid, out, Options(workers=1, batch_size=64), Console(quiet=True))
    assert not outcome.failures
    return out


def rows(out: Path, file: str = "results.csv") -> list[dict[str, str]]:
    with (out / file).open() as stream:
        return list(csv.DictReader(stream))


def plan_of(grid: Path, dataset: Path) -> Plan:
    registry = load_registry()
    found = read_grid(grid, registry)
    digests = {found.datasets[0]: read_dataset(dataset).digest}
    return make_plan(found, registry, digests, where="test")


def test_there_is_a_row_for_each_side_without_a_budget(run: Path) -> None:
    found = [(r["attack"], r["eps_255"], r["steps"], r["step_size_255"]) for r in rows(run)]
    assert [row for row in found if row[0].startswith("corruption")] == [
        (side, "0.0", "0", "0.0") for side in SIDES
    ]
    planned = {c.attack for c in read_run(run).record.names.conditions}
    assert planned == {"none", "fna", *SIDES}


def test_numbers_are_means_over_repeats_of_a_plain_evaluation(
    run: Path, grid: Path, dataset: Path
) -> None:
    """Draw, corrupt, embed and rank anew, image by image, with the run's own model."""
    data = read_dataset(dataset)
    plan = plan_of(grid, dataset)
    clean = next(cell.rank.clean for cell in plan.cells)
    corruption = Corruption(
        repeats=2, corruptions=("gaussian_noise", "fog", "jpeg_compression"), severities=(1, 5)
    )
    place = Workplace(Site(run / "store", {clean.data.name: data}, "cpu", 64))
    embed = clean.embed(place, "query")
    features = clean.features(place)
    height, width = clean.data.image_size
    changed: dict[tuple[str, int], torch.Tensor] = {}
    for split in ("query", "gallery"):
        for repeat in range(2):
            images = []
            for record in getattr(data, split):
                pixels = np.asarray(Image.open(record.path).convert("RGB"))
                drawn = corruption.draw(0, repeat, record.key)
                image = Image.fromarray(corrupted(pixels, drawn, 0, repeat, record.key))
                resized = image.resize((width, height), Image.Resampling.BILINEAR)
                images.append(np.asarray(image if image.size == (width, height) else resized))
            batch = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255
            with torch.no_grad():
                changed[split, repeat] = embed(batch)
    for side in SIDES:
        maps = []
        for repeat in range(2):
            query = changed["query", repeat] if side != "corruption_gallery" else features["query"]
            gallery = changed["gallery", repeat] if side != SIDES[0] else features["gallery"]
            labels = [
                np.array([getattr(record, name) for record in getattr(data, split)])
                for name in ("pid", "camid")
                for split in ("query", "gallery")
            ]
            maps.append(100 * evaluate_retrieval(query, gallery, *labels).mAP)
        (row,) = [row for row in rows(run) if row["attack"] == side]
        assert float(row["mAP"]) == pytest.approx(fmean(maps), abs=1e-3)
        record = read_run(run).record.cells[row["cell"]]
        assert record.repeats == 2
        assert record.spread["mAP"] == pytest.approx(stdev(maps), abs=1e-3)


def test_every_corruption_is_measured_at_every_severity(run: Path) -> None:
    found = [(row["corruption"], row["severity"]) for row in rows(run, "corruption.csv")]
    kinds = ("gaussian_noise", "fog", "jpeg_compression")
    assert found == [(kind, severity) for kind in kinds for severity in ("1", "5")]
    worst = {row["corruption"]: float(row["mAP"]) for row in rows(run, "corruption.csv")}
    (clean,) = [float(row["mAP"]) for row in rows(run) if row["attack"] == "none"]
    assert worst["gaussian_noise"] < clean


def test_batch_order_and_company_do_not_matter(dataset: Path) -> None:
    records = read_dataset(dataset).query
    drawn = [Corruption().draw(0, 0, record.key) for record in records]
    whole = CorruptedImages(records, drawn, (0, 0), (32, 16))
    backwards = CorruptedImages(records[::-1], drawn[::-1], (0, 0), (32, 16))
    assert torch.equal(whole[0 : len(records)], backwards[0 : len(records)].flip(0))
    assert torch.equal(whole[2:3], whole[0:5][2:3])

    def embed(images: torch.Tensor) -> torch.Tensor:
        return images.flatten(1)

    device = torch.device("cpu")
    one, many = (embed_images(embed, whole, batch_size=b, device=device) for b in (1, 7))
    assert torch.equal(one, many)


def test_repeats_and_seeds_draw_anew() -> None:
    pixels = np.full((64, 32, 3), 128, np.uint8)
    drawn = Drawn("gaussian_noise", 2)
    images = [corrupted(pixels, drawn, seed, repeat, "a") for seed in (0, 1) for repeat in (0, 1)]
    images.append(corrupted(pixels, drawn, 0, 0, "b"))
    assert len({image.tobytes() for image in images}) == len(images)
    draws = [Corruption().draw(0, repeat, "a") for repeat in range(4000)]
    counts = {kind: sum(d.corruption == kind for d in draws) for kind in CORRUPTIONS}
    # 200 each; a binomial's deviation is 14.
    assert min(counts.values()) > 130
    assert max(counts.values()) < 270
    assert {d.severity for d in draws} == {1, 2, 3, 4, 5}


def test_tables_and_figures_of_the_run_have_them(run: Path) -> None:
    tables = run_tables(read_run(run))
    assert tables["corruption"].headings()[3:] == [
        "Clean",
        "Corrupted queries",
        "Corrupted gallery",
        "Both corrupted",
    ]
    assert "±" in tables["corruption"].rows[0][4].text
    assert "over repeats" in tables["corruption"].caption
    kinds = [row[2].text for row in tables["corruption_by_kind"].rows]
    assert kinds == ["Gaussian noise", "Fog", "JPEG", "All"]
    # The tables of attacks are as without them.
    assert not any("orrupt" in heading for heading in tables["white_box"].headings())
    names = [drawing.file for drawing in drawings_of_results(read_run(run))]
    assert names.count("corruption") == 1


def test_findings_say_what_is_left_where_both_are_corrupted(run: Path) -> None:
    (both,) = [float(row["mAP"]) for row in rows(run) if row["attack"] == "corruption_both"]
    said = [f.says for f in findings(read_run(run)) if f.about.endswith(", corrupted")]
    assert said == [
        f"Where chance corrupts queries and gallery, mAP is, most first: Origin {both:.1f}."
    ]


def test_regress_leaves_them_out(run: Path) -> None:
    assert {cell.attack for cell in make_baseline(run).cells} == {"none", "fna"}


def test_the_plan_says_what_may_happen(grid: Path, dataset: Path) -> None:
    plan, _ = preview(grid, Options())
    assert plan.corruption == Corruption(
        repeats=2, corruptions=("gaussian_noise", "fog", "jpeg_compression"), severities=(1, 5)
    )
    console = Console(width=120, record=True, file=StringIO())
    for part in plan_tables(plan, {}):
        console.print(part)
    said = console.export_text()
    assert "gaussian_noise, fog, jpeg_compression at severities 1 5, 2 repeats" in said
    assert "nothing to apply to" not in said


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ("repeats = 0", "repeats: expected 1 to 1,000, got 0"),
        ('corruptions = ["fogg"]', "unknown corruption 'fogg'. Did you mean 'fog'?"),
        ("severities = [6]", "severities: expected numbers from 1 to 5, got 6"),
        ("severities = []", "severities: expected at least one"),
        ('budgets = ["8/255"]', "unknown parameter 'budgets'"),
    ],
)
def test_a_faulty_table_is_one_line(dataset: Path, tmp_path: Path, table: str, says: str) -> None:
    file = write_grid(
        tmp_path / "grid.toml",
        dataset,
        attacks='["corruption"]',
        tables=f"\n[attack.corruption]\n{table}\n",
    )
    with pytest.raises(BenchboxError) as error:
        resolve(read_grid(file, load_registry()), load_registry(), where=str(file))
    assert says in str(error.value)
    assert "[attack.corruption]" in str(error.value)


def test_a_corrupted_cell_with_a_budget_is_refused(run: Path, tmp_path: Path) -> None:
    text = (run / "results.csv").read_text()
    for name in ("run.json", "per_id.csv", "corruption.csv"):
        (tmp_path / name).write_text((run / name).read_text())
    (tmp_path / "results.csv").write_text(
        text.replace("corruption_both,0.0", "corruption_both,8.0")
    )
    with pytest.raises(BenchboxError, match="0 for attack none and for corruptions"):
        read_run(tmp_path)
    (tmp_path / "results.csv").write_text(text)
    corruption = (tmp_path / "corruption.csv").read_text()
    (tmp_path / "corruption.csv").write_text(corruption.replace(",fog,", ",mist,"))
    with pytest.raises(BenchboxError, match="column corruption: 'mist'"):
        read_run(tmp_path)


def test_seconds_and_stages_are_recorded(run: Path) -> None:
    record = json.loads((run / "run.json").read_text())
    keys = {record["cells"][row["cell"]]["stages"]["corrupt"] for row in rows(run)[-3:]}
    (key,) = keys
    manifest = Store(run / "store").recorded("corrupt", key)
    assert manifest is not None
    shares = [float(row["seconds"]) for row in rows(run)[-3:]]
    assert sum(shares) == pytest.approx(manifest.seconds)
