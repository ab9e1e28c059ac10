import csv
import re
import shutil
from collections import Counter
from decimal import Decimal
from itertools import groupby
from pathlib import Path

import pytest

from attacks import ATTACKS
from benchbox.data.finding import DATASETS
from benchbox.errors import BenchboxError
from benchbox.published.reading import published_folder, read_published
from benchbox.published.record import PublishedSource
from benchbox.reports.tables.published import published_tables
from defenses import DEFENSES

FOLDER = Path(__file__).resolve().parents[1] / "leaderboards" / "published"
PAPER = (
    Path(__file__).resolve().parents[2]
    / "shared"
    / "reference"
    / "zhou2025-debiased-dual-invariant-defense.txt"
)

DEFENSE_NAMES = {
    "Origin": "origin",
    "None": "origin",
    "BitSqueezing": "bit_squeezing",
    "MedianSmoothing2D": "median_smoothing",
    "MedianSmoothing": "median_smoothing",
    "BS+MS": "bs_ms",
    "AMD": "amd",
    "Adv_train": "adv_train",
    "DAS": "das",
    "AT_PG": "at_pgd",
    "Metric AT": "metric_at",
    "+Diffusion model": "metric_at_diffusion",
    "+Adversarial learning": "metric_at_adversarial",
    "+Self-meta learning": "metric_at_meta",
    "+FNES": "metric_at_fnes",
    "Ours": "ddd",
    "All modules": "ddd",
}
BLOCKS = {
    "2": ("Market", "Duke"),
    "3": ("Market", "Duke"),
    "4": ("Market", "Duke"),
    "5": ("Market to Duke", "Duke to Market"),
}
DATASET_NAMES = {"Market": "market1501", "Duke": "dukemtmcreid"}
HEADINGS = {"Model", "Models", "Dataset", "Datasets", "datasets", "Defense", "Modules"}


def zhou() -> PublishedSource:
    (only,) = [source for source in read_published() if source.source == "zhou2025"]
    return only


def csv_rows(name: str) -> list[dict[str, str]]:
    with (FOLDER / name).open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def paper_block(number: str) -> list[list[str]]:
    """Return the tab-separated lines right above ``Table N:``, without markup and empty cells."""
    if not PAPER.is_file():
        pytest.skip("the paper's text is not beside this checkout")
    lines = PAPER.read_text(encoding="utf-8").splitlines()
    (caption,) = [i for i, line in enumerate(lines) if line.startswith(f"Table {number}: ")]
    block: list[str] = []
    for line in reversed(lines[:caption]):
        if "\t" in line:
            block.insert(0, line)
        elif block:
            break
    plain = [re.sub(r"</?b>", "", line).split("\t") for line in block]
    return [[cell.strip() for cell in cells if cell.strip()] for cells in plain]


