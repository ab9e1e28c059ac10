import csv
import html
import io
import json
import re
from base64 import b64decode
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from rich.console import Console

from benchbox.data.contact_sheet import contact_sheet, pick_identities
from benchbox.data.protocol import ImageRecord
from benchbox.errors import BenchboxError
from benchbox.reports.cautions import cautions
from benchbox.reports.figures import per_identity, robustness_bars
from benchbox.reports.report import write_report
from benchbox.reports.tables.by_layout import best_run, over_seeds
from benchbox.reports.tables.of_run import console_tables, run_tables, write_tables
from benchbox.results.conditions import fraction_of_255
from benchbox.results.run_folder import read_run
from benchbox.tables.as_html import table_to_html
from benchbox.tables.as_latex import escape_latex
from benchbox.tables.as_text import escape_markdown
from benchbox.tables.table import Header, Table, TableCell
from tests.made_runs import RESULT_COLUMNS, TITLES, make_run, write_csv

ALL_DEFENSES = tuple(TITLES["defenses"])
VOID_TAGS = {"meta", "img", "br", "link", "input", "hr", "wbr"}


def rows_of(run: Path) -> list[dict[str, str]]:
    with (run / "results.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def table_rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def heading(row: dict[str, str]) -> str:
    if row["attack"] == "none":
        return "Clean"
    title = TITLES["attacks"][row["attack"]]
    return f"{title} {float(row['eps_255']):g}/255-{row['steps']}"


def expected_cell(rows: list[dict[str, str]]) -> str:
    """Recompute a cell from the file, with numpy's standard deviation for the oracle."""
    texts = []
    for column in ("mAP", "rank1"):
        values = [float(row[column]) for row in rows]
        std = f"±{np.std(values, ddof=1):.2f}" if len(values) > 1 else ""
        texts.append(f"{np.mean(values):.2f}{std}")
    return "/".join(texts)


def change(run: Path, name: str, row: int, column: str, value: str) -> None:
    """Replace one value of a CSV file; rows count from 1."""
    with (run / name).open(newline="") as stream:
        header, *rows = list(csv.reader(stream))
    rows[row - 1][header.index(column)] = value
    write_csv(run / name, header, rows)


@pytest.mark.parametrize("seeds", [(0,), (0, 1, 2)])
def test_white_box_equals_a_recomputation_from_the_file(
    tmp_path: Path, seeds: tuple[int, ...]
) -> None:
    run = make_run(tmp_path, defenses=ALL_DEFENSES, seeds=seeds, backbones=("resnet50", "tiny"))
    write_tables(run)
    printed = table_rows((run / "tables" / "white_box.csv").read_text())
    results = rows_of(run)
    assert len(printed) == 2 * 2 * len(ALL_DEFENSES)
    seen = 0
    for row in printed:
        labels = (row.pop("Model"), row.pop("Dataset"), row.pop("Defense"))
        assert len(row) == 7
        for name, text in row.items():
            same = [
                r
                for r in results
                if labels
                == (
                    TITLES["backbones"][r["backbone"]],
                    TITLES["datasets"][r["test_dataset"]],
                    TITLES["defenses"][r["defense"]],
                )
                and heading(r) == name
            ]
            assert len(same) == len(seeds)
            assert text == expected_cell(same)
            seen += len(same)
    assert seen == len(results)


def test_rows_and_columns_stand_as_in_the_papers_table(tmp_path: Path) -> None:
    run = read_run(make_run(tmp_path, defenses=("das", "origin", "bs_ms"), budgets=(10.0, 8.0)))
    table = over_seeds(run.results, run.record.names)
    assert table.headings() == [
        *("Model", "Dataset", "Defense", "Clean", "FNA 8/255-16", "FNA 10/255-16"),
        *("SMA 8/255-16", "SMA 10/255-16", "IFGSM 8/255-16", "IFGSM 10/255-16"),
    ]
    assert [row[2].text for row in table.rows] == ["DAS", "Origin", "BS+MS"] * 2
    assert [cell.columns for cell in table.header[0]] == [1, 1, 1, 1, 2, 2, 2]


@pytest.mark.parametrize("seeds", [(0,), (3, 1, 2)])
def test_bold_is_the_highest_map_of_its_column_and_block(
    tmp_path: Path, seeds: tuple[int, ...]
) -> None:
    run = make_run(tmp_path, defenses=ALL_DEFENSES, seeds=seeds)
    tables = run_tables(read_run(run))
    assert tables.keys() == {"white_box", "fairness", *(["white_box_best"] if seeds[1:] else [])}
    for table in (tables[name] for name in tables if name != "fairness"):
        for dataset in ("Sidewalk-A", "Sidewalk-B"):
            block = [row for row in table.rows if row[1].text == dataset]
            for column in range(table.label_columns, table.width):
                values = [float(re.split("[±/]", row[column].text)[0]) for row in block]
                bold = [v for v, row in zip(values, block, strict=True) if row[column].bold]
                assert bold
                assert set(bold) == {max(values)}


def test_what_prints_alike_is_bold_alike_and_a_single_row_is_not_bold(tmp_path: Path) -> None:
    run = make_run(tmp_path, defenses=("origin", "bs_ms"), attacks=(), datasets=("sidewalk-a",))
    change(run, "results.csv", 1, "mAP", "50.001")
    change(run, "results.csv", 2, "mAP", "50.004")
    table = run_tables(read_run(run))["white_box"]
    assert [row[3].bold for row in table.rows] == [True, True]
    alone = make_run(tmp_path / "alone", defenses=("origin",))
    assert not any(c.bold for row in run_tables(read_run(alone))["white_box"].rows for c in row)


def test_best_run_is_one_whole_run_per_row(tmp_path: Path) -> None:
    seeds = (0, 1, 2)
    run = make_run(tmp_path, seeds=seeds)
    write_tables(run)
    printed = table_rows((run / "tables" / "white_box_best.csv").read_text())
    results = rows_of(run)
    for row in printed:
        dataset, defense, seed = row["Dataset"], row["Defense"], row["Seed"]
        own = [
            r
            for r in results
            if TITLES["datasets"][r["test_dataset"]] == dataset
            and TITLES["defenses"][r["defense"]] == defense
        ]
        means = {s: np.mean([float(r["mAP"]) for r in own if r["seed"] == str(s)]) for s in seeds}
        assert seed == str(max(means, key=lambda s: means[s]))
        for r in own:
            if r["seed"] == seed:
                assert row[heading(r)] == f"{float(r['mAP']):.2f}/{float(r['rank1']):.2f}"


def test_an_incomplete_run_is_never_the_best(tmp_path: Path) -> None:
    run = make_run(
        tmp_path, defenses=("origin",), datasets=("sidewalk-a",), seeds=(0, 1), drop=(0,)
    )
    # Rows 1 to 6 are seed 0 without clean, the rest is seed 1: make seed 0 look far better.
    for row in range(1, 7):
        change(run, "results.csv", row, "mAP", "99")
    folder = read_run(run)
    table = best_run(folder.results, folder.record.names)
    assert [row[3].text for row in table.rows] == ["1"]
    only = make_run(
        tmp_path / "none", defenses=("origin",), datasets=("sidewalk-a",), seeds=(0, 1),
        drop=(0, 13),
    )  # fmt: skip
    folder = read_run(only)
    table = best_run(folder.results, folder.record.names)
    assert {cell.text for cell in table.rows[0][3:]} == {"–"}
    assert "1 of 1 rows have no complete run yet" in table.caption


def test_missing_cells_are_dashes_and_counted(tmp_path: Path) -> None:
    run = make_run(tmp_path, seeds=(0, 1), drop=(0, 1, 7, 8, 9))
    table = run_tables(read_run(run))["white_box"]
    # Places 0 and 7, 1 and 8 are the two seeds of the first two columns; 9 is one of the third's.
    first = table.rows[0]
    assert [first[3].text, first[4].text] == ["–", "–"]
    assert first[5].text.endswith(" (n=1)")
    assert "±" not in first[5].text
    total = 2 * 5 * 7 * 2
    assert f"Missing: 5 of {total} results" in table.caption
    assert any("5 planned results" in line for line in cautions(read_run(run)))


def test_a_planned_block_without_any_result_is_not_forgotten(tmp_path: Path) -> None:
    whole = 5 * 7
    run = make_run(tmp_path, drop=range(whole, 2 * whole))
    table = run_tables(read_run(run))["white_box"]
    lost = [row for row in table.rows if row[1].text == "Sidewalk-B"]
    assert len(lost) == 5
    assert {cell.text for row in lost for cell in row[3:]} == {"–"}
    assert f"Missing: {whole} of {2 * whole} results" in table.caption


def test_without_a_readable_grid_the_results_are_the_plan(tmp_path: Path) -> None:
    run = make_run(tmp_path, grid={"budgets": "of another version"}, order={}, titles={"x": {}})
    table = run_tables(read_run(run))["white_box"]
    assert table.width == 10
    assert "Missing" not in table.caption
    assert [row[2].text for row in table.rows[:5]] == sorted(ALL_DEFENSES[:5])


def test_transfer_cells_have_their_own_table(tmp_path: Path) -> None:
    run = make_run(tmp_path, transfers=(("sidewalk-a", "sidewalk-b"),))
    tables = run_tables(read_run(run))
    assert {row[1].text for row in tables["transfer"].rows} == {"Sidewalk-A → Sidewalk-B"}
    assert {row[1].text for row in tables["white_box"].rows} == {"Sidewalk-A", "Sidewalk-B"}
    shown = [cell.text for row in tables["transfer"].rows for cell in row[3:]]
    moved = [r for r in rows_of(run) if r["train_dataset"] != r["test_dataset"]]
    assert sorted(shown) == sorted(f"{float(r['mAP']):.2f}/{float(r['rank1']):.2f}" for r in moved)


def test_caption_says_convention_datasets_seeds_and_step_size(tmp_path: Path) -> None:
    run = make_run(tmp_path, ap="step", seeds=(4, 9))
    caption = run_tables(read_run(run))["white_box"].caption
    queries = {r["test_dataset"]: r["queries"] for r in rows_of(run)}
    for part in (
        "step form (torchreid, fast-reid)",
        "measured on this machine",
        "n = 2 seeds (4, 9)",
        "step size 1/255",
        f"Sidewalk-A: {queries['sidewalk-a']} queries, 400 gallery images",
        f"Sidewalk-B: {queries['sidewalk-b']} queries",
    ):
        assert part in caption


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (8.0, "8/255"),
        (10.0, "10/255"),
        (0.5, "0.5/255"),
        (100.0, "100/255"),
        (2.0 / 3, "0.667/255"),
    ],
)
def test_budgets_are_written_as_fractions_of_255(value: float, text: str) -> None:
    assert fraction_of_255(value) == text


