"""The paper's tables: which of them a run has, their rows and columns, the black-box matrix."""

import csv
import statistics
from pathlib import Path

import pytest

from benchbox.reports.cautions import cautions
from benchbox.reports.tables.black_box import replayed, stronger_than_white_box
from benchbox.reports.tables.of_run import run_tables
from benchbox.results.run_folder import read_run
from benchbox.tables.table import Table
from tests.made_runs import RESULT_COLUMNS, make_run, write_csv

ABLATION = (
    "metric_at",
    "metric_at_diffusion",
    "metric_at_adversarial",
    "metric_at_meta",
    "metric_at_fnes",
    "ddd",
)


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open() as stream:
        return list(csv.DictReader(stream))


def texts(table: Table) -> list[list[str]]:
    return [[cell.text for cell in row] for row in table.rows]


@pytest.mark.parametrize(
    ("defenses", "files"),
    [
        (("origin", "adv_train", "ddd"), {"white_box"}),
        (ABLATION, {"ablation", "ablation_gains"}),
        (("at_pgd", "metric_at", "ddd"), {"classifier"}),
        (("at_pgd", *ABLATION), {"ablation", "ablation_gains", "classifier"}),
        (
            ("origin", "at_pgd", *ABLATION),
            {"white_box", "ablation", "ablation_gains", "classifier"},
        ),
        (("metric_at", "ddd"), {"white_box"}),
        (("mine",), {"white_box"}),
    ],
)
def test_a_run_has_the_tables_that_its_rows_are_about(
    tmp_path: Path, defenses: tuple[str, ...], files: set[str]
) -> None:
    run = read_run(make_run(tmp_path, defenses=defenses, datasets=("sidewalk-a",)))
    assert run_tables(run).keys() == files | {"fairness"}


def test_ablation_and_classifier_tables_stand_as_in_the_paper(tmp_path: Path) -> None:
    folder = make_run(tmp_path, defenses=("origin", "at_pgd", *ABLATION))
    tables = run_tables(read_run(folder))
    ablation = tables["ablation"]
    assert [header.text for header in ablation.header[0]] == [
        *("Model", "Dataset", "Modules", "Clean", "8/255-16", "10/255-16")
    ]
    assert ablation.headings() == [
        *("Model", "Dataset", "Modules", "Clean"),
        *(f"{budget}/255-16 {attack}" for budget in (8, 10) for attack in ("FNA", "SMA", "IFGSM")),
    ]
    assert [row[2] for row in texts(ablation)][:6] == [*ABLATION[:-1], "All modules"]
    classifier = tables["classifier"]
    assert [row[2] for row in texts(classifier)][:3] == ["at_pgd", "metric_at", "Ours"]
    # Every value under its own heading.
    rows = rows_of(folder / "results.csv")
    for line in texts(ablation):
        for heading, value in zip(ablation.headings()[3:], line[3:], strict=True):
            budget, _, attack = heading.partition(" ")
            found = next(
                row
                for row in rows
                if row["defense"] == ("ddd" if line[2] == "All modules" else line[2])
                and row["train_dataset"] == line[1].lower()
                and row["attack"] == ({"Clean": "none"}.get(budget) or attack.lower())
                and (budget == "Clean" or float(row["eps_255"]) == float(budget.split("/")[0]))
            )
            assert value == f"{float(found['mAP']):.2f}/{float(found['rank1']):.2f}"


def test_transfer_names_the_undefended_model_as_the_paper(tmp_path: Path) -> None:
    run = make_run(
        tmp_path,
        defenses=("origin", "ddd"),
        transfers=[("sidewalk-a", "sidewalk-b"), ("sidewalk-b", "sidewalk-a")],
    )
    table = run_tables(read_run(run))["transfer"]
    assert [row[1:3] for row in texts(table)] == [
        [pair, defense]
        for pair in ("Sidewalk-A → Sidewalk-B", "Sidewalk-B → Sidewalk-A")
        for defense in ("None (Origin)", "Ours")
    ]