def paper_columns(upper: list[str], lower: list[str]) -> list[tuple[str, str, int]]:
    """Return (heading, attack, budget) of every column, from the two header lines."""
    groups = [cell for cell in upper if cell not in HEADINGS | {"Clean"}]
    each = len(lower) // len(groups)
    assert each * len(groups) == len(lower) == 6
    columns = [("Clean", "none", 0)]
    for place, below in enumerate(lower):
        above = groups[place // each]
        budget, attack = (above, below) if "/255-16" in above else (below, above)
        columns.append(
            (f"{above} {below}", attack.lower(), int(budget.removesuffix("/255-16"))),
        )
    return columns


@pytest.mark.parametrize("number", list(BLOCKS))
def test_every_number_is_the_papers_and_none_is_missing(number: str) -> None:
    upper, lower, *body = paper_block(number)
    columns = paper_columns(upper, lower)
    # Labels of models and datasets are shifted in the text: a block begins where its first
    # defense comes again.
    labels = [[cell for cell in cells if cell in DEFENSE_NAMES] for cells in body]
    assert all(len(found) == 1 for found in labels)
    blocks = iter(BLOCKS[number])
    dataset = ""
    expected: dict[tuple[str, ...], tuple[str, str]] = {}
    for (label,), cells in zip(labels, body, strict=True):
        if label == labels[0][0]:
            dataset = next(blocks)
        train, test = (dataset.split(" to ") * 2)[:2]
        values = [cell for cell in cells if re.fullmatch(r"\d+\.\d\d/\d+\.\d\d", cell)]
        for (heading, attack, eps), value in zip(columns, values, strict=True):
            key = (
                *(f"ResNet50 / {dataset} / {label}", heading),
                *(DATASET_NAMES[train], DATASET_NAMES[test], "resnet50", DEFENSE_NAMES[label]),
                *(attack, str(eps), "16" if eps else "0"),
            )
            assert key not in expected
            mean_ap, rank1 = value.split("/")
            expected[key] = (mean_ap, rank1)
    assert next(blocks, None) is None
    rows = [row for row in csv_rows("zhou2025.csv") if row["table"] == number]
    written = {tuple(list(row.values())[1:10]): (row["mAP"], row["rank1"]) for row in rows}
    assert len(written) == len(rows)
    assert written == expected


def test_every_accuracy_of_table_1_is_the_papers() -> None:
    header, *body = paper_block("1")
    assert header == ["Models", "Defense", "clean", "PGD"]
    expected = {}
    model = ""
    for *labels, clean, pgd in body:
        model, label = labels if len(labels) == 2 else (model, labels[0])
        classifier = "refitted" if "fine-tuned" in label else "adversarial"
        for printed, value in (("clean", clean), ("PGD", pgd)):
            names = (f"{model} / {label}", printed, model.lower(), classifier, printed.lower())
            expected["1", *names] = value
    rows = [tuple(row.values()) for row in csv_rows("zhou2025-table1.csv")]
    assert {row[:-1]: row[-1] for row in rows} == expected
    assert len(rows) == len(expected) == 8


def test_tables_have_the_papers_numbers_of_rows_and_columns() -> None:
    source = zhou()
    assert Counter(cell.table for cell in source.cells) == {
        "2": 2 * 8 * 7,
        "3": 2 * 6 * 7,
        "4": 2 * 3 * 7,
        "5": 2 * 3 * 7,
    }
    for number, same in groupby(source.cells, key=lambda cell: cell.table):
        cells = list(same)
        assert len({c.row for c in cells}) * len({c.column for c in cells}) == len(cells), number
    assert len(source.accuracies) == 8


def test_sums_stay_what_they_were_when_the_paper_was_read_twice() -> None:
    """A number that changes by accident is noticed where the paper's text is not at hand."""
    sums = {
        number: (sum(cell.mAP for cell in same), sum(cell.rank1 for cell in same))
        for number in BLOCKS
        if (same := [cell for cell in zhou().cells if cell.table == number])
    }
    assert sums == {
        "2": (Decimal("1979.34"), Decimal("2787.06")),
        "3": (Decimal("3043.59"), Decimal("4736.83")),
        "4": (Decimal("1444.14"), Decimal("2264.81")),
        "5": (Decimal("317.76"), Decimal("710.80")),
    }
    assert sum(a.accuracy for a in zhou().accuracies) == Decimal("561.424")


def test_what_several_tables_repeat_is_the_same() -> None:
    values: dict[tuple[str, object], dict[object, str]] = {}
    for cell in zhou().cells:
        values.setdefault((cell.table, cell.defense), {})[cell.place] = cell.text
    assert values["2", "ddd"] == values["3", "ddd"] == values["4", "ddd"]
    assert values["3", "metric_at"] == values["4", "metric_at"]
    assert len(values["3", "metric_at"]) == 14


def test_attacks_hurt_and_a_larger_budget_hurts_no_less() -> None:
    by_place = {(cell.table, cell.place): cell for cell in zhou().cells}
    compared = 0
    for (table, place), cell in by_place.items():
        if cell.attack == "none":
            continue
        clean = by_place[table, (*place[:4], "none", 0.0, 0)]
        assert cell.mAP < clean.mAP
        assert cell.rank1 < clean.rank1
        if cell.eps_255 == 10:
            weaker = by_place[table, (*place[:5], 8.0, 16)]
            assert cell.mAP <= weaker.mAP
            assert cell.rank1 <= weaker.rank1
            compared += 1
    assert compared == 40 * 3


def test_rank1_is_above_map_wherever_anything_is_left() -> None:
    left = [cell for cell in zhou().cells if cell.mAP >= 1]
    assert len(left) > 200
    assert all(cell.rank1 > cell.mAP for cell in left)


def test_names_are_the_registries() -> None:
    for cell in zhou().cells:
        assert {cell.train_dataset, cell.test_dataset} <= set(DATASETS)
        assert cell.defense in DEFENSES
        assert cell.attack in {"none", *ATTACKS}
        assert cell.backbone == "resnet50"
        assert (cell.train_dataset != cell.test_dataset) == (cell.table == "5")


def test_published_tables_are_the_papers_own() -> None:
    tables = published_tables(read_published())
    assert list(tables) == [f"zhou2025_table{number}" for number in range(1, 6)]
    for name, table in tables.items():
        number = name[-1]
        assert table.title == f"Published: Table {number} of Zhou et al. 2025"
        assert "Published, not measured here" in table.caption
        assert "arXiv 2511.09933" in table.caption
        headings = table.headings()
        labels = table.label_columns
        shown = {
            (" / ".join(cell.text for cell in row[:labels]), heading): cell.text
            for row in table.rows
            for heading, cell in zip(headings[labels:], row[labels:], strict=True)
        }
        if number == "1":
            rows = csv_rows("zhou2025-table1.csv")
            assert shown == {(row["row"], row["column"]): row["accuracy"] for row in rows}
        else:
            rows = [row for row in csv_rows("zhou2025.csv") if row["table"] == number]
            assert shown == {
                (row["row"], row["column"]): f"{row['mAP']}/{row['rank1']}" for row in rows
            }
    assert tables["zhou2025_table3"].header_row(0)[4:] == ["8/255-16"] * 3 + ["10/255-16"] * 3
    assert tables["zhou2025_table5"].header_row(0)[3:] == ["Clean"] + [
        attack for attack in ("FNA", "SMA", "IFGSM") for _ in range(2)
    ]
    assert "DAS (Wei et al. 2024)" in tables["zhou2025_table2"].caption


def test_a_table_with_a_hole_says_so(tmp_path: Path) -> None:
    folder = copy(tmp_path)
    lines = (folder / "zhou2025.csv").read_text().splitlines(keepends=True)
    (folder / "zhou2025.csv").write_text("".join(lines[:2] + lines[3:]))
    table = published_tables(read_published(folder))["zhou2025_table2"]
    assert Counter(cell.text for row in table.rows for cell in row)["–"] == 1


def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(FOLDER, tmp_path / "published"))