def test_columns_that_differ_by_step_size_alone_are_told_apart(tmp_path: Path) -> None:
    run = make_run(tmp_path, attacks=("fna",), budgets=(8.0, 10.0), defenses=("origin",))
    for row in (3, 6):
        change(run, "results.csv", row, "eps_255", "8.0")
        change(run, "results.csv", row, "step_size_255", "2.0")
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**record, "grid": {}}))
    table = run_tables(read_run(run))["white_box"]
    assert table.headings()[4:] == ["FNA 8/255-16 by 1/255", "FNA 8/255-16 by 2/255"]


HOSTILE = r"<script>alert(1)</script> a|b_c & 50% $x$ #1 {y} \z ~ ^ *w* [l](u)"


def hostile_run(folder: Path) -> Path:
    titles = {**TITLES, "defenses": {**TITLES["defenses"], "origin": HOSTILE, "bs_ms": "_hidden"}}
    return make_run(folder, titles=titles, title=HOSTILE, failures=[HOSTILE, {"stage": HOSTILE}])


def latex_structure(text: str) -> list[str]:
    """Return what is wrong with braces and environments; nothing if they match."""
    faults, stack = [], []
    for token in re.finditer(r"\\begin\{([^}]*)\}|\\end\{([^}]*)\}|\\.|[{}]", text, re.DOTALL):
        opened, closed = token.group(1), token.group(2)
        if opened or token.group() == "{":
            stack.append(opened or "{")
        elif closed or token.group() == "}":
            expected = stack.pop() if stack else None
            if expected != (closed or "{"):
                faults.append(f"{token.group()} closes {expected}")
    return faults + stack