SOURCES = (("resnet50", "origin"), ("resnet50", "adv_train"), ("other", "origin"))


def make_black_box(folder: Path, *, seeds: tuple[int, ...], lift: float) -> Path:
    """Write a run with black_box.csv whose cells lie ``lift`` points above the white-box ones."""
    run = make_run(
        folder, defenses=("origin", "adv_train"), attacks=("fna",), budgets=(8.0,), seeds=seeds
    )
    rows = []
    for row in rows_of(run / "results.csv"):
        for number, (backbone, defense) in enumerate(SOURCES):
            if row["attack"] == "none":
                continue
            own = (backbone, defense) == (row["backbone"], row["defense"])
            value = float(row["mAP"]) + (0.0 if own else lift + number)
            rows.append(
                [backbone, defense]
                + [
                    {"mAP": repr(value), "cell": f"{row['cell']}-{number}"}.get(key, row[key])
                    for key in RESULT_COLUMNS
                ]
            )
    write_csv(run / "black_box.csv", ["source_backbone", "source_defense", *RESULT_COLUMNS], rows)
    return run


@pytest.mark.parametrize("seeds", [(0,), (0, 1, 2)])
def test_the_black_box_matrix_holds_every_source_and_target(
    tmp_path: Path, seeds: tuple[int, ...]
) -> None:
    folder = make_black_box(tmp_path, seeds=seeds, lift=5.0)
    table = run_tables(read_run(folder))["black_box"]
    assert table.headings() == [
        *("Model", "Dataset", "Attack", "Queries attacked on", "Origin", "Adv_train")
    ]
    assert [row[3] for row in texts(table)] == 2 * [
        "itself (white-box)", "Origin", "Adv_train", "Origin (other)",
    ]  # fmt: skip
    black_box = rows_of(folder / "black_box.csv")
    for line in texts(table):
        if line[3] == "itself (white-box)":
            continue
        source = {"Origin": SOURCES[0], "Adv_train": SOURCES[1]}.get(line[3], SOURCES[2])
        for target, text in zip(("origin", "adv_train"), line[4:], strict=True):
            found = [
                row
                for row in black_box
                if (row["source_backbone"], row["source_defense"]) == source
                and (row["defense"], row["test_dataset"]) == (target, line[1].lower())
            ]
            assert len(found) == len(seeds)
            expected = []
            for key in ("mAP", "rank1"):
                values = [float(row[key]) for row in found]
                std = f"±{statistics.stdev(values):.2f}" if len(values) > 1 else ""
                expected.append(f"{statistics.mean(values):.2f}{std}")
            assert text == "/".join(expected)


@pytest.mark.parametrize(("lift", "flagged"), [(5.0, 0), (-0.5, 0), (-4.0, 2 * 4)])
def test_a_black_box_attack_that_beats_the_white_box_one_is_flagged(
    tmp_path: Path, lift: float, flagged: int
) -> None:
    """With a lift of −4 the three sources lie 4, 3 and 2 points below; the own one does not."""
    run = read_run(make_black_box(tmp_path, seeds=(0, 1), lift=lift))
    assert run.black_box is not None
    table = run_tables(run)["black_box"]
    marked = [cell for row in table.rows for cell in row if cell.text.endswith("*")]
    assert len(marked) == flagged
    assert all(cell.bold for cell in marked)
    found = stronger_than_white_box(replayed(run.black_box, run.results, run.record.names))
    assert len(found) == flagged
    said = [line for line in cautions(run) if "gradient is masked" in line]
    assert len(said) == bool(flagged)


def test_a_malformed_black_box_file_is_named(tmp_path: Path) -> None:
    run = make_black_box(tmp_path, seeds=(0,), lift=1.0)
    text = (run / "black_box.csv").read_text()
    (run / "black_box.csv").write_text(text.replace("resnet50,origin,", ",origin,", 1))
    with pytest.raises(Exception, match=r"black_box\.csv: row 1, column source_backbone"):
        read_run(run)