def test_several_sources_are_read_by_name(tmp_path: Path) -> None:
    folder = copy(tmp_path)
    for ending in (".toml", ".csv"):
        shutil.copy(folder / f"zhou2025{ending}", folder / f"another2024{ending}")
    sources = read_published(folder)
    assert [source.source for source in sources] == ["another2024", "zhou2025"]
    assert [len(source.accuracies) for source in sources] == [0, 8]
    assert len(published_tables(sources)) == 4 + 5


def test_columns_may_stand_in_any_order(tmp_path: Path) -> None:
    folder = copy(tmp_path)
    rows = csv_rows("zhou2025.csv")
    with (folder / "zhou2025.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(reversed(rows[0])))
        writer.writeheader()
        writer.writerows(rows)
    assert read_published(folder)[0].cells == zhou().cells


FIRST = "2,ResNet50 / Market / Origin,Clean,market1501,market1501,resnet50,origin,none,0,0,"
SECOND = "FNA 8/255-16,market1501,market1501,resnet50,origin,fna,8,16,"


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("mAP,rank1", "mAP,rank1,note", "column 'note' is unknown"),
        ("mAP,rank1", "mAP,mAP", "column 'rank1' is missing"),
        ("mAP,rank1\n", "mAP,rank1,rank1\n", "column 'rank1' stands there twice"),
        (FIRST + "78.49", FIRST + "nan", "row 1, column mAP: 'nan'"),
        (FIRST + "78.49", FIRST + "inf", "row 1, column mAP: 'inf'"),
        (FIRST + "78.49", FIRST + "-1", "row 1, column mAP: '-1'"),
        (FIRST + "78.49", FIRST + "7_8", "row 1, column mAP: '7_8'"),
        (FIRST + "78.49", FIRST + "٧٨", "row 1, column mAP"),
        (FIRST + "78.49", FIRST + "784.9", "row 1, column mAP"),
        (FIRST + "78.49", FIRST + "<b>78.49</b>", "row 1, column mAP"),
        (FIRST + "78.49", FIRST, "row 1, column mAP: ''"),
        (FIRST + "78.49,92.01", FIRST + "78.49", "row 1: 11 fields, expected 12"),
        (FIRST + "78.49,92.01", FIRST + "78.49,92.01,", "row 1: 13 fields"),
        (FIRST, FIRST.replace("none", "fna"), "row 1, column eps_255"),
        (SECOND, SECOND.replace("fna", "none"), "row 2, column eps_255"),
        (SECOND, SECOND.replace(",16,", ",0,"), "row 2, column steps"),
        (SECOND, SECOND.replace(",16,", ",16.5,"), "row 2, column steps"),
        (SECOND, SECOND.replace(",8,", ",256,"), "row 2, column eps_255"),
        (SECOND, SECOND.replace("origin", "Ours"), "row 2, column defense: 'Ours'"),
        (SECOND, SECOND.replace("market1501", "../market", 1), "row 2, column train_dataset"),
        (SECOND, SECOND.replace("FNA 8", '"FNA\n8'), "row 2, column column"),
        (SECOND, FIRST.split(" / Origin,")[1], "row 2: repeats a cell of table 2"),
        (
            SECOND,
            SECOND.replace("fna,8,16", "none,0,0"),
            "row 2: repeats a cell of table 2",
        ),
        ("2,ResNet50 / Market / Origin,Clean", "2,ResNet50,Clean", "row 1, column row"),
        ("2,ResNet50 / Market / Origin,Clean", "7,ResNet50,Clean", "row 1, column table: '7'"),
        ("2,ResNet50 / Market", '2,"ResNet50 / Market', "not a CSV table"),
    ],
)
def test_a_fault_is_named_by_file_row_and_column(
    tmp_path: Path, old: str, new: str, says: str
) -> None:
    folder = copy(tmp_path)
    path = folder / "zhou2025.csv"
    content = path.read_text(encoding="utf-8")
    assert old in content
    changed = content.replace(old, new, 1)
    if new.startswith('"FNA\n'):
        changed = changed.replace("8/255-16", '8/255-16"', 1)
    path.write_text(changed, encoding="utf-8")
    refused(folder, "zhou2025.csv", says)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("zhou2025.csv", None, "cannot be read"),
        ("zhou2025.csv", b"", "column 'table' is missing"),
        ("zhou2025.csv", b"\xff\xfe\x00", "not UTF-8"),
        ("zhou2025.csv", b"x" * (1 << 20) + b"x", "over 1 MiB"),
        ("zhou2025.csv", b'"' + b"x" * 200_000 + b'"', "not a CSV table"),
        ("zhou2025-table1.csv", b"table\n1\n", "column 'row' is missing"),
        ("zhou2025.toml", b"schema = ", "not valid TOML"),
        ("zhou2025.toml", b"a = " + b"[" * 20_000, "not valid TOML"),
        ("zhou2025.toml", b"schema = 1", "citation"),
        ("zhou2025.toml", b"schema = 2", "schema: 2"),
        ("zhou2025.toml", b'schema = "1"', "schema: '1'"),
        ("other.csv", b"a,b\n", "belongs to no source"),
        ("other-table1.csv", b"a,b\n", "Write other.toml"),
    ],
)
def test_a_malformed_source_is_refused_in_one_line(
    tmp_path: Path, name: str, content: bytes | None, says: str
) -> None:
    folder = copy(tmp_path)
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content)
    refused(folder, name, says)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('citation = "', 'site = "x"\ncitation = "', "site: 'x'"),
        ('citation = "', '"a\\nb" = "x"\ncitation = "', "Extra inputs"),
        ('citation = "Zhou', 'citation = "\\u001b[31mZhou', "citation"),
        ('code = "https', 'code = "javascript', "code"),
        ('"not stated"', '"cmc"', "ap_convention: 'cmc'"),
        ("[tables.5]\ntitle", "[tables.5]\nname", "tables.5.title"),
        ('labels = ["Models", "Defense"]', "labels = []", "tables.1.labels"),
    ],
)
def test_a_faulty_key_is_named(tmp_path: Path, old: str, new: str, says: str) -> None:
    folder = copy(tmp_path)
    path = folder / "zhou2025.toml"
    content = path.read_text(encoding="utf-8")
    assert old in content
    path.write_text(content.replace(old, new, 1), encoding="utf-8")
    refused(folder, "zhou2025.toml", says)


def refused(folder: Path, name: str, says: str) -> None:
    with pytest.raises(BenchboxError, match=re.escape(says)) as caught:
        read_published(folder)
    assert name in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500


def test_a_file_without_rows_is_refused(tmp_path: Path) -> None:
    folder = copy(tmp_path)
    header = (folder / "zhou2025.csv").read_text().splitlines()[0]
    (folder / "zhou2025.csv").write_text(header + "\n")
    refused(folder, "zhou2025.csv", "holds no row")


def test_a_missing_folder_says_where_published_numbers_are(tmp_path: Path) -> None:
    assert published_folder() == FOLDER
    with pytest.raises(BenchboxError, match=r"no such folder\. Name a folder laid out as"):
        read_published(tmp_path / "nowhere")
    with pytest.raises(BenchboxError, match=r"no NAME\.toml"):
        read_published(tmp_path)