def test_latex_is_well_formed_and_escaped(tmp_path: Path) -> None:
    run = hostile_run(tmp_path)
    write_tables(run)
    text = (run / "tables" / "white_box.tex").read_text()
    assert latex_structure(text) == []
    body = text[text.index(r"\toprule") : text.index(r"\bottomrule")]
    rows = [line for line in body.splitlines() if line.endswith(r"\\")]
    assert len(rows) == 2 + 10
    for line in rows:
        spans = [int(n) for n in re.findall(r"\\multicolumn\{(\d+)\}", line)]
        separators = len(re.findall(r"(?<!\\)&", line))
        assert separators + 1 + sum(spans) - len(spans) == 10
        assert not re.search(r"(?<!\\)[%#_]", line)
    assert r"Adv\_train" in body
    assert body.count(r"\multirow{5}") == 2
    assert r"\multirow{10}{*}{ResNet50}" in body
    assert r"\cmidrule(l){2-10}" in body


@given(st.text(max_size=40))
def test_no_text_breaks_latex(text: str) -> None:
    assert latex_structure(escape_latex(text)) == []
    bare = re.sub(r"\\[&%$#_{}]|\\text[a-z]+\{\}|\$\\[a-z]+\$", "", escape_latex(text))
    assert not set(bare) & set("&%$#_{}~^\\")


@given(st.text(max_size=40))
def test_no_text_breaks_a_markdown_table(text: str) -> None:
    escaped = escape_markdown(text)
    assert "\n" not in escaped
    assert not re.search(r"(?<!\\)(?:\\\\)*\|", escaped)
    assert "<" not in escaped


def test_markdown_has_equal_rows_and_bold_cells(tmp_path: Path) -> None:
    run = hostile_run(tmp_path)
    write_tables(run)
    text = (run / "tables" / "white_box.md").read_text()
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len(lines) == 2 + 10
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {11}
    table = run_tables(read_run(run))["white_box"]
    bold = [cell.text for row in table.rows for cell in row if cell.bold]
    assert re.findall(r"\*\*([\d./]+)\*\*", text) == bold


class Page(HTMLParser):
    """What a browser would find: tags that match, what is loaded, what text is shown."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.faults: list[str] = []
        self.urls: list[str] = []
        self.tags: list[str] = []
        self.shown: list[str] = []
        self.script = 0
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.script += tag == "script"
        if tag not in VOID_TAGS:
            self.open.append(tag)
        loads = {"src", "href", "srcset", "action", "data", "poster", "background"}
        self.urls += [value or "" for name, value in attrs if name in loads]
        self.faults += [name for name, _ in attrs if name.startswith("on") or name == "style"]

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style"):
            self.shown.append(data)


def made_sheet(folder: Path) -> Path:
    records = []
    for pid in range(1, 4):
        for camid in (1, 2, 5):
            path = folder / f"{pid:04d}_c{camid}s1_000001_00.png"
            Image.new("RGB", (64, 128), (40 * pid, 40 * camid, 90)).save(path)
            records.append(ImageRecord(path, pid, camid))
    return contact_sheet(pick_identities(records), folder / "sheet.png", title="Made")


def test_report_is_one_file_that_asks_no_network(tmp_path: Path) -> None:
    run = hostile_run(tmp_path)
    text = write_report(run).path.read_text()
    page = Page(text)
    assert page.faults == []
    assert page.open == []
    assert page.script == 1
    images = [url for url in page.urls if not url.startswith("#")]
    assert len(images) == 4
    for url in images:
        header, content = url.split(",")
        assert header in ("data:image/png;base64", "data:image/webp;base64")
        Image.open(io.BytesIO(b64decode(content))).load()
    assert not re.search(r"url\(|@import|https?://", text)
    # The hostile title is shown letter by letter, in the heading and in the table.
    assert page.shown.count(HOSTILE) >= 3


def test_every_anchor_of_the_report_exists(tmp_path: Path) -> None:
    text = write_report(make_run(tmp_path)).path.read_text()
    anchors = [url for url in Page(text).urls if url.startswith("#")]
    assert anchors
    for anchor in anchors:
        assert f'id="{anchor[1:]}"' in text


def test_report_says_where_its_numbers_come_from(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    record = json.loads((run / "run.json").read_text())
    shown = " ".join(Page(write_report(run).path.read_text()).shown)
    assert record["git"]["commit"] in shown
    for name, version in record["versions"].items():
        assert name in shown
        assert version in shown
    for dataset in record["datasets"].values():
        assert dataset["digest"] in shown
    assert 'budgets = ["8/255", "10/255"]' in shown
    # What holds for all tables and figures is said once, and not under each.
    for once in (
        *("easured on this machine", "trapezoid form (official", "step size 1/255"),
        *("One run per cell", "the gallery stays clean", "An identity counts once"),
    ):
        assert len(re.findall(re.escape(once), shown)) == (2 if "trapezoid" in once else 1), once


def test_report_tables_hold_the_same_cells(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    table = run_tables(read_run(run))["white_box"]
    page = Page(str(table_to_html(table)))
    texts = [text for text in page.shown if text.strip()]
    values = [text for text in texts if re.fullmatch(r"[\d.]+/[\d.]+", text)]
    assert values == [cell.text for row in table.rows for cell in row[3:]]
    assert page.tags.count("tbody") == 2


def test_cautions_name_what_limits_the_numbers(tmp_path: Path) -> None:
    run = make_run(
        tmp_path, finished=None, failures=["train das: out of memory"],
        git={"commit": "0" * 40, "dirty": True},
    )  # fmt: skip
    text = "\n".join(cautions(read_run(run)))
    for part in ("train das: out of memory", "has not finished", "uncommitted", "3 queries are"):
        assert part in text
    assert "Sidewalk-B: 2 queries are without a valid match" in text


def test_a_model_that_answers_differently_is_named_once(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    assert not any("answers differently" in line for line in cautions(read_run(run)))
    record = json.loads((run / "run.json").read_text())
    for row in rows_of(run):
        record["cells"][row["cell"]]["draws"] = 8 if row["defense"] == "bs_ms" else 1
    (run / "run.json").write_text(json.dumps(record))
    (line,) = [line for line in cautions(read_run(run)) if "answers differently" in line]
    assert line.startswith("BS+MS: ")
    assert "the mean of 8 draws" in line


def test_a_table_that_disagrees_with_its_identities_is_named(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    assert not any("per_id.csv" in line for line in cautions(read_run(run)))
    cell = rows_of(run)[4]["cell"]
    change(run, "results.csv", 5, "mAP", str(float(rows_of(run)[4]["mAP"]) + 0.01))
    assert any(f"Cell {cell}" in line for line in cautions(read_run(run)))


def test_an_attack_that_gets_weaker_with_its_budget_is_named(tmp_path: Path) -> None:
    run = make_run(tmp_path, defenses=("origin",), datasets=("sidewalk-a",))
    for row, value in enumerate(("60", "9", "5", "9", "12", "9", "8.5"), start=1):
        change(run, "results.csv", row, "mAP", value)
    (line,) = [line for line in cautions(read_run(run)) if "masked gradient" in line]
    assert "SMA 10/255-16 (3.00 points above SMA 8/255-16)" in line
    assert "FNA" not in line
    assert "IFGSM" not in line


@pytest.mark.parametrize("width", [80, 100, 120, 140])
@pytest.mark.parametrize("seeds", [(0,), (0, 1, 2)])
def test_terminal_tables_show_every_digit(
    tmp_path: Path, width: int, seeds: tuple[int, ...]
) -> None:
    run = make_run(tmp_path, defenses=ALL_DEFENSES, seeds=seeds)
    stream = io.StringIO()
    console = Console(file=stream, width=width)
    for part in console_tables(run):
        console.print(part)
    text = stream.getvalue()
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    for title in TITLES["defenses"].values():
        assert title in text
    table = run_tables(read_run(run))["white_box"]
    shown = re.findall(r"\d+\.\d\d", text)
    for row in table.rows:
        for cell in row[3:]:
            assert set(re.findall(r"\d+\.\d\d", cell.text)) <= set(shown)


def test_terminal_markup_in_a_name_is_printed_not_obeyed(tmp_path: Path) -> None:
    titles = {**TITLES, "defenses": {"origin": "[red]x[/red]"}}
    run = make_run(tmp_path, defenses=("origin",), titles=titles)
    stream = io.StringIO()
    Console(file=stream, width=120).print(*console_tables(run))
    assert "[red]x[/red]" in stream.getvalue()


def test_bars_are_as_high_as_the_means(tmp_path: Path) -> None:
    run = make_run(tmp_path, seeds=(0, 1), drop=(1, 8))
    folder = read_run(run)
    figure = robustness_bars(folder.results, folder.record.names)
    heights = sorted(bar.get_height() for axes in figure.axes for bar in axes.patches)
    # Clean bars stand in panels of their own and leave the axis to what attacks leave.
    clean, attacked = figure.axes[0], figure.axes[1]
    assert [bar.get_facecolor() for bar in clean.patches] == [clean.patches[0].get_facecolor()] * 5
    assert len(attacked.patches) == 5 * 6 - 1
    highest = max(bar.get_height() for axes in figure.axes[1::2] for bar in axes.patches)
    assert attacked.get_ylim()[1] < 1.5 * highest
    cells: dict[tuple[str, ...], list[float]] = {}
    for row in rows_of(run):
        key = (row["test_dataset"], row["defense"], heading(row))
        cells.setdefault(key, []).append(float(row["mAP"]))
    assert heights == pytest.approx(sorted(np.mean(values) for values in cells.values()))
    assert len(heights) == 2 * 5 * 7 - 1


def test_identity_curves_fall_and_hold_every_identity(tmp_path: Path) -> None:
    run = hostile_run(tmp_path)
    folder = read_run(run)
    figure = per_identity(folder.results, folder.per_id, folder.record.names, attack="sma")
    wanted = {
        r["cell"]
        for r in rows_of(run)
        if r["attack"] == "none" or (r["attack"], r["eps_255"]) == ("sma", "8.0")
    }
    with (run / "per_id.csv").open(newline="") as stream:
        values = [100 * float(r["ap"]) for r in csv.DictReader(stream) if r["cell"] in wanted]
    curves = [list(line.get_ydata()) for axes in figure.axes for line in axes.lines]
    assert len(curves) == len(wanted)
    assert all(a >= b for curve in curves for a, b in pairwise(curve))
    drawn = sorted(value for curve in curves for value in curve)
    assert drawn == pytest.approx(sorted(values))
    legends = [axes.get_legend() for axes in figure.axes if axes.get_legend()]
    assert [len(legend.get_texts()) for legend in legends] == [5, 5]
    with pytest.raises(BenchboxError, match="no cell under attack 'pgd'"):
        per_identity(folder.results, folder.per_id, folder.record.names, attack="pgd")


def test_figures_are_the_same_bytes_twice(tmp_path: Path) -> None:
    first, second = make_run(tmp_path / "1"), make_run(tmp_path / "2")
    write_report(first)
    write_report(second)
    names = sorted(path.name for path in (first / "figures").iterdir())
    drawn = ("budgets", "per_identity", "robustness", "trade_off")
    assert names == [f"{name}.{ending}" for name in drawn for ending in ("png", "svg")]
    for name in names:
        assert (first / "figures" / name).read_bytes() == (second / "figures" / name).read_bytes()


def test_contact_sheet_shows_each_image_in_its_place(tmp_path: Path) -> None:
    sheet = Image.open(made_sheet(tmp_path)).convert("RGB")
    colours = {pixel for _, pixel in sheet.getcolors(maxcolors=100_000) or []}
    for pid in range(1, 4):
        for camid in (1, 2, 5):
            assert (40 * pid, 40 * camid, 90) in colours


def test_picked_identities_are_spread_and_show_every_camera() -> None:
    records = [
        ImageRecord(Path(f"{pid}_{camid}_{n}.png"), pid, camid)
        for pid in range(-1, 50)
        for camid, many in ((1, 9), (2, 1), (3, 4))
        for n in range(many)
    ]
    picked = pick_identities(records, identities=5, images=6)
    assert list(picked) == [1, 13, 25, 37, 49]
    for pid, images in picked.items():
        assert {record.pid for record in images} == {pid}
        assert [record.camid for record in images] == [1, 1, 1, 2, 3, 3]
    assert pick_identities([]) == {}


def test_an_unreadable_image_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "0001_c1s1_000001_00.png"
    broken.write_bytes(b"no image")
    with pytest.raises(BenchboxError, match=r"0001_c1s1_000001_00\.png: not an image"):
        contact_sheet({1: [ImageRecord(broken, 1, 1)]}, tmp_path / "sheet.png")
    with pytest.raises(BenchboxError, match="no images"):
        contact_sheet({}, tmp_path / "sheet.png")


@pytest.mark.parametrize(
    ("name", "row", "column", "value", "says"),
    [
        ("results.csv", 3, "mAP", "high", "row 3, column mAP: 'high'"),
        ("results.csv", 2, "mAP", "nan", "row 2, column mAP: 'nan'"),
        ("results.csv", 2, "mAP", "", "row 2, column mAP: ''"),
        ("results.csv", 2, "rank1", "100.5", "row 2, column rank1: '100.5'"),
        ("results.csv", 1, "steps", "1.5", "row 1, column steps: '1.5'"),
        ("results.csv", 1, "queries", "0", "row 1, column queries: '0'"),
        ("results.csv", 1, "eps_255", "8", "row 1, column eps_255"),
        ("results.csv", 2, "eps_255", "0", "row 2, column eps_255"),
        ("results.csv", 4, "defense", "", "row 4, column defense"),
        ("results.csv", 4, "ap_convention", "step", "row 4, column ap_convention"),
        ("results.csv", 4, "ap_convention", "area", "row 4, column ap_convention"),
        ("results.csv", 5, "attack", "fna", "row 5 repeats a cell"),
        ("per_id.csv", 7, "ap", "1.5", "row 7, column ap: '1.5'"),
        ("per_id.csv", 7, "pid", "6", "row 7 repeats a cell"),
        ("per_id.csv", 7, "cell", "f00", "row 7, column cell: 'f00'"),
    ],
)
def test_a_malformed_value_is_named_by_file_row_and_column(
    tmp_path: Path, name: str, row: int, column: str, value: str, says: str
) -> None:
    run = make_run(tmp_path)
    # Row 5 is SMA at row 3's budget, FNA's: its attack alone tells them apart.
    change(run, name, row, column, value)
    with pytest.raises(BenchboxError) as caught:
        write_tables(run)
    message = str(caught.value)
    assert says in message
    assert f"{run / name}:" in message
    assert "\n" not in message


def test_a_cell_that_stands_twice_is_named(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    change(run, "results.csv", 6, "cell", rows_of(run)[0]["cell"])
    with pytest.raises(BenchboxError, match="row 6 repeats a cell"):
        read_run(run)


@pytest.mark.parametrize("column", RESULT_COLUMNS)
def test_a_missing_column_is_named(tmp_path: Path, column: str) -> None:
    run = make_run(tmp_path, defenses=("origin",))
    rows = rows_of(run)
    kept = [name for name in RESULT_COLUMNS if name != column]
    write_csv(run / "results.csv", kept, [[row[name] for name in kept] for row in rows])
    with pytest.raises(BenchboxError, match=f"column {column} is missing"):
        read_run(run)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("results.csv", "", "not a CSV table"),
        ("results.csv", ",".join(RESULT_COLUMNS) + "\n", "holds no cell yet"),
        ("results.csv", ",".join(RESULT_COLUMNS) + "\nsidewalk-a,sidewalk-a\n", "row 1"),
        ("results.csv", ",".join(RESULT_COLUMNS) + "\n" + "x," * 30 + "\n", "more fields"),
        ("results.csv", "a,b\n1,2\n1,2,3\n", "not a CSV table"),
        ("results.csv", b"\xff\xfe\x00", "not a CSV table"),
        ("results.csv", None, "cannot be read"),
        ("per_id.csv", None, "cannot be read"),
        ("run.json", None, "cannot be read"),
        ("run.json", "{", "not valid JSON"),
        ("run.json", "[]", "schema is None, expected 1"),
        ("run.json", '{"schema": 2}', "schema is 2, expected 1"),
        ("run.json", '{"schema": 1}', "name"),
        (
            "run.json",
            '{"schema": 1, "name": "x", "cells": {"a": {"lone_queries": "y"}}}',
            "cells.a",
        ),
    ],
)
def test_a_malformed_file_is_named(
    tmp_path: Path, name: str, content: str | bytes | None, says: str
) -> None:
    run = make_run(tmp_path)
    if content is None:
        (run / name).unlink()
    else:
        (run / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(BenchboxError, match=re.escape(says)) as caught:
        read_run(run)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_name_that_pandas_would_take_for_missing_is_kept(tmp_path: Path) -> None:
    run = make_run(tmp_path, defenses=("null", "NA"), titles={})
    table = run_tables(read_run(run))["white_box"]
    assert [row[2].text for row in table.rows[:2]] == ["null", "NA"]


def test_a_run_of_transfers_alone_has_a_report_without_figures(tmp_path: Path) -> None:
    run = make_run(tmp_path, datasets=(), transfers=(("sidewalk-a", "sidewalk-b"),))
    assert {path.stem for path in write_tables(run)} == {"transfer"}
    assert Page(write_report(run).path.read_text()).tags.count("img") == 0
    folder = read_run(run)
    with pytest.raises(BenchboxError, match="no model was tested"):
        robustness_bars(folder.results, folder.record.names)


def test_rows_of_different_widths_are_refused() -> None:
    with pytest.raises(ValueError, match="different widths"):
        Table("t", "c", ((Header("a", columns=2),),), ((TableCell("1"),),))


def test_a_figure_of_one_panel_is_not_blown_up(tmp_path: Path) -> None:
    run = make_run(tmp_path, datasets=("sidewalk-a",), defenses=("origin",), attacks=("fna",))
    text = write_report(run).path.read_text()
    figures = re.findall(r'<div class="scroll (picture[^"]*)"[^>]*aria-label="([^"]*)"', text)
    looks = {html.unescape(title): look for look, title in figures}
    assert looks["What robustness costs"] == "picture narrow"
    assert looks["Each identity's share"] == "picture"
